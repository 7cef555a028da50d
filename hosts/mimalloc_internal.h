/* SPDX-License-Identifier: MIT */
/* What the files of the mimalloc host share. Links to mimalloc and to nothing of ours: the core's functions
   come through the table that hm_module_describe is given. */
#ifndef HM_HOSTS_MIMALLOC_INTERNAL_H
#define HM_HOSTS_MIMALLOC_INTERNAL_H

#include <hostmalloc/module.h>

#include <mimalloc.h>

/* Built in, the plain objects' table and pair have names of their own, by which a program may call them
   (hostmalloc/mimalloc.h). mimalloc's key of the thread's exit must be older than ours, which a constructor that runs
   before its own would turn round. */
#ifdef HOSTMALLOC_MIMALLOC_BUILTIN
#include <hostmalloc/mimalloc.h>
#define PLAIN
#define plain_vtbl       hm_mimalloc_slots
#define plain_alloc      hm_mimalloc_alloc
#define plain_free       hm_mimalloc_free
#define plain_free_sized hm_mimalloc_free_sized
#define MIMALLOC_START() mi_process_init()
#else
#define PLAIN            static
#define MIMALLOC_START() ((void)0)
#endif

/* MI_MALLOC_VERSION is 209 for 2.0.9 and 30403 for 3.4.3. From 3.2.6 on a heap belongs to no thread, looks its
   part of the calling thread up at each call, and costs a quarter MiB: nothing is won by owning one. */
#define HEAPS_BY_THREAD \
    (MI_MALLOC_VERSION < 326 || (MI_MALLOC_VERSION >= 10000 && MI_MALLOC_VERSION < 30206))

/* Below this mimalloc aligns to 8 only. */
#define SMALLEST ((size_t)16)

/* Every block comes through taken(), goes through give(), and is traded for another through traded(); what else
   mimalloc does to memory it does quietly(). */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define taken(call)         (call)
#define traded(block, call) (call)
#define quietly(call)       (call)
static inline void give(void *block)
{
    mi_free(block);
}
#else
/* libmimalloc is not instrumented, so a race detector sees neither how memory passes from the thread that frees it to
   the one that gets it, nor why mimalloc may copy and clear: it is told the first, and not shown the second. Told
   by range, because what is freed as one block may come back as part of another. */
void __tsan_acquire(void *address);
void __tsan_release(void *address);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

#define TSAN_RANGE ((uintptr_t)1 << 25) /* a segment of mimalloc 2.x */

static inline void tsan_tell(void (*tell)(void *), void *block)
{
    const uintptr_t end = (uintptr_t)block + mi_usable_size(block);
    for (uintptr_t at = (uintptr_t)block & ~(TSAN_RANGE - 1); at < end;
         at += TSAN_RANGE) {
        tell((void *)at);
    }
}

static inline void tsan_look_away(void)
{
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

static inline void *tsan_look_again(void *block)
{
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    tsan_tell(__tsan_acquire, block);
    return block;
}

#define taken(call)         tsan_look_again((tsan_look_away(), (call)))
#define traded(block, call) (tsan_tell(__tsan_release, block), taken(call))
#define quietly(call)       (tsan_look_away(), (call), (void)tsan_look_again(NULL))
static inline void give(void *block)
{
    tsan_tell(__tsan_release, block);
    quietly(mi_free(block));
}
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

/* mimalloc 2.0.9 takes a small multiple of an alignment from blocks of that size, which start anywhere: blocks of 512
   bytes aligned to 256 are not. One byte more, and it aligns by itself. */
static inline size_t aligned_bytes(size_t size, size_t alignment)
{
    const int is_misplaced = size <= 1024 && alignment <= size && size % alignment == 0;
    return is_misplaced ? size + 1 : at_least_smallest(size);
}

static inline int is_power_of_two(size_t n)
{
    return n && !(n & (n - 1));
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

/* mimalloc_wrapped.c: objects that know their blocks. */
hm_status hm__mimalloc_create_wrapped(hm_host *host,
                                      const hm_malloc_opts *wanted,
                                      hm_malloc **out,
                                      hm_error *err);
size_t hm__mimalloc_wrapped_bytes(
    const void *block); /* 0 for a block that is not a wrapped object's */

#endif
