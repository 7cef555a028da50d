/* SPDX-License-Identifier: MIT */
/* Clocks, quartiles and rows, the same for every benchmark that is judged by ratios. */
#ifndef HM_TESTS_BENCH_MEASURE_H
#define HM_TESTS_BENCH_MEASURE_H

#include <stddef.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct spread {
    double q1, median, q3;
} spread;

/* Nanoseconds: by the clock on the wall, and of this thread alone. */
double measure_wall(void);
double measure_cpu(void);

/* Stay on the last processor we may use, as the first tends to serve interrupts; and leave it again. */
void measure_pin(void);
void measure_unpin(void);

/* Says what was run, on how busy a machine, and whether it was optimised at all. */
void measure_head(const char *program, const char *plan);

/* Sorts values. count is not 0. */
spread measure_spread(double *values, size_t count);

/* The same figure for machines: one JSON object a line, appended to the file that HOSTMALLOC_BENCH_JSON names; nothing
   without it. Names are plain text without quotes. x is what a plot has below: bytes, threads, blocks; 0 for none. */
void measure_record(const char *workload,
                    const char *what,
                    const char *against,
                    double x,
                    spread ratio,
                    double bound);

/* One that could not take part, and why: a line of its own, here and for machines. */
void measure_missing(const char *what, const char *why);

/* Ends a row that was judged by its median: against a bound, 0 for none. Every row is counted. */
void measure_row(double median, double bound);
/* "12 rows, 1 bound missed", and 1 if any was. */
int measure_end(void);

/* Instructions of this program, run again with these words of a shell under callgrind, while a function is on the stack
   whose name the pattern is; without those in the library in whose name without is, unless that is NULL. 0: nobody
   counted. */
double
measure_instructions(const char *counted, const char *arguments, const char *without);

/* Runs body in a process of its own, so that memory and luck are fresh; what it writes to answer comes back in
   out. 1 if all bytes of it did and the process ended well. */
int measure_apart(void (*body)(void *context, int answer),
                  void *context,
                  void *out,
                  size_t bytes);
/* In such a body. */
void measure_answer(int answer, const void *data, size_t bytes);

#endif
