/* SPDX-License-Identifier: MIT */
/* The grammar of "name:key=value+name", and typed option values. */
#ifndef HM_CORE_SPEC_INTERNAL_H
#define HM_CORE_SPEC_INTERNAL_H

#include <hostmalloc/module.h>

#define HM__SPEC_MAX      4096 /* characters of a spec */
#define HM__SPEC_ELEMENTS 32   /* elements of a spec */
#define HM__SPEC_OPTIONS  64   /* options of an element */

/* Pieces point into the caller's text; nothing is copied or allocated. */
typedef struct hm__text {
    const char *at;
    size_t length;
} hm__text;

typedef struct hm__spec_option {
    hm__text key;
    hm__text value;      /* without its parentheses; at NULL for a key alone */
    uint32_t key_column; /* 1 is the first character of the spec */
    uint32_t value_column;
} hm__spec_option;

typedef struct hm__spec_element {
    hm__text name;
    uint32_t column;
    uint32_t option_count;
    hm__spec_option options[HM__SPEC_OPTIONS];
} hm__spec_element;

/* Reads the next element at *cursor and moves it past the '+'; *cursor is NULL after the last one. */
hm_status hm__spec_next(const char *spec,
                        const char **cursor,
                        hm__spec_element *out,
                        hm_error *err);

/* options.c: check an element's options against what info offers. values is freed with hm__options_free. */
hm_status hm__options_read(const char *spec,
                           const hm__spec_element *element,
                           const hm_host_info *info,
                           hm_option_values **values,
                           hm_error *err);
void hm__options_free(hm_option_values *values);

int hm__option_bool(const hm_option_values *values, const char *name);
uint64_t hm__option_number(const hm_option_values *values, const char *name);
double hm__option_ratio(const hm_option_values *values, const char *name);
const char *hm__option_text(const hm_option_values *values, const char *name);
int hm__option_given(const hm_option_values *values, const char *name);

/* The candidate nearest to what was written, for "did you mean"; NULL when none is near. */
const char *hm__nearest(hm__text written, const char *const *candidates, size_t count);

#endif
