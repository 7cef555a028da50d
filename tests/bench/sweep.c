/* SPDX-License-Identifier: MIT */
/* How what an allocation costs changes with its size, with threads and with what is live: the curves of a plot.
 *
 *     sweep [--quick] [sizes|threads|live...]
 *
 * Churn of every contender that is installed, against mimalloc called directly: a step frees a random block, allocates
 * one in its place and touches it. In every repeat each contender runs once, forwards or backwards in turn, and its
 * ratio is taken within the repeat; printed are the median of the ratios and the quartiles. Threads have their own
 * blocks, and their figure is the wall's, so that waiting counts. */
#include "sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"

#define MOST_REPEATS 32
#define MOST_POINTS  16

static const struct axis {
    const char *name, *unit;
    double at[MOST_POINTS]; /* 0 ends */
} axes[] = {
    {"sizes", "bytes", {8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 65536}},
    {"threads", "threads", {1, 2, 4, 8, 16}},
    {"live", "live blocks", {1e3, 1e4, 1e5, 1e6, 1e7}},
};

static struct {
    unsigned repeats;
    uint64_t steps;
    double live_most;
} plan = {7, 300000, 1e7};

typedef struct sample {
    double ns[SWEEP_MOST]; /* 0 where a contender is missing */
} sample;

typedef struct point {
    const struct axis *axis;
    double x;
} point;

static sweep_work work_at(const struct axis *axis, double x)
{
    sweep_work w = {.size = 0, .live = 1000, .threads = 1, .steps = plan.steps};
    if (axis == &axes[0]) {
        w.size = (size_t)x;
    } else if (axis == &axes[1]) {
        w.threads = (unsigned)x;
    } else {
        w.live = (size_t)x;
        w.steps = w.live / 10 > w.steps ? w.live / 10 : w.steps;
    }
    return w;
}

/* Filling millions of slots takes seconds, and averages by itself. */
static unsigned repeats_at(const point *p)
{
    return p->axis == &axes[2] && p->x >= 1e6 && plan.repeats > 3 ? 3 : plan.repeats;
}

static void run_point(void *context, int answer)
{
    const point *p = context;
    const sweep_work w = work_at(p->axis, p->x);
    if (w.threads == 1) {
        measure_pin();
    }
    const size_t count = sweep_open();
    for (unsigned repeat = 0; repeat < repeats_at(p); repeat++) {
        sample s;
        memset(&s, 0, sizeof s);
        for (size_t i = 0; i < count; i++) {
            const size_t who = repeat % 2 ? count - 1 - i : i;
            s.ns[who] = sweep_is_there(who) ? sweep_run(who, &w) : 0;
        }
        measure_answer(answer, &s, sizeof s);
    }
}

static spread ratio_of(const sample *samples, unsigned repeats, size_t who)
{
    double values[MOST_REPEATS];
    for (unsigned i = 0; i < repeats; i++) {
        values[i] = samples[i].ns[who] / samples[i].ns[SWEEP_BASE];
    }
    return measure_spread(values, repeats);
}

static void print_point(const point *p, const sample *samples)
{
    double base[MOST_REPEATS];
    char workload[64];
    const unsigned repeats = repeats_at(p);
    for (unsigned i = 0; i < repeats; i++) {
        base[i] = samples[i].ns[SWEEP_BASE];
    }
    printf("\n%.0f %s: %s takes %.1f ns a step\n", p->x, p->axis->unit,
           sweep_name(SWEEP_BASE), measure_spread(base, repeats).median);
    snprintf(workload, sizeof workload, "churn by %s", p->axis->name);
    for (size_t who = 0; who < SWEEP_MOST; who++) {
        if (who == SWEEP_BASE || samples[0].ns[who] <= 0) {
            continue;
        }
        const spread ratio = ratio_of(samples, repeats, who);
        printf("  %-28s %6.2f  [%.2f %.2f]", sweep_name(who), ratio.median, ratio.q1,
               ratio.q3);
        measure_record(workload, sweep_name(who), sweep_name(SWEEP_BASE), p->x, ratio, 0);
        measure_row(ratio.median, 0);
    }
}

static int run_axis(const struct axis *axis)
{
    static sample samples[MOST_REPEATS];
    for (size_t i = 0; i < MOST_POINTS && axis->at[i] > 0; i++) {
        point p = {axis, axis->at[i]};
        if (axis == &axes[2] && p.x > plan.live_most) {
            break;
        }
        if (!measure_apart(run_point, &p, samples, repeats_at(&p) * sizeof samples[0])) {
            fprintf(stderr, "sweep: a process failed at %.0f %s\n", p.x, axis->unit);
            return 0;
        }
        if (samples[0].ns[SWEEP_BASE] <= 0) {
            printf("\n%s: left out, the mimalloc host is not in this build\n",
                   axis->name);
            return 1;
        }
        print_point(&p, samples);
    }
    return 1;
}

/* Asked here, after the measuring, where nothing of it can be in the way. */
static void print_missing(void)
{
    const size_t count = sweep_open();
    printf("\n");
    for (size_t i = 0; i < count; i++) {
        if (!sweep_is_there(i)) {
            measure_missing(sweep_name(i), sweep_why_not(i));
        }
    }
}

int main(int argc, char **argv)
{
    int from = 1;
    char text[64];
    if (argc > 1 && strcmp(argv[1], "--quick") == 0) {
        plan.repeats = 2;
        plan.steps = 2000;
        plan.live_most = 1e3;
        from = 2;
    }
    for (int i = from; i < argc; i++) {
        size_t known = 0;
        while (known < COUNT(axes) && strcmp(argv[i], axes[known].name) != 0) {
            known++;
        }
        if (known == COUNT(axes)) {
            fprintf(stderr, "usage: sweep [--quick] [sizes|threads|live...]\n");
            return 2;
        }
    }
    snprintf(text, sizeof text, "%u repeats, %llu steps each", plan.repeats,
             (unsigned long long)plan.steps);
    measure_head("sweep", text);
    for (size_t a = 0; a < COUNT(axes); a++) {
        int wanted = from == argc;
        for (int i = from; i < argc; i++) {
            wanted |= strcmp(argv[i], axes[a].name) == 0;
        }
        if (wanted && !run_axis(&axes[a])) {
            return 2;
        }
    }
    print_missing();
    return measure_end();
}
