/* SPDX-License-Identifier: MIT */
/* What each layer adds to a pair of allocation and free: instructions, counted by callgrind, and time against the same
 * host without the layer.
 *
 *     layer_bench [--quick] [--check] [--processes N] [--repeats N] [--steps N] PASS_MODULE
 *
 * PASS_MODULE is hm_layer_pass.so, a layer that changes nothing. A step is churn of mixed blocks, 1000 live if nothing
 * else is said: one free, one allocation, one touch. What the loop itself takes is counted too and left out of the
 * instructions, not of the time. In every repeat each contender runs once, forwards or backwards in turn, and its ratio
 * is taken within the repeat; printed are the median and the quartiles. Layers are opened without options.
 * --quick only shows that it runs, --check fails when a bound is missed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer_loop.h"
#include "measure.h"

#define MOST_SAMPLES 128

static const struct layer {
    const char *name;
    double bound;              /* against none */
    double bound_direct_sized; /* with sizes, against mimalloc called directly */
} layers[] = {
    {"none", 0, 0},  {"pass", 1.10, 0}, {"lock", 0, 0},     {"limit", 0, 0},
    {"fault", 0, 0}, {"trace", 0, 0},   {"cache", 0, 0.80}, {"swap", 0, 0},
};
#define LAYERS COUNT(layers)
#define DIRECT LAYERS /* one more contender: mimalloc without an object between */

static const struct stage {
    const char *host;
    int calls;
    size_t live;
    const char *name;
} stages[] = {
    {"default", CALLS_PLAIN, 1000, "default, thread-safe, free without the size"},
    {"default", CALLS_SIZED, 1000, "default, unsynchronised, free with the size"},
    {"mimalloc", CALLS_PLAIN, 1000, "mimalloc, thread-safe, free without the size"},
    {"mimalloc", CALLS_SIZED, 1000, "mimalloc, unsynchronised, free with the size"},
    {"mimalloc", CALLS_SIZED, 10000, "the same with 10 000 live blocks"},
};

static struct {
    unsigned processes, repeats;
    uint64_t steps;
    const char *pass;
    int check, quick;
} plan = {3, 7, 300000, NULL, 0, 0};

/* Nanoseconds a step; 0 where a contender is missing. */
typedef struct sample {
    double ns[LAYERS + 1];
} sample;

static sample samples[MOST_SAMPLES];

static const char *spec_of(const struct stage *s, size_t who, char text[static 1024])
{
    const int bare = who == 0 || who == DIRECT;
    snprintf(text, 1024, "%s%s%s",
             bare       ? ""
             : who == 1 ? plan.pass
                        : layers[who].name,
             bare ? "" : "+", s->host);
    return text;
}

static void run_stage(void *context, int answer)
{
    const struct stage *s = context;
    hm_malloc *objects[LAYERS];
    char text[1024];
    measure_pin();
    for (size_t i = 0; i < LAYERS; i++) {
        objects[i] = layer_open(spec_of(s, i, text), s->calls);
    }
    const int direct = strcmp(s->host, "mimalloc") == 0 && layer_find_direct();
    for (unsigned repeat = 0; repeat < plan.repeats; repeat++) {
        sample out;
        memset(&out, 0, sizeof out);
        for (size_t i = 0; i <= LAYERS; i++) {
            const size_t who = repeat % 2 ? LAYERS - i : i;
            if (who == DIRECT && direct) {
                out.ns[who] = layer_time(NULL, CALLS_DIRECT, s->live, plan.steps);
            } else if (who < LAYERS && objects[who]) {
                out.ns[who] = layer_time(objects[who], s->calls, s->live, plan.steps);
            }
        }
        measure_answer(answer, &out, sizeof out);
    }
}

/* below LAYERS + 1: not a ratio. */
static spread spread_of(size_t count, size_t above, size_t below)
{
    double values[MOST_SAMPLES];
    for (size_t i = 0; i < count; i++) {
        const double *ns = samples[i].ns;
        values[i] = below > LAYERS ? ns[above] : ns[above] / ns[below];
    }
    return measure_spread(values, count);
}

static void
print_ratio(const struct stage *s, size_t count, size_t above, size_t below, double bound)
{
    const spread ratio = spread_of(count, above, below);
    measure_record(s->name, above == DIRECT ? "direct" : layers[above].name,
                   below == DIRECT ? "direct" : layers[below].name, 0, ratio, bound);
    printf("  %5.2f  [%.2f %.2f]", ratio.median, ratio.q1, ratio.q3);
    measure_row(ratio.median, bound);
}

static void print_counts(const struct stage *s, size_t who, uint64_t steps, double loop)
{
    static double none;
    char text[1024];
    if (loop <= 0) {
        printf(" %12s %8s", "-", "-");
        return;
    }
    const int calls = who == DIRECT ? CALLS_DIRECT : s->calls;
    const double total = layer_count(spec_of(s, who, text), calls, steps) - loop;
    none = who == 0 ? total : none;
    printf(" %12.1f %+8.1f", total, total - none);
    measure_record(s->name, who == DIRECT ? "direct" : layers[who].name, "instructions",
                   0, (spread){total, total, total}, 0);
}

static void print_stage(const struct stage *s, size_t count)
{
    const uint64_t steps = plan.quick ? 2000 : 20000;
    const int is_counted = s->live == LIVE_COUNTED && (s == stages || !plan.quick);
    const int has_direct = samples[0].ns[DIRECT] > 0;
    const double loop = is_counted ? layer_count(s->host, CALLS_NONE, steps) : 0;
    printf("\n%s\n  %-10s %12s %8s %8s  ratio to none\n", s->name, "layer",
           "instructions", "added", "ns");
    for (size_t i = 0; i <= LAYERS; i++) {
        if (i == DIRECT && !has_direct) {
            continue;
        }
        printf("  %-10s", i == DIRECT ? "direct" : layers[i].name);
        if (samples[0].ns[i] <= 0) {
            printf(" not in this build\n");
            continue;
        }
        print_counts(s, i, steps, loop);
        printf(" %8.1f", spread_of(count, i, LAYERS + 1).median);
        print_ratio(s, count, i, 0, i < LAYERS ? layers[i].bound : 0);
    }
    for (size_t i = 0; i < LAYERS && has_direct && s->calls == CALLS_SIZED; i++) {
        if (layers[i].bound_direct_sized > 0 && samples[0].ns[i] > 0) {
            printf("  %s against mimalloc called directly", layers[i].name);
            print_ratio(s, count, i, DIRECT, layers[i].bound_direct_sized);
        }
    }
    if (is_counted && loop <= 0) {
        printf("  instructions: not counted: no valgrind (Debian: valgrind), or a "
               "sanitizer\n");
    }
}

static int number(const char *text, unsigned long long *out)
{
    char *end = NULL;
    *out = text ? strtoull(text, &end, 10) : 0;
    return text && *out > 0 && *end == '\0';
}

static int read_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        unsigned long long value = 0;
        if (strcmp(argv[i], "--quick") == 0) {
            plan.processes = 1;
            plan.repeats = 2;
            plan.steps = 10000;
            plan.quick = 1;
        } else if (strcmp(argv[i], "--check") == 0) {
            plan.check = 1;
        } else if (argv[i][0] != '-' && !plan.pass && strchr(argv[i], '/')) {
            plan.pass = argv[i];
        } else if (argv[i][0] != '-' || !number(argv[i + 1], &value)) {
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
    return plan.pass && (uint64_t)plan.processes * plan.repeats <= MOST_SAMPLES;
}

int main(int argc, char **argv)
{
    char text[128];
    hm_error err = {0};
    if (argc == 5 && strcmp(argv[1], "--loop") == 0) {
        return layer_loop(argv[2], atoi(argv[3]), strtoull(argv[4], NULL, 10));
    }
    if (!read_arguments(argc, argv)) {
        fprintf(stderr, "usage: layer_bench [--quick] [--check] [--processes N] "
                        "[--repeats N] [--steps N] FOLDER/hm_layer_pass.so\n");
        return 2;
    }
    snprintf(text, sizeof text, "%u processes of %u repeats, %llu steps each",
             plan.processes, plan.repeats, (unsigned long long)plan.steps);
    measure_head("layer_bench", text);
    if (hm_registry_load(plan.pass, &err) != HM_OK) {
        hm_error_print(&err);
        return 2;
    }
    for (size_t i = 0; i < COUNT(stages); i++) {
        size_t had = 0;
        for (unsigned p = 0; p < plan.processes; p++, had += plan.repeats) {
            if (!measure_apart(run_stage, (void *)&stages[i], &samples[had],
                               plan.repeats * sizeof samples[0])) {
                fprintf(stderr, "layer_bench: a process failed\n");
                return 2;
            }
        }
        if (samples[0].ns[0] > 0) {
            print_stage(&stages[i], had);
        } else {
            printf("\n%s: not in this build\n", stages[i].name);
        }
    }
    return measure_end() && plan.check ? 1 : 0;
}
