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

/* Kept sorted by rank; links guarded by hooks_lock. Hooks are never removed. */
static hm_fork_hooks *hooks;
static hm_lock hooks_lock;
static uint32_t fork_registered;

/* Held across the whole fork, so that two forks do not mix. hooks_lock is not: whoever adds its
   hooks late may hold a lock that an earlier hook waits for. */
static hm_lock fork_lock;

static hm_fork_hooks *next_of(hm_fork_hooks *at)
{
    hm__lock(&hooks_lock);
    hm_fork_hooks *next = at ? at->next : hooks;
    hm__unlock(&hooks_lock);
    return next;
}

static void fork_prepare(void)
{
    hm__lock(&fork_lock);
    for (hm_fork_hooks *h = next_of(NULL); h; h = next_of(h)) {
        h->prepared = 1;
        if (h->prepare) {
            h->prepare(h->context);
        }
    }
    hm__lock(&hooks_lock);
}

/* What was prepared, from the back; the list is short. Hooks added in between were not. */
static void finish(int in_child)
{
    hm_fork_hooks *done = NULL;
    while (hooks != done) {
        hm_fork_hooks *last = hooks;
        while (last->next != done) {
            last = last->next;
        }
        void (*const call)(void *) = in_child ? last->child : last->parent;
        if (last->prepared && call) {
            call(last->context);
        }
        last->prepared = 0;
        done = last;
    }
}

static void fork_parent(void)
{
    finish(0);
    hm__unlock(&hooks_lock);
    hm__unlock(&fork_lock);
}

static void fork_child(void)
{
    finish(1);
    hm__lock_reset(&hooks_lock);
    hm__lock_reset(&fork_lock);
}

void hm__at_fork(hm_fork_hooks *added)
{
    hm__lock(&hooks_lock);
    if (!fork_registered) {
        fork_registered = 1;
        hm__os_at_fork(fork_prepare, fork_parent, fork_child);
    }
    hm_fork_hooks **place = &hooks;
    while (*place && *place != added && (*place)->rank <= added->rank) {
        place = &(*place)->next;
    }
    if (*place != added) {
        added->next = *place;
        *place = added;
    }
    hm__unlock(&hooks_lock);
}
