/* SPDX-License-Identifier: MIT */
/* An allocator that offers no more than alloc and release, and checks how it is used; and mallocs over it. */
#ifndef HM_TESTS_POOL_H
#define HM_TESTS_POOL_H

#include <errno.h>
#include <hostmalloc/hostmalloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "slots_internal.h"

typedef struct pool {
    hm_allocator allocator;
    size_t live;      /* atomic: pieces out */
    size_t bytes;     /* atomic: of them, as asked for */
    size_t calls;     /* atomic: of alloc */
    size_t fail_from; /* this call of alloc and later ones fail; 0: none */
    size_t skew;      /* bytes by which pieces are off their alignment */
    int inside;       /* atomic: calls under way */
    int crowded;      /* atomic: two were, of one that is not thread-safe */
} pool;

static inline void pool_enter(pool *p)
{
    if (__atomic_fetch_add(&p->inside, 1, __ATOMIC_RELAXED) &&
        !(p->allocator.flags & HM_ALLOCATOR_THREADSAFE)) {
        __atomic_store_n(&p->crowded, 1, __ATOMIC_RELAXED);
    }
    if (!(p->allocator.flags & HM_ALLOCATOR_THREADSAFE)) {
        sched_yield(); /* invite the others in */
    }
}

static inline void pool_leave(pool *p)
{
    __atomic_fetch_sub(&p->inside, 1, __ATOMIC_RELAXED);
}

static inline void *pool_alloc(void *context, size_t bytes)
{
    pool *p = context;
    pool_enter(p);
    const size_t call = __atomic_add_fetch(&p->calls, 1, __ATOMIC_RELAXED);
    char *piece = NULL;
    errno = ENOMEM;
    if (!(p->fail_from && call >= p->fail_from) && bytes < (size_t)1 << 40) {
        piece = (malloc)(bytes + p->skew);
        assert_non_null(piece);
        memset(piece, 0xa5, bytes + p->skew);
        piece += p->skew;
        __atomic_fetch_add(&p->live, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&p->bytes, bytes, __ATOMIC_RELAXED);
    }
    pool_leave(p);
    return piece;
}

static inline void pool_release(void *context, void *piece, size_t bytes)
{
    pool *p = context;
    errno = EINVAL;
    pool_enter(p);
    __atomic_fetch_sub(&p->live, 1, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&p->bytes, bytes, __ATOMIC_RELAXED);
    (free)((char *)piece - p->skew);
    pool_leave(p);
}

static inline pool pool_make(uint32_t flags)
{
    return (pool){.allocator = {.size = sizeof(hm_allocator),
                                .alloc = pool_alloc,
                                .release = pool_release,
                                .flags = flags}};
}

/* A malloc over p, which must stay where it is. Any thread. */
static inline hm_malloc *pool_malloc(pool *p, uint32_t flags, size_t limit)
{
    const hm_malloc_opts opts = {
        .size = sizeof(opts), .name = "test", .flags = flags, .limit = limit};
    hm_malloc *m = NULL;
    hm_allocator allocator = p->allocator;
    allocator.context = p;
    hm_error err;
    if (hm__wrap_malloc(&allocator, NULL, &opts, &m, &err) != HM_OK) {
        fail_msg("no malloc: %s", err.what);
    }
    assert_int_equal(hm_malloc_validate(m, NULL), HM_OK);
    return m;
}

static inline hm_stats stats_of(hm_malloc *m)
{
    hm_stats stats;
    assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
    return stats;
}

/* Everything went back: to the pool, and to the core's private memory. */
static inline void pool_check_empty(const pool *p)
{
    assert_int_equal(p->live, 0);
    assert_int_equal(p->bytes, 0);
    assert_int_equal(p->inside, 0);
    assert_int_equal(p->crowded, 0);
}

#endif
