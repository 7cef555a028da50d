/* SPDX-License-Identifier: MIT */
/* The frames of all stacks, each once: formats name them by number. */
#include "snapshot.h"

#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b)
{
    const frame_row *const *x = a, *const *y = b;
    return strcmp((*x)->text, (*y)->text);
}

int frames_collect(const snapshot *s, frame_list *out)
{
    size_t count = 0;
    out->count = 0;
    for (size_t i = 0; i < s->stack_count; i++) {
        count += s->stacks[i].frame_count;
    }
    out->frames = calloc(count + 1, sizeof *out->frames);
    if (!out->frames) {
        return 0;
    }
    count = 0;
    for (size_t i = 0; i < s->stack_count; i++) {
        for (size_t k = 0; k < s->stacks[i].frame_count; k++) {
            out->frames[count++] = &s->stacks[i].frames[k];
        }
    }
    qsort(out->frames, count, sizeof *out->frames, by_text);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || by_text(&out->frames[out->count - 1], &out->frames[i]) != 0) {
            out->frames[out->count++] = out->frames[i];
        }
    }
    return 1;
}

size_t frame_index(const frame_list *list, const frame_row *frame)
{
    const frame_row **found =
        bsearch(&frame, list->frames, list->count, sizeof *list->frames, by_text);
    return found ? (size_t)(found - list->frames) : 0;
}
