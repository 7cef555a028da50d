/* SPDX-License-Identifier: MIT */
/* The grammar of a spec: elements, their options, and where each piece stands. One pass from left to right,
 * so that an error is always the leftmost one. */
#include "spec_internal.h"

#include <stdio.h>
#include <string.h>

hm__where hm__spec_where(uint32_t column)
{
    hm__where where;
    snprintf(where.text, sizeof where.text, "spec:%u", (unsigned)column);
    return where;
}

static int is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* What a misspelled name may hold and still be worth a "did you mean". */
static int is_nearly_name_character(char c)
{
    return is_name_character(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '.';
}

int hm__name_is_valid(hm__text name)
{
    for (size_t i = 0; i < name.length; i++) {
        if (!is_name_character(name.at[i])) {
            return 0;
        }
    }
    return name.length >= 1 && name.length <= HM__NAME_MAX;
}

/* Where the reader stands. */
typedef struct reader {
    const char *spec;
    const char *at;
    hm_error *err;
} reader;

static uint32_t column_of(const reader *r, const char *at)
{
    return (uint32_t)(at - r->spec) + 1;
}

static hm_status refuse(const reader *r, const char *at, const char *what)
{
    return hm_error_set(r->err, HM_E_INVALID, hm__spec_where(column_of(r, at)).text, "%s",
                        what);
}

/* The character at r->at is not one the grammar allows here. */
static hm_status refuse_character(const reader *r, const char *in, const char *expected)
{
    const unsigned char c = (unsigned char)*r->at;
    const hm__where where = hm__spec_where(column_of(r, r->at));
    if (c >= 0x80) {
        return hm_error_set(r->err, HM_E_INVALID, where.text,
                            "character 0x%02x in %s, expected %s", (unsigned)c, in,
                            expected);
    }
    return hm_error_set(r->err, HM_E_INVALID, where.text, "'%c' in %s, expected %s", c,
                        in, expected);
}

/* What must hold for the text as a whole; done once, before the first element. */
static hm_status check_whole(const reader *r)
{
    if (r->spec[0] == '\0') {
        return refuse(r, r->spec, "empty spec, expected a host such as \"default\"");
    }
    for (const char *at = r->spec; *at; at++) {
        if (at - r->spec == HM__SPEC_MAX) {
            return hm_error_set(r->err, HM_E_INVALID,
                                hm__spec_where(HM__SPEC_MAX + 1).text,
                                "spec is longer than %d characters", HM__SPEC_MAX);
        }
        const unsigned char c = (unsigned char)*at;
        if (c < 0x20 || c == 0x7f) {
            return hm_error_set(
                r->err, HM_E_INVALID, hm__spec_where(column_of(r, at)).text,
                "control character 0x%02x, expected printable text", (unsigned)c);
        }
    }
    return HM_OK;
}

static hm_status read_name(reader *r, hm__text *name)
{
    name->at = r->at;
    while (is_nearly_name_character(*r->at)) {
        r->at++;
    }
    if (*r->at == '/') {
        r->at += strcspn(r->at, ":+");
    }
    name->length = (size_t)(r->at - name->at);
    if (*r->at != '\0' && *r->at != ':' && *r->at != '+') {
        return refuse_character(r, "a name",
                                "lower case letters, digits and '_', then ':' or '+'");
    }
    if (name->length > 0) {
        return HM_OK;
    }
    if (*r->at == '\0') {
        return refuse(r, r->at, "nothing after '+', expected a host or layer");
    }
    return refuse(r, r->at,
                  *r->at == '+' ? "nothing before '+', expected a host or layer"
                                : "nothing before ':', expected a host or layer");
}

/* A value ends at the first ',' or '+' outside parentheses. */
static hm_status read_value(reader *r, hm__spec_option *option)
{
    const char *const start = r->at;
    const char *outermost = NULL;  /* the last '(' not inside another */
    const char *quoted_end = NULL; /* the ')' that closes a '(' at the very start */
    size_t depth = 0;
    for (; *r->at && (depth > 0 || (*r->at != ',' && *r->at != '+')); r->at++) {
        if (quoted_end) {
            return refuse_character(r, "the value after its ')'", "',', '+' or the end");
        }
        if (*r->at == '(' && depth++ == 0) {
            outermost = r->at;
        } else if (*r->at == ')' && depth-- == 0) {
            return refuse(r, r->at, "')' closes nothing, expected '(' before it");
        }
        if (*r->at == ')' && depth == 0 && outermost == start) {
            quoted_end = r->at;
        }
    }
    if (depth > 0) {
        return refuse(r, outermost, "'(' is not closed, expected ')'");
    }
    if (r->at == start) {
        return hm_error_set(
            r->err, HM_E_INVALID, hm__spec_where(column_of(r, start)).text,
            "no value after \"%.*s=\", expected one, or () for an empty one",
            HM__SHOWN(option->key));
    }
    option->value.at = start + (quoted_end != NULL);
    option->value.length = (size_t)((quoted_end ? quoted_end : r->at) - option->value.at);
    option->value_column = column_of(r, option->value.at);
    return HM_OK;
}

static hm_status read_option(reader *r, hm__spec_option *option)
{
    memset(option, 0, sizeof *option);
    option->key.at = r->at;
    option->key_column = column_of(r, r->at);
    while (is_nearly_name_character(*r->at)) {
        r->at++;
    }
    option->key.length = (size_t)(r->at - option->key.at);
    if (option->key.length == 0) {
        if (strchr(",+=", *r->at)) { /* or the end */
            return refuse(r, r->at, "nothing here, expected an option such as key=value");
        }
        return refuse_character(r, "an option's name", "key=value");
    }
    if (*r->at == '=') {
        r->at++;
        return read_value(r, option);
    }
    if (!strchr(",+", *r->at)) {
        return refuse_character(r, "an option's name", "'=', ',', '+' or the end");
    }
    return HM_OK;
}

static hm_status read_options(reader *r, hm__spec_element *out)
{
    do {
        r->at++; /* the ':' or ',' before it */
        if (out->option_count == HM__SPEC_OPTIONS) {
            return hm_error_set(r->err, HM_E_INVALID,
                                hm__spec_where(column_of(r, r->at)).text,
                                "more than %d options of one element", HM__SPEC_OPTIONS);
        }
        hm__spec_option *option = &out->options[out->option_count];
        const hm_status status = read_option(r, option);
        if (status != HM_OK) {
            return status;
        }
        for (uint32_t i = 0; i < out->option_count; i++) {
            const hm__text before = out->options[i].key;
            if (before.length == option->key.length &&
                memcmp(before.at, option->key.at, before.length) == 0) {
                return hm_error_set(
                    r->err, HM_E_INVALID, hm__spec_where(option->key_column).text,
                    "option \"%.*s\" is given twice, first at column %u",
                    HM__SHOWN(option->key), (unsigned)out->options[i].key_column);
            }
        }
        out->option_count++;
    } while (*r->at == ',');
    return HM_OK;
}

hm_status
hm__spec_next(const char *spec, const char **cursor, hm__spec_element *out, hm_error *err)
{
    reader r = {spec, *cursor, err};
    out->option_count = 0;
    out->column = column_of(&r, r.at);
    hm_status status = r.at == spec ? check_whole(&r) : HM_OK;
    if (status == HM_OK) {
        status = read_name(&r, &out->name);
    }
    if (status == HM_OK && *r.at == ':') {
        status = read_options(&r, out);
    }
    if (status == HM_OK) {
        *cursor = *r.at == '+' ? r.at + 1 : NULL;
    }
    return status;
}
