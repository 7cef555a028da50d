/* SPDX-License-Identifier: MIT */
/* From the address of a block to its note: three levels, of which the upper two are small. */
#include "tree_internal.h"

#include <stdalign.h>

#include "memory_internal.h"

#define GRANULE_BITS (alignof(max_align_t) >= 16 ? 4 : 3)
#define LEAF_BITS    22 /* of address space: 4 MiB */
#define MIDDLE_BITS  13
#define TOP_BITS     12 /* 47 in all, which is user space */

#define LEAF_PLACES   ((size_t)1 << (LEAF_BITS - GRANULE_BITS))
#define MIDDLE_PLACES ((size_t)1 << MIDDLE_BITS)
#define TOP_PLACES    ((size_t)1 << TOP_BITS)

/* Each a table of tables or of notes; every place is atomic and written once, but for the notes. */
static void *top[TOP_PLACES];

static inline size_t part(uint64_t address, unsigned shift, size_t places)
{
    return (size_t)(address >> shift) & (places - 1);
}

static int possible(uint64_t address)
{
    return (address & (((uint64_t)1 << GRANULE_BITS) - 1)) == 0 &&
           address >> (TOP_BITS + MIDDLE_BITS + LEAF_BITS) == 0;
}

static hm__tree_note **place_in(void *leaf, uint64_t address)
{
    return (hm__tree_note **)leaf + part(address, GRANULE_BITS, LEAF_PLACES);
}

hm__tree_note *hm__tree_map_find(const void *block)
{
    const uint64_t address = (uintptr_t)block;
    if (!possible(address)) {
        return NULL;
    }
    void **middle = __atomic_load_n(
        &top[part(address, LEAF_BITS + MIDDLE_BITS, TOP_PLACES)], __ATOMIC_ACQUIRE);
    void *leaf = middle
                     ? __atomic_load_n(&middle[part(address, LEAF_BITS, MIDDLE_PLACES)],
                                       __ATOMIC_ACQUIRE)
                     : NULL;
    return leaf ? __atomic_load_n(place_in(leaf, address), __ATOMIC_ACQUIRE) : NULL;
}

/* The table at a place, made if there is none; NULL when there is no memory. */
static void *table_at(void **place, size_t bytes)
{
    void *there = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    void *fresh = there ? NULL : hm__pages_map(bytes);
    if (!fresh) {
        return there;
    }
    if (!__atomic_compare_exchange_n(place, &there, fresh, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        hm__pages_unmap(fresh, bytes);
        return there;
    }
    return fresh;
}

hm__tree_note **hm__tree_map_place(const void *block)
{
    const uint64_t address = (uintptr_t)block;
    if (!possible(address)) {
        return NULL;
    }
    void **middle = table_at(&top[part(address, LEAF_BITS + MIDDLE_BITS, TOP_PLACES)],
                             MIDDLE_PLACES * sizeof(void *));
    void *leaf = middle ? table_at(&middle[part(address, LEAF_BITS, MIDDLE_PLACES)],
                                   LEAF_PLACES * sizeof(void *))
                        : NULL;
    return leaf ? place_in(leaf, address) : NULL;
}
