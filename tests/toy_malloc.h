/* SPDX-License-Identifier: MIT */
/* A malloc over libc that has nothing but the five slots an implementer must write; the rest is ready-made. */
#ifndef HM_TESTS_TOY_MALLOC_H
#define HM_TESTS_TOY_MALLOC_H

#include <errno.h>
#include <hostmalloc/malloc.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "slots_internal.h"

typedef struct toy {
    hm_malloc base;
    hm_malloc_vtbl table;
    size_t live;  /* atomic: blocks out */
    int refusing; /* alloc answers NULL */
    int asked;    /* size_of was called */
    hm_level level;
} toy;

static inline toy *toy_of(hm_malloc *self)
{
    return (toy *)self;
}

static inline void *toy_alloc(hm_malloc *self, size_t size, hm_level level)
{
    toy *t = toy_of(self);
    __atomic_store_n(&t->level, level, __ATOMIC_RELAXED);
    errno = ENOMEM; /* as libc's may leave it */
    if (t->refusing || size > (size_t)1 << 30) {
        return NULL;
    }
    size_t *head = (malloc)(16 + size);
    assert_non_null(head);
    memset(head, 0xa5, 16 + size);
    *head = size;
    __atomic_fetch_add(&t->live, 1, __ATOMIC_RELAXED);
    return (char *)head + 16;
}

static inline void toy_free(hm_malloc *self, void *block)
{
    if (block) {
        __atomic_fetch_sub(&toy_of(self)->live, 1, __ATOMIC_RELAXED);
        (free)((char *)block - 16);
    }
}

static inline size_t toy_size_of(hm_malloc *self, const void *block)
{
    toy_of(self)->asked = 1;
    return block ? *(const size_t *)(const void *)((const char *)block - 16) : 0;
}

static inline void toy_count(hm_malloc *self)
{
    (void)self;
}

static inline toy *toy_make(toy *t)
{
    memset(t, 0, sizeof(*t));
    t->table = hm__malloc_basics;
    t->table.retain = toy_count;
    t->table.release = toy_count;
    t->table.alloc = toy_alloc;
    t->table.free = toy_free;
    t->table.size_of = toy_size_of;
    t->base.vtbl = &t->table;
    assert_int_equal(hm_malloc_validate(&t->base, NULL), HM_OK);
    return t;
}

#endif
