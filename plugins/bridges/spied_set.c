/* SPDX-License-Identifier: MIT */
/* A set of addresses: linear probing at most half full, and removal by moving back, so no traces are left. */
#include "spied_set_internal.h"

#define CAPACITY_FIRST 64u

static size_t home_of(const hm__spied_set *set, const void *block)
{
    /* Fibonacci hashing; blocks share their low four bits. */
    const uint64_t mixed =
        ((uint64_t)(uintptr_t)block >> 4) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(mixed >> 20) & (set->capacity - 1);
}

/* Where block is, or the free slot where it would go. */
static size_t place_of(const hm__spied_set *set, const void *block)
{
    size_t i = home_of(set, block);
    while (set->slots[i] && set->slots[i] != block) {
        i = (i + 1) & (set->capacity - 1);
    }
    return i;
}

static int grow(hm__spied_set *set)
{
    const hm_core *core = hm_core_table();
    hm__spied_set larger = {NULL, set->capacity ? set->capacity * 2 : CAPACITY_FIRST,
                            set->count, set->reserved};
    if (larger.capacity > SIZE_MAX / sizeof(void *)) {
        return 0;
    }
    larger.slots = core->memory_alloc(larger.capacity * sizeof(void *));
    if (!larger.slots) {
        return 0;
    }
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i]) {
            larger.slots[place_of(&larger, set->slots[i])] = set->slots[i];
        }
    }
    core->memory_free(set->slots, set->capacity * sizeof(void *));
    *set = larger;
    return 1;
}

int hm__spied_set_reserve(hm__spied_set *set)
{
    if ((set->count + set->reserved + 1) * 2 > set->capacity && !grow(set)) {
        return 0;
    }
    set->reserved++;
    return 1;
}

void hm__spied_set_add(hm__spied_set *set, const void *block)
{
    set->reserved--;
    if (!block) {
        return;
    }
    const size_t i = place_of(set, block);
    set->count += !set->slots[i];
    set->slots[i] = block;
}

int hm__spied_set_has(const hm__spied_set *set, const void *block)
{
    return block && set->count && set->slots[place_of(set, block)];
}

void hm__spied_set_remove(hm__spied_set *set, const void *block)
{
    if (!hm__spied_set_has(set, block)) {
        return;
    }
    size_t hole = place_of(set, block);
    set->slots[hole] = NULL;
    set->count--;
    /* Whoever comes after the hole and does not stand at home may have wanted it. */
    for (size_t i = (hole + 1) & (set->capacity - 1); set->slots[i];
         i = (i + 1) & (set->capacity - 1)) {
        const size_t home = home_of(set, set->slots[i]);
        const size_t from_home = (i - home) & (set->capacity - 1);
        const size_t from_hole = (i - hole) & (set->capacity - 1);
        if (from_home >= from_hole) {
            set->slots[hole] = set->slots[i];
            set->slots[i] = NULL;
            hole = i;
        }
    }
}

void hm__spied_set_clear(hm__spied_set *set)
{
    for (size_t i = 0; i < set->capacity; i++) {
        set->slots[i] = NULL;
    }
    set->count = 0;
}

void hm__spied_set_fini(hm__spied_set *set)
{
    const hm__spied_set empty = {NULL, 0, 0, 0};
    hm_core_table()->memory_free(set->slots, set->capacity * sizeof(void *));
    *set = empty;
}
