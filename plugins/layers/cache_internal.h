/* SPDX-License-Identifier: MIT */
/* The cache layer's magazines, and what its files share.
 *
 * A magazine is a list of blocks of one size class, linked through their own first words, last in first out. A set
 * has one for each class and belongs to one thread at a time. Of every block that a cached object hands out the
 * malloc underneath knows one size: the class's, up to the largest class, and what was asked for beyond. So any block
 * of a class serves any size of it, and sizes given to the malloc underneath are always the ones it was asked for. */
#ifndef HM_LAYERS_CACHE_INTERNAL_H
#define HM_LAYERS_CACHE_INTERNAL_H

#include <hostmalloc/layer.h>

#define CLASS_BYTES ((size_t)16) /* classes are that far apart, as blocks are aligned */

/* Bytes above, blocks below: how rooms are counted, so that one subtraction takes both and says whether there was room. */
#define ONE_BYTE ((uint64_t)1 << 32)

typedef struct cache_class {
    void *top;       /* its magazine */
    uint64_t weight; /* of one block, as rooms are counted */
} cache_class;
HM_STATIC_ASSERT(sizeof(void *) != 8 || sizeof(cache_class) == CLASS_BYTES,
                 "the offset of a class is a size with its low bits cleared");

typedef struct cache_set {
    uint64_t
        room; /* atomic, relaxed: written by the set's thread, read by whoever asks for figures */
    uint64_t empty; /* room, while nothing is held */
    size_t
        reach; /* the largest size with a class. Atomic, relaxed, in sets of threads: 0 asks the set's thread to empty it */
    uintptr_t
        thread; /* whose it is; 0: anybody's. Atomic, relaxed, in sets of thread-safe objects */
    uint64_t refused; /* bytes there was no room for since the set was emptied */
    cache_class of[];
} cache_set;

typedef struct thread_set thread_set;

typedef struct cache_malloc {
    hm_layer_malloc layer;
    uintptr_t owner; /* the creating thread, of one-thread objects */
    uint32_t
        index; /* of its sets in the threads' records; thread-safe objects only, as the next */
    uint32_t bytes; /* bound of each set */
    thread_set *
        threads; /* guarded by the lock of cache_threads.c, as the next; atomic, for whoever asks whether there are any */
    struct cache_malloc *next;
    cache_set
        own; /* the last. Of thread-safe objects it holds nothing, and leads to the threads' sets */
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

/* Zero bytes have none, here. */
static inline int has_class(size_t size, size_t reach)
{
    return size - 1 < reach;
}

static inline size_t class_bytes(size_t size)
{
    return (size + CLASS_BYTES - 1) & ~(CLASS_BYTES - 1);
}

static inline cache_class *class_at(cache_set *set, size_t size)
{
    return &set->of[(size - 1) / CLASS_BYTES];
}

static inline uint64_t room_of(const cache_set *set)
{
    return __atomic_load_n(&set->room, __ATOMIC_RELAXED);
}

/* NULL when the magazine is empty. */
static inline void *set_pop(cache_set *set, cache_class *class)
{
    void *block = class->top;
    if (__builtin_expect(block != NULL, 1)) {
        class->top = *(void **)block;
        __atomic_store_n(&set->room, room_of(set) + class->weight, __ATOMIC_RELAXED);
    }
    return block;
}

/* 1 if there was room. */
static inline int set_push(cache_set *set, cache_class *class, void *block)
{
    uint64_t left;
    if (__builtin_expect(__builtin_sub_overflow(room_of(set), class->weight, &left), 0)) {
        return 0;
    }
    __atomic_store_n(&set->room, left, __ATOMIC_RELAXED);
    *(void **)block = class->top;
    class->top = block;
    return 1;
}

/* What a set holds, added to blocks and bytes. */
static inline void set_add_held(const cache_set *set, uint64_t *blocks, uint64_t *bytes)
{
    const uint64_t held = set->empty - room_of(set);
    *blocks += held % ONE_BYTE;
    *bytes += held / ONE_BYTE;
}

/* cache_malloc.c: a set of m, begun or begun anew: it holds nothing. */
void hm__cache_set_start(const cache_malloc *m, cache_set *set);
/* Give every block of a set of m back to the malloc underneath; 1 if there were any. */
int hm__cache_set_empty(const cache_malloc *m, cache_set *set);
/* What the fast paths leave: an empty magazine, a full set, no set, other sizes. */
void *hm__cache_alloc_slow(hm_malloc *self, size_t size, hm_level level);
void hm__cache_free_slow(hm_malloc *self, void *block, size_t size);

/* The slots; setup gives an object its table, for what was asked. */
void hm__cache_tables_fill(void);
hm_status hm__cache_malloc_setup(cache_malloc *m, uint32_t flags, hm_error *err);

/* The last sets seen, in place of own's classes in a thread-safe object. */
#define THREADS_SEEN_SHIFT 6
#define THREADS_SEEN       ((size_t)1 << THREADS_SEEN_SHIFT)

/* cache_threads.c: sets of thread-safe objects, one for each thread that frees on them. */
hm_status hm__cache_threads_start(hm_error *err);
hm_status hm__cache_threads_add(cache_malloc *m, hm_error *err);
void hm__cache_threads_remove(cache_malloc *m);
cache_set *hm__cache_threads_set(cache_malloc *m);      /* this thread's, or NULL */
cache_set *hm__cache_threads_set_make(cache_malloc *m); /* made where it is missing */
void hm__cache_threads_held(cache_malloc *m, uint64_t *blocks, uint64_t *bytes);
void hm__cache_threads_trim(cache_malloc *m); /* asks the other threads' */
void *hm__cache_threads_alloc(hm_malloc *self, size_t size, hm_level level);
void hm__cache_threads_free_sized(hm_malloc *self, void *block, size_t size);

#endif
