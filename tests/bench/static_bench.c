/* SPDX-License-Identifier: MIT */
/* What it saves to have mimalloc in the program: its host built in, called through the table and by name
 * (hostmalloc/mimalloc.h), against the same source as a shared library that is called directly.
 *
 *     static_bench [--quick] [--check] LIBRARY
 *
 * Linked with link-time optimisation, as such a program is. Each contender churns through 10000 blocks that it made
 * itself, several times over by copies of its loop that lie elsewhere, and in several processes; a ratio is taken
 * within the repeat. --quick only shows that it runs, --check fails when a bound is missed. */
#include <hostmalloc/hostmalloc.h>
#include <hostmalloc/mimalloc.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "churn.h"
#include "measure.h"

#define SLOTS        10000
#define SIZE_DRAWS   4096
#define PLACES       3
#define MOST_SAMPLES 64

static struct {
    void *(*malloc)(size_t);
    void (*free)(void *);
} shared;
static hm_malloc *object;

typedef struct ground {
    uint64_t seed;
    void *slots[SLOTS];
} ground;
static size_t sizes[SIZE_DRAWS];

typedef void loop_fn(ground *g, uint64_t steps);

#ifdef __x86_64__
#define MOVE_BY(bytes) __asm__ volatile(".skip " #bytes ", 0x90")
#else
#define MOVE_BY(bytes) ((void)0)
#endif

#define LOOP(name, bytes, TAKE, GIVE)                                     \
    __attribute__((noinline)) static void name(ground *g, uint64_t steps) \
    {                                                                     \
        hm_malloc *const m = object;                                      \
        uint64_t seed = g->seed;                                          \
        (void)m;                                                          \
        MOVE_BY(bytes);                                                   \
        for (uint64_t i = steps; i > 0; i--) {                            \
            seed = seed * 6364136223846793005u + 1442695040888963407u;    \
            void **slot = &g->slots[(seed >> 40) * SLOTS >> 24];          \
            if (*slot) {                                                  \
                GIVE(*slot);                                              \
            }                                                             \
            *slot = TAKE(sizes[i & (SIZE_DRAWS - 1)]);                    \
            *(volatile uint64_t *)*slot = i;                              \
        }                                                                 \
        g->seed = seed;                                                   \
    }
#define LOOPS(name, TAKE, GIVE)    \
    LOOP(name##_0, 3, TAKE, GIVE)  \
    LOOP(name##_1, 19, TAKE, GIVE) \
    LOOP(name##_2, 38, TAKE, GIVE)

#define SHARED_TAKE(n) shared.malloc(n)
#define SHARED_GIVE(p) shared.free(p)
LOOPS(shared_loop, SHARED_TAKE, SHARED_GIVE)
#define SLOT_TAKE(n) (HM_LOAD(m->vtbl)->alloc)(m, n, HM_LEVEL_TASK)
#define SLOT_GIVE(p) (HM_LOAD(m->vtbl)->free)(m, p)
LOOPS(slot_loop, SLOT_TAKE, SLOT_GIVE)
#define NAMED_TAKE(n) hm_alloc(m, n)
#define NAMED_GIVE(p) hm_free(m, p)
LOOPS(named_loop, NAMED_TAKE, NAMED_GIVE)

enum { SHARED, SHARED_AGAIN, SLOT, NAMED, CONTENDERS };
static const struct contender {
    const char *name;
    double bound; /* on each workload */
    loop_fn *loops[PLACES];
} contenders[CONTENDERS] = {
    [SHARED] = {"shared mimalloc, called directly",
                0,
                {shared_loop_0, shared_loop_1, shared_loop_2}},
    [SHARED_AGAIN] = {"the same again", 0, {shared_loop_0, shared_loop_1, shared_loop_2}},
    [SLOT] = {"built in, slot", 1.05, {slot_loop_0, slot_loop_1, slot_loop_2}},
    [NAMED] = {"built in, hm_alloc by name",
               0.97,
               {named_loop_0, named_loop_1, named_loop_2}},
};

static const struct workload {
    const char *name;
    size_t bytes; /* 0: mixed */
} workloads[] = {
    {"churn mixed", 0}, {"churn 16", 16}, {"churn 64", 64}, {"churn 256", 256}};

static struct {
    unsigned processes, repeats;
    uint64_t steps;
    int check;
} plan = {5, 9, 400000, 0};

typedef struct sample {
    double ns[COUNT(workloads)][CONTENDERS];
} sample;

/* Slot and name are the same allocator: they share their blocks, so that neither has the luckier pages. */
static ground grounds[2];

static double run_once(size_t workload, size_t who, unsigned repeat)
{
    loop_fn *const loop = contenders[who].loops[repeat / 2 % PLACES];
    ground *const g = &grounds[who == SLOT || who == NAMED];
    for (size_t i = 0; i < SIZE_DRAWS; i++) {
        sizes[i] = workloads[workload].bytes ? workloads[workload].bytes : churn_size(i);
    }
    loop(g, plan.steps / 8 + 10 * SLOTS); /* every block of this workload, and its own */
    const double begin = measure_cpu();
    loop(g, plan.steps);
    return (measure_cpu() - begin) / (double)plan.steps;
}

static void run_process(void *context, int answer)
{
    (void)context;
    measure_pin();
    for (unsigned repeat = 0; repeat < plan.repeats; repeat++) {
        sample s;
        for (size_t w = 0; w < COUNT(workloads); w++) {
            for (size_t i = 0; i < CONTENDERS; i++) {
                const size_t who = repeat % 2 ? CONTENDERS - 1 - i : i;
                s.ns[w][who] = run_once(w, who, repeat);
            }
        }
        measure_answer(answer, &s, sizeof s);
    }
}

static void report(const sample *samples, size_t count)
{
    double values[MOST_SAMPLES];
    for (size_t w = 0; w < COUNT(workloads); w++) {
        for (size_t i = 0; i < count; i++) {
            values[i] = samples[i].ns[w][SHARED];
        }
        printf("\n%s, called directly %.1f ns a step:\n", workloads[w].name,
               measure_spread(values, count).median);
        for (size_t who = SHARED + 1; who < CONTENDERS; who++) {
            for (size_t i = 0; i < count; i++) {
                values[i] = samples[i].ns[w][who] / samples[i].ns[w][SHARED];
            }
            const spread s = measure_spread(values, count);
            printf("  %-28s %6.3f  [%.3f %.3f]", contenders[who].name, s.median, s.q1,
                   s.q3);
            measure_record(workloads[w].name, contenders[who].name,
                           contenders[SHARED].name, (double)workloads[w].bytes, s,
                           contenders[who].bound);
            measure_row(s.median, contenders[who].bound);
        }
    }
}

static int open_both(const char *library)
{
    hm_error err = {0};
    hm_host *host;
    void *const module = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    void *symbols[2] = {NULL};
    if (module) {
        symbols[0] = dlsym(module, "mi_malloc");
        symbols[1] = dlsym(module, "mi_free");
    }
    memcpy(&shared, symbols, sizeof shared);
    if (!shared.malloc || !shared.free) {
        fprintf(stderr, "static_bench: %s: no mi_malloc and mi_free\n", library);
        return 0;
    }
    if (hm_host_open("mimalloc", &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "bench", HM_MALLOC_THREADSAFE, &object, &err) !=
            HM_OK) {
        hm_error_print(&err);
        return 0;
    }
    hm_host_release(host);
    return 1;
}

int main(int argc, char **argv)
{
    static sample samples[MOST_SAMPLES];
    const char *library = NULL;
    char text[96];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            plan.processes = 1;
            plan.repeats = 2;
            plan.steps = 10000;
        } else if (strcmp(argv[i], "--check") == 0) {
            plan.check = 1;
        } else {
            library = argv[i];
        }
    }
    if (!library) {
        fprintf(stderr, "usage: static_bench [--quick] [--check] LIBRARY\n");
        return 2;
    }
    snprintf(text, sizeof text, "%u processes of %u repeats, %llu steps each",
             plan.processes, plan.repeats, (unsigned long long)plan.steps);
    measure_head("static_bench", text);
    churn_prepare();
    if (!open_both(library)) {
        return 2;
    }
    size_t had = 0;
    for (unsigned i = 0; i < plan.processes; i++, had += plan.repeats) {
        if (!measure_apart(run_process, NULL, &samples[had],
                           plan.repeats * sizeof samples[0])) {
            fprintf(stderr, "static_bench: a process failed\n");
            return 2;
        }
    }
    report(samples, had);
    hm_malloc_release(object);
    return measure_end() && plan.check ? 1 : 0;
}
