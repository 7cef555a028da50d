/* SPDX-License-Identifier: MIT */
/* libc's allocation functions, answered by the host. What they promise beyond the C standard is glibc's: realloc to zero
 * frees, memalign rounds an alignment up, errno says ENOMEM and is left alone by free. */
#include "interpose_internal.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "callers_internal.h"
#include "inject_internal.h"
#include "libc_internal.h"
#include "serve_internal.h"
#include "startup_internal.h"
#include "thread_internal.h"

#define EXPORT  __attribute__((visibility("default")))
#define CALLER  __builtin_extract_return_addr(__builtin_return_address(0))
#define RARE(x) __builtin_expect(!!(x), 0)

uintptr_t hm__loader_start, hm__loader_bytes;

static int is_loader(const void *caller)
{
    return (uintptr_t)caller - hm__loader_start < hm__loader_bytes;
}

static hm_site *site_of(const hm_malloc *m, const void *caller)
{
    return m->flags & HM_MALLOC_DEBUG ? hm__caller_site(caller) : NULL;
}

/* The malloc that serves this call, now marked as inside; NULL: nobody does, see outside_alloc. */
static inline hm_malloc *enter(const void *caller)
{
    if (RARE(hm__preload_loaded) && !is_loader(caller)) {
        hm__preload_inject_loaded();
    }
    hm_malloc *m = __atomic_load_n(&hm__preload_malloc, __ATOMIC_ACQUIRE);
    if (RARE(!m) ||
        (RARE(hm__thread_state != HM__THREAD_OUTSIDE) && !hm__thread_may_enter())) {
        return NULL;
    }
    hm__thread_state = HM__THREAD_INSIDE;
    return m;
}

/* A host may ask the system things that fail, and no program expects errno of a malloc that worked. */
static inline void *leave(void *block, int kept)
{
    if (RARE(hm__startup_owns(block))) {
        hm__preload_refuse(); /* the host asked malloc() for it, while it stands in for that */
    }
    hm__thread_state = HM__THREAD_OUTSIDE;
    errno = block ? kept : ENOMEM;
    return block;
}

static int is_passing(void)
{
    return __atomic_load_n(&hm__preload_phase, __ATOMIC_ACQUIRE) == HM__PRELOAD_PASSING;
}

/* There is no host yet, or this thread is in it; or the program is not to have one. */
static void *outside_alloc(size_t size, size_t alignment)
{
    void *block = !is_passing()    ? hm__startup_alloc(size, alignment)
                  : alignment > 16 ? hm__libc_memalign(alignment, size)
                                   : __wrap_malloc(size);
    if (!block) {
        errno = ENOMEM;
    }
    return block;
}

/* A plain allocator, that is at home in this place: it needs no guard and no site. NULL: not so, or it refuses. */
static inline void *direct_alloc(size_t size)
{
    hm_malloc *m = __atomic_load_n(&hm__preload_direct, __ATOMIC_ACQUIRE);
    return m && !RARE(hm__preload_loaded)
               ? (HM_LOAD(m->vtbl)->alloc)(m, size, HM_LEVEL_CURRENT)
               : NULL;
}

void *hm__interposed_alloc(size_t size, const void *caller)
{
    void *block = direct_alloc(size);
    if (block) {
        return block;
    }
    hm_malloc *m = enter(caller);
    if (RARE(!m)) {
        return outside_alloc(size, 16);
    }
    const int kept = errno;
    return leave(hm_alloc_at(m, size, HM_LEVEL_CURRENT, site_of(m, caller)), kept);
}

void *hm__interposed_aligned(size_t size, size_t alignment, const void *caller)
{
    hm_malloc *m = enter(caller);
    if (RARE(!m)) {
        return outside_alloc(size, alignment);
    }
    const int kept = errno;
    return leave(
        hm_alloc_aligned_at(m, size, alignment, HM_LEVEL_CURRENT, site_of(m, caller)),
        kept);
}

/* A block of the host's while this thread is in it: some other code of the process runs inside, and its block must stay
   until the host is whole again. There is no such moment to wait for, so it stays for good. */
static void outside_free(void *block)
{
    if (is_passing()) {
        __wrap_free(block);
    } else if (hm__thread_state == HM__THREAD_ENDED) {
        hm__thread_leave_behind(block);
    }
}

static void
free_judged(hm_malloc *m, void *block, size_t size, size_t alignment, hm_site *site)
{
    hm_status status = HM_LOAD(m->vtbl)->debug_free(m, block, size, alignment, site);
    if (RARE(status == HM_E_NOT_OWNED)) {
        hm__preload_free_stray(m, block, site);
    } else if (RARE(status == HM_E_SIZE)) {
        /* It was reported; the program believes that the block is gone. */
        HM_LOAD(m->vtbl)->debug_free(m, block, HM_SIZE_UNKNOWN, 0, site);
    }
}

void hm__interposed_free(void *block, size_t size, size_t alignment, const void *caller)
{
    if (!block) {
        return;
    }
    if (RARE(hm__startup_owns(block))) {
        hm__startup_free(block);
        return;
    }
    hm_malloc *m = __atomic_load_n(&hm__preload_direct, __ATOMIC_ACQUIRE);
    if (m) {
        (HM_LOAD(m->vtbl)->free)(m, block);
        return;
    }
    m = __atomic_load_n(&hm__preload_malloc, __ATOMIC_ACQUIRE);
    if (RARE(!m) ||
        (RARE(hm__thread_state != HM__THREAD_OUTSIDE) && !hm__thread_may_enter())) {
        outside_free(block);
        return;
    }
    const int kept = errno;
    hm__thread_state = HM__THREAD_INSIDE;
    if (m->flags & HM_MALLOC_DEBUG) {
        free_judged(m, block, size, alignment, hm__caller_site(caller));
    } else {
        (HM_LOAD(m->vtbl)->free)(m, block);
    }
    hm__thread_state = HM__THREAD_OUTSIDE;
    errno = kept;
}

static size_t size_of(void *block)
{
    if (hm__startup_owns(block)) {
        return hm__startup_size(block);
    }
    hm_malloc *m = __atomic_load_n(&hm__preload_malloc, __ATOMIC_ACQUIRE);
    if (RARE(!m)) {
        return is_passing() ? hm__libc_size_of(block) : 0;
    }
    const unsigned char before = hm__thread_state;
    hm_block known = {.size = sizeof known};
    hm__thread_state = HM__THREAD_INSIDE;
    size_t size = hm_size_of(m, block);
    /* The size of a block of no bytes is told from NULL's by a byte that must not be written to. */
    if (size == 1 && hm_describe(m, block, &known) == HM_OK) {
        size = known.requested;
    }
    hm__thread_state = before;
    return size;
}

/* From one of the start-up buffer's, or inside the host: by way of a new block. */
static void *outside_realloc(void *block, size_t size, const void *caller)
{
    const size_t had = size_of(block);
    void *moved = hm__interposed_alloc(size, caller);
    if (moved) {
        memcpy(moved, block, had < size ? had : size);
        hm__interposed_free(block, HM_SIZE_UNKNOWN, 0, caller);
    }
    return moved;
}

static void *resize(void *block, size_t size, const void *caller)
{
    if (!block) {
        return hm__interposed_alloc(size, caller);
    }
    if (size == 0) {
        hm__interposed_free(block, HM_SIZE_UNKNOWN, 0, caller);
        return NULL;
    }
    if (RARE(hm__startup_owns(block))) {
        return outside_realloc(block, size, caller);
    }
    hm_malloc *m = enter(caller);
    if (RARE(!m)) {
        return is_passing() ? __wrap_realloc(block, size)
                            : outside_realloc(block, size, caller);
    }
    const int kept = errno;
    hm_site *site = site_of(m, caller);
    void *moved = hm_realloc_at(m, block, HM_SIZE_UNKNOWN, size, HM_LEVEL_CURRENT, site);
    if (RARE(!moved)) {
        moved = hm__preload_resize_stray(m, block, size, site);
    }
    return leave(moved, kept);
}

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* As glibc: the next power of two. 0: there is none. */
static size_t round_alignment(size_t alignment)
{
    size_t rounded = 16;
    while (rounded && rounded < alignment) {
        rounded <<= 1;
    }
    return rounded;
}

static void *aligned_as_asked(size_t alignment, size_t size, const void *caller)
{
    const size_t rounded = round_alignment(alignment);
    if (!rounded) {
        errno = EINVAL;
        return NULL;
    }
    return hm__interposed_aligned(size, rounded, caller);
}

EXPORT void *malloc(size_t size)
{
    return hm__interposed_alloc(size, CALLER);
}

EXPORT void free(void *block)
{
    hm__interposed_free(block, HM_SIZE_UNKNOWN, 0, CALLER);
}

/* The loader describes each object that it opens in a block from here. */
EXPORT void *calloc(size_t count, size_t size)
{
    const void *caller = CALLER;
    size_t bytes;
    if (RARE(is_loader(caller))) {
        hm__preload_note_loader();
    }
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    hm_malloc *m = enter(caller);
    if (RARE(!m)) {
        if (is_passing()) {
            return __wrap_calloc(count, size);
        }
        void *block = outside_alloc(bytes, 16);
        return block ? memset(block, 0, bytes) : NULL;
    }
    const int kept = errno;
    return leave(hm_alloc_zeroed_at(m, 1, bytes, HM_LEVEL_CURRENT, site_of(m, caller)),
                 kept);
}

EXPORT void *realloc(void *block, size_t size)
{
    return resize(block, size, CALLER);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return resize(block, bytes, CALLER);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    return aligned_as_asked(alignment, size, CALLER);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return aligned_as_asked(alignment, size, CALLER);
}

EXPORT int posix_memalign(void **block, size_t alignment, size_t size)
{
    const int kept = errno;
    if (alignment < sizeof(void *) || (alignment & (alignment - 1))) {
        return EINVAL;
    }
    void *made = hm__interposed_aligned(size, alignment, CALLER);
    errno = kept;
    if (!made) {
        return ENOMEM;
    }
    *block = made;
    return 0;
}

EXPORT void *valloc(size_t size)
{
    return hm__interposed_aligned(size, page_size(), CALLER);
}

EXPORT void *pvalloc(size_t size)
{
    const size_t page = page_size();
    if (size > SIZE_MAX - page) {
        errno = ENOMEM;
        return NULL;
    }
    return hm__interposed_aligned((size + page - 1) & ~(page - 1), page, CALLER);
}

EXPORT size_t malloc_usable_size(void *block)
{
    return block ? size_of(block) : 0;
}
