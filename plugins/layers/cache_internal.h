/* SPDX-License-Identifier: MIT */
/* The cache layer's magazines, and what its files share.
 *
 * A magazine is a list of blocks of one size bin, linked through their own first words, last in first out. A set
 * has one for each class and belongs to one thread at a time. Of every block that a cached object hands out the
 * malloc underneath knows one size: the bin, up to the largest bin, and what was asked for beyond. So any block
 * of a class serves any size of it, and sizes given to the malloc underneath are always the ones it was asked for. */
#ifndef HM_LAYERS_CACHE_INTERNAL_H
#define HM_LAYERS_CACHE_INTERNAL_H

#include <hostmalloc/layer.h>

#define CLASS_SHIFT 4 /* classes are 16 bytes apart, as blocks are aligned */
#define CLASS_BYTES ((size_t)1 << CLASS_SHIFT)

/* In cache_set.held: blocks above, their bytes below. */
#define ONE_BLOCK ((uint64_t)1 << 32)

typedef struct cache_set {
    uint64_t
        held; /* atomic, relaxed: written by the set's thread, read by whoever asks for figures */
    uint32_t bound; /* bytes; atomic, relaxed: 0 asks the set's thread to empty it */
    uint32_t classes;
    uintptr_t
        thread; /* whose it is; 0: anybody's. Atomic, relaxed, in sets of thread-safe objects */
    uint64_t refused; /* bytes there was no room for since the set was emptied */
    void *top[];
} cache_set;

typedef struct thread_set thread_set;

typedef struct cache_malloc {
    hm_layer_malloc layer;
    uintptr_t owner; /* the creating thread, of one-thread objects */
    uint32_t
        index; /* of its sets in the threads' records; thread-safe objects only, as the next */
    uint32_t bytes;      /* bound of each thread's set */
    thread_set *threads; /* guarded by the lock of cache_threads.c, as the next */
    struct cache_malloc *next;
    cache_set
        own; /* the last. Of thread-safe objects it is empty, and top leads to the threads' sets */
} cache_malloc;

extern const hm_core *hm__cache_core;

static inline cache_malloc *cache_from(hm_malloc *self)
{
    return (cache_malloc *)self; /* layer is the first member, base is its first */
}

/* Unique among living threads. */
static inline uintptr_t this_thread(void)
{
#if defined(__has_builtin)
#if __has_builtin(__builtin_thread_pointer)
#define HAS_THREAD_POINTER
#endif
#endif
#ifdef HAS_THREAD_POINTER
    return (uintptr_t)__builtin_thread_pointer();
#else
    return hm__cache_core->thread_id();
#endif
}

/* Zero bytes, and whatever is beyond the last bin, are beyond any bound. */
static inline size_t class_of(size_t size)
{
    return (size - 1) >> CLASS_SHIFT;
}

static inline uint64_t class_weight(size_t bin)
{
    return ONE_BLOCK + ((bin + 1) << CLASS_SHIFT);
}

/* NULL when the magazine is empty. */
static inline void *set_pop(cache_set *set, size_t bin)
{
    void *block = set->top[bin];
    if (__builtin_expect(block != NULL, 1)) {
        set->top[bin] = *(void **)block;
        __atomic_store_n(
            &set->held, __atomic_load_n(&set->held, __ATOMIC_RELAXED) - class_weight(bin),
            __ATOMIC_RELAXED);
    }
    return block;
}

/* 1 if there was room. */
static inline int set_push(cache_set *set, void *block, size_t bin)
{
    const uint64_t held =
        __atomic_load_n(&set->held, __ATOMIC_RELAXED) + class_weight(bin);
    if (__builtin_expect((uint32_t)held > __atomic_load_n(&set->bound, __ATOMIC_RELAXED),
                         0)) {
        return 0;
    }
    __atomic_store_n(&set->held, held, __ATOMIC_RELAXED);
    *(void **)block = set->top[bin];
    set->top[bin] = block;
    return 1;
}

/* cache_malloc.c: give every block of a set back to the malloc underneath; 1 if there were any. */
int hm__cache_set_empty(cache_set *set, hm_malloc *inner);
/* What the fast paths leave: an empty magazine, a full set, no set, other sizes. */
void *hm__cache_alloc_slow(hm_malloc *self, size_t size, hm_level level);
void hm__cache_free_slow(hm_malloc *self, void *block, size_t size);

/* The slots; setup gives an object its table, for what was asked. */
void hm__cache_tables_fill(void);
hm_status hm__cache_malloc_setup(cache_malloc *m, uint32_t flags, hm_error *err);

/* Room in own.top of a thread-safe object. */
#define THREADS_SEEN_SHIFT 6
#define THREADS_SEEN       ((size_t)1 << THREADS_SEEN_SHIFT)

/* cache_threads.c: sets of thread-safe objects, one for each thread that frees on them. */
hm_status hm__cache_threads_start(hm_error *err);
hm_status hm__cache_threads_add(cache_malloc *m, hm_error *err);
void hm__cache_threads_remove(cache_malloc *m);
cache_set *hm__cache_threads_set(cache_malloc *m);      /* this thread's, or NULL */
cache_set *hm__cache_threads_set_make(cache_malloc *m); /* made where it is missing */
uint64_t hm__cache_threads_held(cache_malloc *m);       /* as cache_set.held, of all */
void hm__cache_threads_trim(cache_malloc *m);           /* asks the other threads' */
void *hm__cache_threads_alloc(hm_malloc *self, size_t size, hm_level level);
void hm__cache_threads_free_sized(hm_malloc *self, void *block, size_t size);

#endif
