/* SPDX-License-Identifier: MIT */
/* Whether anything grows faster than its work: see debug_scale.h. With more blocks than the caches hold everybody slows
 * down, so what is judged is the ratio to mimalloc: how far that at 10^7 live blocks is above that at 10^5. */
#include "debug_scale.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "churn.h"
#include "debug_modes.h"
#include "measure.h"

#define MODES        3 /* mimalloc, stats, checked: the first of debug_modes */
#define MOST_REPEATS 32
#define GROWTH       1.5
#define GROWTH_COUNT 1.05

static const size_t lives[] = {1000, 10000, 100000, 1000000, 10000000};
enum { LIFE_BEFORE = 2, LIFE_AFTER = 4 }; /* of lives: 10^5 and 10^7 */
static const size_t site_counts[] = {64, CHURN_SITES_MOST};
static const size_t counted[] = {1000, 100000, 1000000};

typedef struct point {
    const scale_plan *plan;
    size_t live, sites;
} point;

typedef struct sample {
    double ns[MODES]; /* 0 where the mode is missing */
} sample;

static size_t shrunk(const scale_plan *plan, size_t blocks)
{
    return blocks / plan->shrink > 0 ? blocks / plan->shrink : 1;
}

/* Filling millions of slots takes seconds, and averages by itself. */
static unsigned repeats_at(const point *p)
{
    return p->live >= 1000000 && p->plan->repeats > 3 ? 3 : p->plan->repeats;
}

static void run_point(void *context, int answer)
{
    const point *p = context;
    hm_malloc *objects[MODES] = {NULL};
    measure_pin();
    for (size_t i = 0; i < MODES; i++) {
        objects[i] =
            debug_mode_is_there(i) ? debug_mode_open(i, HM_MALLOC_THREADSAFE) : NULL;
    }
    for (unsigned repeat = 0; repeat < repeats_at(p); repeat++) {
        sample s;
        memset(&s, 0, sizeof s);
        for (size_t i = 0; i < MODES; i++) {
            const size_t mode = repeat % 2 ? MODES - 1 - i : i;
            const uint64_t least = p->live / 10;
            if (objects[mode]) {
                const churn c = {objects[mode], p->live, p->sites,
                                 least > p->plan->steps ? least : p->plan->steps};
                s.ns[mode] = churn_alone(&c).cpu;
            }
        }
        measure_answer(answer, &s, sizeof s);
    }
}

/* mode over mimalloc; of mimalloc its nanoseconds. */
static spread spread_of(const sample *samples, unsigned repeats, size_t mode)
{
    double values[MOST_REPEATS];
    for (unsigned i = 0; i < repeats; i++) {
        values[i] = mode ? samples[i].ns[mode] / samples[i].ns[0] : samples[i].ns[0];
    }
    return measure_spread(values, repeats);
}

static int measure_point(const point *p, spread out[static MODES])
{
    static sample samples[MOST_REPEATS];
    char workload[64];
    if (!measure_apart(run_point, (void *)(size_t)p, samples,
                       repeats_at(p) * sizeof samples[0])) {
        fprintf(stderr, "debug_bench: a process failed\n");
        return 0;
    }
    snprintf(workload, sizeof workload, "live blocks, %zu sites", p->sites);
    for (size_t mode = 0; mode < MODES; mode++) {
        out[mode] = spread_of(samples, repeats_at(p), mode);
        if (mode == 0) {
            printf("\n%zu live blocks, %zu sites: mimalloc takes %.1f ns a step\n",
                   p->live, p->sites, out[0].median);
        } else if (debug_mode_is_there(mode)) {
            printf("  %-26s %6.2f  [%.2f %.2f]", debug_modes[mode].name, out[mode].median,
                   out[mode].q1, out[mode].q3);
            measure_record(workload, debug_modes[mode].name, debug_modes[0].name,
                           (double)p->live, out[mode], 0);
            measure_row(out[mode].median, 0);
        }
    }
    return 1;
}

static void print_growth(const char *workload,
                         const char *label,
                         const char *what,
                         const char *against,
                         double x,
                         spread growth,
                         double bound)
{
    printf("  %-26s %6.2f  [%.2f %.2f]", label, growth.median, growth.q1, growth.q3);
    measure_record(workload, what, against, x, growth, bound);
    measure_row(growth.median, bound);
}

static int measure_churn(const scale_plan *plan, size_t sites)
{
    spread at[COUNT(lives)][MODES];
    char workload[64];
    for (size_t i = 0; i < COUNT(lives); i++) {
        const point p = {plan, shrunk(plan, lives[i]), sites};
        if (!measure_point(&p, at[i])) {
            return 0;
        }
    }
    const size_t before = shrunk(plan, lives[LIFE_BEFORE]);
    const size_t after = shrunk(plan, lives[LIFE_AFTER]);
    printf("\nthat ratio with %zu live blocks over that with %zu, %zu sites\n", after,
           before, sites);
    snprintf(workload, sizeof workload, "growth of the ratio, %zu sites", sites);
    for (size_t mode = 1; mode < MODES; mode++) {
        const spread a = at[LIFE_AFTER][mode], b = at[LIFE_BEFORE][mode];
        if (debug_mode_is_there(mode)) {
            print_growth(workload, debug_modes[mode].name, debug_modes[mode].name,
                         "10^5 live blocks", (double)after,
                         (spread){a.q1 / b.q3, a.median / b.median, a.q3 / b.q1}, GROWTH);
        }
    }
    return 1;
}

int debug_scale_count(const char *spec, size_t live, uint64_t steps)
{
    hm_error err = {0};
    hm_host *host = NULL;
    hm_malloc *m = NULL;
    if (hm_host_open(spec, &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "bench", HM_MALLOC_THREADSAFE, &m, &err) != HM_OK) {
        hm_error_print(&err);
        return 2;
    }
    const churn c = {m, live, 64, steps};
    churn_alone(&c);
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}

/* Of a step, the loop around it included; of the debug host only what is its own, as mimalloc's under it grows with the
   number of its pages. valgrind is not told of each block, which would be counted too. */
static double count_step(size_t mode, size_t live, uint64_t steps)
{
    char arguments[256];
    const char *const spec = debug_modes[mode].spec;
    const char *const options = strchr(spec, ':');
    snprintf(arguments, sizeof arguments, "--count '%.*s%s%s' %zu %llu",
             (int)(options ? options - spec + 1 : (ptrdiff_t)strlen(spec)), spec,
             options ? "annotate=no," : "", options ? options + 1 : "", live,
             (unsigned long long)steps);
    /* churn_alone's loop goes around once before it is timed. */
    return measure_instructions("own_loop*", arguments, mode ? "libmimalloc.so" : NULL) /
           (double)(live + steps / 8 + steps);
}

static void count_mode(const scale_plan *plan, size_t mode)
{
    double first = 0;
    for (size_t i = 0; i < COUNT(counted); i++) {
        const size_t live = shrunk(plan, counted[i]);
        const double all = count_step(mode, live, plan->is_quick ? 2000 : 200000);
        char label[96];
        if (all <= 0) {
            measure_missing(
                "instructions by live blocks",
                "not counted: no valgrind (Debian: valgrind), or a sanitizer");
            return;
        }
        first = i == 0 ? all : first;
        snprintf(label, sizeof label, "%s, %zu live: %.1f", debug_modes[mode].name, live,
                 all);
        const double growth = all / first;
        measure_record("instructions a step", debug_modes[mode].name, "instructions",
                       (double)live, (spread){all, all, all}, 0);
        print_growth("growth of the instructions", label, debug_modes[mode].name,
                     "10^3 live blocks", (double)live, (spread){growth, growth, growth},
                     mode && i ? GROWTH_COUNT : 0);
    }
}

int debug_scale(const scale_plan *plan)
{
    for (size_t i = 0; i < COUNT(site_counts); i++) {
        if (!measure_churn(plan, site_counts[i])) {
            return 0;
        }
    }
    return 1;
}

void debug_count(const scale_plan *plan)
{
    printf(
        "\ninstructions a step, of the debug host without mimalloc's, and how many times "
        "those with the fewest live blocks\n");
    for (size_t mode = plan->is_quick ? 2 : 0; mode < MODES; mode++) {
        if (debug_mode_is_there(mode)) {
            count_mode(plan, mode);
        }
    }
}
