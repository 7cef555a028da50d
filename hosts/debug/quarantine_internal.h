/* SPDX-License-Identifier: MIT */
/* Freed blocks wait in a short ring before they go back to the inner malloc: a second free then finds header
 * and epitaph and can name all three sites, and a write after the free shows in the fill.
 *
 * They go back half a ring at a time, because going back is announced (evicting) with one full barrier: whoever
 * reads headers of blocks not its own (hm__debug_walk_begin) waits for the announced and holds up the rest. */
#ifndef HM_DEBUG_QUARANTINE_INTERNAL_H
#define HM_DEBUG_QUARANTINE_INTERNAL_H

#include "debug_internal.h"

/* quarantine.c */
void hm__debug_evict(debug_book *book, uint32_t count); /* the oldest; UINT32_MAX: all */
/* Around anything that gives memory of blocks back to an inner malloc. */
void hm__debug_evict_enter(debug_book *book);
void hm__debug_evict_leave(debug_book *book);
/* A block that is FREED, filled and has its epitaph, straight to the inner malloc, unless somebody wrote to it
   since; within enter and leave. */
void hm__debug_give_back(debug_malloc *m, void *block, size_t bytes);
void hm__debug_make_room(debug_book *book);

/* The block is FREED, filled and has its epitaph. Its book must have a ring. */
DEBUG_INLINE void
hm__debug_hold(debug_book *book, void *block, size_t bytes, uint32_t held_max)
{
    const uint16_t last = book->last;
    book->ring[last & book->mask] = (debug_held){block, bytes};
    book->last = (uint16_t)(last + 1);
    book->held_bytes += bytes;
    if (DEBUG_RARE((uint16_t)(last + 1 - book->first) > book->mask ||
                   book->held_bytes > held_max)) {
        hm__debug_make_room(book);
    }
}

#endif
