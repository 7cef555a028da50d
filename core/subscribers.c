/* SPDX-License-Identifier: MIT */
/* Who wants to hear of memory pressure: a set of (notify, context) pairs.
 *
 * Nobody is called under the set's lock, so a callback may subscribe, unsubscribe itself or others, and tell other
 * sets. Removing an entry waits until no other thread is inside its callback; the calls of the removing thread
 * itself, further up its own stack, are not waited for. (Two callbacks on two threads that remove each other at
 * the same moment wait for each other: no order would keep the promise to both.)
 *
 * The lock belongs to whoever owns the set, who holds it across a fork if the set must work in the child. The
 * counts of calls under way are put right here: threads that were inside one stayed with the parent. */
#include "pressure_internal.h"

#include "lock_internal.h"
#include "memory_internal.h"
#include "os.h"

typedef struct subscriber {
    struct subscriber *next;
    hm_notify *notify;
    void *context;
    hm_pressure told; /* last */
    uint32_t busy;    /* calls under way; changes under the lock, slept on without it */
    uint32_t forks;   /* of the process when busy was right */
    uint32_t removed; /* not called again; unlinked when nobody walks the list */
    uint32_t awaited; /* somebody sleeps on busy and will look at this once more */
} subscriber;

/* A callback under way on this thread, innermost first. */
typedef struct call {
    hm_subscribers *set;
    subscriber *entry;
    struct call *outer;
} call;

static _Thread_local call *calls;
static uint32_t forks; /* changes in the only thread of a new child */
static uint32_t fork_known;

static subscriber *first_of(const hm_subscribers *set)
{
    return set->list;
}

/* In the child of a fork: only the calls of the thread that forked are still under way. */
static void recount(hm_subscribers *set)
{
    set->calling = 0;
    for (subscriber *s = first_of(set); s; s = s->next) {
        s->busy = 0;
        s->awaited = 0;
        s->forks = forks;
    }
    for (const call *c = calls; c; c = c->outer) {
        if (c->set == set) {
            set->calling++;
            c->entry->busy++;
        }
    }
}

/* Sets this thread is inside of are counted now, on this very thread; the others when they are next used. */
static void after_fork_child(void *context)
{
    (void)context;
    forks++;
    for (const call *c = calls; c; c = c->outer) {
        recount(c->set);
    }
}

static hm_fork_hooks fork_hooks = {
    .size = sizeof fork_hooks, .rank = HM__FORK_PRESSURE, .child = after_fork_child};

static void know_fork(void)
{
    hm__at_fork_once(&fork_known, &fork_hooks);
}

static void lock_set(hm_subscribers *set)
{
    hm__lock(&set->lock);
    if (set->list && first_of(set)->forks != forks) {
        recount(set);
    }
}

/* Under the lock. Whoever walks the list stands on an entry, so entries go only when nobody does. */
static void sweep(hm_subscribers *set)
{
    subscriber **place = (subscriber **)&set->list;
    while (set->calling == 0 && *place) {
        subscriber *s = *place;
        if (s->removed && !s->awaited) {
            *place = s->next;
            hm__memory_free(s, sizeof *s);
        } else {
            place = &s->next;
        }
    }
}

static subscriber *find(hm_subscribers *set, hm_notify *notify, void *context)
{
    subscriber *s = first_of(set);
    while (s && (s->removed || s->notify != notify || s->context != context)) {
        s = s->next;
    }
    return s;
}

hm_status hm__subscribers_add(hm_subscribers *set, hm_notify *notify, void *context)
{
    if (!set || !notify) {
        return HM_E_INVALID;
    }
    know_fork();
    subscriber *added = hm__memory_alloc(sizeof *added);
    if (!added) {
        return HM_E_NOMEM;
    }
    lock_set(set);
    if (find(set, notify, context)) {
        hm__unlock(&set->lock);
        hm__memory_free(added, sizeof *added);
        return HM_E_EXISTS;
    }
    added->notify = notify;
    added->context = context;
    added->told = HM_PRESSURE_NEUTRAL;
    added->forks = forks;
    /* In front: a callback that subscribes anew each time it is called is not met again in the same walk. */
    added->next = set->list;
    set->list = added;
    hm__unlock(&set->lock);
    return HM_OK;
}

hm_status hm__subscribers_remove(hm_subscribers *set, hm_notify *notify, void *context)
{
    if (!set || !notify) {
        return HM_E_INVALID;
    }
    lock_set(set);
    subscriber *s = find(set, notify, context);
    if (!s) {
        hm__unlock(&set->lock);
        return HM_E_NOT_FOUND;
    }
    uint32_t own = 0;
    for (const call *c = calls; c; c = c->outer) {
        own += c->entry == s;
    }
    s->removed = 1;
    while (s->busy > own) {
        const uint32_t seen = s->busy;
        s->awaited = 1;
        hm__unlock(&set->lock);
        hm__os_wait(&s->busy, seen);
        lock_set(set);
    }
    s->awaited = 0;
    sweep(set);
    hm__unlock(&set->lock);
    return HM_OK;
}

/* Under the lock, which is open during the call. */
static size_t call_one(hm_subscribers *set, subscriber *s, hm_pressure pressure)
{
    call here = {set, s, calls};
    s->told = pressure;
    s->busy++;
    calls = &here;
    hm__unlock(&set->lock);
    const size_t bytes = s->notify(s->context, pressure);
    lock_set(set);
    calls = here.outer;
    s->busy--;
    if (s->awaited) {
        hm__os_wake(&s->busy);
    }
    return bytes;
}

static size_t walk(hm_subscribers *set, hm_pressure pressure, const hm_pressure *state)
{
    size_t total = 0;
    lock_set(set);
    set->calling++;
    for (subscriber *s = first_of(set); s; s = s->next) {
        const hm_pressure now =
            state ? __atomic_load_n(state, __ATOMIC_ACQUIRE) : pressure;
        if (!s->removed && (!state || s->told != now)) {
            const size_t bytes = call_one(set, s, now);
            total = bytes > SIZE_MAX - total ? SIZE_MAX : total + bytes;
        }
    }
    set->calling--;
    sweep(set);
    hm__unlock(&set->lock);
    return total;
}

size_t hm__subscribers_tell(hm_subscribers *set, hm_pressure pressure)
{
    return walk(set, pressure, NULL);
}

size_t hm__subscribers_update(hm_subscribers *set, const hm_pressure *state)
{
    return walk(set, HM_PRESSURE_NEUTRAL, state);
}

int hm__subscribers_any(hm_subscribers *set)
{
    lock_set(set);
    const subscriber *s = first_of(set);
    while (s && s->removed) {
        s = s->next;
    }
    hm__unlock(&set->lock);
    return s != NULL;
}
