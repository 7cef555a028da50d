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

/* 1: the hot path is open for m on this thread, with room for so many bytes. */
DEBUG_INLINE int hm__debug_open(debug_malloc *m, size_t size)
{
    const debug_here *here = &hm__debug_here;
    return (!DEBUG_RARE(DEBUG_GET(here->malloc) != m) || hm__debug_here_turn(m)) &&
           (!DEBUG_RARE(size > (uint64_t)here->book->room) ||
            hm__debug_room_make(here->book, size));
}

/* Who is inside is a plain word: two threads that overlap are seen nearly always, and nobody pays for a lock. Somebody
   there already is for slow.c to tell of. */
DEBUG_INLINE int hm__debug_is_entered(const debug_malloc *m, const int shared)
{
    return !shared && DEBUG_RARE(DEBUG_GET(m->inside) != 0);
}

DEBUG_INLINE void
hm__debug_enter(debug_malloc *m, const debug_here *here, hm_site *site, const int shared)
{
    if (!shared) {
        DEBUG_SET(m->inside, here->id);
        DEBUG_SET(m->inside_site, site);
    }
}

DEBUG_INLINE void hm__debug_leave(debug_malloc *m, const int shared)
{
    if (!shared) {
        DEBUG_SET(m->inside, 0);
    }
}

DEBUG_INLINE size_t hm__debug_how_least(const debug_malloc *m, const unsigned how)
{
    return how & HOW_MIXED ? m->least : 0;
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

/* Write the edges; high is complete but for a seal that depends on the block. */
DEBUG_INLINE void hm__debug_seal_block(
    debug_header *header, uint64_t low, uint64_t high, size_t edge, const unsigned how)
{
    void *block = header + 1;
    uint64_t hash = 0;
    if (!(how & HOW_PLAIN)) {
        hash = hm__debug_mix(block, low, high);
        high = hm__debug_sealed(high, hash);
    }
    hm__debug_store(&header->low, low);
    hm__debug_store(&header->high, high);
    if (edge) {
        hm__debug_rear_store(block, hm__debug_low_size(low), hm__debug_rear(hash));
    }
}

/* A block as its header says it is. */
typedef struct debug_taken {
    uint8_t *state;
    size_t bytes;
    uint64_t hash;
    uint64_t low; /* the header's */
    int claimed;  /* the map says `to`, by us */
} debug_taken;

/* Of racing callers one gets 1. */
DEBUG_INLINE int hm__debug_take_state(uint8_t *state, unsigned to)
{
    uint8_t expected = DEBUG_LIVE;
    return __atomic_compare_exchange_n(state, &expected, (uint8_t)to, 0, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

/* A block is claimed before its header is read. A malloc that only counts does not pay for that: of racing frees each may
   win there. */
DEBUG_INLINE int hm__debug_how_claims(const unsigned how)
{
    return (how & HOW_SHARED) && !(how & HOW_PLAIN);
}

/* Larger blocks are for slow.c: not held back without a look at how many bytes are, or with an origin. */
DEBUG_INLINE size_t hm__debug_how_most(const unsigned how)
{
    return how & HOW_PLAIN ? DEBUG_LONG - 1 : DEBUG_HELD_SMALL;
}

/* 1: a live, intact block of m, not too large, of size old_size where that is known, moved to state `to` where claims
   are made. 0: anything else, which is for slow.c to look at; what was claimed stays so. */
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
    const int claims = hm__debug_how_claims(how);
    if (claims) {
        /* Loads wait for the locked instruction; this does not, and may be of any address. */
        DEBUG_PREFETCH(hm__debug_header(block));
    }
    if (claims ? DEBUG_RARE(!hm__debug_take_state(state, to))
               : DEBUG_RARE(DEBUG_GET(*state) != DEBUG_LIVE)) {
        return 0;
    }
    taken->state = state;
    taken->claimed = claims;
    const debug_header *header = hm__debug_header(block);
    const uint64_t low = hm__debug_load(&header->low);
    const uint64_t high = hm__debug_load(&header->high);
    const uint64_t hash = how & HOW_PLAIN ? 0 : hm__debug_mix(block, low, high);
    const uint64_t expected = how & HOW_PLAIN ? m->high : hm__debug_sealed(m->high, hash);
    const size_t bytes = hm__debug_low_size(low);
    const size_t edge = hm__debug_how_edge(m, how);
    if (DEBUG_RARE((high ^ expected) & DEBUG_HIGH_FIXED) ||
        DEBUG_RARE(bytes > hm__debug_how_most(how))) {
        return 0;
    }
    if ((edge && DEBUG_RARE(hm__debug_rear_load(block, bytes) != hm__debug_rear(hash))) ||
        DEBUG_RARE(old_size != bytes && old_size != HM_SIZE_UNKNOWN)) {
        return 0;
    }
    taken->bytes = bytes;
    taken->hash = hash;
    taken->low = low;
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
        hm__debug_give_back_plain(m, book, block, taken->bytes);
        return;
    }
    const uint64_t epitaph = hm__debug_epitaph(taken->hash, 0, 0) | freed;
    hm__debug_mark_stale(block, taken->bytes, epitaph, hm__debug_how_edge(m, how),
                         hm__debug_how_fill(m, how));
    hm__debug_hold(book, block, taken->state, taken->bytes, epitaph);
}

#endif
