/* SPDX-License-Identifier: MIT */
/* Magazines of thread-safe objects: each thread that frees on one has a set of its own there.
 *
 * An object finds a thread's set by a hash of the thread, in a table of the sets seen last: whose a set is stands in
 * it, and a set lives as long as its object, so looking into another thread's does no harm. The thread's record
 * (behind one key for the whole process) leads there by the object's index where the table does not, and to all of
 * the thread's sets when it exits: they are emptied, and wait for the next thread.
 *
 * Only the thread itself touches its sets' magazines and grows its record. A trim can only ask: it sets the reach of a
 * set to 0, and the thread empties it at its next free.
 *
 * The malloc underneath is never called under the lock: it may be a host that takes its own around fork before ours. */
#include "cache_internal.h"

#include <errno.h>
#include <string.h>

#define FORK_RANK     2500
#define NO_INDEX      UINT32_MAX
#define RECORD_STEP   16
#define INDEXES_BELOW 65536u

typedef struct thread_record {
    cache_set **
        sets; /* by object; entries are atomic: their objects clear them. As count, the thread's own */
    uint32_t count;
} thread_record;

struct thread_set {
    thread_set *next;      /* guarded by lock, as the next */
    thread_record *record; /* NULL: waits for a thread */
    cache_malloc *object;
    size_t bytes;
    cache_set set;
};

static hm_lock lock;
static cache_malloc *objects; /* guarded by lock, as the next */
static uint64_t indexes[INDEXES_BELOW / 64];
static uint32_t key; /* set once; key_state is atomic */
static uint32_t key_state;
#define KEY_READY 1u

static void thread_exits(void *value);

/* In the places of sets not seen yet, so that these are no special case. */
static cache_set nobody;

/* A record of nobody, for sets that are being emptied. */
static thread_record leaving;

/* Out of its thread's record; under the lock. */
static void set_detach(thread_set *s, thread_record *to)
{
    if (s->record && s->record != &leaving) {
        __atomic_store_n(&s->record->sets[s->object->index], NULL, __ATOMIC_RELAXED);
    }
    s->record = to;
    __atomic_store_n(&s->set.thread, 0, __ATOMIC_RELAXED);
}

/* 0 when the last reference has gone: whoever gave it up takes care of the sets. */
static int object_hold(cache_malloc *m)
{
    uint32_t had = __atomic_load_n(&m->layer.references, __ATOMIC_RELAXED);
    while (had && !__atomic_compare_exchange_n(&m->layer.references, &had, had + 1, 0,
                                               __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
    }
    return had != 0;
}

static void fork_prepare(void *context)
{
    (void)context;
    hm__cache_core->lock(&lock);
}

static void fork_parent(void *context)
{
    (void)context;
    hm__cache_core->unlock(&lock);
}

/* The other threads are gone, and may have been in the middle of their magazines: what these held is lost. */
static void fork_child(void *context)
{
    (void)context;
    const thread_record *own = hm__cache_core->thread_get(key);
    for (cache_malloc *m = objects; m; m = m->next) {
        for (thread_set *s = m->threads; s; s = s->next) {
            if (s->record != own) {
                hm__cache_set_start(m, &s->set);
            }
        }
    }
    hm__cache_core->unlock(&lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof(hm_fork_hooks),
                                   .rank = FORK_RANK,
                                   .prepare = fork_prepare,
                                   .parent = fork_parent,
                                   .child = fork_child};

hm_status hm__cache_threads_start(hm_error *err)
{
    const hm_core *core = hm__cache_core;
    hm_status status = HM_OK;
    core->lock(&lock);
    const int first = key_state != KEY_READY;
    if (first) {
        status = core->thread_key(&key, thread_exits);
        key_state = status == HM_OK ? KEY_READY : 0;
    }
    core->unlock(&lock);
    if (status != HM_OK) {
        return core->error_set(err, status, "layer:cache", "no key left for the threads");
    }
    if (first) {
        core->at_fork(&fork_hooks);
    }
    return HM_OK;
}

static uint32_t index_take(void)
{
    for (uint32_t i = 0; i < INDEXES_BELOW; i++) {
        const uint64_t bit = (uint64_t)1 << (i % 64);
        if (!(indexes[i / 64] & bit)) {
            indexes[i / 64] |= bit;
            return i;
        }
    }
    return NO_INDEX;
}

hm_status hm__cache_threads_add(cache_malloc *m, hm_error *err)
{
    const hm_core *core = hm__cache_core;
    for (size_t i = 0; i < THREADS_SEEN; i++) {
        ((void **)m->own.of)[i] = &nobody;
    }
    core->lock(&lock);
    m->index = index_take();
    if (m->index != NO_INDEX) {
        m->next = objects;
        objects = m;
    }
    core->unlock(&lock);
    return m->index != NO_INDEX ? HM_OK
                                : core->error_set(err, HM_E_NOMEM, "layer:cache",
                                                  "%u malloc objects are cached already",
                                                  (unsigned)INDEXES_BELOW);
}

void hm__cache_threads_remove(cache_malloc *m)
{
    hm__cache_core->lock(&lock);
    cache_malloc **at = &objects;
    while (*at != m) {
        at = &(*at)->next;
    }
    *at = m->next;
    for (thread_set *s = m->threads; s; s = s->next) {
        set_detach(s, NULL);
    }
    indexes[m->index / 64] &= ~((uint64_t)1 << (m->index % 64));
    hm__cache_core->unlock(&lock);
    while (m->threads) {
        thread_set *gone = m->threads;
        m->threads = gone->next;
        hm__cache_set_empty(m, &gone->set);
        hm__cache_core->memory_free(gone, gone->bytes);
    }
}

/* A thread ends: its set at i, if it has one, is emptied and waits for another. */
static void set_leave(thread_record *record, uint32_t i)
{
    const hm_core *core = hm__cache_core;
    core->lock(&lock);
    cache_set *set = __atomic_load_n(&record->sets[i], __ATOMIC_RELAXED);
    thread_set *s = set ? (thread_set *)((char *)set - offsetof(thread_set, set)) : NULL;
    cache_malloc *m = s && object_hold(s->object) ? s->object : NULL;
    if (s) {
        set_detach(s, m ? &leaving : NULL);
    }
    core->unlock(&lock);
    if (!m) {
        return;
    }
    hm__cache_set_empty(m, set);
    core->lock(&lock);
    s->record = NULL;
    core->unlock(&lock);
    hm_malloc_release(&m->layer.base);
}

static void thread_exits(void *value)
{
    const hm_core *core = hm__cache_core;
    thread_record *record = value;
    for (uint32_t i = 0; i < record->count; i++) {
        set_leave(record, i);
    }
    core->memory_free(record->sets, record->count * sizeof(cache_set *));
    core->memory_free(record, sizeof *record);
}

static inline void **seen_at(cache_malloc *m, uintptr_t thread)
{
    const uint64_t hash = (uint64_t)thread * 0x9E3779B97F4A7C15u;
    return (void **)m->own.of + (hash >> (64 - THREADS_SEEN_SHIFT));
}

/* The calling thread's, or another's; 1 if it is the calling thread's. */
static inline int set_seen(cache_malloc *m, cache_set **out)
{
    const uintptr_t thread = this_thread();
    *out = __atomic_load_n(seen_at(m, thread), __ATOMIC_ACQUIRE);
    return __builtin_expect(__atomic_load_n(&(*out)->thread, __ATOMIC_RELAXED) == thread,
                            1);
}

cache_set *hm__cache_threads_set(cache_malloc *m)
{
    cache_set *set;
    if (set_seen(m, &set)) {
        return set;
    }
    const thread_record *record = hm__cache_core->thread_get(key);
    set = record && m->index < record->count
              ? __atomic_load_n(&record->sets[m->index], __ATOMIC_RELAXED)
              : NULL;
    if (set) {
        __atomic_store_n(seen_at(m, this_thread()), set, __ATOMIC_RELEASE);
    }
    return set;
}

/* Room for the object's index; NULL when there is no memory. */
static thread_record *record_make(const cache_malloc *m)
{
    const hm_core *core = hm__cache_core;
    thread_record *record = core->thread_get(key);
    if (!record) {
        record = core->memory_alloc(sizeof *record);
        if (!record || core->thread_set(key, record) != HM_OK) {
            core->memory_free(record, sizeof *record);
            return NULL;
        }
    }
    if (m->index < record->count) {
        return record;
    }
    const uint32_t count = (m->index / RECORD_STEP + 1) * RECORD_STEP;
    cache_set **sets = core->memory_alloc(count * sizeof *sets);
    if (!sets) {
        return NULL;
    }
    core->lock(&lock); /* objects clear their entries */
    cache_set **old = record->sets;
    const uint32_t old_count = record->count;
    if (old) {
        memcpy(sets, old, old_count * sizeof *sets);
    }
    record->sets = sets;
    record->count = count;
    core->unlock(&lock);
    core->memory_free(old, old_count * sizeof *sets);
    return record;
}

/* One that waits; under the lock. */
static thread_set *set_waiting(const cache_malloc *m)
{
    thread_set *s = m->threads;
    while (s && s->record) {
        s = s->next;
    }
    return s;
}

static thread_set *set_new(cache_malloc *m)
{
    const size_t bytes =
        sizeof(thread_set) + m->own.reach / CLASS_BYTES * sizeof(cache_class);
    thread_set *made = hm__cache_core->memory_alloc(bytes);
    if (made) {
        made->object = m;
        made->bytes = bytes;
        hm__cache_set_start(m, &made->set);
    }
    return made;
}

cache_set *hm__cache_threads_set_make(cache_malloc *m)
{
    const hm_core *core = hm__cache_core;
    cache_set *found = hm__cache_threads_set(m);
    if (found) {
        return found;
    }
    const int kept = errno;
    thread_record *record = record_make(m);
    if (!record) {
        errno = kept;
        return NULL;
    }
    core->lock(&lock);
    thread_set *s = set_waiting(m);
    if (!s) {
        s = set_new(m); /* private memory takes no lock that is ever held around ours */
        if (s) {
            s->next = m->threads;
            __atomic_store_n(&m->threads, s, __ATOMIC_RELAXED);
        }
    }
    if (s) {
        s->record = record;
        __atomic_store_n(&s->set.thread, this_thread(), __ATOMIC_RELAXED);
        __atomic_store_n(&record->sets[m->index], &s->set, __ATOMIC_RELAXED);
        __atomic_store_n(seen_at(m, this_thread()), &s->set, __ATOMIC_RELEASE);
    }
    core->unlock(&lock);
    errno = kept;
    return s ? &s->set : NULL;
}

void hm__cache_threads_held(cache_malloc *m, uint64_t *blocks, uint64_t *bytes)
{
    hm__cache_core->lock(&lock);
    for (thread_set *s = m->threads; s; s = s->next) {
        set_add_held(&s->set, blocks, bytes);
    }
    hm__cache_core->unlock(&lock);
}

void hm__cache_threads_trim(cache_malloc *m)
{
    const cache_set *own = hm__cache_threads_set(m);
    hm__cache_core->lock(&lock);
    for (thread_set *s = m->threads; s; s = s->next) {
        if (&s->set != own) {
            __atomic_store_n(&s->set.reach, 0, __ATOMIC_RELAXED);
        }
    }
    hm__cache_core->unlock(&lock);
}

void *hm__cache_threads_alloc(hm_malloc *self, size_t size, hm_level level)
{
    cache_malloc *m = cache_from(self);
    cache_set *set;
    if (__builtin_expect(has_class(size, m->own.reach), 1)) {
        void *block = set_seen(m, &set) ? set_pop(set, class_at(set, size)) : NULL;
        if (__builtin_expect(block != NULL, 1)) {
            return block;
        }
        if (!__atomic_load_n(&m->threads, __ATOMIC_RELAXED)) { /* nothing to give way */
            hm_malloc *inner = m->layer.inner;
            return (HM_LOAD(inner->vtbl)->alloc)(inner, class_bytes(size), level);
        }
    }
    return hm__cache_alloc_slow(self, size, level);
}

void hm__cache_threads_free_sized(hm_malloc *self, void *block, size_t size)
{
    cache_malloc *m = cache_from(self);
    cache_set *set;
    if (__builtin_expect(block != NULL, 1) && set_seen(m, &set) &&
        __builtin_expect(has_class(size, __atomic_load_n(&set->reach, __ATOMIC_RELAXED)),
                         1)) {
        if (set_push(set, class_at(set, size), block)) {
            return;
        }
    }
    hm__cache_free_slow(self, block, size);
}
