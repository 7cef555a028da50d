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

DEBUG_INLINE void give_back(debug_malloc *m, hm_malloc *inner, const debug_held *held)
{
    void *block = held->block;
    const size_t bytes = held->bytes;
    debug_header *header = hm__debug_header(block);
    const uint64_t low = hm__debug_load(&header->low);
    const uint64_t high = hm__debug_load(&header->high);
    const uint64_t hash = hm__debug_mix(block, low, high);
    if (DEBUG_RARE(hm__debug_low_size(low) != bytes ||
                   hm__debug_seal_of(high) != hm__debug_seal(hash))) {
        give_back_slow(m, block);
        return;
    }
    if (DEBUG_RARE((hm__debug_rear_load(block, bytes) ^ hash) >> 32 ||
                   !is_fill_whole(m, block, bytes))) {
        give_back_slow(m, block);
        return;
    }
    const size_t whole = bytes + DEBUG_EDGE_BYTES;
    __atomic_store_n(held->state, hm__block_map_value(block, DEBUG_GONE),
                     __ATOMIC_RELEASE);
    HM_LOAD(inner->vtbl)
        ->free_sized(inner, header, whole < DEBUG_BLOCK_MIN ? DEBUG_BLOCK_MIN : whole);
}

void hm__debug_give_back(debug_malloc *m, const debug_held *held)
{
    give_back(m, m->inner, held);
}

void hm__debug_evict(debug_book *book, size_t count)
{
    const size_t held = (size_t)(book->held_next - book->held);
    if (held == 0 || count == 0) {
        return;
    }
    if (count > held) {
        count = held;
    }
    debug_malloc *m = book->owner;
    hm_malloc *inner = m->inner;
    hm__debug_evict_enter(book);
    for (size_t i = 0; i < count; i++) {
        give_back(m, inner, &book->held[i]);
    }
    for (size_t i = count; i < held; i++) {
        DEBUG_SET(book->held[i - count].block, book->held[i].block);
        book->held[i - count].state = book->held[i].state;
        DEBUG_SET(book->held[i - count].bytes, book->held[i].bytes);
    }
    DEBUG_SET(book->held_next, book->held + (held - count));
    hm__debug_evict_leave(book);
}

void hm__debug_make_room(debug_book *book)
{
    hm__debug_evict(book, ((size_t)(book->held_end - book->held) + 1) / 2);
}

uint64_t hm__debug_held_bytes(const debug_book *book)
{
    uint64_t bytes = 0;
    const debug_held *end = DEBUG_GET(book->held_next);
    for (const debug_held *held = book->held; held < end; held++) {
        bytes += DEBUG_GET(held->bytes);
    }
    return bytes;
}

void hm__debug_hold_any(debug_book *book, const debug_held *held)
{
    const uint64_t most = book->owner->host->held_bytes;
    if (held->bytes > most) {
        hm__debug_evict_enter(book);
        hm__debug_give_back(book->owner, held);
        hm__debug_evict_leave(book);
        return;
    }
    if (held->bytes > DEBUG_HELD_SMALL) {
        while (book->held_next != book->held &&
               hm__debug_held_bytes(book) + held->bytes > most) {
            hm__debug_evict(book, ((size_t)(book->held_next - book->held) + 1) / 2);
        }
    }
    hm__debug_hold(book, held->block, held->state, held->bytes);
}
