/* SPDX-License-Identifier: MIT */
/* A malloc whose blocks are marked: where they start, and how many bytes were asked for. */
#include "known_internal.h"

#include <string.h>

#include <hostmalloc/layer.h>

#include "known_marks_internal.h"

/* A mark is the bytes asked for plus 1. Where these are too many for a mark, it is LARGE and the usable bytes that
   were not asked for. */
#define LARGE      UINT32_C(0x40000000)
#define MOST_BYTES ((size_t)LARGE - 2)
HM_STATIC_ASSERT(LARGE * 2 - 1 <= HM__MARK_MOST, "both kinds of number fit a mark");

typedef struct known {
    hm_layer_malloc layer; /* host is NULL: this layer is made over a malloc */
    hm_malloc_vtbl table;
    hm__marks marks; /* its lock guards the malloc underneath too, where that wants it */
    uint32_t serial; /* it does */
    uint32_t
        forking; /* how often a fork locked it: two bridges may share it; the forking thread's */
} known;

static known *known_from(hm_malloc *m)
{
    return (known *)m; /* layer.base is the first member */
}

static void lock(known *k)
{
    hm_core_table()->lock(&k->marks.lock);
}

static void unlock(known *k)
{
    hm_core_table()->unlock(&k->marks.lock);
}

/* Around calls of the malloc underneath. */
static inline void inner_begin(known *k)
{
    if (k->serial) {
        lock(k);
    }
}

static inline void inner_end(known *k)
{
    if (k->serial) {
        unlock(k);
    }
}

static size_t usable_of(known *k, const void *block)
{
    inner_begin(k);
    const size_t usable = hm_size_of(k->layer.inner, block);
    inner_end(k);
    return usable;
}

/* What to note of a block of this size; 0 when it cannot be said. */
static inline uint32_t mark_for(known *k, const void *block, size_t size)
{
    if (size <= MOST_BYTES) {
        return (uint32_t)size + 1;
    }
    const size_t spare = usable_of(k, block) - size;
    return spare < LARGE ? LARGE | (uint32_t)spare : 0;
}

static size_t size_from(uint32_t mark, size_t usable)
{
    return mark & LARGE ? usable - (mark & ~LARGE) : mark - 1;
}

static void put_back(known *k, void *block, hm_site *site)
{
    hm_malloc *inner = k->layer.inner;
    inner_begin(k);
    (void)hm_free_at(inner, block, HM_SIZE_UNKNOWN, 0, site);
    inner_end(k);
}

/* @p alignment 0: the usual one. */
static inline void *
take(known *k, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    hm_malloc *inner = k->layer.inner;
    inner_begin(k);
    void *block = alignment ? hm_alloc_aligned_at(inner, size, alignment, level, site)
                            : hm_alloc_at(inner, size, level, site);
    inner_end(k);
    if (!block) {
        return NULL;
    }
    uint32_t *mark = hm__marks_find(&k->marks, block);
    if (!mark) {
        mark = hm__marks_make(&k->marks, block);
    }
    const uint32_t value = mark ? mark_for(k, block, size) : 0;
    if (!value) {
        put_back(k, block, site);
        return NULL;
    }
    hm__marks_put(mark, value);
    return block;
}

static void *known_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return take(known_from(self), size, 0, level, NULL);
}

static void *
known_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    return take(known_from(self), size, 0, level, site);
}

static void *known_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    return alignment ? take(known_from(self), size, alignment, level, site) : NULL;
}

static hm_status known_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    known *k = known_from(self);
    (void)size, (void)alignment;
    if (!block) {
        return HM_OK;
    }
    if (!hm__marks_take(&k->marks, hm__marks_find(&k->marks, block))) {
        return HM_E_NOT_OWNED;
    }
    put_back(k, block, site);
    return HM_OK;
}

static void known_free(hm_malloc *self, void *block)
{
    (void)known_debug_free(self, block, HM_SIZE_UNKNOWN, 0, NULL);
}

static void known_free_sized(hm_malloc *self, void *block, size_t size)
{
    (void)known_debug_free(self, block, size, 0, NULL);
}

/* Moves by itself: a block that the malloc underneath had moved would need a mark at its new place, and when there
   is no memory for that, there is no way back. */
static void *known_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    known *k = known_from(self);
    (void)old_size;
    if (!block) {
        return take(k, size, 0, level, site);
    }
    uint32_t *mark = hm__marks_find(&k->marks, block);
    const uint32_t was = hm__marks_take(&k->marks, mark);
    if (!was) {
        return NULL;
    }
    const size_t usable = usable_of(k, block);
    const size_t old = size_from(was, usable);
    const uint32_t shrunk = size <= usable ? mark_for(k, block, size) : 0;
    if (shrunk && size >= usable / 2) {
        hm__marks_put(mark, shrunk);
        return block;
    }
    void *fresh = take(k, size, 0, level, site);
    if (fresh) {
        memcpy(fresh, block, old < size ? old : size);
        put_back(k, block, site);
        return fresh;
    }
    /* Shrinking never fails. */
    hm__marks_put(mark, shrunk ? shrunk : was);
    return shrunk ? block : NULL;
}

static size_t known_size_of(hm_malloc *self, const void *block)
{
    return block ? usable_of(known_from(self), block) : 0;
}

static int known_owns(hm_malloc *self, const void *block)
{
    const uint32_t *mark = hm__marks_find(&known_from(self)->marks, block);
    return mark && __atomic_load_n(mark, __ATOMIC_ACQUIRE) != 0;
}

/* With the lock and the mark held. */
static hm_block report(const known *k, const void *block, uint32_t mark)
{
    const size_t usable = hm_size_of(k->layer.inner, block);
    const hm_block seen = {.size = sizeof(hm_block),
                           .address = block,
                           .requested = size_from(mark, usable),
                           .usable = usable,
                           .state = HM_BLOCK_LIVE};
    return seen;
}

static hm_status known_describe(hm_malloc *self, const void *block, hm_block *out)
{
    known *k = known_from(self);
    if (!out || out->size < sizeof(*out)) {
        return HM_E_INVALID;
    }
    lock(k);
    uint32_t *mark = hm__marks_find(&k->marks, block);
    const uint32_t held = hm__marks_hold(mark);
    if (held) {
        const size_t size = out->size;
        *out = report(k, block, held);
        out->size = size;
        hm__marks_put(mark, held);
    }
    unlock(k);
    return held ? HM_OK : HM_E_NOT_OWNED;
}

typedef struct walking {
    const known *k;
    hm_visit *visit;
    void *context;
} walking;

static int walk_one(void *context, void *block, uint32_t mark)
{
    const walking *w = context;
    const hm_block seen = report(w->k, block, mark);
    return w->visit(w->context, &seen);
}

static hm_status known_walk(hm_malloc *self, hm_visit *visit, void *context)
{
    known *k = known_from(self);
    walking w = {k, visit, context};
    if (!visit) {
        return HM_E_INVALID;
    }
    lock(k);
    (void)hm__marks_walk(&k->marks, walk_one, &w);
    unlock(k);
    return HM_OK;
}

static void known_retain(hm_malloc *self)
{
    __atomic_fetch_add(&known_from(self)->layer.references, 1, __ATOMIC_RELAXED);
}

static void known_release(hm_malloc *self)
{
    known *k = known_from(self);
    if (__atomic_sub_fetch(&k->layer.references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    hm__marks_close(&k->marks);
    hm_malloc_release(k->layer.inner);
    hm_core_table()->memory_free(k, sizeof *k);
}

static void table_fill(hm_malloc_vtbl *table)
{
    const hm_core *core = hm_core_table();
    *table = *core->malloc_basics;
    table->retain = known_retain;
    table->release = known_release;
    table->alloc = known_alloc;
    table->free = known_free;
    table->free_sized = known_free_sized;
    table->debug_alloc = known_debug_alloc;
    table->debug_free = known_debug_free;
    table->realloc = known_realloc;
    table->alloc_aligned = known_alloc_aligned;
    table->size_of = known_size_of;
    table->owns = known_owns;
    table->describe = known_describe;
    table->walk = known_walk;
    table->good_size = core->malloc_forward->good_size;
    table->trim = core->malloc_forward->trim;
    table->close = core->malloc_forward->close;
    table->find = core->malloc_forward->find;
}

hm_status hm__known_create(hm_malloc *inner, hm_malloc **out)
{
    const hm_core *core = hm_core_table();
    known *k = core->memory_alloc(sizeof *k);
    *out = NULL;
    if (!k || !hm__marks_open(&k->marks)) {
        core->memory_free(k, sizeof *k);
        return HM_E_NOMEM;
    }
    table_fill(&k->table);
    k->layer.base.vtbl = &k->table;
    k->layer.base.flags =
        HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT | (inner->flags & HM_MALLOC_DEBUG);
    k->layer.inner = inner;
    k->layer.references = 1;
    k->serial = !(inner->flags & HM_MALLOC_THREADSAFE);
    hm_malloc_retain(inner);
    *out = &k->layer.base;
    return HM_OK;
}

static known *ours(hm_malloc *m)
{
    return m && HM_LOAD(m->vtbl)->release == known_release ? known_from(m) : NULL;
}

void hm__known_lock(hm_malloc *m)
{
    known *k = ours(m);
    if (k && k->forking++ == 0) {
        lock(k);
    }
}

void hm__known_unlock(hm_malloc *m)
{
    known *k = ours(m);
    if (k && --k->forking == 0) {
        unlock(k);
    }
}
