/* SPDX-License-Identifier: MIT */
/* Forks beside threads that allocate. The allocators of sanitizers do not survive a fork while another thread is inside: there, the
 * others stand still meanwhile. */
#ifndef HM_TESTS_FORK_AMID_H
#define HM_TESTS_FORK_AMID_H

#include <sched.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sanitizer.h"

static uint32_t fork_is_due;  /* atomic: stand still */
static uint32_t fork_waiting; /* atomic: how many do */

/* For a thread that is in no allocator just now; all of those beside a fork come by again and again until that is over. */
static inline void fork_may_come(void)
{
    if (__atomic_load_n(&fork_is_due, __ATOMIC_ACQUIRE)) {
        __atomic_fetch_add(&fork_waiting, 1, __ATOMIC_ACQ_REL);
        while (__atomic_load_n(&fork_is_due, __ATOMIC_ACQUIRE)) {
            sched_yield();
        }
        __atomic_fetch_sub(&fork_waiting, 1, __ATOMIC_ACQ_REL);
    }
}

static inline void fork_wait_for(uint32_t threads)
{
    while (__atomic_load_n(&fork_waiting, __ATOMIC_ACQUIRE) != threads) {
        sched_yield();
    }
}

/* Beside so many threads. */
static inline pid_t fork_amid(uint32_t threads)
{
    if (!UNDER_SANITIZER) {
        return fork();
    }
    __atomic_store_n(&fork_is_due, 1, __ATOMIC_RELEASE);
    fork_wait_for(threads);
    const pid_t pid = fork();
    __atomic_store_n(&fork_is_due, 0, __ATOMIC_RELEASE);
    if (pid != 0) {
        fork_wait_for(0);
    }
    return pid;
}

#endif
