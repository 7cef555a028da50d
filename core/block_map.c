/* SPDX-License-Identifier: MIT */
/* Leaves of the block map: made on demand, found by address, searched and walked. */
#include "block_map_internal.h"

#include <string.h>

#include "memory_internal.h"

struct hm__map_leaf {
    uintptr_t index;
    uint8_t *bytes;
    hm__map_leaf *next;
};

int hm__block_map_open(hm__block_map *map)
{
    if (__atomic_load_n(&map->root, __ATOMIC_ACQUIRE)) {
        return 1;
    }
    const size_t bytes = HM__MAP_ROOT_ENTRIES * sizeof(uint8_t *);
    uint8_t **fresh = hm__pages_map(bytes);
    uint8_t **expected = NULL;
    if (fresh && !__atomic_compare_exchange_n(&map->root, &expected, fresh, 0,
                                              __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        hm__pages_unmap(fresh, bytes);
        return 1;
    }
    return fresh != NULL;
}

int hm__block_map_grow(hm__block_map *map, const void *start)
{
    const uintptr_t index = (uintptr_t)start >> HM__MAP_LEAF_BITS;
    if (index >= HM__MAP_ROOT_ENTRIES) {
        return 0;
    }
    uint8_t **place = &map->root[index];
    if (__atomic_load_n(place, __ATOMIC_ACQUIRE)) {
        return 1;
    }
    hm__map_leaf *leaf = hm__memory_alloc(sizeof *leaf);
    uint8_t *fresh = leaf ? hm__pages_map(HM__MAP_LEAF_BYTES) : NULL;
    uint8_t *expected = NULL;
    if (!fresh || !__atomic_compare_exchange_n(place, &expected, fresh, 0,
                                               __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        hm__pages_unmap(fresh, HM__MAP_LEAF_BYTES);
        hm__memory_free(leaf, sizeof *leaf);
        return expected != NULL;
    }
    *leaf = (hm__map_leaf){index, fresh, __atomic_load_n(&map->leaves, __ATOMIC_RELAXED)};
    while (!__atomic_compare_exchange_n(&map->leaves, &leaf->next, leaf, 0,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
    return 1;
}

static void *start_of(uintptr_t window)
{
    return (void *)(window << HM__MAP_WINDOW_BITS);
}

const void *hm__block_map_before(const hm__block_map *map,
                                 const void *address,
                                 size_t reach,
                                 unsigned *state)
{
    const uintptr_t a = (uintptr_t)address;
    if (!__atomic_load_n(&map->root, __ATOMIC_ACQUIRE) ||
        a >> HM__MAP_LEAF_BITS >= HM__MAP_ROOT_ENTRIES) {
        return NULL;
    }
    const uintptr_t low = reach < a ? a - reach : 0;
    uintptr_t window = a >> HM__MAP_WINDOW_BITS;
    for (;; window--) {
        const void *start = start_of(window);
        const uint8_t *byte = hm__block_map_byte(map, start);
        if (!byte) {
            /* No leaf: step to the last window of the leaf before. */
            window = window >> (HM__MAP_LEAF_BITS - HM__MAP_WINDOW_BITS)
                                   << (HM__MAP_LEAF_BITS - HM__MAP_WINDOW_BITS);
        } else {
            const uint8_t value = __atomic_load_n(byte, __ATOMIC_ACQUIRE);
            if (value) {
                *state = value;
                return (uintptr_t)start >= low ? start : NULL;
            }
        }
        if (window == 0 || window << HM__MAP_WINDOW_BITS <= low) {
            return NULL;
        }
    }
}

/* Eight windows at a time: most of a leaf is empty. A race detector would keep a record of each word that is looked at, several times
   as large as the map itself; what is not empty is looked at again. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACES_SEEN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define RACES_SEEN 1
#endif
#ifdef RACES_SEEN
__attribute__((noinline, no_sanitize("thread")))
#endif
static int
is_empty(const uint8_t *windows)
{
    return __atomic_load_n((const uint64_t *)(const void *)windows, __ATOMIC_RELAXED) ==
           0;
}

static int walk_leaf(uintptr_t index,
                     uint8_t *leaf,
                     uint32_t want,
                     int (*visit)(void *context, void *start, unsigned state),
                     void *context)
{
    const uintptr_t first = index << (HM__MAP_LEAF_BITS - HM__MAP_WINDOW_BITS);
    for (size_t i = 0; i < HM__MAP_LEAF_BYTES; i += sizeof(uint64_t)) {
        if (is_empty(leaf + i)) {
            continue;
        }
        for (size_t k = i; k < i + sizeof(uint64_t); k++) {
            const uint8_t value = __atomic_load_n(&leaf[k], __ATOMIC_ACQUIRE);
            if (value && (want >> value & 1)) {
                const int stop = visit(context, start_of(first + k), value);
                if (stop) {
                    return stop;
                }
            }
        }
    }
    return 0;
}

int hm__block_map_walk(const hm__block_map *map,
                       uint32_t want,
                       int (*visit)(void *context, void *start, unsigned state),
                       void *context)
{
    for (hm__map_leaf *leaf = __atomic_load_n(&map->leaves, __ATOMIC_ACQUIRE); leaf;
         leaf = leaf->next) {
        const int stop = walk_leaf(leaf->index, leaf->bytes, want, visit, context);
        if (stop) {
            return stop;
        }
    }
    return 0;
}
