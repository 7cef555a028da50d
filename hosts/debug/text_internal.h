/* SPDX-License-Identifier: MIT */
/* Text of a report, put together on the stack and written with one call: reporting allocates nothing. */
#ifndef HM_DEBUG_TEXT_INTERNAL_H
#define HM_DEBUG_TEXT_INTERNAL_H

#include <hostmalloc/site.h>

#include <stddef.h>
#include <stdint.h>

typedef struct debug_text {
    size_t length;
    size_t line; /* where the last line starts */
    int lost; /* the error that kept some of what was sent from being written; 0: none */
    char text[4096];
} debug_text;

void hm__debug_text_start(debug_text *t);
/* All of these cut at the end of the room there is. */
void hm__debug_put(debug_text *t, const char *text);
void hm__debug_put_number(debug_text *t, uint64_t number);
void hm__debug_put_hex(debug_text *t, uint64_t number);
void hm__debug_put_byte(debug_text *t, unsigned byte); /* two digits */
void hm__debug_put_site(debug_text *t, const hm_site *site);
void hm__debug_put_count(debug_text *t,
                         uint64_t count,
                         const char *one,
                         const char *many);
/* Blanks up to a column of the line, at least one. */
void hm__debug_put_column(debug_text *t, size_t column);
/* A number right-aligned to end at a column. */
void hm__debug_put_right(debug_text *t, uint64_t number, size_t column);
/* Bytes of the UTF-8 character at the start of a string; 0: its end, or none. */
size_t hm__debug_character(const char *text);
void hm__debug_text_send(debug_text *t, int fd); /* and go on, empty */

#endif
