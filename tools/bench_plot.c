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

static const char *const axes[] = {"sizes", "threads", "live"};
#define AXES (int)(sizeof axes / sizeof axes[0])

/* What sweep measured along one: "sizes". */
static int is_along(const figure *f, const char *axis)
{
    static const char by[] = "churn by ";
    return strcmp(f->program, "sweep") == 0 &&
           strncmp(f->workload, by, sizeof by - 1) == 0 &&
           strcmp(f->workload + sizeof by - 1, axis) == 0;
}

static int failed(const char *what, const char *which)
{
    fprintf(stderr, "hostmalloc: bench: %s: %s\n", which, what);
    return 0;
}

/* Blocks of one contender each, as gnuplot's `index` counts them; how many there were. */
static int write_axis(FILE *to, const char *axis, const figure *all, size_t count)
{
    int blocks = 0;
    for (size_t i = 0; i < count; i++) {
        int is_first = is_along(&all[i], axis);
        for (size_t before = 0; before < i && is_first; before++) {
            is_first = !is_along(&all[before], axis) ||
                       strcmp(all[before].what, all[i].what) != 0;
        }
        if (!is_first) {
            continue;
        }
        fprintf(to, "%s\"%s\"\n", blocks ? "\n\n" : "", all[i].what);
        blocks++;
        for (size_t at = i; at < count; at++) {
            if (is_along(&all[at], axis) && strcmp(all[at].what, all[i].what) == 0) {
                fprintf(to, "%.0f %.4f %.4f %.4f\n", all[at].x, all[at].median,
                        all[at].q1, all[at].q3);
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

int bench_plot(const figures *all, const char *folder, const char *programs)
{
    char path[2 * PATH_MAX], script[2 * PATH_MAX];
    int done = 1, drawn = 0;
    if (strpbrk(folder, "'\"\\") || (mkdir(folder, 0777) != 0 && errno != EEXIST)) {
        return failed("no folder for plots", folder);
    }
    snprintf(script, sizeof script, "%s/plot.gnuplot", programs);
    for (int i = 0; i < AXES; i++) {
        snprintf(path, sizeof path, "%s/%s.dat", folder, axes[i]);
        FILE *file = fopen(path, "w");
        if (!file) {
            return failed(strerror(errno), path);
        }
        const int blocks = write_axis(file, axes[i], all->all, all->count);
        if (fclose(file) != 0) {
            return failed(strerror(errno), path);
        }
        done &= blocks == 0 || draw(folder, axes[i], script);
        drawn += blocks > 0;
    }
    if (drawn == 0) {
        return failed("nothing to plot: stage sweep did not run", folder);
    }
    return done && (drawn < AXES || draw(folder, "ratios", script));
}
