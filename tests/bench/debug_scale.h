/* SPDX-License-Identifier: MIT */
/* The part of debug_bench that asks whether anything grows faster than its work. */
#ifndef HM_TESTS_BENCH_DEBUG_SCALE_H
#define HM_TESTS_BENCH_DEBUG_SCALE_H

#include <stddef.h>
#include <stdint.h>

typedef struct scale_plan {
    unsigned repeats;
    uint64_t steps;
    size_t shrink; /* divides how many blocks there are; 1: as said */
    int is_quick;  /* counts instructions of one mode only */
} scale_plan;

/* Churn while ever more blocks are live, from few sites and many. 0 when a process failed. */
int debug_scale(const scale_plan *plan);

/* The instructions of a step, while ever more blocks are live. */
void debug_count(const scale_plan *plan);

/* What debug_count runs under callgrind: the program with "--count SPEC LIVE STEPS". Answers its exit status. */
int debug_scale_count(const char *spec, size_t live, uint64_t steps);

#endif
