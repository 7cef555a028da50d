/* SPDX-License-Identifier: MIT */
/* Counting by site: one writer per book, plain stores; whoever wants figures adds the books up under the lock. */
#ifndef HM_DEBUG_LEDGER_INTERNAL_H
#define HM_DEBUG_LEDGER_INTERNAL_H

#include "debug_internal.h"

/* How far a book's live bytes may stray before the malloc's shared figure hears of it. A book counts down what room
 * is left until then, so that one comparison answers for that and for what is large: after a tell there is
 * DEBUG_TELL_BYTES of room, and live bytes are told + DEBUG_TELL_BYTES - room. Peaks are looked for by frees alone: before
 * them there was more. */
#define DEBUG_TELL_BYTES 16384

/* book.c. NULL: no memory. */
debug_tally *hm__debug_tally_make(debug_book *book, uint32_t site);
debug_book *hm__debug_book_make(debug_malloc *m, debug_thread *thread);
debug_book *hm__debug_book_mine(const debug_malloc *m); /* NULL: not made yet */
void hm__debug_book_free(debug_book *book); /* lock held; not the common one itself */

/* ledger.c */
void hm__debug_book_tell(debug_book *book); /* bring the shared figure up to date */
/* After a tell, if there is not enough room before one. 0: the block is larger than that. */
int hm__debug_room_make(debug_book *book, size_t bytes);
void hm__debug_book_fold(debug_book *book); /* into the common book; lock held */
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

/* The same for the site in a header: two shifts do for it. */
DEBUG_INLINE debug_tally *hm__debug_tally_of(const debug_book *book, uint64_t low)
{
    const uint32_t group = (uint32_t)(low >> 36) & 0xFFFF;
    debug_tally *tallies = group < book->group_count ? book->groups[group] : NULL;
    return tallies ? (debug_tally *)(void *)((char *)tallies + (low >> 26 & 0x3C0))
                   : NULL;
}

_Static_assert(DEBUG_GROUP == 16 && sizeof(debug_tally) == 64, "as the shifts say");

/* Live bytes where so much room is left, or was. A tell sets told last, so that a reader beside it finds no more than there were:
   it takes told as it is before and after the room. */
static inline int64_t hm__debug_book_at(const debug_book *book, const int64_t *room)
{
    int64_t told, left;
    do {
        told = __atomic_load_n(&book->told, __ATOMIC_ACQUIRE);
        left = __atomic_load_n(room, __ATOMIC_ACQUIRE);
    } while (told != DEBUG_GET(book->told));
    return told + DEBUG_TELL_BYTES - left;
}

static inline int64_t hm__debug_book_live(const debug_book *book)
{
    return hm__debug_book_at(book, &book->room);
}

static inline uint64_t hm__debug_tally_peak(const debug_tally *tally)
{
    const int64_t live =
        (int64_t)(DEBUG_GET(tally->bytes) - DEBUG_GET(tally->freed_bytes));
    const int64_t peak = (int64_t)DEBUG_GET(tally->peak_bytes);
    return (uint64_t)(live > peak ? live : peak);
}

/* There is room for it. Returns the how-manieth block of its site this is. */
DEBUG_INLINE uint64_t hm__debug_count_alloc(debug_book *book,
                                            debug_tally *tally,
                                            size_t bytes)
{
    const uint64_t blocks = tally->blocks + 1;
    DEBUG_SET(tally->blocks, blocks);
    DEBUG_ADD(tally->bytes, bytes);
    DEBUG_ADD(book->room, -(int64_t)bytes);
    return blocks;
}

DEBUG_INLINE void hm__debug_count_free(debug_book *book, debug_tally *tally, size_t bytes)
{
    const uint64_t freed = tally->freed_bytes;
    const int64_t here = (int64_t)(tally->bytes - freed);
    if (here > (int64_t)tally->peak_bytes) {
        DEBUG_SET(tally->peak_bytes, (uint64_t)here);
    }
    DEBUG_ADD(tally->freed_blocks, 1);
    DEBUG_SET(tally->freed_bytes, freed + bytes);
    const int64_t before = book->room;
    if (before < book->room_least) {
        DEBUG_SET(book->room_least, before);
    }
    DEBUG_SET(book->room, before + (int64_t)bytes);
}

/* After one of these, before the next allocation: what there is room for goes by the hot path. Less than none is what an inner malloc
   leaves that came back for more in the middle of a realloc. */
DEBUG_INLINE void hm__debug_tell_due(debug_book *book)
{
    if (DEBUG_RARE((uint64_t)book->room > 2 * DEBUG_TELL_BYTES)) {
        hm__debug_book_tell(book);
    }
}

/* ledger.c: a block of any size. */
uint64_t hm__debug_count_in(debug_book *book, debug_tally *tally, size_t bytes);

#endif
