/* SPDX-License-Identifier: MIT */
/* The debug host's modes, and what a million small blocks weigh in each: see debug_bench.c. */
#include "debug_modes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hostmalloc/debug.h>

#include "churn.h"
#include "measure.h"

#define BLOCK_BYTES  32
#define TIMES        10 /* how many times as many are weighed then */
#define BOUND_GROWTH 1.5
#define ASKED \
    3 /* times each question; the quickest counts, as a busy machine only adds */

/* leaks=no: what a process still has when it ends is of no interest here. */
const debug_mode debug_modes[DEBUG_MODES] = {
    {"mimalloc", "mimalloc", 0, 0},
    {"stats", "debug:mode=stats,leaks=no+mimalloc", 1.6, 16.5},
    {"checked", "debug:mode=checked,leaks=no+mimalloc", 2.3, 24.5},
    {"full", "debug:mode=full,leaks=no+mimalloc", 3.5, 0},
    {"debug as it opens", "debug:leaks=no+mimalloc", 2.3, 24.5},
    {"fill=none,quarantine=0", "debug:fill=none,quarantine=0,leaks=no+mimalloc", 0, 0},
    {"fill=all,quarantine=1024", "debug:fill=all,quarantine=1024,leaks=no+mimalloc", 0,
     0},
};

static int there[DEBUG_MODES]; /* this build has the mode */

hm_malloc *debug_mode_open(size_t mode, uint32_t flags)
{
    hm_error err = {0};
    hm_host *host = NULL;
    hm_malloc *m = NULL;
    if (hm_host_open(debug_modes[mode].spec, &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "bench", flags, &m, &err) != HM_OK) {
        hm_error_print(&err);
        exit(2);
    }
    hm_host_release(host);
    return m;
}

int debug_modes_find(void)
{
    for (size_t i = 0; i < DEBUG_MODES; i++) {
        hm_error err = {0};
        hm_host *host = NULL;
        there[i] = hm_host_open(debug_modes[i].spec, &host, &err) == HM_OK;
        hm_host_release(host);
        if (!there[i]) {
            measure_missing(debug_modes[i].name, err.what);
        }
    }
    return there[0];
}

int debug_mode_is_there(size_t mode)
{
    return there[mode];
}

/* What a million small blocks weigh, and what it takes to ask about them. */
typedef struct weight {
    double overhead, resident;      /* bytes per block */
    double report, snapshot, check; /* seconds; 0 where there is no debug host */
} weight;

typedef struct weighing {
    size_t mode, sites, blocks;
} weighing;

static double resident_bytes(void)
{
    char text[256] = {0};
    const int fd = open("/proc/self/statm", O_RDONLY);
    const ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    close(fd);
    const char *second = got > 0 ? strchr(text, ' ') : NULL;
    return second ? strtod(second, NULL) * (double)sysconf(_SC_PAGESIZE) : 0;
}

/* 0: none yet. */
static double least(double before, double now)
{
    return before > 0 && before < now ? before : now;
}

static void run_weighing(void *context, int answer)
{
    const weighing *wanted = context;
    const double each = 1 / (double)wanted->blocks;
    const int nowhere = open("/dev/null", O_WRONLY);
    void **blocks = malloc(wanted->blocks * sizeof *blocks);
    hm_malloc *m = debug_mode_open(wanted->mode, HM_MALLOC_THREADSAFE);
    hm_debug *debug = hm_debug_of_malloc(m);
    hm_stats stats;
    weight out = {0, 0, 0, 0, 0};
    if (!blocks) {
        _exit(1);
    }
    memset(blocks, 1, wanted->blocks * sizeof *blocks); /* resident before, not after */
    const double before = resident_bytes();
    for (size_t i = 0; i < wanted->blocks; i++) {
        blocks[i] =
            hm_alloc_at(m, BLOCK_BYTES, HM_LEVEL_TASK, churn_site(i, wanted->sites));
        if (!blocks[i]) {
            _exit(1);
        }
        memset(blocks[i], 1, BLOCK_BYTES);
    }
    out.resident = (resident_bytes() - before) * each;
    if (hm_malloc_stats(m, &stats) == HM_OK) {
        out.overhead = (double)stats.overhead_bytes * each;
    }
    for (unsigned i = 0; debug && i < ASKED; i++) {
        const double start = measure_wall();
        hm_debug_report(debug, nowhere);
        const double reported = measure_wall();
        hm_debug_snapshot(debug, nowhere);
        const double taken = measure_wall();
        hm_debug_check(debug, NULL);
        const double checked = measure_wall();
        out.report = least(out.report, (reported - start) / 1e9);
        out.snapshot = least(out.snapshot, (taken - reported) / 1e9);
        out.check = least(out.check, (checked - taken) / 1e9);
    }
    measure_answer(answer, &out, sizeof out);
}

/* A figure that is no ratio: what it counts stands where a ratio names the other. */
static void
record(const weighing *w, const char *what, const char *unit, double figure, double bound)
{
    char workload[64];
    snprintf(workload, sizeof workload, "%s, %zu sites", what, w->sites);
    measure_record(workload, debug_modes[w->mode].name, unit, (double)w->blocks,
                   (spread){figure, figure, figure}, bound);
}

static void record_all(const weighing *of, const weight *w, double bound_report)
{
    record(of, "resident", "bytes a block", w->resident, 0);
    if (of->mode != 0) {
        record(of, "added", "bytes a block", w->overhead,
               debug_modes[of->mode].bound_overhead);
        record(of, "snapshot", "seconds", w->snapshot, 0);
        record(of, "check", "seconds", w->check, 0);
        record(of, "report", "seconds", w->report, bound_report);
    }
}

static void print_weight(const weighing *of, const weight *w, double bound_report)
{
    const debug_mode *mode = &debug_modes[of->mode];
    printf("  %-26s resident %6.1f", mode->name, w->resident);
    if (of->mode == 0) {
        measure_row(0, 0);
        return;
    }
    printf("  added, it says %5.1f", w->overhead);
    measure_row(w->overhead, mode->bound_overhead);
    printf("  %-26s snapshot %.3f  check %.3f  report %.3f", "", w->snapshot, w->check,
           w->report);
    measure_row(w->report, bound_report);
}

/* What a block takes of it, against what it took when there was a tenth of them. */
static void
print_growth(const weighing *of, const char *what, double few, double many, double times)
{
    const double growth = few > 0 ? many / few / times : 0;
    char workload[64];
    if (growth <= 0) {
        return;
    }
    printf("  %-26s %s, of a block: %.2f of that with a tenth of the blocks",
           debug_modes[of->mode].name, what, growth);
    snprintf(workload, sizeof workload, "growth of %s, %zu sites", what, of->sites);
    measure_record(workload, debug_modes[of->mode].name, "a tenth of the blocks",
                   (double)of->blocks, (spread){growth, growth, growth}, BOUND_GROWTH);
    measure_row(growth, BOUND_GROWTH);
}

/* 0 when a process failed. few: a TIMES-th of them, as weighed before; may be NULL. */
static int
weigh_all(size_t blocks, size_t sites, size_t modes, weight *out, const weight *few)
{
    printf("\n%zu live blocks of %d bytes from %zu sites: bytes a block, seconds a "
           "question\n",
           blocks, BLOCK_BYTES, sites);
    for (size_t mode = 0; mode < modes; mode++) {
        weighing wanted = {mode, sites, blocks};
        if (!debug_mode_is_there(mode)) {
            continue;
        }
        if (!measure_apart(run_weighing, &wanted, &out[mode], sizeof out[mode])) {
            fprintf(stderr, "debug_bench: a process failed\n");
            return 0;
        }
        record_all(&wanted, &out[mode], few ? 0 : 1);
        print_weight(&wanted, &out[mode], few ? 0 : 1);
        if (few) {
            print_growth(&wanted, "resident", few[mode].resident, out[mode].resident, 1);
            print_growth(&wanted, "report", few[mode].report, out[mode].report, TIMES);
            print_growth(&wanted, "check", few[mode].check, out[mode].check, TIMES);
        }
    }
    return 1;
}

int debug_weigh(size_t blocks)
{
    static const size_t sites[] = {64, CHURN_SITES_MOST};
    churn_prepare();
    for (size_t s = 0; s < COUNT(sites); s++) {
        weight few[DEBUG_MODES], many[DEBUG_MODES];
        if (!weigh_all(blocks, sites[s], DEBUG_MODES, few, NULL) ||
            !weigh_all(TIMES * blocks, sites[s], 3, many, few)) {
            return 0;
        }
    }
    return 1;
}
