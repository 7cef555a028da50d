/* SPDX-License-Identifier: MIT */
/* The figures that hostmalloc bench keeps, read again: for its curves and its tables. */
#ifndef HM_TOOLS_BENCH_FIGURES_H
#define HM_TOOLS_BENCH_FIGURES_H

#include <stddef.h>

#define MOST_FIGURES 2048

typedef struct figure {
    char program[32], workload[96], what[96],
        against[96]; /* what alone: it could not take part */
    char why[128];   /* it could not; else empty */
    double x, median, q1, q3, bound;
} figure;

typedef struct figures {
    size_t count;
    figure all[MOST_FIGURES];
} figures;

/* Of a file as `hostmalloc bench --json` writes it. 0 when it is none, which was said then. */
int figures_read(const char *path, figures *out);

#endif
