/* SPDX-License-Identifier: MIT */
/* Blocks that come and go, on a malloc object, as a program that says its sites calls it. Every contender runs through
   the same machine code: only the object differs. */
#ifndef HM_TESTS_BENCH_CHURN_H
#define HM_TESTS_BENCH_CHURN_H

#include <hostmalloc/hostmalloc.h>

#define CHURN_SITES_MOST 100000

typedef struct churn {
    hm_malloc *m;
    size_t live; /* blocks at any time, per thread */
    size_t sites;
    uint64_t steps; /* of each thread; a step frees one block and allocates one */
} churn;

/* Nanoseconds a step, of the slower thread. */
typedef struct churn_time {
    double wall, cpu;
} churn_time;

typedef churn_time churn_run(const churn *c);

churn_run churn_alone;
churn_run churn_two_own; /* two threads, each its own blocks */
churn_run
    churn_two_exchange; /* two threads, the same slots: half of the frees are of the other's blocks */
churn_run churn_two_pipe; /* one allocates, the other frees */

/* Before the next two; the runs do it by themselves. */
void churn_prepare(void);

hm_site *churn_site(uint64_t i, size_t sites);

/* Of bytes, mixed: half of them 16 to 24, ever fewer up to 1024. */
size_t churn_size(uint64_t i);

#endif
