/* SPDX-License-Identifier: MIT */
/* Blocks on their way back to the inner malloc. */
#include "quarantine_internal.h"

#include "fill_internal.h"
#include "finding_internal.h"
#include "tell_internal.h"

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

static int is_all_stale(const void *block, size_t bytes)
{
    const unsigned char *at = block;
    for (size_t i = 0; i < bytes; i++) {
        if (at[i] != DEBUG_STALE) {
            return 0;
        }
    }
    return 1;
}

static DEBUG_COLD void withdraw(debug_malloc *m, const debug_held *held)
{
    __atomic_store_n(held->state, hm__block_map_value(held->block, DEBUG_DAMAGED),
                     __ATOMIC_RELEASE);
    hm__debug_found_stale_write(m, held->block);
}

DEBUG_INLINE int is_stale(const debug_malloc *m, const debug_held *held, size_t bytes)
{
    return hm__debug_rear_load(held->block, bytes) == held->epitaph &&
           (m->fill != DEBUG_FILL_ENDS ||
            hm__debug_fill_ends_intact(held->block, bytes)) &&
           (m->fill != DEBUG_FILL_ALL || is_all_stale(held->block, bytes));
}

/* Only the header knows where the inner block of a LONG one starts. */
static DEBUG_COLD void give_back_long(debug_malloc *m, const debug_held *held)
{
    debug_shape shape;
    if (!hm__debug_shape_read(held->block, &shape) || !is_stale(m, held, shape.bytes)) {
        withdraw(m, held);
        return;
    }
    hm_malloc *inner = m->inner;
    hm__block_map_set(&hm__debug.map, held->block, DEBUG_GONE);
    HM_LOAD(inner->vtbl)
        ->free_sized(inner, shape.base,
                     hm__debug_inner_bytes(shape.bytes, shape.alignment));
}

/* A header overwritten since the free is not looked for: nobody needs it any more. */
DEBUG_INLINE void give_back(debug_malloc *m, hm_malloc *inner, const debug_held *held)
{
    void *block = held->block;
    const size_t bytes = held->bytes;
    if (DEBUG_RARE(bytes & DEBUG_HELD_LONG)) {
        give_back_long(m, held);
        return;
    }
    if (DEBUG_RARE(!is_stale(m, held, bytes))) {
        withdraw(m, held);
        return;
    }
    const size_t whole = bytes + DEBUG_EDGE_BYTES;
    __atomic_store_n(held->state, hm__block_map_value(block, DEBUG_GONE),
                     __ATOMIC_RELEASE);
    HM_LOAD(inner->vtbl)
        ->free_sized(inner, hm__debug_header(block),
                     whole < DEBUG_BLOCK_MIN ? DEBUG_BLOCK_MIN : whole);
}

void hm__debug_give_back(debug_malloc *m, const debug_held *held)
{
    give_back(m, m->inner, held);
}

static void evict(debug_book *book, debug_held *from, const debug_held *end)
{
    debug_malloc *m = book->owner;
    hm_malloc *inner = m->inner;
    hm__debug_evict_enter(book);
    for (debug_held *held = from; held < end; held++) {
        give_back(m, inner, held);
        DEBUG_SET(held->bytes, 0);
    }
    hm__debug_evict_leave(book);
}

static debug_held *other_half(const debug_book *book)
{
    return book->held_end == book->held + book->held_half ? book->held + book->held_half
                                                          : book->held;
}

void hm__debug_evict_all(debug_book *book)
{
    debug_held *const newer = book->held_end - book->held_half;
    if (!book->held) {
        return;
    }
    hm__debug_tell_later();
    if (book->held_older) {
        debug_held *const older = other_half(book);
        evict(book, older, older + book->held_half);
        book->held_older = 0;
    }
    if (book->held_next != newer) {
        evict(book, newer, book->held_next);
        DEBUG_SET(book->held_next, newer);
    }
    hm__debug_tell_again();
    hm__debug_tell_waiting();
}

void hm__debug_make_room(debug_book *book)
{
    debug_held *const older = other_half(book);
    if (!book->owner->host->held_entries) {
        hm__debug_evict_all(book);
        return;
    }
    hm__debug_tell_later();
    if (book->held_older) {
        evict(book, older, older + book->held_half);
    }
    book->held_older = 1;
    book->held_end = older + book->held_half;
    DEBUG_SET(book->held_next, older);
    hm__debug_tell_again();
    hm__debug_tell_waiting();
}

/* Approximate beside a writer. */
uint64_t hm__debug_held_bytes(const debug_book *book)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; book->held && i < 2 * book->held_half; i++) {
        bytes += DEBUG_GET(book->held[i].bytes) & ~DEBUG_HELD_LONG;
    }
    return bytes;
}

void hm__debug_hold_any(debug_book *book, const debug_held *held)
{
    const uint64_t most = book->owner->host->held_bytes;
    const size_t bytes = held->bytes & ~DEBUG_HELD_LONG;
    if (bytes > most) {
        hm__debug_tell_later();
        hm__debug_evict_enter(book);
        hm__debug_give_back(book->owner, held);
        hm__debug_evict_leave(book);
        hm__debug_tell_again();
        hm__debug_tell_waiting();
        return;
    }
    if (bytes > DEBUG_HELD_SMALL && hm__debug_held_bytes(book) + bytes > most) {
        hm__debug_evict_all(book);
    }
    hm__debug_hold(book, held->block, held->state, held->bytes, held->epitaph);
}
