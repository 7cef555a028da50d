/* SPDX-License-Identifier: MIT */
/* Which addresses are starts of blocks we know: a byte per 16 bytes of address space, kept apart from the
 * blocks, so that a pointer is judged without reading through it.
 *
 * Blocks of one map start at multiples of 16; the byte is the owner's state (never 0 for a start).
 * Storage is a radix of 16 MiB leaves, mapped when a leaf gets its first block and kept for good, so readers
 * take no lock. Storing is one plain byte; claiming is one atomic exchange. */
#ifndef HM_CORE_BLOCK_MAP_INTERNAL_H
#define HM_CORE_BLOCK_MAP_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#define HM__MAP_WINDOW_BITS  4
#define HM__MAP_LEAF_BITS    24
#define HM__MAP_ADDRESS_BITS 47
#define HM__MAP_LEAF_BYTES   ((size_t)1 << (HM__MAP_LEAF_BITS - HM__MAP_WINDOW_BITS))
#define HM__MAP_ROOT_ENTRIES ((size_t)1 << (HM__MAP_ADDRESS_BITS - HM__MAP_LEAF_BITS))

typedef struct hm__map_leaf hm__map_leaf;

typedef struct hm__block_map {
    uint8_t **root; /* HM__MAP_ROOT_ENTRIES leaves; NULL until opened; entries atomic */
    hm__map_leaf *leaves; /* atomic; every leaf there is, for walks */
} hm__block_map;

int hm__block_map_open(
    hm__block_map *map); /* 1 done (also when done before); thread-safe */
int hm__block_map_grow(hm__block_map *map,
                       const void *start); /* make the leaf of start; 1 done */

/* Nearest start at or below address, not further than reach bytes away; NULL when there is none. */
const void *hm__block_map_before(const hm__block_map *map,
                                 const void *address,
                                 size_t reach,
                                 unsigned *state);

/* Every start whose state is one of the bits in want (bit n for state n); a value other than 0 ends it. */
int hm__block_map_walk(const hm__block_map *map,
                       uint32_t want,
                       int (*visit)(void *context, void *start, unsigned state),
                       void *context);

/* The byte for an address; NULL where no leaf is. Addresses outside user space have none. */
static inline uint8_t *hm__block_map_byte(const hm__block_map *map, const void *address)
{
    const uintptr_t a = (uintptr_t)address;
    const uintptr_t leaf_index = a >> HM__MAP_LEAF_BITS;
    if (leaf_index >= HM__MAP_ROOT_ENTRIES) {
        return NULL;
    }
    uint8_t *leaf = __atomic_load_n(&map->root[leaf_index], __ATOMIC_ACQUIRE);
    return leaf ? leaf + ((a & (((uintptr_t)1 << HM__MAP_LEAF_BITS) - 1)) >>
                          HM__MAP_WINDOW_BITS)
                : NULL;
}

/* State of the block that starts exactly at address; 0 when none does. */
static inline unsigned hm__block_map_state(const hm__block_map *map, const void *address)
{
    const uint8_t *byte =
        (uintptr_t)address & 15 ? NULL : hm__block_map_byte(map, address);
    return byte ? __atomic_load_n(byte, __ATOMIC_ACQUIRE) : 0;
}

/* Publish a state (to 255; 0 removes). The leaf must be there. */
static inline void
hm__block_map_set(const hm__block_map *map, const void *address, unsigned state)
{
    uint8_t *byte = hm__block_map_byte(map, address);
    __atomic_store_n(byte, (uint8_t)state, __ATOMIC_RELEASE);
}

/* Move the block at address from one state to another; of racing callers exactly one gets 1. */
static inline int hm__block_map_claim(const hm__block_map *map,
                                      const void *address,
                                      unsigned from,
                                      unsigned to)
{
    uint8_t *byte = (uintptr_t)address & 15 ? NULL : hm__block_map_byte(map, address);
    uint8_t expected = (uint8_t)from;
    return byte && __atomic_compare_exchange_n(byte, &expected, (uint8_t)to, 0,
                                               __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

#endif
