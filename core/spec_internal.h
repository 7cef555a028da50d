/* SPDX-License-Identifier: MIT */
/* The grammar of "name:key=value+name", and typed option values. */
#ifndef HM_CORE_SPEC_INTERNAL_H
#define HM_CORE_SPEC_INTERNAL_H

#include <hostmalloc/module.h>

#define HM__SPEC_MAX      4096 /* characters of a spec */
#define HM__SPEC_ELEMENTS 32   /* elements of a spec */
#define HM__SPEC_OPTIONS  64   /* options of an element */
#define HM__NAME_MAX      63 /* characters of a name a module gives to itself or an option */

/* Pieces point into the caller's text; nothing is copied or allocated. */
typedef struct hm__text {
    const char *at;
    size_t length;
} hm__text;

/* The arguments of "%.*s" for a piece of text that somebody else chose: its beginning. */
#define HM__SHOWN(text) (int)((text).length < 40 ? (text).length : 40), (text).at

typedef struct hm__spec_option {
    hm__text key;
    hm__text value;      /* without its parentheses; at NULL for a key alone */
    uint32_t key_column; /* 1 is the first character of the spec */
    uint32_t value_column;
} hm__spec_option;

typedef struct hm__spec_element {
    hm__text name; /* holds a '/' if and only if it is the path of a module */
    uint32_t column;
    uint32_t option_count;
    hm__spec_option options[HM__SPEC_OPTIONS];
} hm__spec_element;

/* Reads the next element at *cursor (the spec itself at first) and moves it past the '+'; *cursor is NULL
   after the last one. */
hm_status hm__spec_next(const char *spec,
                        const char **cursor,
                        hm__spec_element *out,
                        hm_error *err);

/* "spec:COLUMN", the where of every error about a spec. */
typedef struct hm__where {
    char text[sizeof((hm_error *)0)->where];
} hm__where;
hm__where hm__spec_where(uint32_t column);

/* Lower case letters, digits and '_', one to HM__NAME_MAX of them. */
int hm__name_is_valid(hm__text name);
/* "host" or "layer". */
const char *hm__kind_name(const hm_host_info *info);
/* "host:NAME" or "layer:NAME", the where of errors about what is not written in a spec. */
hm__where hm__info_where(const hm_host_info *info);

/* option_value.c: one value of an option. */
typedef struct hm__value {
    uint64_t number; /* BOOL, NUMBER, BYTES */
    double ratio;
    const char *text; /* as written; belongs to whoever holds the value */
    uint32_t given;   /* by the spec, not by default */
} hm__value;

/* Fills out->number or out->ratio; subject says whose value it is in the error. */
hm_status hm__value_read(const hm_option *option,
                         hm__text text,
                         hm__value *out,
                         const char *where,
                         const char *subject,
                         hm_error *err);
const char *hm__value_expected(const hm_option *option);
const char *hm__value_choices(const hm_option *option); /* "" when it has none */

/* options.c: check an element's options (NULL: none given) against what info offers. values is freed with
   hm__options_free. */
hm_status hm__options_read(const hm__spec_element *element,
                           const hm_host_info *info,
                           hm_option_values **values,
                           hm_error *err);
void hm__options_free(hm_option_values *values);
/* Every option of info is well formed and its default is one of its values. */
hm_status hm__options_check(const hm_host_info *info, const char *where, hm_error *err);

int hm__option_bool(const hm_option_values *values, const char *name);
uint64_t hm__option_number(const hm_option_values *values, const char *name);
double hm__option_ratio(const hm_option_values *values, const char *name);
const char *hm__option_text(const hm_option_values *values, const char *name);
int hm__option_given(const hm_option_values *values, const char *name);

/* nearest.c: the candidate nearest to what was written, for "did you mean". */
typedef struct hm__nearest {
    hm__text written;
    char name[HM__NAME_MAX + 1]; /* "" when none offered so far is near */
    uint32_t distance;
} hm__nearest;
void hm__nearest_begin(hm__nearest *search, hm__text written);
void hm__nearest_offer(hm__nearest *search, hm__text candidate);

static inline hm__text hm__text_of(const char *text)
{
    hm__text made = {text, 0};
    while (text[made.length]) {
        made.length++;
    }
    return made;
}

static inline int hm__text_is(hm__text text, const char *other)
{
    size_t i = 0;
    while (i < text.length && other[i] == text.at[i] && other[i]) {
        i++;
    }
    return i == text.length && !other[i];
}

#endif
