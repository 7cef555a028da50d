/* SPDX-License-Identifier: MIT */
/* Layout of blocks of any size and alignment; malloc.c has the common case inline. */
#include "debug_internal.h"

uint64_t hm__debug_cookie;

#define ORIGIN_BASE_BITS  47u
#define ORIGIN_BYTES_BITS 46u
#define ORIGIN_LOG_BITS   6u

static int is_long(size_t bytes, size_t alignment)
{
    return bytes >= DEBUG_LONG || alignment > 16;
}

size_t hm__debug_inner_bytes(size_t bytes, size_t alignment, size_t edge, size_t least)
{
    if (bytes >= DEBUG_BYTES_MAX || alignment >= DEBUG_BYTES_MAX) {
        return 0;
    }
    const size_t inner = hm__debug_whole(bytes, edge, least);
    return is_long(bytes, alignment) ? inner + DEBUG_ORIGIN_BYTES + (alignment - 16)
                                     : inner;
}

void *hm__debug_place(void *base, size_t bytes, size_t alignment)
{
    const uintptr_t at = (uintptr_t)base + DEBUG_HEADER_BYTES;
    if (!is_long(bytes, alignment)) {
        return (void *)at;
    }
    return (void *)((at + DEBUG_ORIGIN_BYTES + alignment - 1) &
                    ~(uintptr_t)(alignment - 1));
}

static uint64_t
origin_hash(const void *block, uint64_t hash, uint64_t base, uint64_t bytes)
{
    return hm__debug_mix(block, hash ^ base, bytes);
}

static uint64_t hash_of(const void *block, uint64_t low, uint64_t high, unsigned traits)
{
    return traits & DEBUG_TRAIT_PLAIN ? hm__debug_plain_hash()
                                      : hm__debug_mix(block, low, high);
}

static size_t edge_of(unsigned traits)
{
    return traits & DEBUG_TRAIT_EDGES ? DEBUG_GUARD_BYTES : 0;
}

static const uint64_t base_mask = (UINT64_C(1) << ORIGIN_BASE_BITS) - 1;
static const uint64_t bytes_mask =
    (UINT64_C(1) << (ORIGIN_BYTES_BITS + ORIGIN_LOG_BITS)) - 1;

int hm__debug_shape_read(const void *block, debug_shape *shape)
{
    if (DEBUG_RARE(DEBUG_GET(hm__debug_guarded_some)) &&
        hm__debug_slot_shape(block, shape)) {
        return 1;
    }
    const debug_header *header = hm__debug_header(block);
    const uint64_t low = hm__debug_load(&header->low);
    const uint64_t high = hm__debug_load(&header->high);
    const unsigned traits = hm__debug_traits(hm__debug_high_owner(high));
    const uint64_t hash = hash_of(block, low, high, traits);
    shape->edge = edge_of(traits);
    if (!hm__debug_is_sealed(high, hash)) {
        return 0;
    }
    if (hm__debug_low_size(low) != DEBUG_LONG) {
        shape->bytes = hm__debug_low_size(low);
        shape->alignment = 16;
        shape->base = (char *)(uintptr_t)((uintptr_t)block - DEBUG_HEADER_BYTES);
        shape->hash = hash;
        return 1;
    }
    const debug_origin *origin = hm__debug_origin(block);
    const uint64_t base = hm__debug_load(&origin->base);
    const uint64_t bytes = hm__debug_load(&origin->bytes);
    shape->hash = origin_hash(block, hash, base & base_mask, bytes & bytes_mask);
    shape->bytes = (size_t)(bytes & ((UINT64_C(1) << ORIGIN_BYTES_BITS) - 1));
    shape->alignment = (size_t)1 << ((bytes & bytes_mask) >> ORIGIN_BYTES_BITS);
    shape->base = (char *)(uintptr_t)(base & base_mask);
    return (base & ~base_mask) == (shape->hash & ~base_mask) &&
           (bytes & ~bytes_mask) == (shape->hash << 32 & ~bytes_mask);
}

DEBUG_UNSYNCHRONISED uint64_t hm__debug_rear_peek(const void *block, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)block + bytes;
    uint64_t word = 0;
    for (unsigned i = 0; i < DEBUG_GUARD_BYTES; i++) {
        word |= (uint64_t)at[i] << 8 * i;
    }
    return word;
}

static uint64_t binary_log(size_t power_of_two)
{
    uint64_t log = 0;
    while (power_of_two >>= 1) {
        log++;
    }
    return log;
}

void hm__debug_shape_write(void *block,
                           void *base,
                           size_t bytes,
                           size_t alignment,
                           uint64_t low_without_size,
                           uint64_t high_without_hash)
{
    const int longer = is_long(bytes, alignment);
    const unsigned traits = hm__debug_traits(hm__debug_high_owner(high_without_hash));
    debug_header *header = hm__debug_header(block);
    const uint64_t low = low_without_size | (longer ? DEBUG_LONG : (uint32_t)bytes);
    uint64_t hash = hash_of(block, low, high_without_hash, traits);
    hm__debug_store(&header->low, low);
    hm__debug_store(&header->high, hm__debug_sealed(high_without_hash, hash));
    if (longer) {
        debug_origin *origin = hm__debug_origin(block);
        const uint64_t place = (uintptr_t)base;
        const uint64_t size = bytes | binary_log(alignment) << ORIGIN_BYTES_BITS;
        hash = origin_hash(block, hash, place, size);
        hm__debug_store(&origin->base, place | (hash & ~base_mask));
        hm__debug_store(&origin->bytes, size | (hash << 32 & ~bytes_mask));
    }
    if (edge_of(traits)) {
        hm__debug_rear_store(block, bytes, hm__debug_rear(hash));
    }
}
