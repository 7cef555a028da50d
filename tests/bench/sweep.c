/* SPDX-License-Identifier: MIT */
/* How what an allocation costs changes with its size, with threads and with what is live: the curves of a plot.
 *
 *     sweep [--quick] [--check] [sizes|threads|live...]
 *
 * Churn of every contender that is installed, against mimalloc called directly: a step frees a random block, allocates
 * one in its place and touches it. In every repeat each contender runs once, forwards or backwards in turn, and its
 * ratio is taken within the repeat; printed are the median of the ratios and the quartiles. Threads have their own
 * blocks, and their figure is the wall's, so that waiting counts; that two lose nothing against one, beyond what mimalloc
 * itself loses, is the one bound here. --quick only shows that it runs, --check fails when the bound is missed. */
#include "sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"

#define MOST_REPEATS 32
#define MOST_POINTS  16
/* Of the ratio with two threads over that with one: no worse, but for what two runs of the same differ by. */
#define BOUND_TWO_THREADS 1.02

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
    int check;
} plan = {7, 300000, 1e7, 0};

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
        w.steps *= 8; /* many turns of the scheduler, which is the others' noise */
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

static void
print_point(const point *p, const sample *samples, spread out[static SWEEP_MOST])
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
        out[who] = ratio;
        printf("  %-28s %6.2f  [%.2f %.2f]", sweep_name(who), ratio.median, ratio.q1,
               ratio.q3);
        measure_record(workload, sweep_name(who), sweep_name(SWEEP_BASE), p->x, ratio, 0);
        measure_row(ratio.median, 0);
    }
}

static void print_two_threads(const spread one[static SWEEP_MOST],
                              const spread two[static SWEEP_MOST])
{
    printf("\nthat ratio with two threads over that with one\n");
    for (size_t who = 0; who < SWEEP_MOST; who++) {
        if (who == SWEEP_BASE || one[who].median <= 0 || two[who].median <= 0) {
            continue;
        }
        const spread growth = {two[who].q1 / one[who].q3,
                               two[who].median / one[who].median,
                               two[who].q3 / one[who].q1};
        const double bound = sweep_is_bare(who) ? BOUND_TWO_THREADS : 0;
        printf("  %-28s %6.2f  [%.2f %.2f]", sweep_name(who), growth.median, growth.q1,
               growth.q3);
        measure_record("two threads over one", sweep_name(who), sweep_name(SWEEP_BASE), 2,
                       growth, bound);
        measure_row(growth.median, bound);
    }
}

static int run_axis(const struct axis *axis)
{
    static sample samples[MOST_REPEATS];
    static spread at[MOST_POINTS][SWEEP_MOST];
    memset(at, 0, sizeof at);
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
        print_point(&p, samples, at[i]);
    }
    if (axis == &axes[1]) {
        print_two_threads(at[0], at[1]);
    }
    return 1;
}

typedef struct absence {
    char why[SWEEP_MOST][256]; /* empty for who is there */
} absence;

static void find_missing(void *context, int answer)
{
    absence out;
    (void)context;
    memset(&out, 0, sizeof out);
    const size_t count = sweep_open();
    for (size_t i = 0; i < count; i++) {
        if (!sweep_is_there(i)) {
            snprintf(out.why[i], sizeof out.why[i], "%s", sweep_why_not(i));
        }
    }
    measure_answer(answer, &out, sizeof out);
}

/* Libraries of others stay where they were opened, so that is not here. */
static int print_missing(void)
{
    static absence missing;
    if (!measure_apart(find_missing, NULL, &missing, sizeof missing)) {
        return 0;
    }
    printf("\n");
    for (size_t i = 0; i < SWEEP_MOST; i++) {
        if (missing.why[i][0]) {
            measure_missing(sweep_name(i), missing.why[i]);
        }
    }
    return 1;
}

static int usage(void)
{
    fprintf(stderr, "usage: sweep [--quick] [--check] [sizes|threads|live...]\n");
    return 2;
}

int main(int argc, char **argv)
{
    int from = 1;
    char text[64];
    for (; from < argc && strncmp(argv[from], "--", 2) == 0; from++) {
        if (strcmp(argv[from], "--quick") == 0) {
            plan.repeats = 2;
            plan.steps = 2000;
            plan.live_most = 1e3;
        } else if (strcmp(argv[from], "--check") == 0) {
            plan.check = 1;
        } else {
            return usage();
        }
    }
    for (int i = from; i < argc; i++) {
        size_t known = 0;
        while (known < COUNT(axes) && strcmp(argv[i], axes[known].name) != 0) {
            known++;
        }
        if (known == COUNT(axes)) {
            return usage();
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
    if (!print_missing()) {
        return 2;
    }
    return measure_end() && plan.check ? 1 : 0;
}
