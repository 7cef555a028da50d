/* SPDX-License-Identifier: MIT */
/* The loops that layer_bench times, and the same under callgrind. */
#ifndef HM_TESTS_BENCH_LAYER_LOOP_H
#define HM_TESTS_BENCH_LAYER_LOOP_H

#include <hostmalloc/hostmalloc.h>

#define LIVE_COUNTED 1000 /* blocks, under callgrind */

/* How a step asks. */
enum {
    CALLS_PLAIN,  /* a thread-safe object, free without the size */
    CALLS_SIZED,  /* an unsynchronised object, free with the size */
    CALLS_DIRECT, /* mi_malloc and mi_free through pointers, no object */
    CALLS_NONE    /* not at all: what the loop itself takes */
};

/* An object for such calls; NULL when the build has no such layer or host. */
hm_malloc *layer_open(const char *spec, int calls);

/* 1 when mimalloc's own functions were found; after a host of it was opened. */
int layer_find_direct(void);

/* Nanoseconds of this thread, a step; live is at most 10 000. */
double layer_time(hm_malloc *m, int calls, size_t live, uint64_t steps);

/* Instructions a step, in a process of its own under callgrind; 0 when it gave none. */
double layer_count(const char *spec, int calls, uint64_t steps);
/* What runs there: layer_bench --loop SPEC CALLS STEPS. */
int layer_loop(const char *spec, int calls, uint64_t steps);

#endif
