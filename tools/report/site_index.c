/* SPDX-License-Identifier: MIT */
#include "snapshot.h"

#include <stdlib.h>
#include <string.h>

static size_t start_of(const site_index *index, uint64_t id)
{
    return (size_t)(id * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (index->room - 1);
}

int site_index_make(site_index *index, size_t count)
{
    index->room = 16;
    while (index->room < 2 * count) {
        index->room *= 2;
    }
    index->slots = calloc(index->room, sizeof *index->slots);
    return index->slots != NULL;
}

void site_index_fill(site_index *index, const site_row *rows, size_t count)
{
    memset(index->slots, 0, index->room * sizeof *index->slots);
    for (size_t i = 0; i < count; i++) {
        size_t at = start_of(index, rows[i].id);
        while (index->slots[at] && rows[index->slots[at] - 1].id != rows[i].id) {
            at = (at + 1) & (index->room - 1);
        }
        /* Files that were joined have numbers twice: the first row stands for them. */
        if (!index->slots[at]) {
            index->slots[at] = i + 1;
        }
    }
}

const site_row *
site_index_find(const site_index *index, const site_row *rows, uint64_t id)
{
    size_t at = start_of(index, id);
    while (index->slots[at] && rows[index->slots[at] - 1].id != id) {
        at = (at + 1) & (index->room - 1);
    }
    return index->slots[at] ? &rows[index->slots[at] - 1] : NULL;
}

void site_index_free(site_index *index)
{
    free(index->slots);
    index->slots = NULL;
}
