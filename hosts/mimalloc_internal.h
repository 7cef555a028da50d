/* SPDX-License-Identifier: MIT */
/* What the two files of the mimalloc host share. Links to mimalloc and to nothing of ours: the core's functions
   come through the table that hm_module_describe is given. */
#ifndef HM_HOSTS_MIMALLOC_INTERNAL_H
#define HM_HOSTS_MIMALLOC_INTERNAL_H

#include <hostmalloc/module.h>

#include <mimalloc.h>

/* MI_MALLOC_VERSION is 209 for 2.0.9 and 30403 for 3.4.3. From 3.2.6 on a heap belongs to no thread, looks its
   part of the calling thread up at each call, and costs a quarter MiB: nothing is won by owning one. */
#define HEAPS_BY_THREAD \
    (MI_MALLOC_VERSION < 326 || (MI_MALLOC_VERSION >= 10000 && MI_MALLOC_VERSION < 30206))

/* Below this mimalloc aligns to 8 only. */
#define SMALLEST ((size_t)16)

/* libmimalloc is not instrumented: without these a race detector takes memory that one thread frees and another
   then gets for a race. By range, because what is freed as one block may come back as part of another. */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifdef UNDER_TSAN
#include <string.h>
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define TSAN_RANGE ((uintptr_t)1 << 25) /* a segment of mimalloc 2.x */
static inline void tsan_tell(void (*tell)(void *), void *block)
{
    const uintptr_t end = (uintptr_t)block + mi_usable_size(block);
    for (uintptr_t at = (uintptr_t)block & ~(TSAN_RANGE - 1); at < end;
         at += TSAN_RANGE) {
        tell((void *)at);
    }
}
#define GIVEN(block) tsan_tell(__tsan_release, block)
static inline void *taken(void *block)
{
    tsan_tell(__tsan_acquire, block);
    return block;
}
/* What mimalloc itself copies and clears is seen as well, and before the block can be marked as taken. */
static inline void *cleared(void *block, size_t size)
{
    return block ? memset(taken(block), 0, size) : NULL;
}
static inline void *moved_to(void *fresh, void *block, size_t size)
{
    if (fresh && block) {
        const size_t had = mi_usable_size(block);
        memcpy(taken(fresh), block, had < size ? had : size);
        GIVEN(block);
        mi_free(block);
    }
    return fresh;
}
#define mi_zalloc(size)            cleared(mi_malloc(size), size)
#define mi_heap_zalloc(heap, size) cleared(mi_heap_malloc(heap, size), size)
#define mi_realloc(block, size)    moved_to(mi_malloc(size), block, size)
#define mi_heap_realloc(heap, block, size) \
    moved_to(mi_heap_malloc(heap, size), block, size)
#else
#define GIVEN(block) ((void)0)
#define taken(block) (block)
#endif

typedef struct mi_object {
    hm_malloc base;
    mi_heap_t *heap;     /* NULL unless it owns one; used by the owner only */
    hm_host *host;       /* one reference */
    uint32_t references; /* atomic */
    uint32_t owner; /* the creating thread; one-thread objects only, like all below */
    uint32_t asked; /* allocations while it has no heap */
    struct thread_heaps *list; /* of its owner's objects; this and its links: guarded */
    struct mi_object *next;
    struct mi_object **at;
} mi_object;

static inline mi_object *object_from(hm_malloc *self)
{
    return (mi_object *)self; /* base is the first member */
}

static inline size_t at_least_smallest(size_t size)
{
    return size < SMALLEST ? SMALLEST : size;
}

/* mimalloc adds the alignment to the size without looking. */
static inline int alignment_is_sane(size_t size, size_t alignment)
{
    return alignment && !(alignment & (alignment - 1)) && size <= PTRDIFF_MAX &&
           alignment <= PTRDIFF_MAX - size;
}

/* mimalloc moves a block that shrinks to less than half, and may find no memory then: the old block is large
   enough, and a shrink never fails. */
static inline void *shrunk_or(void *moved, void *block, size_t size)
{
    return moved || !block || size > mi_usable_size(block) ? moved : block;
}

/* mimalloc_heap.c: one-thread objects. */
extern const hm_core *hm__mimalloc_core;
const hm_malloc_vtbl *hm__mimalloc_heap_start(const hm_malloc_vtbl *plain);
int hm__mimalloc_heap_drop(
    mi_object *m); /* at the last release; 1 if the caller is to free m */

#endif
