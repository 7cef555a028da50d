/* SPDX-License-Identifier: MIT */
/* One-word locks and the single fork handler of the library. */
#include "lock_internal.h"

#include "assert_internal.h"
#include "os.h"

/* 0 free, 1 held, 2 held and somebody may be asleep. */
void hm__lock(hm_lock *lock)
{
    uint32_t seen = 0;
    if (__atomic_compare_exchange_n(&lock->word, &seen, 1, 0, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED)) {
        return;
    }
    /* Holders do a handful of loads and stores: a short spin mostly saves the trip to the kernel. */
    for (int spin = 0; spin < 64; spin++) {
        seen = 0;
        if (__atomic_load_n(&lock->word, __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(&lock->word, &seen, 1, 0, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
            return;
        }
    }
    while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0) {
        hm__os_wait(&lock->word, 2);
    }
}

void hm__unlock(hm_lock *lock)
{
    const uint32_t was = __atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE);
    HM_ASSERT(was != 0);
    if (was == 2) {
        hm__os_wake(&lock->word);
    }
}

void hm__lock_reset(hm_lock *lock)
{
    __atomic_store_n(&lock->word, 0, __ATOMIC_RELEASE);
}

/* Kept sorted by rank; guarded by hooks_lock, which is also held across the fork itself. */
static hm_fork_hooks *hooks;
static hm_lock hooks_lock;
static uint32_t fork_registered;

/* Runs the hooks from the back of the list, iteratively: the list is short and read under the lock. */
static void run_backwards(size_t select)
{
    hm_fork_hooks *done = NULL;
    for (;;) {
        hm_fork_hooks *last = hooks;
        if (last == done || !last) {
            return;
        }
        while (last->next != done) {
            last = last->next;
        }
        void (*const call)(void *) = select ? last->child : last->parent;
        if (call) {
            call(last->context);
        }
        done = last;
    }
}

static void fork_prepare(void)
{
    hm__lock(&hooks_lock);
    for (hm_fork_hooks *h = hooks; h; h = h->next) {
        if (h->prepare) {
            h->prepare(h->context);
        }
    }
}

static void fork_parent(void)
{
    run_backwards(0);
    hm__unlock(&hooks_lock);
}

static void fork_child(void)
{
    run_backwards(1);
    hm__lock_reset(&hooks_lock);
}

void hm__at_fork(hm_fork_hooks *added)
{
    hm__lock(&hooks_lock);
    if (!fork_registered) {
        fork_registered = 1;
        hm__os_at_fork(fork_prepare, fork_parent, fork_child);
    }
    hm_fork_hooks **place = &hooks;
    while (*place && (*place)->rank <= added->rank) {
        HM_ASSERT(*place != added);
        place = &(*place)->next;
    }
    added->next = *place;
    *place = added;
    hm__unlock(&hooks_lock);
}
