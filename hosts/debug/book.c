/* SPDX-License-Identifier: MIT */
/* The life of a book: made when a thread first uses a malloc, with groups of sites as they come, freed with its thread or
 * its malloc. */
#include "ledger_internal.h"

#include "live_internal.h"
#include "quarantine_internal.h"

#include <string.h>

static void lock(void)
{
    hm__debug.core->lock(&hm__debug.lock);
}

static void unlock(void)
{
    hm__debug.core->unlock(&hm__debug.lock);
}

/* Make the group of a site in one book; lock held. */
static debug_tally *group_make(debug_book *book, uint32_t group)
{
    const hm_core *core = hm__debug.core;
    if (group >= book->group_count) {
        uint32_t count = book->group_count ? book->group_count : 4;
        while (count <= group) {
            count *= 2;
        }
        debug_tally **wider = core->memory_alloc(count * sizeof(debug_tally *));
        if (!wider) {
            return NULL;
        }
        if (book->group_count) {
            memcpy(wider, book->groups, book->group_count * sizeof(debug_tally *));
            core->memory_free(book->groups, book->group_count * sizeof(debug_tally *));
        }
        book->groups = wider;
        book->group_count = count;
    }
    if (!book->groups[group]) {
        book->groups[group] = hm__debug_live_group(book, group);
    }
    return book->groups[group];
}

/* The common book gets the group too, so that a block counted anywhere can later be counted out there: a free
   must not fail for lack of memory. */
debug_tally *hm__debug_tally_make(debug_book *book, uint32_t site)
{
    const uint32_t group = site / DEBUG_GROUP;
    lock();
    debug_tally *tallies = group_make(&book->owner->common, group);
    if (tallies && book != &book->owner->common) {
        tallies = group_make(book, group);
    }
    unlock();
    return tallies ? tallies + site % DEBUG_GROUP : NULL;
}

/* Room for the book in its thread's table; lock held. */
static int table_reserve(debug_thread *thread, uint32_t number)
{
    const hm_core *core = hm__debug.core;
    if (number < thread->book_count) {
        return 1;
    }
    uint32_t count = thread->book_count ? thread->book_count : 16;
    while (count <= number) {
        count *= 2;
    }
    debug_book **wider = core->memory_alloc(count * sizeof(debug_book *));
    if (!wider) {
        return 0;
    }
    if (thread->book_count) {
        memcpy(wider, thread->books, thread->book_count * sizeof(debug_book *));
        core->memory_free(thread->books, thread->book_count * sizeof(debug_book *));
    }
    thread->books = wider;
    thread->book_count = count;
    return 1;
}

/* Two halves and one to spare; see quarantine.c. */
static size_t held_bytes(const debug_book *book)
{
    return (2 * (size_t)book->held_half + 1) * sizeof(debug_held);
}

/* The common book of a thread-safe malloc holds none: no thread frees there. Nor does any that only counts. */
static int held_make(debug_book *book)
{
    if ((!book->thread && (book->owner->base.flags & HM_MALLOC_THREADSAFE)) ||
        book->owner->kind == DEBUG_KIND_STATS) {
        return 1;
    }
    book->held_half = (book->owner->host->held_entries + 1) / 2;
    book->held_half += book->held_half == 0;
    book->held = hm__debug.core->memory_alloc(held_bytes(book));
    book->held_next = book->held;
    book->held_room = hm__debug_held_most(book);
    book->held_end = book->held ? book->held + book->held_half : NULL;
    return book->held != NULL;
}

static void held_free(debug_book *book)
{
    hm__debug.core->memory_free(book->held, held_bytes(book));
    book->held = NULL;
}

debug_book *hm__debug_book_make(debug_malloc *m, debug_thread *thread)
{
    debug_book *book = thread ? hm__debug.core->memory_alloc(sizeof(*book)) : &m->common;
    if (!book) {
        return NULL;
    }
    book->owner = m;
    book->thread = thread;
    book->room = book->room_least = DEBUG_TELL_BYTES;
    lock();
    const int made = held_make(book) && (!thread || table_reserve(thread, m->number));
    if (made) {
        book->next = m->books;
        m->books = book;
        if (thread) {
            m->many_books += m->thread_books > 0;
            DEBUG_SET(m->thread_books, m->thread_books + 1);
            thread->books[m->number] = book;
        }
    }
    unlock();
    if (!made && thread) {
        held_free(book);
        hm__debug.core->memory_free(book, sizeof(*book));
    }
    return made ? book : NULL;
}

debug_book *hm__debug_book_mine(const debug_malloc *m)
{
    const debug_thread *me = hm__debug_self();
    return m->book                            ? m->book
           : me && m->number < me->book_count ? me->books[m->number]
                                              : NULL;
}

void hm__debug_book_free(debug_book *book)
{
    const hm_core *core = hm__debug.core;
    for (uint32_t group = 0; group < book->group_count; group++) {
        if (book->groups[group]) {
            hm__debug_live_group_free(book, book->groups[group]);
        }
    }
    core->memory_free(book->groups, book->group_count * sizeof(debug_tally *));
    held_free(book);
    if (book->thread) {
        debug_book **place = &book->owner->books;
        while (*place != book) {
            place = &(*place)->next;
        }
        *place = book->next;
        book->thread->books[book->owner->number] = NULL;
        core->memory_free(book, sizeof(*book));
    }
}
