/* SPDX-License-Identifier: MIT */
/* Who runs in hm_bench, and on what. */
#ifndef HM_TESTS_BENCH_CONTENDERS_H
#define HM_TESTS_BENCH_CONTENDERS_H

#include <stddef.h>
#include <stdint.h>

#define SLOTS      10000
#define SIZE_DRAWS 4096

/* Live blocks that a family of contenders hands on, so that all of it runs on the same memory. */
typedef struct ground {
    void *slots[SLOTS];
    uint32_t sizes[SIZE_DRAWS]; /* drawn beforehand */
    uint64_t seed;
} ground;

typedef void run_fn(ground *g, uint64_t steps);

#define WORK_CHURN \
    0 /* free a random one of 10 000 blocks, allocate in its place, touch it */
#define WORK_PAIR    1 /* allocate one, touch it, free it */
#define WORK_REALLOC 2 /* resize a random one of 10 000 blocks */
#define WORKS        3

/* Where a loop's code happens to lie costs or saves some percent, so there is each at several places. */
#define PLACES 4

typedef struct contender {
    const char *name;
    int family; /* blocks of one are freed by any other of the same; -1: by itself only */
    run_fn *work[WORKS][PLACES];
} contender;

enum {
    DIRECT_MIMALLOC,
    DIRECT_MIMALLOC_AGAIN,
    MIMALLOC_SLOT,
    MIMALLOC_MACRO,
    ONE_THREAD_SLOT,
    ONE_THREAD_MACRO,
    DEBUG_MIMALLOC,
    UMF_MIMALLOC,
    DIRECT_LIBC,
    DEFAULT_SLOT,
    DEFAULT_MACRO,
    DEBUG_DEFAULT,
    CONTENDERS
};
extern const contender contenders[CONTENDERS];

/* Opens the hosts; 1 done. Contenders that are not there in this build are told by contender_is_there. */
int contenders_open(void);
int contender_is_there(size_t i);
/* In words, of one that is not. */
const char *contender_why_not(size_t i);

#endif
