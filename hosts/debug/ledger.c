/* SPDX-License-Identifier: MIT */
/* What books count: told to the malloc they are of, folded into its common book when their thread goes, added up for who asks. */
#include "ledger_internal.h"

#include "quarantine_internal.h"

#include <string.h>

static void peak_raise(int64_t *peak, int64_t seen)
{
    int64_t before = DEBUG_GET(*peak);
    while (seen > before &&
           !__atomic_compare_exchange_n(peak, &before, seen, 0, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
}

/* The most live bytes the book has seen. */
static int64_t book_peak(const debug_book *book)
{
    const int64_t live = hm__debug_book_live(book);
    const int64_t most = hm__debug_book_at(book, &book->room_least);
    const int64_t peak = DEBUG_GET(book->peak);
    const int64_t seen = live > most ? live : most;
    return seen > peak ? seen : peak;
}

void hm__debug_book_tell(debug_book *book)
{
    debug_malloc *m = book->owner;
    const int64_t live = hm__debug_book_live(book);
    const int64_t news = live - book->told;
    DEBUG_SET(book->peak, book_peak(book));
    DEBUG_SET(book->room, DEBUG_TELL_BYTES);
    DEBUG_SET(book->room_least, DEBUG_TELL_BYTES);
    __atomic_store_n(&book->told, live, __ATOMIC_RELEASE);
    if (m->limit == DEBUG_NO_LIMIT) { /* with one, charged is exact already */
        peak_raise(&m->shared_peak,
                   __atomic_add_fetch(&m->charged, news, __ATOMIC_RELAXED));
    }
}

int hm__debug_room_make(debug_book *book, size_t bytes)
{
    if (bytes > DEBUG_TELL_BYTES) {
        return 0;
    }
    hm__debug_book_tell(book);
    return 1;
}

uint64_t hm__debug_count_in(debug_book *book, debug_tally *tally, size_t bytes)
{
    if (bytes > (uint64_t)book->room) {
        hm__debug_book_tell(book);
    }
    const uint64_t serial = hm__debug_count_alloc(book, tally, bytes);
    if (book->room < 0) {
        hm__debug_book_tell(book);
    }
    /* Under a limit it was charged before there was memory for it: only now is it there. */
    debug_malloc *m = book->owner;
    if (m->limit != DEBUG_NO_LIMIT) {
        peak_raise(&m->shared_peak, DEBUG_GET(m->charged));
    }
    return serial;
}

int hm__debug_charge(debug_malloc *m, size_t bytes)
{
    const int64_t live =
        __atomic_add_fetch(&m->charged, (int64_t)bytes, __ATOMIC_RELAXED);
    if ((uint64_t)live > m->limit) {
        hm__debug_uncharge(m, bytes);
        return 0;
    }
    return 1;
}

void hm__debug_uncharge(debug_malloc *m, size_t bytes)
{
    __atomic_sub_fetch(&m->charged, (int64_t)bytes, __ATOMIC_RELAXED);
}

static void tally_add_freed(debug_tally *sum, const debug_tally *part)
{
    sum->freed_blocks += __atomic_load_n(&part->freed_blocks, __ATOMIC_ACQUIRE);
    sum->freed_bytes += __atomic_load_n(&part->freed_bytes, __ATOMIC_ACQUIRE);
}

static void tally_add_made(debug_tally *sum, const debug_tally *part)
{
    sum->blocks += DEBUG_GET(part->blocks);
    sum->bytes += DEBUG_GET(part->bytes);
    sum->peak_bytes += hm__debug_tally_peak(part);
}

void hm__debug_book_fold(debug_book *book)
{
    debug_malloc *m = book->owner;
    hm__debug_book_tell(book);
    m->common.told += book->told;
    if (book->peak > m->common.peak) {
        m->common.peak = book->peak;
    }
    for (uint32_t group = 0; group < book->group_count; group++) {
        const debug_tally *from = book->groups[group];
        for (uint32_t i = 0; from && i < DEBUG_GROUP; i++) {
            if (from[i].blocks || from[i].freed_blocks) {
                tally_add_freed(&m->common.groups[group][i], &from[i]);
                tally_add_made(&m->common.groups[group][i], &from[i]);
            }
        }
    }
}

void hm__debug_count_free_common(debug_malloc *m, uint32_t site, size_t bytes)
{
    hm__debug.core->lock(&hm__debug.lock);
    debug_tally *tally = hm__debug_tally(&m->common, site);
    if (tally) {
        hm__debug_count_free(&m->common, tally, bytes);
        hm__debug_book_tell(&m->common);
    }
    hm__debug.core->unlock(&hm__debug.lock);
}

void hm__debug_malloc_sum(const debug_malloc *m, debug_tally *sum, uint64_t *held)
{
    memset(sum, 0, sizeof(*sum));
    *held = 0;
    for (const debug_book *book = m->books; book; book = book->next) {
        *held += hm__debug_held_bytes(book);
    }
    const uint32_t sites = hm__debug_malloc_groups(m) * DEBUG_GROUP;
    for (uint32_t site = 0; site < sites; site++) {
        hm__debug_site_sum(m, site, sum);
    }
}

uint32_t hm__debug_malloc_groups(const debug_malloc *m)
{
    return m->common.group_count;
}

/* Every book's frees are read before any book's allocations: writers go on meanwhile, and more must never seem
   freed than was allocated. */
void hm__debug_site_sum(const debug_malloc *m, uint32_t site, debug_tally *sum)
{
    for (const debug_book *book = m->books; book; book = book->next) {
        const debug_tally *tally = hm__debug_tally(book, site);
        if (tally) {
            tally_add_freed(sum, tally);
        }
    }
    for (const debug_book *book = m->books; book; book = book->next) {
        const debug_tally *tally = hm__debug_tally(book, site);
        if (tally) {
            tally_add_made(sum, tally);
        }
    }
}

/* Exact while one thread alone has used the malloc, or under a limit; otherwise up to DEBUG_TELL_BYTES a
   thread too low. */
uint64_t hm__debug_malloc_peak(const debug_malloc *m)
{
    int64_t peak = DEBUG_GET(m->shared_peak);
    int64_t live = 0;
    for (const debug_book *book = m->books; book; book = book->next) {
        const int64_t own = book_peak(book);
        live += hm__debug_book_live(book);
        if (!m->many_books && own > peak) {
            peak = own;
        }
    }
    peak = live > peak ? live : peak;
    return peak > 0 ? (uint64_t)peak : 0;
}
