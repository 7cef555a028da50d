/* SPDX-License-Identifier: MIT */
/* Heaps of one-thread objects.
 *
 * Allocating from a heap saves the look at thread-local storage. A mimalloc 2.x heap may be allocated from by the
 * thread that made it and is deleted with that thread (its blocks live on). It costs 11 to 60 KiB, so a
 * one-thread object starts on the default heap ("young") and gets a heap when it has asked often enough
 * ("own"). That another thread allocates from such an object is the caller's mistake and would corrupt the
 * heap; looking would cost what the heap gains, so nothing looks once the heap is made.
 *
 * Each thread has a list of its objects that own heaps. As it exits they become young again. An object whose
 * last release comes from another thread waits in the list until its owner makes its next heap. */
#include "mimalloc_internal.h"

#if HEAPS_BY_THREAD

#include <errno.h>

#define EARNED_AFTER 256 /* allocations */

typedef struct thread_heaps {
    mi_object *live;
    mi_object *released; /* by other threads */
} thread_heaps;

static hm_malloc_vtbl young_vtbl;
static hm_malloc_vtbl own_vtbl;
static hm_lock lists_lock; /* taken last: nothing else is locked under it */
static uint32_t list_key;
static int list_key_made;

static void list_add(mi_object **head, mi_object *m)
{
    m->next = *head;
    m->at = head;
    if (m->next) {
        m->next->at = &m->next;
    }
    *head = m;
}

static void list_remove(mi_object *m)
{
    *m->at = m->next;
    if (m->next) {
        m->next->at = m->at;
    }
}

/* Unless it was closed meanwhile. */
static int
table_change(mi_object *m, const hm_malloc_vtbl *from, const hm_malloc_vtbl *to)
{
    return __atomic_compare_exchange_n(&m->base.vtbl, &from, to, 0, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

/* The key is younger than mimalloc's own, so when this runs mimalloc has deleted the heaps of this thread; the
   destructors of keys younger still find objects that work. */
static void thread_exits(void *value)
{
    const hm_core *core = hm__mimalloc_core;
    thread_heaps *mine = value;
    core->lock(&lists_lock);
    for (mi_object *m = mine->live; m; m = m->next) {
        m->heap = NULL;
        m->list = NULL;
        m->asked = 0;
        table_change(m, &own_vtbl, &young_vtbl);
    }
    mi_object *released = mine->released;
    core->unlock(&lists_lock);
    while (released) {
        mi_object *next = released->next;
        core->memory_free(released, sizeof *released);
        released = next;
    }
    core->memory_free(mine, sizeof *mine);
}

/* What the heap still holds goes to the default heap, pages without a block too, and those nobody takes out again
   before they are needed there: they are given back first. */
static void heap_delete(mi_heap_t *heap)
{
    quietly(mi_heap_collect(heap, false));
    quietly(mi_heap_delete(heap));
}

static void delete_released(mi_object *m)
{
    while (m) {
        mi_object *next = m->next;
        heap_delete(m->heap);
        hm__mimalloc_core->memory_free(m, sizeof *m);
        m = next;
    }
}

static thread_heaps *list_of_this_thread(void)
{
    const hm_core *core = hm__mimalloc_core;
    thread_heaps *mine = core->thread_get(list_key);
    if (!mine) {
        mine = core->memory_alloc(sizeof *mine);
        if (mine && core->thread_set(list_key, mine) != HM_OK) {
            core->memory_free(mine, sizeof *mine);
            mine = NULL;
        }
    }
    return mine;
}

/* 1 if m may be allocated from by its heap now. */
static int heap_make(mi_object *m)
{
    const hm_core *core = hm__mimalloc_core;
    if (!list_key_made || core->thread_id() != m->owner) {
        return 0;
    }
    thread_heaps *mine = list_of_this_thread();
    mi_heap_t *heap = mine ? taken(mi_heap_new()) : NULL;
    if (!heap) {
        return 0;
    }
    core->lock(&lists_lock);
    m->heap = heap;
    m->list = mine;
    list_add(&mine->live, m);
    mi_object *released = mine->released;
    mine->released = NULL;
    core->unlock(&lists_lock);
    delete_released(released);
    return table_change(m, &young_vtbl, &own_vtbl);
}

/* Apart for the same reason as in mimalloc.c. */
__attribute__((noinline, cold)) static void *tiny_alloc(mi_heap_t *heap)
{
    return taken(mi_heap_malloc(heap, SMALLEST));
}

static void *own_alloc(hm_malloc *self, size_t size, hm_level level)
{
    (void)level;
    mi_heap_t *heap = object_from(self)->heap;
    return size < SMALLEST ? tiny_alloc(heap) : taken(mi_heap_malloc(heap, size));
}

static void *own_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    (void)site;
    return own_alloc(self, size, level);
}

static void *own_realloc(hm_malloc *self,
                         void *block,
                         size_t old_size,
                         size_t size,
                         hm_level level,
                         hm_site *site)
{
    (void)old_size, (void)level, (void)site;
    const int saved = errno;
    mi_heap_t *heap = object_from(self)->heap;
    void *moved = traded(block, mi_heap_realloc(heap, block, at_least_smallest(size)));
    errno = saved;
    return shrunk_or(moved, block, size);
}

static void *own_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    (void)level, (void)site;
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    return taken(mi_heap_zalloc(object_from(self)->heap, at_least_smallest(bytes)));
}

static void *own_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    (void)site;
    if (!is_power_of_two(alignment)) {
        return NULL;
    }
    if (alignment <= SMALLEST) {
        return own_alloc(self, size, level);
    }
    return taken(mi_heap_malloc_aligned(object_from(self)->heap,
                                        aligned_bytes(size, alignment), alignment));
}

/* Apart, so that the way through young_alloc stays short. */
__attribute__((noinline)) static void *young_ask(mi_object *m, size_t size)
{
    m->asked = 0; /* and ask again later should there be no heap */
    return heap_make(m) ? taken(mi_heap_malloc(m->heap, size)) : taken(mi_malloc(size));
}

static void *young_alloc(hm_malloc *self, size_t size, hm_level level)
{
    (void)level;
    mi_object *m = object_from(self);
    if (++m->asked > EARNED_AFTER) {
        return young_ask(m, at_least_smallest(size));
    }
    return taken(mi_malloc(at_least_smallest(size)));
}

static void *
young_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    (void)site;
    return young_alloc(self, size, level);
}

int hm__mimalloc_heap_drop(mi_object *m)
{
    const hm_core *core = hm__mimalloc_core;
    mi_heap_t *heap = NULL;
    int done = 1;
    core->lock(&lists_lock);
    if (m->list) {
        list_remove(m);
        if (core->thread_id() == m->owner) {
            heap = m->heap;
        } else {
            list_add(&m->list->released, m);
            done = 0;
        }
    }
    core->unlock(&lists_lock);
    if (heap) {
        heap_delete(heap);
    }
    return done;
}

static void fork_prepare(void *context)
{
    (void)context;
    hm__mimalloc_core->lock(&lists_lock);
}

static void fork_done(void *context)
{
    (void)context;
    hm__mimalloc_core->unlock(&lists_lock);
}

static hm_fork_hooks fork_hooks = {
    .size = sizeof(hm_fork_hooks),
    .rank = 1900,
    .prepare = fork_prepare,
    .parent = fork_done,
    .child = fork_done,
};

const hm_malloc_vtbl *hm__mimalloc_heap_start(const hm_malloc_vtbl *plain)
{
    young_vtbl = *plain;
    young_vtbl.alloc = young_alloc;
    young_vtbl.debug_alloc = young_debug_alloc;
    own_vtbl = *plain;
    own_vtbl.alloc = own_alloc;
    own_vtbl.debug_alloc = own_debug_alloc;
    own_vtbl.realloc = own_realloc;
    own_vtbl.alloc_zeroed = own_alloc_zeroed;
    own_vtbl.alloc_aligned = own_alloc_aligned;
    list_key_made = hm__mimalloc_core->thread_key(&list_key, thread_exits) == HM_OK;
    hm__mimalloc_core->at_fork(&fork_hooks);
    return &young_vtbl;
}

#else

const hm_malloc_vtbl *hm__mimalloc_heap_start(const hm_malloc_vtbl *plain)
{
    return plain;
}

int hm__mimalloc_heap_drop(mi_object *m)
{
    (void)m;
    return 1;
}

#endif
