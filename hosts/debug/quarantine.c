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

/* 1 when nobody has written since the free. */
static int is_untouched(const debug_malloc *m, const void *block, debug_shape *shape)
{
    if (!hm__debug_shape_read(block, shape)) {
        return 0;
    }
    const uint64_t epitaph = hm__debug_rear_load(block, shape->bytes);
    if ((epitaph ^ shape->hash) >> 32) {
        return 0;
    }
    if (m->fill == DEBUG_FILL_ENDS) {
        return hm__debug_fill_ends_intact(block, shape->bytes);
    }
    if (m->fill == DEBUG_FILL_ALL) {
        const unsigned char *at = block;
        for (size_t i = 0; i < shape->bytes; i++) {
            if (at[i] != DEBUG_STALE) {
                return 0;
            }
        }
    }
    return 1;
}

size_t hm__debug_give_back(debug_malloc *m, void *block)
{
    debug_shape shape = {0};
    if (DEBUG_RARE(!is_untouched(m, block, &shape))) {
        hm__block_map_set(&hm__debug.map, block, DEBUG_DAMAGED);
        hm__debug_found_stale_write(m, block);
        return shape.bytes;
    }
    hm_malloc *inner = m->inner;
    hm__block_map_set(&hm__debug.map, block, DEBUG_GONE);
    HM_LOAD(inner->vtbl)
        ->free_sized(inner, shape.base,
                     hm__debug_inner_bytes(shape.bytes, shape.alignment));
    return shape.bytes;
}

void hm__debug_evict(debug_book *book, uint32_t count)
{
    const uint32_t held = (uint16_t)(book->last - book->first);
    debug_malloc *m = book->owner;
    if (held == 0) {
        return;
    }
    hm__debug_evict_enter(book);
    for (uint32_t left = count < held ? count : held; left; left--) {
        void *block = book->ring[book->first & book->mask];
        book->first++;
        const size_t bytes = hm__debug_give_back(m, block);
        book->held_bytes -= bytes < book->held_bytes ? bytes : book->held_bytes;
    }
    if (book->first == book->last) {
        book->held_bytes = 0; /* what a damaged header did not say */
    }
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
