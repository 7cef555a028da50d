/* SPDX-License-Identifier: MIT */
/* Who walks and who gives blocks back, and how the two wait for each other. */
#include "walk_internal.h"

#include "annotate_internal.h"
#include "os.h"
#include "tell_internal.h"

static _Thread_local uint32_t walk_depth;

int hm__debug_walk_mine(void)
{
    return walk_depth != 0;
}

int hm__debug_evicts_here(const debug_book *book)
{
    const debug_thread *me = hm__debug_self();
    return me &&
           (book->thread ? book->thread == me : DEBUG_GET(book->owner->inside) == me->id);
}

/* Visits the books whose blocks the calling thread gives back just now, or those of other threads; a value other than 0 ends it. */
static int evicting_visit(int mine, int (*visit)(debug_book *book))
{
    int stop = 0;
    hm__debug.core->lock(&hm__debug.lock);
    for (debug_host *host = hm__debug.hosts; host; host = host->next) {
        for (debug_malloc *m = host->mallocs; m; m = m->next) {
            for (debug_book *book = m->books; book && !stop; book = book->next) {
                if ((__atomic_load_n(&book->evicting, __ATOMIC_SEQ_CST) ||
                     (mine && book->paused)) &&
                    hm__debug_evicts_here(book) == mine) {
                    stop = visit(book);
                }
            }
        }
    }
    hm__debug.core->unlock(&hm__debug.lock);
    return stop;
}

static _Thread_local uint32_t pauses;

static int pause_one(debug_book *book)
{
    pauses++;
    book->paused = book->evicting;
    __atomic_store_n(&book->evicting, 0, __ATOMIC_SEQ_CST);
    return 0;
}

static int resume_one(debug_book *book)
{
    pauses--;
    __atomic_store_n(&book->evicting, book->paused, __ATOMIC_SEQ_CST);
    book->paused = 0;
    return 0;
}

/* A thread that comes here from an inner malloc, in the middle of giving a block back, gets no further while it waits: whoever walks
   must not wait for it meanwhile. */
static void lock_walking(void)
{
    evicting_visit(1, pause_one);
    hm__debug.core->lock(&hm__debug.walking);
    if (pauses) {
        evicting_visit(1, resume_one);
    }
}

static uint32_t waiting; /* atomic: threads that want to give blocks back */

void hm__debug_evict_enter(debug_book *book)
{
    if (walk_depth || hm__debug_evict_try(book)) {
        return;
    }
    __atomic_add_fetch(&book->evicting, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&hm__debug.walkers, __ATOMIC_SEQ_CST) & DEBUG_WALK_ON) {
        __atomic_sub_fetch(&book->evicting, 1, __ATOMIC_SEQ_CST);
        /* Nobody walks while the lock is held, and the next who does waits. */
        __atomic_add_fetch(&waiting, 1, __ATOMIC_RELAXED);
        DEBUG_SET(book->waits, 1);
        lock_walking();
        DEBUG_SET(book->waits, 0);
        __atomic_sub_fetch(&waiting, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&book->evicting, 1, __ATOMIC_SEQ_CST);
        hm__debug.core->unlock(&hm__debug.walking);
    }
}

void hm__debug_evict_leave(debug_book *book)
{
    if (!walk_depth) {
        hm__debug_evict_done(book);
    }
}

/* From here on no thread gives blocks back that does not know of the walk: who looked before this has said so, and who
   looks later sees it. */
static void announce_walk(void)
{
    const uint32_t before =
        __atomic_fetch_or(&hm__debug.walkers, DEBUG_WALK_ON, __ATOMIC_SEQ_CST);
    if (!(before & DEBUG_WALK_FENCED) && !hm__os_barrier_others()) {
        /* A sandbox has taken the call away. No processor keeps a store to itself for so long. */
        __atomic_fetch_or(&hm__debug.walkers, DEBUG_WALK_FENCED, __ATOMIC_SEQ_CST);
        hm__os_sleep_ns(1000000);
    }
}

/* What two threads at once left in the word of an unsynchronised malloc says nothing once both are out. */
static int is_busy(debug_book *book)
{
    return book->thread || DEBUG_GET(book->owner->inside);
}

/* The lock is free meanwhile: what gives blocks back may need it before it is done. */
static void wait_for_evictions(void)
{
    while (evicting_visit(0, is_busy)) {
        hm__os_sleep_ns(1000);
    }
}

void hm__debug_walk_child(void)
{
    waiting = 0;
}

void hm__debug_walk_begin(void)
{
    if (walk_depth++) {
        return;
    }
    hm__debug_annotate_begin();
    /* Locks are not fair: who walks all the time would always have this one. */
    for (int i = 0; i < 10 && __atomic_load_n(&waiting, __ATOMIC_RELAXED); i++) {
        hm__os_sleep_ns(1000);
    }
    lock_walking();
    announce_walk();
    wait_for_evictions();
}

void hm__debug_walk_end(void)
{
    if (--walk_depth) {
        return;
    }
    __atomic_fetch_and(&hm__debug.walkers, ~DEBUG_WALK_ON, __ATOMIC_SEQ_CST);
    hm__debug.core->unlock(&hm__debug.walking);
    hm__debug_annotate_end();
    hm__debug_tell_waiting();
}
