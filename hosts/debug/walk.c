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

void hm__debug_evict_enter(debug_book *book)
{
    if (hm__debug_evict_try(book)) {
        return;
    }
    /* More than 0 inside another eviction of this thread, which gets no further while this one waits. */
    const uint32_t before = book->evicting;
    for (;;) {
        __atomic_exchange_n(&book->evicting, before + 1, __ATOMIC_SEQ_CST);
        if (!(__atomic_load_n(&hm__debug.walkers, __ATOMIC_SEQ_CST) & DEBUG_WALK_ON) ||
            hm__debug_walk_mine()) {
            return;
        }
        __atomic_store_n(&book->evicting, 0, __ATOMIC_SEQ_CST);
        hm__debug.core->lock(&hm__debug.walking);
        hm__debug.core->unlock(&hm__debug.walking);
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

static void wait_for_evictions(void)
{
    hm__debug.core->lock(&hm__debug.lock);
    for (debug_host *host = hm__debug.hosts; host; host = host->next) {
        for (debug_malloc *m = host->mallocs; m; m = m->next) {
            for (debug_book *book = m->books; book; book = book->next) {
                while (__atomic_load_n(&book->evicting, __ATOMIC_SEQ_CST) &&
                       !hm__debug_evicts_here(book)) {
                    hm__os_sleep_ns(1000);
                }
            }
        }
    }
    hm__debug.core->unlock(&hm__debug.lock);
}

void hm__debug_walk_begin(void)
{
    if (walk_depth++) {
        return;
    }
    hm__debug_annotate_begin();
    hm__debug.core->lock(&hm__debug.walking);
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
