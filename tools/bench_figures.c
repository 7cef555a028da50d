/* SPDX-License-Identifier: MIT */
/* Figures, read again: see bench_figures.h. The lines are our own and hold neither quotes nor escapes within a text. */
#include "bench_figures.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int failed(const char *path, const char *why)
{
    fprintf(stderr, "hostmalloc: bench: %s: %s\n", path, why);
    return 0;
}

/* 1: the line is a figure or one that is missing. */
static int read_line(const char *line, figure *f)
{
    memset(f, 0, sizeof *f);
    if (sscanf(line,
               "{\"program\": \"%31[^\"]\", \"missing\": \"%95[^\"]\", \"why\": "
               "\"%127[^\"]\"}",
               f->program, f->what, f->why) == 3) {
        return 1;
    }
    memset(f, 0, sizeof *f);
    return sscanf(line,
                  "{\"program\": \"%31[^\"]\", \"workload\": \"%95[^\"]\", \"what\": "
                  "\"%95[^\"]\", \"against\": \"%95[^\"]\", \"x\": %lf, \"median\": %lf, "
                  "\"q1\": %lf, \"q3\": %lf, \"bound\": %lf}",
                  f->program, f->workload, f->what, f->against, &f->x, &f->median, &f->q1,
                  &f->q3, &f->bound) == 9;
}

int figures_read(const char *path, figures *out)
{
    static const char schema[] = "{\"schema\": \"hostmalloc-bench/1\"";
    char line[1024];
    FILE *file = fopen(path, "r");
    if (!file) {
        return failed(path, strerror(errno));
    }
    out->count = 0;
    if (!fgets(line, sizeof line, file) ||
        strncmp(line, schema, sizeof schema - 1) != 0) {
        fclose(file);
        return failed(path, "no figures of hostmalloc bench");
    }
    for (unsigned at = 2; fgets(line, sizeof line, file); at++) {
        char why[64];
        snprintf(why, sizeof why, "line %u is not understood", at);
        if (out->count == MOST_FIGURES || !read_line(line, &out->all[out->count])) {
            fclose(file);
            return failed(path, out->count == MOST_FIGURES ? "too many figures" : why);
        }
        out->count++;
    }
    fclose(file);
    return 1;
}
