/* SPDX-License-Identifier: MIT */
/* The options of one element: what the spec gives, else the defaults, checked against the description. */
#include "spec_internal.h"

#include <stdio.h>
#include <string.h>

#include "assert_internal.h"
#include "memory_internal.h"

#define OPTION_COUNT_MAX 256

struct hm_option_values {
    const hm_host_info *info;
    size_t bytes; /* of this object with the texts after its values */
    hm__value values[];
};

const char *hm__kind_name(const hm_host_info *info)
{
    return info->kind == HM_KIND_LAYER ? "layer" : "host";
}

hm__where hm__info_where(const hm_host_info *info)
{
    hm__where where;
    snprintf(where.text, sizeof where.text, "%s:%.50s", hm__kind_name(info), info->name);
    return where;
}

/* "layer limit", at the beginning of every error about its options. */
typedef struct subject {
    char text[HM__NAME_MAX + 40];
} subject;

static subject subject_of(const hm_host_info *info)
{
    subject made;
    snprintf(made.text, sizeof made.text, "%s %s", hm__kind_name(info), info->name);
    return made;
}

static hm_status
refuse_key(const hm_host_info *info, const hm__spec_option *option, hm_error *err)
{
    const hm__where where = hm__spec_where(option->key_column);
    const subject of = subject_of(info);
    hm__nearest nearest;
    char names[96] = "";
    size_t used = 0;
    hm__nearest_begin(&nearest, option->key);
    for (size_t i = 0; i < info->option_count; i++) {
        const char *const name = info->options[i]->name;
        hm__nearest_offer(&nearest, hm__text_of(name));
        if (used < sizeof names) {
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                     i ? ", " : "", name);
        }
    }
    if (nearest.name[0]) {
        return hm_error_set(err, HM_E_INVALID, where.text,
                            "%s has no option \"%.*s\"; did you mean \"%s\"?", of.text,
                            HM__SHOWN(option->key), nearest.name);
    }
    return hm_error_set(err, HM_E_INVALID, where.text,
                        "%s has no option \"%.*s\", expected %s", of.text,
                        HM__SHOWN(option->key), info->option_count ? names : "none");
}

static size_t find_option(const hm_host_info *info, hm__text name)
{
    size_t i = 0;
    while (i < info->option_count && !hm__text_is(name, info->options[i]->name)) {
        i++;
    }
    return i;
}

/* One option the spec gives; its text goes to *storage, which moves past it. */
static hm_status read_given(const hm_host_info *info,
                            const hm__spec_option *given,
                            hm_option_values *values,
                            char **storage,
                            hm_error *err)
{
    const size_t index = find_option(info, given->key);
    if (index == info->option_count) {
        return refuse_key(info, given, err);
    }
    const hm_option *option = info->options[index];
    hm__value *out = &values->values[index];
    const subject of = subject_of(info);
    out->given = 1;
    if (!given->value.at && option->type == HM_OPTION_BOOL) {
        out->number = 1;
        return HM_OK;
    }
    if (!given->value.at) {
        return hm_error_set(err, HM_E_INVALID, hm__spec_where(given->key_column).text,
                            "%s: option \"%s\" has no value, expected %s", of.text,
                            option->name, hm__value_expected(option));
    }
    memcpy(*storage, given->value.at, given->value.length);
    out->text = *storage;
    *storage += given->value.length + 1; /* the storage came zeroed */
    return hm__value_read(option, given->value, out,
                          hm__spec_where(given->value_column).text, of.text, err);
}

hm_status hm__options_read(const hm__spec_element *element,
                           const hm_host_info *info,
                           hm_option_values **values,
                           hm_error *err)
{
    const uint32_t given_count = element ? element->option_count : 0;
    size_t bytes = sizeof(hm_option_values) + info->option_count * sizeof(hm__value);
    for (uint32_t i = 0; i < given_count; i++) {
        bytes += element->options[i].value.length + 1;
    }
    *values = NULL;
    hm_option_values *made = hm__memory_alloc(bytes);
    if (!made) {
        return hm_error_set(err, HM_E_NOMEM, hm__info_where(info).text,
                            "no private memory for the options");
    }
    made->info = info;
    made->bytes = bytes;
    char *storage = (char *)&made->values[info->option_count];
    hm_status status = HM_OK;
    for (uint32_t i = 0; i < given_count && status == HM_OK; i++) {
        status = read_given(info, &element->options[i], made, &storage, err);
    }
    for (size_t i = 0; i < info->option_count && status == HM_OK; i++) {
        const hm_option *option = info->options[i];
        hm__value *out = &made->values[i];
        if (!out->given && option->fallback) {
            out->text = option->fallback;
            status = hm__value_read(option, hm__text_of(option->fallback), out,
                                    hm__info_where(info).text, option->name, err);
        }
    }
    if (status != HM_OK) {
        hm__options_free(made);
        return status;
    }
    *values = made;
    return HM_OK;
}

void hm__options_free(hm_option_values *values)
{
    if (values) {
        hm__memory_free(values, values->bytes);
    }
}

/* One option as its module describes it. */
static hm_status
check_option(const hm_host_info *info, size_t index, const char *where, hm_error *err)
{
    const hm_option *option = info->options[index];
    const subject of = subject_of(info);
    if (!option || !HM_HAS(option, hm_option, help)) {
        return hm_error_set(err, HM_E_INVALID, where, "%s: option %u is %s", of.text,
                            (unsigned)index + 1, option ? "too small a struct" : "NULL");
    }
    if (!option->name || !hm__name_is_valid(hm__text_of(option->name))) {
        return hm_error_set(
            err, HM_E_INVALID, where,
            "%s: name of option %u is not lower case letters, digits and '_'", of.text,
            (unsigned)index + 1);
    }
    if (find_option(info, hm__text_of(option->name)) != index) {
        return hm_error_set(err, HM_E_INVALID, where,
                            "%s: option \"%s\" is described twice", of.text,
                            option->name);
    }
    if (option->type < HM_OPTION_BOOL || option->type > HM_OPTION_SPEC || option->flags) {
        return hm_error_set(
            err, HM_E_INVALID, where,
            "%s: option \"%s\" is of type %d with flags 0x%x, not known here", of.text,
            option->name, (int)option->type, (unsigned)option->flags);
    }
    if (!option->help ||
        (option->type == HM_OPTION_CHOICE && !hm__value_choices(option)[0])) {
        return hm_error_set(err, HM_E_INVALID, where, "%s: option \"%s\" has no %s",
                            of.text, option->name, option->help ? "choices" : "help");
    }
    char default_of[2 * HM__NAME_MAX + 40];
    hm__value ignored;
    snprintf(default_of, sizeof default_of, "%s: default of \"%s\"", of.text,
             option->name);
    return option->fallback ? hm__value_read(option, hm__text_of(option->fallback),
                                             &ignored, where, default_of, err)
                            : HM_OK;
}

hm_status hm__options_check(const hm_host_info *info, const char *where, hm_error *err)
{
    if (info->option_count > OPTION_COUNT_MAX || (info->option_count && !info->options)) {
        return hm_error_set(err, HM_E_INVALID, where, "%s: %s", subject_of(info).text,
                            info->options ? "more than 256 options" : "options is NULL");
    }
    for (size_t i = 0; i < info->option_count; i++) {
        const hm_status status = check_option(info, i, where, err);
        if (status != HM_OK) {
            return status;
        }
    }
    return HM_OK;
}

/* A set of types, for get(). */
#define TYPE(name) (1u << HM_OPTION_##name)
#define ANY_TYPE   (~0u)

/* Asking for an option that is not described, or as another type, is a mistake in the module's source. */
static const hm__value *
get(const hm_option_values *values, const char *name, unsigned types_wanted)
{
    const hm_host_info *info = values->info;
    const size_t index = find_option(info, hm__text_of(name));
    const int known = index < info->option_count;
    if (!known || !(types_wanted >> info->options[index]->type & 1)) {
        char text[256];
        snprintf(text, sizeof text, "%s asks for option \"%.60s\", which it describes %s",
                 subject_of(info).text, name, known ? "as another type" : "nowhere");
        hm__panic(text);
    }
    return &values->values[index];
}

int hm__option_bool(const hm_option_values *values, const char *name)
{
    return (int)get(values, name, TYPE(BOOL))->number;
}

uint64_t hm__option_number(const hm_option_values *values, const char *name)
{
    return get(values, name, TYPE(NUMBER) | TYPE(BYTES))->number;
}

double hm__option_ratio(const hm_option_values *values, const char *name)
{
    return get(values, name, TYPE(RATIO))->ratio;
}

const char *hm__option_text(const hm_option_values *values, const char *name)
{
    return get(values, name, TYPE(TEXT) | TYPE(CHOICE) | TYPE(SPEC))->text;
}

int hm__option_given(const hm_option_values *values, const char *name)
{
    return (int)get(values, name, ANY_TYPE)->given;
}
