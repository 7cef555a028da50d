/* SPDX-License-Identifier: MIT */
/* What all debug hosts of a process share: the block map, numbers of mallocs, threads, and fork. */
#include "debug_internal.h"

#include "files_internal.h"
#include "guarded_internal.h"
#include "ledger_internal.h"
#include "live_internal.h"
#include "os.h"
#include "quarantine_internal.h"
#include "references_internal.h"
#include "scope_internal.h"
#include "stacks_internal.h"
#include "tell_internal.h"
#include "walk_internal.h"

debug_process hm__debug;
_Thread_local debug_here hm__debug_here;
_Thread_local debug_thread *hm__debug_me;
_Thread_local debug_thread *hm__debug_scoped;

static void fork_prepare(void *context)
{
    (void)context;
    if (!hm__debug_walk_mine()) {
        hm__debug.core->lock(&hm__debug.walking);
    }
    hm__debug.core->lock(&hm__debug.lock);
    hm__debug_stacks_hold();
}

static void fork_parent(void *context)
{
    (void)context;
    hm__debug_stacks_let_go();
    hm__debug.core->unlock(&hm__debug.lock);
    if (!hm__debug_walk_mine()) {
        hm__debug.core->unlock(&hm__debug.walking);
    }
}

/* Only the forking thread goes on. Another may have been in the middle of giving blocks back: they are not
   touched again, and its book counts on as it was. */
static void fork_child(void *context)
{
    (void)context;
    for (debug_thread *thread = hm__debug.threads; thread; thread = thread->next) {
        thread->here = thread == hm__debug_self() ? thread->here : NULL;
    }
    for (debug_host *host = hm__debug.hosts; host; host = host->next) {
        host->report.word = 0;
        hm__debug_tell_child(host);
        hm__debug_files_child(host);
        for (debug_malloc *m = host->mallocs; m; m = m->next) {
            for (debug_book *book = m->books; book; book = book->next) {
                book->waits = 0;
                if ((book->evicting || book->paused) && !hm__debug_evicts_here(book)) {
                    book->held_older = 0;
                    book->held_next = book->held;
                    book->held_end = book->held ? book->held + book->held_half : NULL;
                    book->held_room = 0;
                    book->evicting = 0;
                    book->paused = 0;
                }
            }
            m->inside = 0;
        }
        hm__debug_live_child(host);
    }
    hm__debug_slots_child();
    hm__debug_stacks_child();
    hm__debug_references_child();
    hm__debug_walk_child();
    hm__debug.lock.word = 0;
    hm__debug.walking.word = hm__debug_walk_mine() != 0;
}

static hm_fork_hooks fork_hooks = {.size = sizeof(hm_fork_hooks),
                                   .rank = 1100,
                                   .prepare = fork_prepare,
                                   .parent = fork_parent,
                                   .child = fork_child};

/* thread_exit was there, and may not come again: the system calls destructors a few times and no more. */
static _Thread_local uint32_t is_over;

/* The thread's books are emptied and added to the common ones. A destructor that runs later may still free:
   it makes a new debug_thread, which is let go the same way if the system calls once more. Nobody may look at the words of
   a thread that it does not call for, so such a one stays off the hot path. */
static void thread_exit(void *value)
{
    debug_thread *me = value;
    is_over = 1;
    hm__debug_walk_begin();
    for (uint32_t i = 0; i < me->book_count; i++) {
        if (me->books[i]) {
            hm__debug_evict_all(me->books[i]);
        }
    }
    hm__debug.core->lock(&hm__debug.lock);
    for (uint32_t i = 0; i < me->book_count; i++) {
        if (me->books[i]) {
            const debug_malloc *m = me->books[i]->owner;
            hm__debug_live_fold_begin(m);
            hm__debug_book_fold(me->books[i]);
            hm__debug_book_free(me->books[i]);
            hm__debug_live_fold_end(m);
        }
    }
    debug_thread **place = &hm__debug.threads;
    while (*place != me) {
        place = &(*place)->next;
    }
    *place = me->next;
    hm__debug.core->unlock(&hm__debug.lock);
    hm__debug_me = NULL;
    DEBUG_SET(hm__debug_here.malloc, NULL); /* what came by before had a book still */
    hm__debug_scopes_free(me);
    hm__debug_walk_end(); /* may tell, and what is told may come back as a new thread */
    hm__debug.core->memory_free(me->books, me->book_count * sizeof(debug_book *));
    hm__debug.core->memory_free(me, sizeof(*me));
}

debug_thread *hm__debug_attach(void)
{
    const hm_core *core = hm__debug.core;
    debug_thread *me = hm__debug_self();
    if (me) {
        return me;
    }
    me = core->memory_alloc(sizeof(*me));
    if (!me || core->thread_set(hm__debug.thread_key, me) != HM_OK) {
        core->memory_free(me, sizeof(*me));
        return NULL;
    }
    const uint32_t number = core->thread_id();
    me->here = is_over ? NULL : &hm__debug_here;
    me->id = number;
    me->low = (uint64_t)(number < DEBUG_THREAD_MAX ? number : DEBUG_THREAD_MAX) << 52;
    core->lock(&hm__debug.lock);
    __atomic_add_fetch(&hm__debug.threads_cut, number >= DEBUG_THREAD_MAX,
                       __ATOMIC_RELAXED);
    me->next = hm__debug.threads;
    hm__debug.threads = me;
    core->unlock(&hm__debug.lock);
    hm__debug_here.id = me->id;
    hm__debug_here.low = me->low;
    hm__debug_me = me;
    return me;
}

/* In a scope there is no hm__debug_me, and a malloc with a limit counts against it call by call. */
int hm__debug_here_turn(debug_malloc *m)
{
    debug_book *book = hm__debug_book_mine(m);
    if (!hm__debug_me || !hm__debug_me->here || m->limit != DEBUG_NO_LIMIT || !book) {
        return 0;
    }
    hm__debug_here.book = book;
    DEBUG_SET(hm__debug_here.malloc, m);
    return 1;
}

void hm__debug_here_forget(const debug_malloc *m)
{
    for (debug_thread *thread = hm__debug.threads; thread; thread = thread->next) {
        if (thread->here && DEBUG_GET(thread->here->malloc) == m) {
            DEBUG_SET(thread->here->malloc, NULL);
        }
    }
}

static hm_status start_once(hm_error *err)
{
    const hm_core *core = hm__debug.core;
    const size_t table = (DEBUG_OWNER_MAX + 1) * sizeof(debug_malloc *);
    if (!hm__debug_cookie && core->random(&hm__debug_cookie, sizeof(hm__debug_cookie)) <
                                 sizeof(hm__debug_cookie)) {
        /* No entropy this early: time and address layout are better than a constant. */
        hm__debug_cookie =
            (core->now_ns() ^ (uintptr_t)&err) * UINT64_C(0x9E3779B97F4A7C15);
    }
    if (!hm__debug.mallocs && !(hm__debug.mallocs = core->pages_map(table))) {
        return core->error_set(err, HM_E_NOMEM, "host:debug",
                               "no memory for the table of mallocs");
    }
    if (!hm__debug.traits && !(hm__debug.traits = core->pages_map(DEBUG_OWNER_MAX + 1))) {
        return core->error_set(err, HM_E_NOMEM, "host:debug",
                               "no memory for the table of mallocs");
    }
    if (!hm__block_map_open(&hm__debug.map)) {
        return core->error_set(err, HM_E_NOMEM, "host:debug",
                               "no address space for the map of blocks");
    }
    if (core->thread_key(&hm__debug.thread_key, thread_exit) != HM_OK) {
        return core->error_set(err, HM_E_NOMEM, "host:debug",
                               "the system has no more thread keys");
    }
    core->at_fork(&fork_hooks);
#ifdef DEBUG_RACES_SEEN
    hm__debug.walkers = DEBUG_WALK_FENCED;
#else
    hm__debug.walkers = hm__os_barrier_others() ? 0 : DEBUG_WALK_FENCED;
#endif
    hm__debug.started = 1;
    return HM_OK;
}

hm_status hm__debug_start(hm_error *err)
{
    hm__debug.core->lock(&hm__debug.lock);
    const hm_status status = hm__debug.started ? HM_OK : start_once(err);
    hm__debug.core->unlock(&hm__debug.lock);
    return status;
}

/* The lowest free one, because threads keep tables by number; released mallocs keep theirs for a while, so a number
   does not come back at once. Number 0 is never given: a header of zeros has no owner. */
uint32_t hm__debug_number_take(debug_malloc *m, unsigned traits)
{
    uint32_t number = hm__debug.free_from ? hm__debug.free_from : 1;
    while (number <= DEBUG_OWNER_MAX && DEBUG_GET(hm__debug.mallocs[number])) {
        number++;
    }
    hm__debug.free_from = number;
    if (number > DEBUG_OWNER_MAX) {
        return 0;
    }
    DEBUG_SET(hm__debug.traits[number], (uint8_t)traits);
    __atomic_store_n(&hm__debug.mallocs[number], m, __ATOMIC_RELEASE);
    return number;
}

void hm__debug_number_give(uint32_t number)
{
    __atomic_store_n(&hm__debug.mallocs[number], NULL, __ATOMIC_RELEASE);
    if (number < hm__debug.free_from) {
        hm__debug.free_from = number;
    }
}

debug_malloc *hm__debug_malloc_of(uint32_t number)
{
    return __atomic_load_n(&hm__debug.mallocs[number], __ATOMIC_ACQUIRE);
}
