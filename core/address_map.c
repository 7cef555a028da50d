/* SPDX-License-Identifier: MIT */
/* The radix behind address_map_internal.h. */
#include "address_map_internal.h"

#include "assert_internal.h"
#include "memory_internal.h"

#define ENTRIES    256u
#define LEVEL_BITS 8u
#define TOP_LEVEL  3u
#define NODE_MARK  ((uintptr_t)1) /* this entry points to a node, not to a value */

_Static_assert(sizeof(uintptr_t) == 8, "addresses of 48 bits");

static uintptr_t top[ENTRIES]; /* entries are atomic */

static int is_node(uintptr_t entry)
{
    return (entry & NODE_MARK) != 0;
}

static uintptr_t *node_of(uintptr_t entry)
{
    return (uintptr_t *)(entry - NODE_MARK);
}

/* Granules are numbered; an entry of a level stands for this many. */
static uintptr_t entry_span(unsigned level)
{
    return (uintptr_t)1 << (level * LEVEL_BITS);
}

/* Store a value (0: empty) into granules first to last, whose entries of this level are in the array. */
static int store(
    uintptr_t *entries, unsigned level, uintptr_t first, uintptr_t last, uintptr_t value)
{
    const uintptr_t span = entry_span(level);
    for (uintptr_t start = first & ~(span - 1); start <= last; start += span) {
        uintptr_t *place = &entries[start / span % ENTRIES];
        const uintptr_t end = start + span - 1;
        uintptr_t entry = __atomic_load_n(place, __ATOMIC_ACQUIRE);
        if (!is_node(entry)) {
            if (first <= start && end <= last) {
                __atomic_store_n(place, value, __ATOMIC_SEQ_CST);
                continue;
            }
            if (value == 0) {
                continue; /* clearing what ran out of memory half-way: nothing got below here */
            }
            HM_ASSERT(entry == 0);
            void *node = hm__memory_alloc(ENTRIES * sizeof(uintptr_t));
            if (!node) {
                return 0;
            }
            entry = (uintptr_t)node | NODE_MARK;
            __atomic_store_n(place, entry, __ATOMIC_RELEASE);
        }
        if (!store(node_of(entry), level - 1, first > start ? first : start,
                   last < end ? last : end, value)) {
            return 0;
        }
    }
    return 1;
}

int hm__address_map_set(uintptr_t from, uintptr_t to, void *value)
{
    HM_ASSERT(from < to && to <= HM__ADDRESS_LIMIT && !is_node((uintptr_t)value));
    if (store(top, TOP_LEVEL, from / HM__ADDRESS_GRANULE, (to - 1) / HM__ADDRESS_GRANULE,
              (uintptr_t)value)) {
        return 1;
    }
    hm__address_map_clear(from, to);
    return 0;
}

void hm__address_map_clear(uintptr_t from, uintptr_t to)
{
    store(top, TOP_LEVEL, from / HM__ADDRESS_GRANULE, (to - 1) / HM__ADDRESS_GRANULE, 0);
}

void *hm__address_map_get(uintptr_t address)
{
    const uintptr_t granule = address / HM__ADDRESS_GRANULE;
    const uintptr_t *entries = top;
    for (unsigned level = TOP_LEVEL;; level--) {
        const uintptr_t entry = __atomic_load_n(
            &entries[granule / entry_span(level) % ENTRIES], __ATOMIC_SEQ_CST);
        if (!is_node(entry)) {
            return (void *)entry;
        }
        entries = node_of(entry);
    }
}

/* First claimed granule of these entries from a granule on; UINTPTR_MAX when none is. */
static uintptr_t first_claimed(const uintptr_t *entries, unsigned level, uintptr_t from)
{
    const uintptr_t span = entry_span(level);
    const uintptr_t base = from & ~(span * ENTRIES - 1);
    for (uintptr_t i = from / span % ENTRIES; i < ENTRIES; i++) {
        const uintptr_t start = base + i * span;
        const uintptr_t from_here = from > start ? from : start;
        const uintptr_t entry = __atomic_load_n(&entries[i], __ATOMIC_ACQUIRE);
        if (is_node(entry)) {
            const uintptr_t found = first_claimed(node_of(entry), level - 1, from_here);
            if (found != UINTPTR_MAX) {
                return found;
            }
        } else if (entry) {
            return from_here;
        }
    }
    return UINTPTR_MAX;
}

uintptr_t hm__address_map_next(uintptr_t granule_start)
{
    if (granule_start >= HM__ADDRESS_LIMIT) {
        return HM__ADDRESS_LIMIT;
    }
    const uintptr_t found =
        first_claimed(top, TOP_LEVEL, granule_start / HM__ADDRESS_GRANULE);
    return found == UINTPTR_MAX ? HM__ADDRESS_LIMIT : found * HM__ADDRESS_GRANULE;
}
