/* SPDX-License-Identifier: MIT */
/* The system's memory pressure: what state it is in, and one thread that looks while anybody is subscribed.
 *
 * A state is left later than it is entered, so that a load on the border does not make every subscriber collect
 * once a second. Low is always followed by neutral or high: a runtime stays in its low-memory mode until it
 * hears otherwise. */
#include "pressure_internal.h"

#include "lock_internal.h"
#include "memory_internal.h"
#include "os.h"

/* Percent of the limit still to be had. A collector needs room to run in, and the kernel starts to take pages
   away, or to kill, when a few percent are left; so low begins before that. */
#define LOW_BELOW 5u
#define LOW_UNTIL 10u /* twice that: one collection's worth of room again */
/* With a quarter free a runtime may trade memory for time. */
#define HIGH_ABOVE 25u
#define HIGH_UNTIL 20u

/* Share of the last ten seconds in which some thread waited for memory, in 1/100 %. A tenth is felt by users
   even when the figures above look fine (a slow disk, a limit on a group above). */
#define STALL_LOW   1000u
#define STALL_UNTIL 200u

/* A collection takes tens of milliseconds, a look some 35 us. */
#define LOOK_EVERY_NS 1000000000u

/* One thread's life. Freed by whoever joins it. */
typedef struct watcher {
    uintptr_t handle;
    uint32_t stop;  /* atomic; slept on */
    uint32_t ended; /* atomic; set last: joining does not wait */
    struct watcher *next;
} watcher;

static hm_lock lock; /* outside the set's; never held during a callback or a join */
static hm_pressure state = HM_PRESSURE_NEUTRAL; /* written under lock, read atomically */
static watcher *current;                        /* guarded by lock */
static watcher
    *leaving; /* guarded by lock: stopped by themselves, from inside a callback */
static hm_subscribers set;
static _Thread_local watcher *own; /* of a watching thread */
static uint32_t fork_known;

static void before_fork(void *context)
{
    (void)context;
    hm__lock(&lock);
    hm__lock(&set.lock);
}

static void after_fork_parent(void *context)
{
    (void)context;
    hm__unlock(&set.lock);
    hm__unlock(&lock);
}

/* The threads stayed with the parent; a look or a subscription starts one here. If it was the watching thread that
   forked, it is the child's only one and ends when its callback returns. */
static void after_fork_child(void *context)
{
    (void)context;
    if (current) {
        current->next = leaving;
        leaving = current;
    }
    while (leaving) {
        watcher *gone = leaving;
        leaving = gone->next;
        if (gone != own) {
            hm__memory_free(gone, sizeof *gone);
        }
    }
    if (own) {
        __atomic_store_n(&own->stop, 1, __ATOMIC_RELEASE);
    }
    current = NULL;
    hm__lock_reset(&set.lock);
    hm__lock_reset(&lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof fork_hooks,
                                   .rank = HM__FORK_PRESSURE,
                                   .prepare = before_fork,
                                   .parent = after_fork_parent,
                                   .child = after_fork_child};

static void know_fork(void)
{
    hm__at_fork_once(&fork_known, &fork_hooks);
}

static uint32_t percent_of(uint64_t part, uint64_t whole)
{
    if (whole == 0) {
        return 0;
    }
    return (uint32_t)(whole < UINT64_MAX / 100 ? part * 100 / whole
                                               : part / (whole / 100));
}

hm_status hm__memory_load(uint32_t *percent, size_t *available)
{
    hm__os_memory memory;
    if (!percent || !available) {
        return HM_E_INVALID;
    }
    if (!hm__os_memory_status(&memory)) {
        return HM_E_OS;
    }
    *percent = 100 - percent_of(memory.available, memory.limit);
    *available = memory.available < SIZE_MAX ? (size_t)memory.available : SIZE_MAX;
    return HM_OK;
}

static hm_pressure next_state(hm_pressure before, const hm__os_memory *memory)
{
    const uint32_t free = percent_of(memory->available, memory->limit);
    const int was_low = before == HM_PRESSURE_LOW;
    if (free < (was_low ? LOW_UNTIL : LOW_BELOW) ||
        memory->stalled >= (was_low ? STALL_UNTIL : STALL_LOW)) {
        return HM_PRESSURE_LOW;
    }
    if (free > HIGH_ABOVE || (before == HM_PRESSURE_HIGH && free >= HIGH_UNTIL)) {
        return HM_PRESSURE_HIGH;
    }
    return HM_PRESSURE_NEUTRAL;
}

static void watch(void *context)
{
    watcher *w = context;
    own = w;
    while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
        hm__pressure_look();
        hm__os_wait_for(&w->stop, 0, LOOK_EVERY_NS);
    }
    __atomic_store_n(&w->ended, 1, __ATOMIC_RELEASE);
}

/* Under the lock. */
static hm_status watcher_start(void)
{
    if (current) {
        return HM_OK;
    }
    watcher *w = hm__memory_alloc(sizeof *w);
    if (!w) {
        return HM_E_NOMEM;
    }
    if (!hm__os_thread_start(watch, w, &w->handle)) {
        hm__memory_free(w, sizeof *w);
        return HM_E_OS;
    }
    current = w;
    return HM_OK;
}

static void watcher_join(watcher *w)
{
    hm__os_thread_join(w->handle);
    hm__memory_free(w, sizeof *w);
}

/* Those that could not be joined from inside their own callback, and have ended since. */
static void join_those_who_left(void)
{
    watcher *ended = NULL;
    hm__lock(&lock);
    for (watcher **place = &leaving; *place;) {
        watcher *w = *place;
        if (__atomic_load_n(&w->ended, __ATOMIC_ACQUIRE)) {
            *place = w->next;
            w->next = ended;
            ended = w;
        } else {
            place = &w->next;
        }
    }
    hm__unlock(&lock);
    while (ended) {
        watcher *w = ended;
        ended = w->next;
        watcher_join(w);
    }
}

/* The last subscriber is gone: no callback can be under way but one of this very thread. */
static void stop_when_nobody_listens(void)
{
    hm__lock(&lock);
    watcher *w = hm__subscribers_any(&set) ? NULL : current;
    if (w) {
        current = NULL;
        __atomic_store_n(&w->stop, 1, __ATOMIC_RELEASE);
        hm__os_wake(&w->stop);
        if (w == own) {
            w->next = leaving;
            leaving = w;
        }
    }
    hm__unlock(&lock);
    if (w && w != own) {
        watcher_join(w);
    }
}

hm_status hm__pressure_subscribe(hm_notify *notify, void *context)
{
    if (!notify) {
        return HM_E_INVALID;
    }
    know_fork();
    join_those_who_left();
    hm__lock(&lock);
    hm_status status = watcher_start();
    if (status == HM_OK) {
        status = hm__subscribers_add(&set, notify, context);
    }
    hm__unlock(&lock);
    if (status != HM_OK) {
        stop_when_nobody_listens();
    }
    return status;
}

hm_status hm__pressure_unsubscribe(hm_notify *notify, void *context)
{
    const hm_status status = hm__subscribers_remove(&set, notify, context);
    if (status == HM_OK) {
        stop_when_nobody_listens();
        join_those_who_left();
    }
    return status;
}

hm_pressure hm__pressure_look(void)
{
    hm__os_memory memory;
    const int known = hm__os_memory_status(&memory);
    hm__lock(&lock);
    if (known) {
        __atomic_store_n(&state, next_state(state, &memory), __ATOMIC_RELEASE);
    }
    const hm_pressure now = state;
    if (!current && hm__subscribers_any(&set)) {
        watcher_start(); /* after a fork; refused, it is tried again with the next look */
    }
    hm__unlock(&lock);
    hm__subscribers_update(&set, &state);
    return now;
}
