/* SPDX-License-Identifier: MIT */
/* The debug host's modes that debug_bench compares, and the part of it that weighs them. */
#ifndef HM_TESTS_BENCH_DEBUG_MODES_H
#define HM_TESTS_BENCH_DEBUG_MODES_H

#include <hostmalloc/hostmalloc.h>

#define DEBUG_MODES 7

/* Mode 0 is mimalloc alone, which the others are measured against. */
typedef struct debug_mode {
    const char *name, *spec;
    double bound;          /* of churn; 0: none */
    double bound_overhead; /* bytes per block of what the host says it adds */
} debug_mode;

extern const debug_mode debug_modes[DEBUG_MODES];

/* Says which modes this build lacks. 0: not even mimalloc is there. */
int debug_modes_find(void);
int debug_mode_is_there(size_t mode);
hm_malloc *debug_mode_open(size_t mode, uint32_t flags);

/* Bytes per block, and how long the questions take, over that many live blocks and, in the first three modes, over ten
   times as many. 0 when a process failed. */
int debug_weigh(size_t blocks);

#endif
