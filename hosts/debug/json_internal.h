/* SPDX-License-Identifier: MIT */
/* Writing JSON lines without a byte of memory but the stack's. */
#ifndef HM_DEBUG_JSON_INTERNAL_H
#define HM_DEBUG_JSON_INTERNAL_H

#include "text_internal.h"

typedef struct debug_json {
    debug_text text;
    int fd;
    uint64_t lines; /* ended so far */
} debug_json;

void hm__debug_json_start(debug_json *w, int fd);
void hm__debug_json_begin(debug_json *w, const char *type); /* a line: its first member */
void hm__debug_json_end(debug_json *w);
/* Members of the line, each with its comma. */
void hm__debug_json_number(debug_json *w, const char *name, uint64_t value);
void hm__debug_json_text(debug_json *w, const char *name, const char *value);
/* As it is: what the above have no name for. */
void hm__debug_json_put(debug_json *w, const char *text);
void hm__debug_json_quoted(debug_json *w, const char *text);
/* A line may be longer than the text has room for: sends what there is, if need be. */
void hm__debug_json_room(debug_json *w);

#endif
