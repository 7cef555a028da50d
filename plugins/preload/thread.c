/* SPDX-License-Identifier: MIT */
/* The end of a thread. Its destructors free and allocate, and libc frees once more when all of them are done; a host that
 * keeps something for each thread would begin anew then, and nobody would come to end it. */
#include "thread_internal.h"

#include <hostmalloc/module.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>

#include "interpose_internal.h"

_Thread_local unsigned char hm__thread_state;

#define LEFT_MAX 4096u

static pthread_key_t key;
static int has_key;
static hm_lock lock;
static void *left[LEFT_MAX]; /* guarded by lock; what finds no room is lost */
static uint32_t left_count;  /* atomic; written under lock */

/* Called in each of the rounds that destructors get, as long as it asks for the next one. */
static void round_over(void *rounds)
{
    const uintptr_t count = (uintptr_t)rounds + 1;
    if (count > PTHREAD_DESTRUCTOR_ITERATIONS ||
        pthread_setspecific(key, (void *)count) != 0) {
        hm__thread_state = HM__THREAD_ENDED;
    }
}

static void before_fork(void *context)
{
    (void)context;
    hm_core_table()->lock(&lock);
}

static void after_fork_parent(void *context)
{
    (void)context;
    hm_core_table()->unlock(&lock);
}

static void after_fork_child(void *context)
{
    (void)context;
    __atomic_store_n(&lock.word, 0, __ATOMIC_RELEASE);
}

static hm_fork_hooks fork_hooks = {.size = sizeof(hm_fork_hooks),
                                   .rank = INT32_MAX - 2,
                                   .prepare = before_fork,
                                   .parent = after_fork_parent,
                                   .child = after_fork_child};

void hm__threads_start(void)
{
    has_key = pthread_key_create(&key, round_over) == 0;
    hm_core_table()->at_fork(&fork_hooks);
}

static void *take_one(void)
{
    void *block = NULL;
    hm_core_table()->lock(&lock);
    if (left_count) {
        const uint32_t last = left_count - 1;
        block = left[last];
        __atomic_store_n(&left_count, last, __ATOMIC_RELAXED);
    }
    hm_core_table()->unlock(&lock);
    return block;
}

void hm__thread_leave_behind(void *block)
{
    hm_core_table()->lock(&lock);
    if (left_count < LEFT_MAX) {
        left[left_count] = block;
        __atomic_store_n(&left_count, left_count + 1, __ATOMIC_RELAXED);
    }
    hm_core_table()->unlock(&lock);
}

void hm__thread_collect(void)
{
    void *block;
    while (hm__thread_state == HM__THREAD_OUTSIDE &&
           __atomic_load_n(&left_count, __ATOMIC_RELAXED) && (block = take_one())) {
        hm__interposed_free(block, (size_t)-1, 0, NULL);
    }
}

int hm__thread_may_enter(void)
{
    if (hm__thread_state == HM__THREAD_NEW) {
        const int kept = errno;
        /* Setting a key may allocate. */
        hm__thread_state = HM__THREAD_INSIDE;
        if (has_key) {
            pthread_setspecific(key, (void *)1);
        }
        hm__thread_state = HM__THREAD_OUTSIDE;
        hm__thread_collect();
        errno = kept;
    }
    return hm__thread_state == HM__THREAD_OUTSIDE;
}
