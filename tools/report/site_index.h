/* SPDX-License-Identifier: MIT */
/* Rows of sites by number: each stack names its site, and there may be a hundred thousand of either. */
#ifndef HM_TOOLS_SITE_INDEX_H
#define HM_TOOLS_SITE_INDEX_H

#include <stddef.h>
#include <stdint.h>

typedef struct site_row site_row;

typedef struct site_index {
    size_t *slots; /* row + 1, by a hash of its number and onwards; 0: free */
    size_t room;   /* a power of two, at least twice the rows */
} site_index;

int site_index_make(site_index *index, size_t count); /* 0: no memory */
/* Anew after rows changed places; no more of them than it was made for. */
void site_index_fill(site_index *index, const site_row *rows, size_t count);
const site_row *site_index_find(const site_index *index,
                                const site_row *rows,
                                uint64_t id); /* NULL: there is none */
void site_index_free(site_index *index);

#endif
