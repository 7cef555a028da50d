/* SPDX-License-Identifier: MIT */
/* Curves from the figures of hostmalloc bench. */
#ifndef HM_TOOLS_BENCH_PLOT_H
#define HM_TOOLS_BENCH_PLOT_H

#include "bench_figures.h"

/* Writes what stage sweep measured into folder, made if need be, as one data file per axis, and has gnuplot draw an SVG
   of each and one of the first two, ratios.svg; without gnuplot it says how to. programs: where plot.gnuplot lies. 1 done, 0 said why not. */
int bench_plot(const figures *all, const char *folder, const char *programs);

#endif
