/* SPDX-License-Identifier: MIT */
/* Blocks on their way back to the inner malloc. */
#include "quarantine_internal.h"

#include "fill_internal.h"
#include "finding_internal.h"

void hm__debug_evict_enter(debug_book *book)
{
    for (;;) {
        __atomic_exchange_n(&book->evicting, 1, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&hm__debug.walkers, __ATOMIC_SEQ_CST) ||
            hm__debug_walk_mine()) {
            return;
        }
        __atomic_store_n(&book->evicting, 0, __ATOMIC_SEQ_CST);
        hm__debug.core->lock(&hm__debug.walking);
        hm__debug.core->unlock(&hm__debug.walking);
    }
}

void hm__debug_evict_leave(debug_book *book)
{
    __atomic_store_n(&book->evicting, 0, __ATOMIC_RELEASE);
}

static int is_fill_whole(const debug_malloc *m, const void *block, size_t bytes)
{
    if (m->fill == DEBUG_FILL_ENDS) {
        return hm__debug_fill_ends_intact(block, bytes);
    }
    const unsigned char *at = block;
    for (size_t i = 0; m->fill == DEBUG_FILL_ALL && i < bytes; i++) {
        if (at[i] != DEBUG_STALE) {
            return 0;
        }
    }
    return 1;
}

/* Large and aligned blocks, and those that somebody wrote to. */
static DEBUG_COLD void give_back_slow(debug_malloc *m, void *block)
{
    debug_shape shape = {0};
    if (!hm__debug_shape_read(block, &shape) ||
        (hm__debug_rear_load(block, shape.bytes) ^ shape.hash) >> 32 ||
        !is_fill_whole(m, block, shape.bytes)) {
        hm__block_map_set(&hm__debug.map, block, DEBUG_DAMAGED);
        hm__debug_found_stale_write(m, block);
        return;
    }
    hm_malloc *inner = m->inner;
    hm__block_map_set(&hm__debug.map, block, DEBUG_GONE);
    HM_LOAD(inner->vtbl)
        ->free_sized(inner, shape.base,
                     hm__debug_inner_bytes(shape.bytes, shape.alignment));
}

DEBUG_INLINE void give_back(debug_malloc *m, hm_malloc *inner, void *block, size_t bytes)
{
    debug_header *header = hm__debug_header(block);
    const uint64_t low = hm__debug_load(&header->low);
    const uint64_t high = hm__debug_load(&header->high);
    const uint64_t hash = hm__debug_mix(block, low, high & ~DEBUG_SEAL_BITS);
    if (DEBUG_RARE(hm__debug_low_size(low) != bytes || bytes == DEBUG_LONG ||
                   (high & DEBUG_SEAL_BITS) != hm__debug_seal(hash) ||
                   (hm__debug_rear_load(block, bytes) ^ hash) >> 32 ||
                   !is_fill_whole(m, block, bytes))) {
        give_back_slow(m, block);
        return;
    }
    const size_t whole = bytes + DEBUG_EDGE_BYTES;
    hm__block_map_set(&hm__debug.map, block, DEBUG_GONE);
    HM_LOAD(inner->vtbl)
        ->free_sized(inner, header, whole < DEBUG_BLOCK_MIN ? DEBUG_BLOCK_MIN : whole);
}

void hm__debug_give_back(debug_malloc *m, void *block, size_t bytes)
{
    give_back(m, m->inner, block, bytes);
}

void hm__debug_evict(debug_book *book, uint32_t count)
{
    const uint32_t held = (uint16_t)(book->last - book->first);
    debug_malloc *m = book->owner;
    hm_malloc *inner = m->inner;
    if (held == 0) {
        return;
    }
    hm__debug_evict_enter(book);
    uint16_t at = book->first;
    uint64_t bytes = 0;
    for (uint32_t left = count < held ? count : held; left; left--) {
        const debug_held *oldest = &book->ring[at++ & book->mask];
        bytes += oldest->bytes;
        give_back(m, inner, oldest->block, oldest->bytes);
    }
    book->first = at;
    book->held_bytes -= bytes;
    hm__debug_evict_leave(book);
}

void hm__debug_make_room(debug_book *book)
{
    if ((uint16_t)(book->last - book->first) > book->mask) {
        hm__debug_evict(book, (book->mask + 1u) / 2);
    }
    while (book->held_bytes > book->owner->held_max) {
        hm__debug_evict(book, 1);
    }
}
