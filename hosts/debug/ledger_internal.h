/* SPDX-License-Identifier: MIT */
/* Counting by site: one writer per book, plain stores; whoever wants figures adds the books up under the lock. */
#ifndef HM_DEBUG_LEDGER_INTERNAL_H
#define HM_DEBUG_LEDGER_INTERNAL_H

#include "debug_internal.h"

/* How far a book's live bytes may stray before the malloc's shared figure hears of it. */
#define DEBUG_TELL_BYTES 16384

/* ledger.c. NULL: no memory. */
debug_tally *hm__debug_tally_make(debug_book *book, uint32_t site);
debug_book *hm__debug_book_make(debug_malloc *m, debug_thread *thread);
void hm__debug_book_tell(debug_book *book); /* bring the shared figure up to date */
void hm__debug_book_fold(debug_book *book); /* into the common book; lock held */
void hm__debug_book_free(debug_book *book); /* lock held; not the common one itself */
/* A thread that has no book: counted in the common one. */
void hm__debug_count_free_common(debug_malloc *m, uint32_t site, size_t bytes);

/* Sums over all books of m; lock held. */
void hm__debug_malloc_sum(const debug_malloc *m, debug_tally *sum, uint64_t *held);
uint32_t hm__debug_malloc_groups(const debug_malloc *m); /* highest group number + 1 */
void hm__debug_site_sum(const debug_malloc *m,
                        uint32_t site,
                        debug_tally *sum); /* adds */
uint64_t hm__debug_malloc_peak(const debug_malloc *m);

/* Bytes under a limit; 0: they would pass it. Only for thread-safe mallocs with a limit. */
int hm__debug_charge(debug_malloc *m, size_t bytes);
void hm__debug_uncharge(debug_malloc *m, size_t bytes);

DEBUG_INLINE debug_tally *hm__debug_tally(const debug_book *book, uint32_t site)
{
    const uint32_t group = site / DEBUG_GROUP;
    debug_tally *tallies = group < book->group_count ? book->groups[group] : NULL;
    return tallies ? tallies + site % DEBUG_GROUP : NULL;
}

/* Returns the how-manieth block of its site this is. */
DEBUG_INLINE uint64_t hm__debug_count_alloc(debug_book *book,
                                            debug_tally *tally,
                                            size_t bytes,
                                            const int shared)
{
    const uint64_t blocks = tally->blocks + 1;
    const uint64_t total = tally->bytes + bytes;
    const int64_t here = (int64_t)(total - tally->freed_bytes);
    DEBUG_SET(tally->blocks, blocks);
    DEBUG_SET(tally->bytes, total);
    if (here > (int64_t)tally->peak_bytes) {
        DEBUG_SET(tally->peak_bytes, (uint64_t)here);
    }
    const int64_t live = book->live + (int64_t)bytes;
    DEBUG_SET(book->live, live);
    if (live > book->peak) {
        DEBUG_SET(book->peak, live);
    }
    if (shared && DEBUG_RARE(live - book->told >= DEBUG_TELL_BYTES)) {
        hm__debug_book_tell(book);
    }
    return blocks;
}

DEBUG_INLINE void
hm__debug_count_free(debug_book *book, debug_tally *tally, size_t bytes, const int shared)
{
    DEBUG_ADD(tally->freed_blocks, 1);
    DEBUG_ADD(tally->freed_bytes, bytes);
    DEBUG_ADD(book->live, -(int64_t)bytes);
    if (shared && DEBUG_RARE(book->told - book->live >= DEBUG_TELL_BYTES)) {
        hm__debug_book_tell(book);
    }
}

#endif
