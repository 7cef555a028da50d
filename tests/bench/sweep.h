/* SPDX-License-Identifier: MIT */
/* Who takes part in sweep, and one measurement of one of them. */
#ifndef HM_TESTS_BENCH_SWEEP_H
#define HM_TESTS_BENCH_SWEEP_H

#include <stddef.h>
#include <stdint.h>

#define SWEEP_MOST 11
#define SWEEP_BASE 0 /* mimalloc called directly: what the others are measured against */

typedef struct sweep_work {
    size_t size; /* of every block; 0: mixed, 16 to 1024, half of them 24 at most */
    size_t live; /* blocks at any time, per thread */
    unsigned threads;
    uint64_t steps; /* of each thread */
} sweep_work;

/* Opens whoever is installed, once per process; answers how many could take part. */
size_t sweep_open(void);
int sweep_is_there(size_t who);
const char *sweep_name(size_t who);
/* A host of ours that adds nothing of its own: what its threads lose, the interface would have lost. */
int sweep_is_bare(size_t who);
/* In words, of one that is not there. */
const char *sweep_why_not(size_t who);

/* Nanoseconds a step: of the thread's own time when there is one, else by the wall. */
double sweep_run(size_t who, const sweep_work *w);

#endif
