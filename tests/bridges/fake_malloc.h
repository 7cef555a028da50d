/* SPDX-License-Identifier: MIT */
/* A malloc object that does what a bridge must survive: refuses from the nth request on, refuses to shrink, answers
 * addresses a guest cannot use, and remembers every size so that a wrong one shows. */
#ifndef HM_TESTS_FAKE_MALLOC_H
#define HM_TESTS_FAKE_MALLOC_H

#include <hostmalloc/malloc.h>

typedef struct fake_block {
    struct fake_block *next;
    struct fake_block *previous;
    size_t size;
    hm_site *site;
} fake_block;

typedef struct fake_malloc {
    hm_malloc base;
    hm_malloc_vtbl vtbl;
    fake_block blocks; /* the head of a ring */
    int references;
    size_t live;

    /* What it is told to do. */
    uint64_t
        fail_from; /* refuse the nth allocation or growth and every later one; 0: none */
    int fail_once; /* only the nth */
    int refuse_shrinks;
    uint64_t high_at; /* the nth allocation has an address beyond 47 bits; 0: none */

    /* What it saw. */
    uint64_t requests; /* allocations and growths */
    uint64_t plain;    /* calls of each kind of slot */
    uint64_t debug;
    uint64_t sized;
    uint64_t unsized;
    uint64_t resets;
    uint64_t shrinks_refused;
    uint64_t wrong_sizes; /* a free or realloc that gave another size than the block's */
} fake_malloc;

/* With one reference; @p flags as a host would grant them. */
void fake_malloc_init(fake_malloc *fake, uint32_t flags);

/* Frees what is left. */
void fake_malloc_fini(fake_malloc *fake);

/* Live blocks of a site's file name. */
size_t fake_malloc_count(const fake_malloc *fake, const char *file);

#endif
