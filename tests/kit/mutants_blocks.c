/* SPDX-License-Identifier: MIT */
/* Mutants that give, change and take blocks wrongly. */
#include "mutants.h"

#include <sched.h>

#define FORWARD (mutant_core->malloc_forward)

/* tiny-alignment: up to 8 bytes are aligned to 8. */
static void *shifted_back(hm_malloc *self, const void *block)
{
    const uintptr_t at = (uintptr_t)block;
    return (void *)(is_plain(self) && at % 16 == 8 ? at - 8 : at);
}

static void *tiny_alloc(hm_malloc *self, size_t size, hm_level level)
{
    char *block = (FORWARD->alloc)(self, size + 8, level);
    return block ? block + 8 : NULL;
}

static void tiny_free(hm_malloc *self, void *block)
{
    (FORWARD->free)(self, shifted_back(self, block));
}

static void tiny_free_sized(hm_malloc *self, void *block, size_t size)
{
    (void)size;
    (FORWARD->free)(self, shifted_back(self, block));
}

static hm_status tiny_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    return FORWARD->debug_free(
        self, shifted_back(self, block),
        block == shifted_back(self, block) ? size : HM_SIZE_UNKNOWN, alignment, site);
}

static size_t tiny_size_of(hm_malloc *self, const void *block)
{
    const uintptr_t at = (uintptr_t)block;
    const char *start = (const char *)(at % 16 == 8 ? at - 8 : at);
    return FORWARD->size_of(self, start) - (size_t)((const char *)block - start);
}

static void *tiny_realloc(hm_malloc *self,
                          void *block,
                          size_t old_size,
                          size_t size,
                          hm_level level,
                          hm_site *site)
{
    if (block == shifted_back(self, block)) {
        return (FORWARD->realloc)(self, block, old_size, size, level, site);
    }
    void *fresh = hm_alloc_at(inner_of(self), size, level, site);
    if (fresh) {
        memcpy(fresh, block, size < 8 ? size : 8);
        tiny_free(self, block);
    }
    return fresh;
}

/* Only objects whose blocks are libc's: the others know what was asked for. */
static void *tiny_alloc_if_plain(hm_malloc *self, size_t size, hm_level level)
{
    return is_plain(self) && size - 1 < 8 ? tiny_alloc(self, size, level)
                                          : (FORWARD->alloc)(self, size, level);
}

static void tiny_alignment(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    m->alloc = tiny_alloc_if_plain;
    (m->free) = tiny_free;
    m->free_sized = tiny_free_sized;
    m->debug_free = tiny_debug_free;
    m->size_of = tiny_size_of;
    (m->realloc) = tiny_realloc;
}

static void *zero_null_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return size ? (FORWARD->alloc)(self, size, level) : NULL;
}

static void zero_null(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    m->alloc = zero_null_alloc;
}

/* zero-shared: all blocks of zero bytes are one. */
static _Alignas(16) char shared_block[16];

static void *zero_shared_alloc(hm_malloc *self, size_t size, hm_level level)
{
    void *block = (FORWARD->alloc)(self, size, level);
    if (block && size == 0 && is_plain(self)) {
        (FORWARD->free)(self, block);
        return shared_block;
    }
    return block;
}

static void zero_shared_free(hm_malloc *self, void *block)
{
    if (block != shared_block) {
        (FORWARD->free)(self, block);
    }
}

static size_t zero_shared_size_of(hm_malloc *self, const void *block)
{
    return block == shared_block ? 16 : FORWARD->size_of(self, block);
}

static void zero_shared(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    m->alloc = zero_shared_alloc;
    (m->free) = zero_shared_free;
    m->size_of = zero_shared_size_of;
}

static void *huge_wraps_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return (FORWARD->alloc)(self, size > SIZE_MAX - 64 ? size + 64 : size, level);
}

static void huge_wraps(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    m->alloc = huge_wraps_alloc;
}

static void *level_refused_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return level == HM_LEVEL_DOMAIN ? NULL : (FORWARD->alloc)(self, size, level);
}

static void level_refused(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    m->alloc = level_refused_alloc;
}

static void free_errno_free(hm_malloc *self, void *block)
{
    (FORWARD->free)(self, block);
    errno = 0;
}

static void free_errno(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    (m->free) = free_errno_free;
}

static void free_sized_leaks_free(hm_malloc *self, void *block, size_t size)
{
    (void)self, (void)block, (void)size;
}

static void free_sized_leaks(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    m->free_sized = free_sized_leaks_free;
}

static void *zeroed_unchecked_alloc(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    return FORWARD->alloc_zeroed(self, 1, count * size, level, site);
}

static void zeroed_unchecked(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    m->alloc_zeroed = zeroed_unchecked_alloc;
}

static void *zeroed_dirty_alloc(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    if (size && count > SIZE_MAX / size) {
        return NULL;
    }
    void *block = hm_alloc_at(inner_of(self), count * size, level, site);
    if (block && count * size > 20) {
        ((char *)block)[20] = 1;
    }
    return block;
}

static void zeroed_dirty(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    m->alloc_zeroed = zeroed_dirty_alloc;
}

static void *aligned_ignored_alloc(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    return alignment && !(alignment & (alignment - 1))
               ? hm_alloc_at(inner_of(self), size, level, site)
               : NULL;
}

static void aligned_ignored(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    m->alloc_aligned = aligned_ignored_alloc;
}

static void *aligned_takes_3_alloc(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    return FORWARD->alloc_aligned(self, size, alignment == 3 ? 4 : alignment, level,
                                  site);
}

static void aligned_takes_3(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    m->alloc_aligned = aligned_takes_3_alloc;
}

static void *aligned_crashes_alloc(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    if (alignment == 4096 && size < 100000) {
        __builtin_trap();
    }
    return FORWARD->alloc_aligned(self, size, alignment, level, site);
}

static void aligned_crashes(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    m->alloc_aligned = aligned_crashes_alloc;
}

/* unsynchronised: the last freed block is kept for the next allocation, as if nobody else were there. */
static void *unsynchronised_alloc(hm_malloc *self, size_t size, hm_level level)
{
    mutant_malloc *m = mutant_of(self);
    void *kept = __atomic_load_n(&m->kept, __ATOMIC_RELAXED);
    if (kept && is_plain(self) && hm_size_of(m->layer.inner, kept) >= size) {
        sched_yield();
        __atomic_store_n(&m->kept, NULL, __ATOMIC_RELAXED);
        return kept;
    }
    return (FORWARD->alloc)(self, size, level);
}

static void unsynchronised_free(hm_malloc *self, void *block)
{
    mutant_malloc *m = mutant_of(self);
    if (block && is_plain(self) && m->asked & HM_MALLOC_THREADSAFE && !m->closed) {
        __atomic_store_n(&m->kept, block, __ATOMIC_RELAXED);
    } else {
        (FORWARD->free)(self, block);
    }
}

static void unsynchronised_close(hm_malloc *self)
{
    mutant_of(self)->closed = 1;
    mutant_of(self)->kept = NULL;
    (FORWARD->close)(self);
}

static void unsynchronised(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    (void)h;
    m->alloc = unsynchronised_alloc;
    (m->free) = unsynchronised_free;
    (m->close) = unsynchronised_close;
}

static const mutant mutants[] = {
    {"tiny-alignment", tiny_alignment},     {"zero-null", zero_null},
    {"zero-shared", zero_shared},           {"huge-wraps", huge_wraps},
    {"level-refused", level_refused},       {"free-errno", free_errno},
    {"free-sized-leaks", free_sized_leaks}, {"zeroed-unchecked", zeroed_unchecked},
    {"zeroed-dirty", zeroed_dirty},         {"aligned-ignored", aligned_ignored},
    {"aligned-takes-3", aligned_takes_3},   {"aligned-crashes", aligned_crashes},
    {"unsynchronised", unsynchronised},
};
const mutant_group mutant_blocks = MUTANT_GROUP(mutants);
