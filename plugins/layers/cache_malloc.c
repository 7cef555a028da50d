/* SPDX-License-Identifier: MIT */
/* The slots of cached objects: of plain ones, where the caller serialises; of one-thread ones, where others may free
 * meanwhile; and what thread-safe ones (cache_threads.c) share with them. */
#include "cache_internal.h"

#include <errno.h>
#include <string.h>

static hm_malloc_vtbl plain_vtbl;
static hm_malloc_vtbl one_thread_vtbl;
static hm_malloc_vtbl threads_vtbl;
static hm_malloc_vtbl drained_vtbl; /* of all three */

static int is_for_threads(const cache_malloc *m)
{
    return (m->layer.base.flags & HM_MALLOC_THREADSAFE) != 0;
}

/* The calling thread may use own: always, but for frees on a one-thread object. A thread that comes after the owner is
   gone may pass for it, and do it no harm. */
static int is_mine(const cache_malloc *m)
{
    return !m->own.thread || m->own.thread == this_thread();
}

/* The set that the calling thread may use, or NULL. */
static cache_set *set_of(cache_malloc *m)
{
    if (is_for_threads(m)) {
        return hm__cache_threads_set(m);
    }
    return is_mine(m) ? &m->own : NULL;
}

/* NULL: sizes such as this have no class. */
static cache_class *class_find(const cache_malloc *m, cache_set *set, size_t size)
{
    const size_t bytes = size ? size : 1;
    return set && has_class(bytes, m->own.reach) ? class_at(set, bytes) : NULL;
}

/* What the malloc underneath is asked for. */
static inline size_t rounded(const cache_malloc *m, size_t size)
{
    const size_t bytes = size ? size : 1;
    return has_class(bytes, m->own.reach) ? class_bytes(bytes) : size;
}

static size_t rounded_if_known(const cache_malloc *m, size_t size)
{
    return size == HM_SIZE_UNKNOWN ? size : rounded(m, size);
}

void hm__cache_set_start(const cache_malloc *m, cache_set *set)
{
    for (size_t bytes = CLASS_BYTES; bytes <= m->own.reach; bytes += CLASS_BYTES) {
        *class_at(set, bytes) = (cache_class){NULL, bytes * ONE_BYTE + 1};
    }
    set->empty = m->bytes * ONE_BYTE + UINT32_MAX;
    __atomic_store_n(&set->room, set->empty, __ATOMIC_RELAXED);
    __atomic_store_n(&set->reach, m->own.reach, __ATOMIC_RELAXED);
    set->refused = 0;
}

int hm__cache_set_empty(const cache_malloc *m, cache_set *set)
{
    hm_malloc *inner = m->layer.inner;
    if (room_of(set) == set->empty) {
        return 0;
    }
    for (size_t bytes = CLASS_BYTES; bytes <= m->own.reach; bytes += CLASS_BYTES) {
        void *block;
        while ((block = set_pop(set, class_at(set, bytes))) != NULL) {
            HM_LOAD(inner->vtbl)->free_sized(inner, block, bytes);
        }
    }
    return 1;
}

/* How often its bound a full set refuses before it is emptied. */
#define PATIENCE 16

/* A full set lets blocks pass: to empty it at once would touch every block of a long run of frees twice, cold. But blocks
   of sizes no longer in use must not fill it for good. */
static int
push_anyway(const cache_malloc *m, cache_set *set, cache_class *class, void *block)
{
    const int asked = __atomic_load_n(&set->reach, __ATOMIC_RELAXED) == 0;
    if (!asked && set_push(set, class, block)) {
        return 1;
    }
    set->refused += class->weight / ONE_BYTE;
    if (!asked && set->refused < (uint64_t)m->bytes * PATIENCE) {
        return 0;
    }
    const int kept = errno;
    hm__cache_set_empty(m, set);
    __atomic_store_n(&set->reach, m->own.reach, __ATOMIC_RELAXED);
    set->refused = 0;
    errno = kept;
    return set_push(set, class, block);
}

/* Blocks held back go before an allocation is refused. */
static int give_way(cache_malloc *m)
{
    if (is_for_threads(m)) {
        hm__cache_threads_trim(m);
    }
    cache_set *set = set_of(m);
    return set && hm__cache_set_empty(m, set);
}

/* Apart, so that the way through hm__cache_alloc_slow saves few registers. */
__attribute__((noinline, cold)) static void *
alloc_again(cache_malloc *m, size_t size, hm_level level)
{
    hm_malloc *inner = m->layer.inner;
    return size <= PTRDIFF_MAX && give_way(m)
               ? (HM_LOAD(inner->vtbl)->alloc)(inner, rounded(m, size), level)
               : NULL;
}

void *hm__cache_alloc_slow(hm_malloc *self, size_t size, hm_level level)
{
    cache_malloc *m = cache_from(self);
    hm_malloc *inner = m->layer.inner;
    if (size == 0) {
        cache_set *set = set_of(m);
        void *held = set ? set_pop(set, class_find(m, set, 0)) : NULL;
        if (held) {
            return held;
        }
    }
    void *block = (HM_LOAD(inner->vtbl)->alloc)(inner, rounded(m, size), level);
    return block ? block : alloc_again(m, size, level);
}

void hm__cache_free_slow(hm_malloc *self, void *block, size_t size)
{
    cache_malloc *m = cache_from(self);
    hm_malloc *inner = m->layer.inner;
    if (!block) {
        return;
    }
    const size_t bytes = rounded(m, size);
    if (bytes <= m->own.reach) {
        cache_set *set = is_for_threads(m) ? hm__cache_threads_set_make(m) : set_of(m);
        if (set && push_anyway(m, set, class_at(set, bytes), block)) {
            return;
        }
    }
    HM_LOAD(inner->vtbl)->free_sized(inner, block, bytes);
}

static void *plain_alloc(hm_malloc *self, size_t size, hm_level level)
{
    cache_malloc *m = cache_from(self);
    if (__builtin_expect(has_class(size, m->own.reach), 1)) {
        void *block = set_pop(&m->own, class_at(&m->own, size));
        if (__builtin_expect(block != NULL, 1)) {
            return block;
        }
        if (room_of(&m->own) == m->own.empty) { /* nothing to give way */
            hm_malloc *inner = m->layer.inner;
            return (HM_LOAD(inner->vtbl)->alloc)(inner, class_bytes(size), level);
        }
    }
    return hm__cache_alloc_slow(self, size, level);
}

static void plain_free_sized(hm_malloc *self, void *block, size_t size)
{
    cache_set *set = &cache_from(self)->own;
    if (__builtin_expect(block && has_class(size, set->reach), 1)) {
        if (set_push(set, class_at(set, size), block)) {
            return;
        }
    }
    hm__cache_free_slow(self, block, size);
}

/* Only the owner allocates, but others may free, and at the same time. */
static void one_thread_free_sized(hm_malloc *self, void *block, size_t size)
{
    cache_set *set = &cache_from(self)->own;
    if (__builtin_expect(
            set->thread == this_thread() && block && has_class(size, set->reach), 1)) {
        if (set_push(set, class_at(set, size), block)) {
            return;
        }
    }
    hm__cache_free_slow(self, block, size);
}

static void *
cache_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    (void)site;
    return (HM_LOAD(self->vtbl)->alloc)(self, size, level);
}

static hm_status cache_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    (void)alignment, (void)site;
    if (size == HM_SIZE_UNKNOWN) {
        (HM_LOAD(self->vtbl)->free)(self, block);
    } else {
        HM_LOAD(self->vtbl)->free_sized(self, block, size);
    }
    return HM_OK;
}

/* From one magazine to another, or not at all. NULL: ask underneath. */
static void *move_cached(cache_malloc *m, void *block, size_t old_size, size_t size)
{
    cache_set *set = set_of(m);
    cache_class *class = class_find(m, set, size);
    void *moved = class ? set_pop(set, class) : NULL;
    if (moved) {
        memcpy(moved, block, old_size < size ? old_size : size);
        HM_LOAD(m->layer.base.vtbl)->free_sized(&m->layer.base, block, old_size);
    }
    return moved;
}

static void *cache_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    cache_malloc *m = cache_from(self);
    hm_malloc *inner = m->layer.inner;
    if (!block) {
        return (HM_LOAD(self->vtbl)->alloc)(self, size, level);
    }
    const size_t had = rounded_if_known(m, old_size), want = rounded(m, size);
    if (had <= m->own.reach && want <= m->own.reach) { /* both have a class */
        void *kept = had == want ? block : move_cached(m, block, old_size, size);
        if (kept) {
            return kept;
        }
    }
    void *moved = hm_realloc_at(inner, block, had, want, level, site);
    if (!moved && size <= PTRDIFF_MAX && give_way(m)) {
        moved = hm_realloc_at(inner, block, had, want, level, site);
    }
    return moved;
}

static void *cache_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    cache_malloc *m = cache_from(self);
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    cache_set *set = set_of(m);
    cache_class *class = class_find(m, set, bytes);
    void *block = class ? set_pop(set, class) : NULL;
    if (block) {
        return memset(block, 0, bytes);
    }
    block = hm_alloc_zeroed_at(m->layer.inner, 1, rounded(m, bytes), level, site);
    if (!block && bytes <= PTRDIFF_MAX && give_way(m)) {
        block = hm_alloc_zeroed_at(m->layer.inner, 1, rounded(m, bytes), level, site);
    }
    return block;
}

static void *cache_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    cache_malloc *m = cache_from(self);
    if (alignment && alignment <= CLASS_BYTES && !(alignment & (alignment - 1))) {
        return (HM_LOAD(self->vtbl)->alloc)(self, size, level);
    }
    return hm_alloc_aligned_at(m->layer.inner, rounded(m, size), alignment, level, site);
}

static size_t cache_good_size(hm_malloc *self, size_t size)
{
    const cache_malloc *m = cache_from(self);
    const size_t bytes = rounded(m, size);
    return bytes <= m->own.reach ? bytes : hm_good_size(m->layer.inner, size);
}

static void held_by(cache_malloc *m, uint64_t *blocks, uint64_t *bytes)
{
    if (is_for_threads(m)) {
        hm__cache_threads_held(m, blocks, bytes);
    } else {
        set_add_held(&m->own, blocks, bytes);
    }
}

/* The malloc underneath counts what the magazines hold as live, and every small block at its class. */
static hm_status cache_stats(hm_malloc *self, hm_stats *out)
{
    cache_malloc *m = cache_from(self);
    hm_malloc *inner = m->layer.inner;
    const hm_status status = HM_LOAD(inner->vtbl)->stats(inner, out);
    uint64_t blocks = 0, bytes = 0;
    if (status == HM_OK) {
        held_by(m, &blocks, &bytes);
    }
    if (status == HM_OK && HM_HAS(out, hm_stats, live_bytes)) {
        out->live_blocks -= blocks;
        out->live_bytes -= bytes;
    }
    if (status == HM_OK && HM_HAS(out, hm_stats, overhead_bytes)) {
        out->overhead_bytes += bytes;
    }
    return status;
}

static void cache_trim(hm_malloc *self)
{
    give_way(cache_from(self));
    hm_malloc_trim(cache_from(self)->layer.inner);
}

/* The blocks in the magazines are gone with the others. */
static hm_status cache_reset(hm_malloc *self)
{
    cache_malloc *m = cache_from(self);
    const hm_status status = hm_malloc_reset(m->layer.inner);
    if (status == HM_OK && !is_for_threads(m)) {
        hm__cache_set_start(m, &m->own);
    }
    return status;
}

/* Everything goes underneath from now on, where allocations are refused; sets of other threads are emptied as these
   exit, or with the object. */
static void cache_close(hm_malloc *self)
{
    cache_malloc *m = cache_from(self);
    hm_malloc_close(m->layer.inner);
    __atomic_store_n(&self->vtbl, &drained_vtbl, __ATOMIC_RELEASE);
    give_way(m);
}

static void *drained_alloc(hm_malloc *self, size_t size, hm_level level)
{
    cache_malloc *m = cache_from(self);
    hm_malloc *inner = m->layer.inner;
    return (HM_LOAD(inner->vtbl)->alloc)(inner, rounded(m, size), level);
}

static void drained_free_sized(hm_malloc *self, void *block, size_t size)
{
    cache_malloc *m = cache_from(self);
    hm_malloc *inner = m->layer.inner;
    if (block) {
        HM_LOAD(inner->vtbl)->free_sized(inner, block, rounded(m, size));
    }
}

static void *drained_realloc(hm_malloc *self,
                             void *block,
                             size_t old_size,
                             size_t size,
                             hm_level level,
                             hm_site *site)
{
    cache_malloc *m = cache_from(self);
    return hm_realloc_at(m->layer.inner, block, rounded_if_known(m, old_size),
                         rounded(m, size), level, site);
}

static void *drained_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    return hm_alloc_zeroed_at(cache_from(self)->layer.inner, count, size, level, site);
}

static void drained_trim(hm_malloc *self)
{
    hm_malloc_trim(cache_from(self)->layer.inner);
}

static void cache_release(hm_malloc *self)
{
    cache_malloc *m = cache_from(self);
    if (__atomic_sub_fetch(&m->layer.references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    if (is_for_threads(m)) {
        hm__cache_threads_remove(m);
    } else {
        hm__cache_set_empty(m, &m->own);
    }
    m->layer.references =
        1; /* alone with the object: the ready-made release does the rest */
    hm__cache_core->malloc_forward->release(self);
}

void hm__cache_tables_fill(void)
{
    const hm_core *core = hm__cache_core;
    plain_vtbl = *core->malloc_forward;
    plain_vtbl.release = cache_release;
    plain_vtbl.alloc = plain_alloc;
    plain_vtbl.free_sized = plain_free_sized;
    plain_vtbl.debug_alloc = cache_debug_alloc;
    plain_vtbl.debug_free = cache_debug_free;
    plain_vtbl.realloc = cache_realloc;
    plain_vtbl.alloc_zeroed = cache_alloc_zeroed;
    plain_vtbl.alloc_aligned = cache_alloc_aligned;
    plain_vtbl.request = core->malloc_basics->request;
    plain_vtbl.good_size = cache_good_size;
    plain_vtbl.stats = cache_stats;
    plain_vtbl.trim = cache_trim;
    plain_vtbl.reset = cache_reset;
    plain_vtbl.close = cache_close;
    one_thread_vtbl = plain_vtbl;
    one_thread_vtbl.free_sized = one_thread_free_sized;
    threads_vtbl = plain_vtbl;
    threads_vtbl.alloc = hm__cache_threads_alloc;
    threads_vtbl.free_sized = hm__cache_threads_free_sized;
    threads_vtbl.reset = core->malloc_forward->reset;
    drained_vtbl = plain_vtbl;
    drained_vtbl.alloc = drained_alloc;
    drained_vtbl.free_sized = drained_free_sized;
    drained_vtbl.realloc = drained_realloc;
    drained_vtbl.alloc_zeroed = drained_alloc_zeroed;
    drained_vtbl.alloc_aligned = core->malloc_forward->alloc_aligned;
    drained_vtbl.request = core->malloc_forward->request;
    drained_vtbl.trim = drained_trim;
    drained_vtbl.close = core->malloc_forward->close;
}

hm_status hm__cache_malloc_setup(cache_malloc *m, uint32_t flags, hm_error *err)
{
    const uint32_t threading = HM_MALLOC_THREADSAFE | HM_MALLOC_ONE_THREAD;
    m->layer.base.flags = (m->layer.base.flags & ~threading) | (flags & threading);
    if (!(flags & HM_MALLOC_THREADSAFE)) {
        m->own.thread = flags & HM_MALLOC_ONE_THREAD ? this_thread() : 0;
        hm__cache_set_start(m, &m->own);
        m->layer.base.vtbl = m->own.thread ? &one_thread_vtbl : &plain_vtbl;
        return HM_OK;
    }
    const hm_status status = hm__cache_threads_start(err);
    if (status != HM_OK) {
        return status;
    }
    m->layer.base.vtbl = &threads_vtbl;
    return hm__cache_threads_add(m, err);
}
