/* SPDX-License-Identifier: MIT */
/* One contract, run over every host: `test_conformance SPEC` runs each case for each kind of malloc object the
   host of that spec makes. Cases are by topic, one file each; conformance.c holds the tables. */
#ifndef HM_TESTS_CONFORMANCE_H
#define HM_TESTS_CONFORMANCE_H

#include <hostmalloc/hostmalloc.h>

#include "check.h"
#include "sanitizer.h"

#include <string.h>

/* One kind of malloc object. */
typedef struct kind {
    const char *label;
    uint32_t flags;
    size_t limit;
    unsigned used; /* allocations that come and go before the case */
} kind;

/* What a case runs on: opened before it, given up after it. */
typedef struct subject {
    const char *spec;
    const kind *kind;
    hm_host *host;
    hm_malloc *m;
} subject;

typedef struct test_case {
    const char *name;
    void (*run)(subject *s);
} test_case;

/* A row of a topic's table. */
#define CASE(name)  \
    {               \
#name, name \
    }

extern const test_case block_cases[], realloc_cases[], query_cases[], object_cases[],
    ending_cases[], contract_cases[], host_cases[];
extern const size_t block_case_count, realloc_case_count, query_case_count,
    object_case_count, ending_case_count, contract_case_count, host_case_count;

/* Does this object judge what it is asked to free? */
static inline int is_checked(const subject *s)
{
    return (s->m->flags & HM_MALLOC_DEBUG) != 0;
}

/* Does it promise to know its blocks? */
static inline int is_exact(const subject *s)
{
    return is_checked(s) || (s->kind->flags & HM_MALLOC_EXACT) != 0;
}

/* Another malloc of the same host, of the same kind. */
hm_malloc *sibling(subject *s);

/* A malloc of the same host with these flags and this limit; NULL with HM_E_UNSUPPORTED only. */
hm_malloc *malloc_with(subject *s, uint32_t flags, size_t limit);

/* Run on a thread of its own, to the end. */
void on_another_thread(void (*run)(void *context), void *context);

/* Of this process, in memory. */
long resident_pages(void);

static inline int is_aligned(const void *block, size_t alignment)
{
    return ((uintptr_t)block & (alignment - 1)) == 0;
}

/* Every byte of a block carries a mark of its place and of seed. */
static inline void fill(void *block, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) {
        ((unsigned char *)block)[i] = (unsigned char)(i * 31 + seed);
    }
}

static inline int is_filled(const void *block, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) {
        if (((const unsigned char *)block)[i] != (unsigned char)(i * 31 + seed)) {
            return 0;
        }
    }
    return 1;
}

static inline int is_zero(const void *block, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (((const unsigned char *)block)[i]) {
            return 0;
        }
    }
    return 1;
}

#endif
