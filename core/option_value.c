/* SPDX-License-Identifier: MIT */
/* One option value: switches, numbers, sizes, ratios and choices as a user writes them. */
#include "spec_internal.h"

#include <string.h>

/* How each type is called and what it expects, for errors. */
static const struct {
    const char *kind;
    const char *expected;
} types[] = {
    [HM_OPTION_BOOL] = {"switch", "yes or no"},
    [HM_OPTION_NUMBER] = {"number", "digits"},
    [HM_OPTION_BYTES] = {"size", "a number then K, M or G"},
    [HM_OPTION_TEXT] = {"text", "text"},
    [HM_OPTION_CHOICE] = {"choice", ""}, /* expects the option's own */
    [HM_OPTION_RATIO] = {"ratio", "a fraction such as 1/4096 or a number from 0 to 1"},
    [HM_OPTION_SPEC] = {"spec", "a spec in parentheses"},
};

const char *hm__value_choices(const hm_option *option)
{
    return HM_HAS(option, hm_option, choices) && option->choices ? option->choices : "";
}

const char *hm__value_expected(const hm_option *option)
{
    return option->type == HM_OPTION_CHOICE ? hm__value_choices(option)
                                            : types[option->type].expected;
}

/* The next of "a|b|c"; 0 after the last. */
static int next_choice(const char **cursor, hm__text *out)
{
    if (!*cursor) {
        return 0;
    }
    out->at = *cursor;
    out->length = strcspn(*cursor, "|");
    *cursor = out->at[out->length] ? out->at + out->length + 1 : NULL;
    return 1;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits at *at, which moves past them. 1 read, 0 no digits there, -1 more than 64 bits. */
static int read_digits(const char **at, const char *end, uint64_t *out)
{
    const char *const start = *at;
    uint64_t number = 0;
    int fits = 1;
    for (; *at < end && is_digit(**at); ++*at) {
        const uint64_t digit = (uint64_t)(**at - '0');
        fits = fits && number <= (UINT64_MAX - digit) / 10;
        number = number * 10 + digit;
    }
    *out = number;
    return *at == start ? 0 : fits ? 1 : -1;
}

static int read_bytes(hm__text text, uint64_t *out)
{
    const char *at = text.at;
    const char *const end = at + text.length;
    const int read = read_digits(&at, end, out);
    if (read == 0 || at == end) {
        return read;
    }
    const char *const unit = strchr("KMG", *at);
    if (at + 1 != end || !unit) {
        return 0;
    }
    const unsigned shift = *unit == 'K' ? 10 : *unit == 'M' ? 20 : 30;
    if (read < 0 || *out > UINT64_MAX >> shift) {
        return -1;
    }
    *out <<= shift;
    return 1;
}

/* By hand, because strtod reads by the program's locale. */
static int read_ratio(hm__text text, double *out)
{
    const char *at = text.at;
    const char *const end = at + text.length;
    uint64_t whole, below = 1;
    if (read_digits(&at, end, &whole) != 1) {
        return 0;
    }
    if (at < end && *at == '/') {
        at++;
        if (read_digits(&at, end, &below) != 1 || at != end || below == 0) {
            return 0;
        }
        *out = (double)whole / (double)below;
        return whole <= below;
    }
    uint64_t after = 0, scale = 1; /* what follows the point, as after / scale */
    if (at < end && *at == '.') {
        const char *const digits = ++at;
        for (; at < end && is_digit(*at); at++) {
            if (at - digits < 18) { /* a double tells no more of them apart */
                after = after * 10 + (uint64_t)(*at - '0');
                scale *= 10;
            }
        }
        if (at == digits) {
            return 0;
        }
    }
    *out = (double)whole + (double)after / (double)scale;
    return at == end && *out <= 1;
}

static int read_bool(hm__text text, uint64_t *out)
{
    static const char *const words[] = {"no",  "yes", "false", "true",
                                        "off", "on",  "0",     "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (hm__text_is(text, words[i])) {
            *out = i % 2;
            return 1;
        }
    }
    return 0;
}

/* Who writes ":" between two options is told what belongs there. */
static const char *joined_by(hm__text text)
{
    return text.length && memchr(text.at, ':', text.length)
               ? "; options are separated by ','"
               : "";
}

static hm_status read_choice(const hm_option *option,
                             hm__text text,
                             const char *where,
                             const char *subject,
                             hm_error *err)
{
    hm__nearest nearest;
    hm__text choice;
    hm__nearest_begin(&nearest, text);
    for (const char *cursor = hm__value_choices(option); next_choice(&cursor, &choice);) {
        if (choice.length == text.length &&
            memcmp(choice.at, text.at, text.length) == 0) {
            return HM_OK;
        }
        hm__nearest_offer(&nearest, choice);
    }
    return hm_error_set(err, HM_E_INVALID, where, "%s: \"%.*s\" is none of %.90s%s%s%s%s",
                        subject, HM__SHOWN(text), hm__value_choices(option),
                        nearest.name[0] ? "; did you mean \"" : "", nearest.name,
                        nearest.name[0] ? "\"?" : "", joined_by(text));
}

hm_status hm__value_read(const hm_option *option,
                         hm__text text,
                         hm__value *out,
                         const char *where,
                         const char *subject,
                         hm_error *err)
{
    int read = 1;
    const char *at = text.at;
    switch (option->type) {
    case HM_OPTION_BOOL:
        read = read_bool(text, &out->number);
        break;
    case HM_OPTION_NUMBER:
        read = read_digits(&at, at + text.length, &out->number);
        read = at == text.at + text.length ? read : 0;
        break;
    case HM_OPTION_BYTES:
        read = read_bytes(text, &out->number);
        break;
    case HM_OPTION_RATIO:
        read = read_ratio(text, &out->ratio);
        break;
    case HM_OPTION_CHOICE:
        return read_choice(option, text, where, subject, err);
    default: /* any text will do */
        break;
    }
    if (read < 0) {
        return hm_error_set(err, HM_E_INVALID, where,
                            "%s: %s \"%.*s\" is too large, expected less than 2^64",
                            subject, types[option->type].kind, HM__SHOWN(text));
    }
    if (read == 0) {
        return hm_error_set(err, HM_E_INVALID, where,
                            "%s: %s \"%.*s\" not understood, expected %s%s", subject,
                            types[option->type].kind, HM__SHOWN(text),
                            types[option->type].expected, joined_by(text));
    }
    return HM_OK;
}
