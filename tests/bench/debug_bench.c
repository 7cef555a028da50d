/* SPDX-License-Identifier: MIT */
/* What the debug host costs over mimalloc against mimalloc alone, called the same way and told the same sites.
 *
 *     debug_bench [--quick] [--check] [--processes N] [--repeats N] [--steps N] [PART...]
 *
 * Parts: churn (1000 live blocks of mixed sizes from 64 sites, one thread and two), memory (bytes per block, and how
 * long the questions take over a million and ten millions), scale (many live blocks, many sites), count (instructions,
 * with many live blocks); all of them when none is named.
 * In every repeat each mode runs once, forwards or backwards in turn, and its ratio is taken within the repeat.
 * Printed are the median of the ratios and the quartiles; one thread by its own time, two by the wall and by their own.
 * --quick only shows that it runs, --check fails when a bound is missed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "churn.h"
#include "debug_modes.h"
#include "debug_scale.h"
#include "measure.h"

#define MOST_SAMPLES 64
#define MODES        DEBUG_MODES

static const struct work {
    const char *name;
    uint32_t flags;
    int threads;
    churn_run *run;
    size_t live, sites;
} churns[] = {
    {"one thread, thread-safe", HM_MALLOC_THREADSAFE, 1, churn_alone, 1000, 64},
    {"one thread, unsynchronised", 0, 1, churn_alone, 1000, 64},
    {"two threads, own blocks", HM_MALLOC_THREADSAFE, 2, churn_two_own, 1000, 64},
    {"two threads, exchange", HM_MALLOC_THREADSAFE, 2, churn_two_exchange, 1000, 64},
    {"two threads, one frees", HM_MALLOC_THREADSAFE, 2, churn_two_pipe, 1000, 64},
};

static struct {
    unsigned processes, repeats;
    uint64_t steps;
    size_t blocks, shrink;
    int check, quick;
} plan = {3, 5, 300000, 1000000, 1, 0, 0};

typedef struct sample {
    churn_time time[MODES]; /* 0 where the mode is missing */
} sample;

static void run_work(void *context, int answer)
{
    const struct work *w = context;
    hm_malloc *objects[MODES] = {NULL};
    measure_pin();
    for (size_t i = 0; i < MODES; i++) {
        objects[i] = debug_mode_is_there(i) ? debug_mode_open(i, w->flags) : NULL;
    }
    for (unsigned repeat = 0; repeat < plan.repeats; repeat++) {
        sample s;
        memset(&s, 0, sizeof s);
        for (size_t i = 0; i < MODES; i++) {
            const size_t mode = repeat % 2 ? MODES - 1 - i : i;
            if (objects[mode]) {
                const churn c = {objects[mode], w->live, w->sites, plan.steps};
                s.time[mode] = w->run(&c);
            }
        }
        measure_answer(answer, &s, sizeof s);
    }
}

static spread ratios_of(const sample *samples, size_t count, size_t mode, int wall)
{
    double values[MOST_SAMPLES];
    for (size_t i = 0; i < count; i++) {
        const churn_time above = samples[i].time[mode], below = samples[i].time[0];
        values[i] = wall ? above.wall / below.wall : above.cpu / below.cpu;
    }
    return measure_spread(values, count);
}

static double ns_of(const sample *samples, size_t count, size_t mode, int wall)
{
    double values[MOST_SAMPLES];
    for (size_t i = 0; i < count; i++) {
        values[i] = wall ? samples[i].time[mode].wall : samples[i].time[mode].cpu;
    }
    return measure_spread(values, count).median;
}

static int measure_churns(void)
{
    static sample samples[MOST_SAMPLES];
    const struct work *const works = churns;
    for (size_t w = 0; w < COUNT(churns); w++) {
        size_t had = 0;
        for (unsigned i = 0; i < plan.processes; i++, had += plan.repeats) {
            if (!measure_apart(run_work, (void *)&works[w], &samples[had],
                               plan.repeats * sizeof samples[0])) {
                fprintf(stderr, "debug_bench: a process failed\n");
                return 0;
            }
        }
        const int wall = works[w].threads > 1;
        printf("\n%s: mimalloc takes %.1f ns a step\n", works[w].name,
               ns_of(samples, had, 0, wall));
        for (size_t mode = 1; mode < MODES; mode++) {
            if (!debug_mode_is_there(mode)) {
                continue;
            }
            const spread ratio = ratios_of(samples, had, mode, wall);
            printf("  %-26s %6.1f ns  %6.2f  [%.2f %.2f]", debug_modes[mode].name,
                   ns_of(samples, had, mode, wall), ratio.median, ratio.q1, ratio.q3);
            if (wall) {
                const spread own = ratios_of(samples, had, mode, 0);
                char workload[96];
                printf("  threads' own time %.2f", own.median);
                snprintf(workload, sizeof workload, "%s, threads' own time",
                         works[w].name);
                measure_record(workload, debug_modes[mode].name, debug_modes[0].name,
                               (double)works[w].live, own, 0);
            }
            const double bound = debug_modes[mode].bound;
            measure_record(works[w].name, debug_modes[mode].name, debug_modes[0].name,
                           (double)works[w].live, ratio, bound);
            measure_row(ratio.median, bound);
        }
    }
    return 1;
}

static int number(const char *text, unsigned long long *out)
{
    char *end = NULL;
    *out = text ? strtoull(text, &end, 10) : 0;
    return text && *out > 0 && *end == '\0';
}

/* 0: not understood. Otherwise where the parts begin. */
static int read_arguments(int argc, char **argv)
{
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        unsigned long long value = 0;
        if (strcmp(argv[i], "--quick") == 0) {
            plan.processes = 1;
            plan.repeats = 2;
            plan.steps = 4000;
            plan.blocks = plan.shrink = 1000;
            plan.quick = 1;
        } else if (strcmp(argv[i], "--check") == 0) {
            plan.check = 1;
        } else if (!number(argv[i + 1], &value)) {
            return 0;
        } else if (strcmp(argv[i], "--processes") == 0) {
            plan.processes = (unsigned)value;
            i++;
        } else if (strcmp(argv[i], "--repeats") == 0) {
            plan.repeats = (unsigned)value;
            i++;
        } else if (strcmp(argv[i], "--steps") == 0) {
            plan.steps = value;
            i++;
        } else {
            return 0;
        }
    }
    return (uint64_t)plan.processes * plan.repeats <= MOST_SAMPLES ? i : 0;
}

static int has_part(int argc, char **argv, int from, const char *part)
{
    for (int i = from; i < argc; i++) {
        if (strcmp(argv[i], part) == 0) {
            return 1;
        }
    }
    return from == argc;
}

int main(int argc, char **argv)
{
    const int parts = read_arguments(argc, argv);
    char text[128];
    if (argc == 5 && strcmp(argv[1], "--count") == 0) {
        return debug_scale_count(argv[2], strtoull(argv[3], NULL, 10),
                                 strtoull(argv[4], NULL, 10));
    }
    if (!parts) {
        fprintf(stderr, "usage: debug_bench [--quick] [--check] [--processes N] "
                        "[--repeats N] [--steps N] [churn|memory|scale|count...]\n");
        return 2;
    }
    snprintf(text, sizeof text, "%u processes of %u repeats, %llu steps each",
             plan.processes, plan.repeats, (unsigned long long)plan.steps);
    measure_head("debug_bench", text);
    if (!debug_modes_find()) {
        return 2;
    }
    if (has_part(argc, argv, parts, "churn") && !measure_churns()) {
        return 2;
    }
    if (has_part(argc, argv, parts, "memory") && !debug_weigh(plan.blocks)) {
        return 2;
    }
    const scale_plan scale = {plan.repeats, plan.steps, plan.shrink, plan.quick};
    if (has_part(argc, argv, parts, "scale") && !debug_scale(&scale)) {
        return 2;
    }
    if (has_part(argc, argv, parts, "count")) {
        debug_count(&scale);
    }
    return measure_end() && plan.check ? 1 : 0;
}
