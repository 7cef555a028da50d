/* SPDX-License-Identifier: MIT */
/* Freed blocks wait a little before they go back to the inner malloc: a second free then finds header and epitaph
 * and can name all three sites, and a write after the free shows in the fill.
 *
 * They wait in two halves: one is filled while the other, older one stands; when it is full the older one goes
 * back as a whole. A malloc that only counts (mode=stats) holds nothing back.
 */
#ifndef HM_DEBUG_QUARANTINE_INTERNAL_H
#define HM_DEBUG_QUARANTINE_INTERNAL_H

#include "walk_internal.h"

/* In debug_held.bytes: the block has an origin. */
#define DEBUG_HELD_LONG ((size_t)1 << (sizeof(size_t) * 8 - 1))

/* Blocks up to here are held without a look at how many bytes are held already. */
#define DEBUG_HELD_SMALL 2048u

/* quarantine.c */
void hm__debug_evict_all(debug_book *book);
/* A block that is FREED, filled and has its epitaph, straight to the inner malloc, unless somebody wrote to it
   since; within enter and leave. */
void hm__debug_give_back(debug_malloc *m, const debug_held *held);
/* One of a malloc that only counts, while somebody walks. */
void hm__debug_give_back_late(debug_malloc *m,
                              debug_book *book,
                              void *block,
                              size_t bytes);
/* How many bytes a half of the list may take now. */
int64_t hm__debug_held_most(const debug_book *book);
/* The half that is being filled is full. */
void hm__debug_make_room(debug_book *book);
/* A block of any size: held, when that is not more than the host wants to hold, else given back. */
void hm__debug_hold_any(debug_book *book, const debug_held *held);
uint64_t hm__debug_held_bytes(const debug_book *book);

/* The block is FREED, filled and has its epitaph. */
DEBUG_INLINE void hm__debug_hold(
    debug_book *book, void *block, uint8_t *state, size_t bytes, uint64_t epitaph)
{
    debug_held *at = book->held_next;
    at->block = block;
    at->state = state;
    DEBUG_SET(at->bytes, bytes);
    at->epitaph = epitaph;
    book->held_room -= (int64_t)(bytes & ~DEBUG_HELD_LONG);
    DEBUG_SET(book->held_next, at + 1);
    if (DEBUG_RARE(at + 1 == book->held_end) || DEBUG_RARE(book->held_room < 0)) {
        hm__debug_make_room(book);
    }
}

/* A block that is GONE, and of which nothing is told, straight to the inner malloc. */
DEBUG_INLINE void
hm__debug_give_back_plain(debug_malloc *m, debug_book *book, void *block, size_t bytes)
{
    hm_malloc *inner = m->inner;
    if (DEBUG_RARE(!hm__debug_evict_try(book))) {
        hm__debug_give_back_late(m, book, block, bytes);
        return;
    }
    HM_LOAD(inner->vtbl)
        ->free_sized(inner, hm__debug_header(block), hm__debug_whole(bytes, 0, 0));
    hm__debug_evict_done(book);
}

#endif
