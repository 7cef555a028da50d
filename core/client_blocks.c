/* SPDX-License-Identifier: MIT */
/* The live blocks of a client, by address and by age. Nothing here reads through an address, and nothing fails: a table
 * that cannot grow is a slower one. */
#include "client_internal.h"

#include "memory_internal.h"

static size_t bucket_of(const hm__client_blocks *set, const void *address)
{
    const uint64_t mixed =
        (uint64_t)((uintptr_t)address >> 4) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(mixed >> 32) & (set->bucket_count - 1);
}

static void hang_in(hm__client_blocks *set, hm__client_block *block)
{
    hm__client_block **place = &set->buckets[bucket_of(set, block->address)];
    block->chain = *place;
    *place = block;
}

static void grow(hm__client_blocks *set)
{
    const size_t wanted = set->bucket_count * 2;
    hm__client_block **grown = hm__memory_alloc(wanted * sizeof *grown);
    if (!grown) {
        return;
    }
    hm__client_blocks_free(set);
    set->buckets = grown;
    set->bucket_count = wanted;
    for (hm__client_block *b = set->newest; b; b = b->older) {
        hang_in(set, b);
    }
}

void hm__client_blocks_add(hm__client_blocks *set, hm__client_block *block)
{
    if (!set->buckets) {
        set->buckets = set->first;
        set->bucket_count = HM__CLIENT_FIRST_BUCKETS;
    }
    if (set->count >= set->bucket_count) {
        grow(set);
    }
    hang_in(set, block);
    block->newer = NULL;
    block->older = set->newest;
    if (set->newest) {
        set->newest->newer = block;
    }
    set->newest = block;
    set->count++;
}

hm__client_block *hm__client_blocks_find(const hm__client_blocks *set,
                                         const void *address)
{
    hm__client_block *b = set->count ? set->buckets[bucket_of(set, address)] : NULL;
    while (b && b->address != address) {
        b = b->chain;
    }
    return b;
}

hm__client_block *hm__client_blocks_take(hm__client_blocks *set, const void *address)
{
    hm__client_block *const found = hm__client_blocks_find(set, address);
    if (!found) {
        return NULL;
    }
    hm__client_block **place = &set->buckets[bucket_of(set, address)];
    while (*place != found) {
        place = &(*place)->chain;
    }
    *place = found->chain;
    *(found->newer ? &found->newer->older : &set->newest) = found->older;
    if (found->older) {
        found->older->newer = found->newer;
    }
    set->count--;
    return found;
}

hm__client_block *hm__client_blocks_take_all(hm__client_blocks *set)
{
    hm__client_block *const all = set->newest;
    hm__client_blocks_free(set);
    *set = (hm__client_blocks){.buckets = NULL};
    return all;
}

void hm__client_blocks_free(hm__client_blocks *set)
{
    if (set->buckets && set->buckets != set->first) {
        hm__memory_free(set->buckets, set->bucket_count * sizeof *set->buckets);
    }
}
