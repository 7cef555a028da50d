/* SPDX-License-Identifier: MIT */
/* Curves from the figures of hostmalloc bench: see bench_plot.h. */
#include "bench_plot.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_FIGURES 1024

typedef struct figure {
    char workload[64], what[64];
    double x, median, q1, q3;
} figure;

static const char *const axes[] = {"sizes", "threads", "live"};
#define AXES (sizeof axes / sizeof axes[0])

static int failed(const char *what, const char *which)
{
    fprintf(stderr, "hostmalloc: bench: %s: %s\n", which, what);
    return 0;
}

/* Of lines as measure.c writes them; others are passed over. */
static size_t read_figures(const char *path, figure *out)
{
    char line[1024];
    size_t count = 0;
    FILE *file = fopen(path, "r");
    while (file && count < MOST_FIGURES && fgets(line, sizeof line, file)) {
        figure *f = &out[count];
        if (sscanf(
                line,
                "{\"program\": \"sweep\", \"workload\": \"churn by %63[^\"]\", \"what\": "
                "\"%63[^\"]\", \"against\": \"%*[^\"]\", \"x\": %lf, \"median\": %lf, "
                "\"q1\": %lf, \"q3\": %lf",
                f->workload, f->what, &f->x, &f->median, &f->q1, &f->q3) == 6) {
            count++;
        }
    }
    if (file) {
        fclose(file);
    }
    return count;
}

/* Blocks of one contender each, as gnuplot's `index` counts them; how many there were. */
static int write_axis(FILE *to, const char *axis, const figure *figures, size_t count)
{
    int blocks = 0;
    for (size_t i = 0; i < count; i++) {
        int is_first = strcmp(figures[i].workload, axis) == 0;
        for (size_t before = 0; before < i && is_first; before++) {
            is_first = strcmp(figures[before].workload, axis) != 0 ||
                       strcmp(figures[before].what, figures[i].what) != 0;
        }
        if (!is_first) {
            continue;
        }
        fprintf(to, "%s\"%s\"\n", blocks ? "\n\n" : "", figures[i].what);
        blocks++;
        for (size_t at = i; at < count; at++) {
            if (strcmp(figures[at].workload, axis) == 0 &&
                strcmp(figures[at].what, figures[i].what) == 0) {
                fprintf(to, "%.0f %.4f %.4f %.4f\n", figures[at].x, figures[at].median,
                        figures[at].q1, figures[at].q3);
            }
        }
    }
    return blocks;
}

static int draw(const char *folder, const char *axis, const char *script)
{
    char set[2 * PATH_MAX];
    int status = 1;
    snprintf(set, sizeof set, "folder='%s'; axis='%s'", folder, axis);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        execlp("gnuplot", "gnuplot", "-e", set, script, (char *)NULL);
        _exit(errno == ENOENT ? 127 : 126);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        printf("no gnuplot here; where it is: gnuplot -e \"%s\" %s\n", set, script);
        return 1;
    }
    if (child < 0 || status != 0) {
        return failed("gnuplot did not end well", axis);
    }
    printf("%s/%s.svg\n", folder, axis);
    return 1;
}

int bench_plot(const char *figures, const char *folder, const char *programs)
{
    static figure all[MOST_FIGURES];
    char path[2 * PATH_MAX], script[2 * PATH_MAX];
    const size_t count = read_figures(figures, all);
    int done = 1;
    if (count == 0) {
        return failed("nothing to plot: stage sweep did not run", folder);
    }
    if (strpbrk(folder, "'\"\\") || (mkdir(folder, 0777) != 0 && errno != EEXIST)) {
        return failed("no folder for plots", folder);
    }
    snprintf(script, sizeof script, "%s/plot.gnuplot", programs);
    for (size_t i = 0; i < AXES; i++) {
        snprintf(path, sizeof path, "%s/%s.dat", folder, axes[i]);
        FILE *file = fopen(path, "w");
        if (!file) {
            return failed(strerror(errno), path);
        }
        const int blocks = write_axis(file, axes[i], all, count);
        if (fclose(file) != 0) {
            return failed(strerror(errno), path);
        }
        done &= blocks == 0 || draw(folder, axes[i], script);
    }
    return done;
}
