/* SPDX-License-Identifier: MIT */
/* What the interface costs: each way to allocate against calling the same allocator directly.
 *
 *     hm_bench [--quick] [--processes N] [--repeats N] [--steps N] [--check]
 *
 * Read the ratios, not the nanoseconds. In every repeat each contender runs once, forwards or backwards in turn, and
 * a ratio is taken within the repeat, so that a slow second of the machine meets all of them. Contenders that may
 * free each other's blocks share them, so that none has the luckier pages; what luck is left (heaps of their own,
 * where the code lies) is spread over several processes and several copies of each loop. The figure is the median
 * with its quartiles.
 *
 * --quick only shows that it runs, --check fails when a bound is missed. */
#include "contenders.h"
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SAMPLES 2048

static const struct workload {
    const char *name;
    int work;
    unsigned least, most; /* bytes; many small and few large when they differ */
} workloads[] = {
    {"churn mixed", WORK_CHURN, 16, 1024},     {"churn 16", WORK_CHURN, 16, 16},
    {"churn 64", WORK_CHURN, 64, 64},          {"churn 256", WORK_CHURN, 256, 256},
    {"churn 1024", WORK_CHURN, 1024, 1024},    {"pair 64", WORK_PAIR, 64, 64},
    {"realloc mixed", WORK_REALLOC, 16, 1024},
};

/* Bounds of churn, of mixed sizes and of one; 0: none. */
static const struct ratio {
    size_t above, below;
    double mixed, one_size;
} ratios[] = {
    {DIRECT_MIMALLOC_AGAIN, DIRECT_MIMALLOC, 0, 0},
    {MIMALLOC_SLOT, DIRECT_MIMALLOC, 1.05, 1.10},
    {MIMALLOC_MACRO, DIRECT_MIMALLOC, 1.05, 1.10},
    {ONE_THREAD_SLOT, DIRECT_MIMALLOC, 1.02, 1.06},
    {ONE_THREAD_MACRO, DIRECT_MIMALLOC, 1.02, 1.06},
    {MIMALLOC_MACRO, MIMALLOC_SLOT, 1.02, 1.02},
    {ONE_THREAD_MACRO, ONE_THREAD_SLOT, 1.02, 1.02},
    {DEBUG_MIMALLOC, DIRECT_MIMALLOC, 0, 0},
    {UMF_MIMALLOC, DIRECT_MIMALLOC, 0, 0},
    {DEFAULT_SLOT, DIRECT_LIBC, 1.03, 0},
    {DEFAULT_MACRO, DIRECT_LIBC, 1.03, 0},
    {DEBUG_DEFAULT, DIRECT_LIBC, 0, 0},
};

static struct {
    unsigned processes, repeats;
    uint64_t warm, steps; /* warm: makes every block its own */
    int check;
} plan = {5, 16, 10 * SLOTS, 500000, 0};

/* Nanoseconds a step; 0 where a contender is missing. */
typedef struct sample {
    double ns[COUNT(workloads)][CONTENDERS];
} sample;

static sample samples[MOST_SAMPLES];

/* A geometric skew: each doubling of the size is half as likely. */
static void draw_sizes(ground *g, const struct workload *w)
{
    uint64_t seed = 42;
    for (size_t i = 0; i < SIZE_DRAWS; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        unsigned top = w->least;
        while (top < w->most && seed >> 63) {
            seed <<= 1;
            top *= 2;
        }
        const unsigned span = top > w->most / 2 ? w->most - top : top;
        g->sizes[i] = top + (span ? (unsigned)((seed >> 20) % (span + 1)) : 0);
        if (g->sizes[i] > w->most) {
            g->sizes[i] = w->most;
        }
    }
}

/* Families 0 and 1 have a ground of their own each, the others one per contender. */
static ground *ground_of(size_t who)
{
    static ground *grounds[2 + CONTENDERS];
    const int family = contenders[who].family;
    const size_t i = family >= 0 ? (size_t)family : 2 + who;
    if (!grounds[i]) {
        grounds[i] = calloc(1, sizeof *grounds[i]);
        if (!grounds[i]) {
            perror("hm_bench");
            exit(2);
        }
        grounds[i]->seed = 20 + i;
    }
    return grounds[i];
}

static double run_once(const struct workload *w, size_t who, unsigned repeat)
{
    ground *g = ground_of(who);
    run_fn *run = contenders[who].work[w->work][repeat / 2 % PLACES];
    draw_sizes(g, w);
    run(g, plan.steps / 8 + plan.warm);
    const double begin = measure_cpu();
    run(g, plan.steps);
    return (measure_cpu() - begin) / (double)plan.steps;
}

static void run_process(void *context, int answer)
{
    (void)context;
    if (!contenders_open()) {
        exit(1);
    }
    for (unsigned repeat = 0; repeat < plan.repeats; repeat++) {
        sample s;
        memset(&s, 0, sizeof s);
        for (size_t w = 0; w < COUNT(workloads); w++) {
            for (size_t i = 0; i < CONTENDERS; i++) {
                const size_t who = repeat % 2 ? CONTENDERS - 1 - i : i;
                if (contender_is_there(who)) {
                    s.ns[w][who] = run_once(&workloads[w], who, repeat);
                }
            }
        }
        measure_answer(answer, &s, sizeof s);
    }
}

/* Quartiles of above over below, or of above alone. 0 when there is nothing. */
static int
quartiles(size_t count, size_t workload, size_t above, const size_t *below, double out[3])
{
    static double values[MOST_SAMPLES];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const double *ns = samples[i].ns[workload];
        if (ns[above] > 0 && (!below || ns[*below] > 0)) {
            values[n++] = below ? ns[above] / ns[*below] : ns[above];
        }
    }
    if (n == 0) {
        return 0;
    }
    const spread all = measure_spread(values, n);
    out[0] = all.q1;
    out[1] = all.median;
    out[2] = all.q3;
    return 1;
}

static unsigned rows, missed;

static void report_ratio(size_t count, size_t w, const struct ratio *r)
{
    double q[3];
    if (!quartiles(count, w, r->above, &r->below, q)) {
        return;
    }
    const double bound = workloads[w].work != WORK_CHURN          ? 0
                         : workloads[w].least < workloads[w].most ? r->mixed
                                                                  : r->one_size;
    const char *verdict = !bound ? "" : q[1] <= bound ? "met" : "MISSED";
    missed += bound && q[1] > bound;
    rows++;
    printf("  %-32s / %-28s %6.3f  [%.3f %.3f]", contenders[r->above].name,
           contenders[r->below].name, q[1], q[0], q[2]);
    if (bound) {
        printf("  bound %.2f  %s", bound, verdict);
    }
    printf("\n");
    measure_record(workloads[w].name, contenders[r->above].name,
                   contenders[r->below].name, 0, (spread){q[0], q[1], q[2]}, bound);
}

typedef struct absence {
    char why[CONTENDERS][256]; /* empty for who is there */
} absence;

static void find_missing(void *context, int answer)
{
    absence out;
    (void)context;
    memset(&out, 0, sizeof out);
    if (!contenders_open()) {
        exit(1);
    }
    for (size_t i = 0; i < CONTENDERS; i++) {
        if (!contender_is_there(i)) {
            snprintf(out.why[i], sizeof out.why[i], "%s", contender_why_not(i));
        }
    }
    measure_answer(answer, &out, sizeof out);
}

static void report_missing(void)
{
    static absence missing;
    printf("\n");
    if (!measure_apart(find_missing, NULL, &missing, sizeof missing)) {
        return; /* the measuring processes would have failed in the same way */
    }
    for (size_t i = 0; i < CONTENDERS; i++) {
        if (missing.why[i][0]) {
            measure_missing(contenders[i].name, missing.why[i]);
        }
    }
}

static int report(size_t count)
{
    for (size_t w = 0; w < COUNT(workloads); w++) {
        printf("\n%s, ns a step:", workloads[w].name);
        for (size_t i = 0; i < CONTENDERS; i++) {
            double q[3];
            if ((i == DIRECT_MIMALLOC || i == DIRECT_LIBC) &&
                quartiles(count, w, i, NULL, q)) {
                printf("  %s %.1f", contenders[i].name, q[1]);
            }
        }
        printf("\n");
        for (size_t r = 0; r < COUNT(ratios); r++) {
            report_ratio(count, w, &ratios[r]);
        }
    }
    report_missing();
    printf("\n%u ratios, %u bounds missed\n", rows, missed);
    return plan.check && missed ? 1 : 0;
}

static int read_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--quick") == 0) {
            plan.processes = 1;
            plan.repeats = 2;
            plan.warm = plan.steps = 2000;
        } else if (strcmp(argv[i], "--check") == 0) {
            plan.check = 1;
        } else if (strcmp(argv[i], "--processes") == 0 && value) {
            plan.processes = (unsigned)atoi(argv[++i]);
        } else if (strcmp(argv[i], "--repeats") == 0 && value) {
            plan.repeats = (unsigned)atoi(argv[++i]);
        } else if (strcmp(argv[i], "--steps") == 0 && value) {
            plan.steps = (uint64_t)atoll(argv[++i]);
        } else {
            fprintf(stderr,
                    "usage: hm_bench [--quick] [--processes N] [--repeats N] [--steps N] "
                    "[--check]\n");
            return 0;
        }
    }
    return plan.processes && plan.repeats && plan.steps &&
           plan.processes * plan.repeats <= MOST_SAMPLES;
}

int main(int argc, char **argv)
{
    if (!read_arguments(argc, argv)) {
        return 2;
    }
    char text[128];
    measure_pin();
    snprintf(text, sizeof text, "%u processes of %u repeats, %llu steps each",
             plan.processes, plan.repeats, (unsigned long long)plan.steps);
    measure_head("hm_bench", text);
    size_t count = 0;
    for (unsigned i = 0; i < plan.processes; i++) {
        if (!measure_apart(run_process, NULL, &samples[count],
                           plan.repeats * sizeof samples[0])) {
            fprintf(stderr, "hm_bench: a process failed\n");
            return 2;
        }
        count += plan.repeats;
    }
    return report(count);
}
