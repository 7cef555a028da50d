/* SPDX-License-Identifier: MIT */
/* Blocks on their way back to the inner malloc. */
#include "quarantine_internal.h"

#include "annotate_internal.h"
#include "fill_internal.h"
#include "finding_internal.h"
#include "ledger_internal.h"
#include "tell_internal.h"

static DEBUG_COLD void withdraw(debug_malloc *m, const debug_held *held)
{
    __atomic_store_n(held->state, DEBUG_DAMAGED, __ATOMIC_RELEASE);
    hm__debug_found_stale_write(m, held->block);
}

/* Nothing was written to the block since it was freed. */
DEBUG_INLINE int
is_stale(const debug_held *held, size_t bytes, size_t edge, uint32_t fill)
{
    const size_t from = hm__debug_stale_from(edge);
    return hm__debug_rear_load(held->block, hm__debug_epitaph_at(bytes, edge)) ==
               held->epitaph &&
           (bytes <= from ||
            hm__debug_fill_intact((const char *)held->block + from, bytes - from, fill));
}

/* Only the header knows where the inner block of a LONG one starts. */
static DEBUG_COLD void give_back_long(debug_malloc *m, const debug_held *held)
{
    debug_shape shape;
    if (!hm__debug_shape_read(held->block, &shape) ||
        (m->kind != DEBUG_KIND_STATS &&
         !is_stale(held, shape.bytes, shape.edge, m->fill))) {
        withdraw(m, held);
        return;
    }
    hm_malloc *inner = m->inner;
    hm__block_map_set(&hm__debug.map, held->block, DEBUG_GONE);
    HM_LOAD(inner->vtbl)
        ->free_sized(
            inner, shape.base,
            hm__debug_inner_bytes(shape.bytes, shape.alignment, m->edge, m->least));
}

/* A header overwritten since the free is not looked for: nobody needs it any more. */
DEBUG_INLINE void give_back(debug_malloc *m,
                            hm_malloc *inner,
                            const debug_held *held,
                            const size_t edge,
                            const size_t least,
                            const uint32_t fill)
{
    void *block = held->block;
    const size_t bytes = held->bytes;
    if (DEBUG_RARE(bytes & DEBUG_HELD_LONG)) {
        give_back_long(m, held);
        return;
    }
    if (DEBUG_RARE(!is_stale(held, bytes, edge, fill))) {
        withdraw(m, held);
        return;
    }
    __atomic_store_n(held->state, DEBUG_GONE, __ATOMIC_RELEASE);
    HM_LOAD(inner->vtbl)
        ->free_sized(inner, hm__debug_header(block), hm__debug_whole(bytes, edge, least));
}

void hm__debug_give_back(debug_malloc *m, const debug_held *held)
{
    if (held->bytes & DEBUG_HELD_LONG) {
        give_back_long(m, held);
    } else if (m->kind == DEBUG_KIND_STATS) {
        hm_malloc *inner = m->inner;
        HM_LOAD(inner->vtbl)
            ->free_sized(inner, hm__debug_header(held->block),
                         hm__debug_whole(held->bytes, 0, 0));
    } else {
        give_back(m, m->inner, held, m->edge, m->least, m->fill);
    }
}

void hm__debug_give_back_late(debug_malloc *m,
                              debug_book *book,
                              void *block,
                              size_t bytes)
{
    const debug_held held = {.block = block, .bytes = bytes};
    hm__debug_evict_enter(book);
    hm__debug_give_back(m, &held);
    hm__debug_evict_leave(book);
}

static void evict(debug_book *book, debug_held *from, const debug_held *end)
{
    debug_malloc *m = book->owner;
    hm_malloc *inner = m->inner;
    hm__debug_evict_enter(book);
    if (DEBUG_RARE(m->host->annotates)) {
        for (const debug_held *held = from; held < end; held++) {
            hm__debug_annotate_reveal(m, held->block, held->bytes & ~DEBUG_HELD_LONG);
        }
    }
    switch (m->kind) {
    case DEBUG_KIND_CHECKED:
        for (debug_held *held = from; held < end; held++) {
            give_back(m, inner, held, DEBUG_GUARD_BYTES, 0, DEBUG_FILL_ENDS);
        }
        break;
    case DEBUG_KIND_FULL:
        for (debug_held *held = from; held < end; held++) {
            give_back(m, inner, held, DEBUG_GUARD_BYTES, 0, DEBUG_FILL_ALL);
        }
        break;
    default:
        for (debug_held *held = from; held < end; held++) {
            give_back(m, inner, held, m->edge, m->least, m->fill);
        }
    }
    hm__debug_evict_leave(book);
}

/* Behind the two halves: for what is freed while blocks go back, by an inner malloc that calls back. */
static debug_held *spare_of(const debug_book *book)
{
    return book->held + 2 * book->held_half;
}

static int is_apart(const debug_book *book)
{
    return book->held_end == spare_of(book) + 1;
}

/* Neither half is to be touched meanwhile. */
static void evict_half(debug_book *book, debug_held *from, const debug_held *end)
{
    debug_held *const last = book->held_end;
    debug_held *const next = book->held_next;
    book->held_end = spare_of(book) + 1;
    DEBUG_SET(book->held_next, spare_of(book));
    evict(book, from, end);
    book->held_end = last;
    DEBUG_SET(book->held_next, next);
}

/* Nothing is held back meanwhile. */
static void evict_spare(debug_book *book)
{
    debug_held one = *spare_of(book);
    DEBUG_SET(book->held_next, spare_of(book));
    evict(book, &one, &one + 1);
}

static debug_held *other_half(const debug_book *book)
{
    return book->held_end == book->held + book->held_half ? book->held + book->held_half
                                                          : book->held;
}

int64_t hm__debug_held_most(const debug_book *book)
{
    const debug_malloc *m = book->owner;
    uint64_t most = m->host->held_bytes;
    if (most == DEBUG_HELD_QUARTER) {
        const uint32_t books = DEBUG_GET(m->thread_books);
        const int64_t live = m->book ? hm__debug_book_live(book) : DEBUG_GET(m->charged);
        most = live > 0 ? (uint64_t)live / 4 / (books ? books : 1) : 0;
        most = most < DEBUG_HELD_LEAST ? DEBUG_HELD_LEAST : most;
    }
    return (int64_t)(most / 2);
}

static debug_held *newer_half(const debug_book *book)
{
    return book->held_end - book->held_half;
}

void hm__debug_evict_all(debug_book *book)
{
    if (!book->held || is_apart(book)) {
        return;
    }
    hm__debug_tell_later();
    if (book->held_older) {
        debug_held *const older = other_half(book);
        evict_half(book, older, older + book->held_older);
        DEBUG_SET(book->held_older, 0);
    }
    if (book->held_next != newer_half(book)) {
        evict_half(book, newer_half(book), book->held_next);
        DEBUG_SET(book->held_next, newer_half(book));
    }
    book->held_room = hm__debug_held_most(book);
    hm__debug_tell_again();
    hm__debug_tell_waiting();
}

void hm__debug_make_room(debug_book *book)
{
    if (is_apart(book)) {
        evict_spare(book);
        return;
    }
    debug_held *const older = other_half(book);
    if (!book->owner->host->held_entries) {
        hm__debug_evict_all(book);
        return;
    }
    hm__debug_tell_later();
    if (book->held_older) {
        evict_half(book, older, older + book->held_older);
    }
    DEBUG_SET(book->held_older, (uint32_t)(book->held_next - newer_half(book)));
    book->held_end = older + book->held_half;
    DEBUG_SET(book->held_next, older);
    book->held_room = hm__debug_held_most(book);
    hm__debug_tell_again();
    hm__debug_tell_waiting();
}

static uint64_t bytes_between(const debug_held *from, const debug_held *end)
{
    uint64_t bytes = 0;
    for (const debug_held *held = from; held < end; held++) {
        bytes += DEBUG_GET(held->bytes) & ~DEBUG_HELD_LONG;
    }
    return bytes;
}

/* Approximate beside a writer. */
uint64_t hm__debug_held_bytes(const debug_book *book)
{
    const debug_held *next = book->held ? DEBUG_GET(book->held_next) : NULL;
    if (!next) {
        return 0;
    }
    const int second = next >= book->held + book->held_half;
    const debug_held *newer = book->held + (second ? book->held_half : 0);
    const debug_held *older = book->held + (second ? 0 : book->held_half);
    return bytes_between(newer, next) +
           bytes_between(older, older + DEBUG_GET(book->held_older));
}

void hm__debug_hold_any(debug_book *book, const debug_held *held)
{
    const int64_t bytes = (int64_t)(held->bytes & ~DEBUG_HELD_LONG);
    if (!book->held || bytes > 2 * hm__debug_held_most(book)) {
        if (book->owner->host->held_entries) {
            __atomic_add_fetch(&book->owner->host->dropped.held, 1, __ATOMIC_RELAXED);
        }
        hm__debug_tell_later();
        hm__debug_evict_enter(book);
        hm__debug_give_back(book->owner, held);
        hm__debug_evict_leave(book);
        hm__debug_tell_again();
        hm__debug_tell_waiting();
        return;
    }
    if (bytes > book->held_room) {
        hm__debug_evict_all(book);
    }
    hm__debug_hold(book, held->block, held->state, held->bytes, held->epitaph);
}
