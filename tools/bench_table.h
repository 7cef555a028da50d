/* SPDX-License-Identifier: MIT */
#ifndef HM_TOOLS_BENCH_TABLE_H
#define HM_TOOLS_BENCH_TABLE_H

#include "bench_figures.h"

/* The figures a reader wants, as Markdown on standard output. 0 when there is none of them, which was said then. */
int bench_table(const figures *all);

#endif
