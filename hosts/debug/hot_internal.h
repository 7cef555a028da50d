/* SPDX-License-Identifier: MIT */
/* The steps of the hot path that allocate, free and realloc share. They are compiled into each of them once for every
 * kind of malloc and once for every mode, which `how` says: a constant wherever these are used, so that no path asks for
 * a mode. Only HOW_MIXED looks at what the malloc was made with. */
#ifndef HM_DEBUG_HOT_INTERNAL_H
#define HM_DEBUG_HOT_INTERNAL_H

#include "debug_internal.h"

#include "fill_internal.h"
#include "ledger_internal.h"
#include "quarantine_internal.h"

#define HOW_SHARED    1u /* thread-safe */
#define HOW_EDGES     2u /* rear guards */
#define HOW_FILL_ENDS 4u
#define HOW_FILL_ALL  8u
#define HOW_PLAIN     16u /* counted and no more: no hashes, nothing is held back */
#define HOW_MIXED     32u /* edges and fill as the malloc says */

#define HOW_STATS   HOW_PLAIN
#define HOW_CHECKED (HOW_EDGES | HOW_FILL_ENDS)
#define HOW_FULL    (HOW_EDGES | HOW_FILL_ALL)

DEBUG_INLINE uint32_t hm__debug_how_fill(const debug_malloc *m, const unsigned how)
{
    return how & HOW_MIXED       ? m->fill
           : how & HOW_FILL_ENDS ? DEBUG_FILL_ENDS
           : how & HOW_FILL_ALL  ? DEBUG_FILL_ALL
                                 : DEBUG_FILL_NONE;
}

DEBUG_INLINE size_t hm__debug_how_edge(const debug_malloc *m, const unsigned how)
{
    return how & HOW_MIXED ? m->edge : how & HOW_EDGES ? DEBUG_GUARD_BYTES : 0;
}

DEBUG_INLINE debug_book *
hm__debug_book_of(const debug_malloc *m, debug_thread *me, const int shared)
{
    if (!shared) {
        return m->book;
    }
    if (DEBUG_RARE(DEBUG_GET(me->last) != m)) {
        debug_book *book = m->number < me->book_count ? me->books[m->number] : NULL;
        if (book) {
            me->last_book = book;
            DEBUG_SET(me->last, m);
        }
        return book;
    }
    return me->last_book;
}

/* Who is inside is a plain word: two threads that overlap are seen nearly always, and nobody pays for a lock. */
DEBUG_INLINE void
hm__debug_enter(debug_malloc *m, const debug_thread *me, hm_site *site, const int shared)
{
    if (!shared) {
        if (DEBUG_RARE(DEBUG_GET(m->inside) != 0)) {
            hm__debug_overlap(m, site);
        }
        DEBUG_SET(m->inside, me->id);
        DEBUG_SET(m->inside_site, site);
    }
}

DEBUG_INLINE void hm__debug_leave(debug_malloc *m, const int shared)
{
    if (!shared) {
        DEBUG_SET(m->inside, 0);
    }
}

/* The number of a site; 0 for none. DEBUG_SITE_MAX + 1: this one needs more than a look. */
DEBUG_INLINE uint32_t hm__debug_site_quick(const hm_site *site)
{
    uint32_t id = 0;
    if (site) {
        id = DEBUG_GET(site->id);
        if (DEBUG_RARE(id - 1 >= DEBUG_SITE_MAX)) {
            id = DEBUG_SITE_MAX + 1;
        }
    }
    return id;
}

/* Write the edges; low and high_without_seal are complete but for the size and the seal. */
DEBUG_INLINE void hm__debug_seal_block(debug_header *header,
                                       size_t size,
                                       uint64_t low_without_size,
                                       uint64_t high_without_seal,
                                       size_t edge,
                                       const unsigned how)
{
    void *block = header + 1;
    const uint64_t low = low_without_size | size;
    const uint64_t hash = how & HOW_PLAIN ? hm__debug_plain_hash()
                                          : hm__debug_mix(block, low, high_without_seal);
    hm__debug_store(&header->low, low);
    hm__debug_store(&header->high, hm__debug_sealed(high_without_seal, hash));
    if (edge) {
        hm__debug_rear_store(block, size, hm__debug_rear(hash));
    }
}

/* A block as its header says it is. */
typedef struct debug_taken {
    uint8_t *state;
    size_t bytes;
    uint64_t hash;
    uint32_t site;
    int claimed; /* the map says `to`, by us */
} debug_taken;

/* Of racing callers one gets 1. A malloc that only counts does not pay for that: there each may. */
DEBUG_INLINE int
hm__debug_take_state(uint8_t *state, unsigned live, unsigned to, const unsigned how)
{
    if (how & HOW_PLAIN) {
        DEBUG_SET(*state, (uint8_t)to);
        return 1;
    }
    uint8_t expected = (uint8_t)live;
    return __atomic_compare_exchange_n(state, &expected, (uint8_t)to, 0, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

/* 1: a live, intact, small block of m, of size old_size where that is known; a shared malloc's was moved to state
   `to`. 0: anything else, which is for slow.c to look at; what was claimed stays so. */
DEBUG_INLINE int hm__debug_take(debug_malloc *m,
                                const void *block,
                                size_t old_size,
                                unsigned to,
                                debug_taken *taken,
                                const unsigned how)
{
    taken->claimed = 0;
    if (DEBUG_RARE((uintptr_t)block & 15)) {
        return 0;
    }
    uint8_t *state = hm__block_map_byte(&hm__debug.map, block);
    if (DEBUG_RARE(!state)) {
        return 0;
    }
    const unsigned half = (uintptr_t)block >> 4 & 1;
    const unsigned live = (DEBUG_LIVE << 1) + half;
    if (DEBUG_RARE(DEBUG_GET(*state) != live)) {
        return 0;
    }
    taken->state = state;
    if (how & HOW_SHARED) {
        if (DEBUG_RARE(!hm__debug_take_state(state, live, (to << 1) + half, how))) {
            return 0;
        }
        taken->claimed = 1;
    }
    const debug_header *header = hm__debug_header(block);
    const uint64_t low = hm__debug_load(&header->low);
    const uint64_t high = hm__debug_load(&header->high);
    const uint64_t hash =
        how & HOW_PLAIN ? hm__debug_plain_hash() : hm__debug_mix(block, low, high);
    const size_t bytes = hm__debug_low_size(low);
    const size_t edge = hm__debug_how_edge(m, how);
    if (DEBUG_RARE(hm__debug_seal_of(high) != hm__debug_seal(hash)) ||
        DEBUG_RARE((uint16_t)high != (uint16_t)m->high) ||
        DEBUG_RARE(bytes > DEBUG_HELD_SMALL)) {
        return 0;
    }
    if ((edge && DEBUG_RARE(hm__debug_rear_load(block, bytes) != hm__debug_rear(hash))) ||
        DEBUG_RARE(old_size != bytes && old_size != HM_SIZE_UNKNOWN)) {
        return 0;
    }
    taken->bytes = bytes;
    taken->hash = hash;
    taken->site = hm__debug_low_site(low);
    return 1;
}

/* The state of a block that was given up. */
DEBUG_INLINE unsigned hm__debug_how_freed(const unsigned how)
{
    return how & HOW_PLAIN ? DEBUG_GONE : DEBUG_FREED;
}

/* Give a taken block up: filled, marked with who freed it, held back. Its state says so already. */
DEBUG_INLINE void hm__debug_retire(debug_malloc *m,
                                   debug_book *book,
                                   void *block,
                                   const debug_taken *taken,
                                   uint64_t freed,
                                   const unsigned how)
{
    if (how & HOW_PLAIN) {
        hm__debug_hold_plain(book, block, taken->bytes);
        return;
    }
    const uint64_t epitaph = hm__debug_epitaph(taken->hash, 0, 0) | freed;
    hm__debug_mark_stale(block, taken->bytes, epitaph, hm__debug_how_edge(m, how),
                         hm__debug_how_fill(m, how));
    hm__debug_hold(book, block, taken->state, taken->bytes, epitaph);
}

#endif
