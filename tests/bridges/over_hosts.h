/* SPDX-License-Identifier: MIT */
/* For the tests of bridges to objects, each of which has a malloc of its own: a piece of work on every host. */
#ifndef HM_TESTS_OVER_HOSTS_H
#define HM_TESTS_OVER_HOSTS_H

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hostmalloc/debug.h>
#include <hostmalloc/fault.h>
#include <hostmalloc/hostmalloc.h>

#define WORK_NOT_FAILED \
    0x80000000u /* beside the flags of its malloc: no failures, see there why */

/* Answers a digest of what it made, 0 when it ran out of memory; @p m NULL: the library's own allocator. */
typedef uint64_t piece_of_work(hm_malloc *m);

#define WORK_DIGEST 14695981039346656037ull

static inline uint64_t work_digest(uint64_t digest, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        digest = (digest ^ ((const unsigned char *)bytes)[i]) * 1099511628211ull;
    }
    return digest;
}

typedef struct work_run {
    piece_of_work *work;
    hm_malloc *m;
} work_run;

static inline int run_for_sweep(void *context)
{
    const work_run *const run = context;
    run->work(run->m);
    return 0; /* an orderly end is all that is asked for */
}

static inline void work_sweep(const char *label, hm_host *host, work_run *run)
{
    hm_fault_count last;
    hm_stats stats;
    CHECK_ROW(label, hm_fault_sweep(host, NULL, run_for_sweep, run, &last) == HM_OK);
    CHECK_ROW(label, last.counted > 0);
    assert_int_equal(hm_malloc_stats(run->m, &stats), HM_OK);
    if (stats.live_blocks) {
        fail_msg("%s: %llu blocks are left after failures", label,
                 (unsigned long long)stats.live_blocks);
    }
}

static inline void
work_on(const char *label, piece_of_work *work, const char *spec, uint32_t flags)
{
    char text[64];
    hm_host *host;
    hm_error err;
    hm_stats stats;
    uint64_t findings = 0;
    snprintf(text, sizeof(text), "fault+%s", spec);
    const hm_status opened = hm_host_open(text, &host, &err);
    if (opened == HM_E_NOT_FOUND && strcmp(spec, "mimalloc") == 0) {
        print_message("%s: no host mimalloc here\n", label);
        return;
    }
    assert_int_equal(opened, HM_OK);
    /* One that counts, whatever the host. */
    const hm_malloc_opts opts = {.size = sizeof(opts),
                                 .name = label,
                                 .flags = flags & ~WORK_NOT_FAILED,
                                 .limit = (size_t)1 << 40};
    work_run run = {work, NULL};
    assert_int_equal(hm_host_create_malloc_opts(host, &opts, &run.m, &err), HM_OK);
    CHECK_ROW(label, work(run.m) == work(NULL));
    assert_int_equal(hm_malloc_stats(run.m, &stats), HM_OK);
    CHECK_ROW(label, stats.total_blocks > 0);
    CHECK_ROW(label, stats.live_blocks == 0);

    if (!(flags & WORK_NOT_FAILED)) {
        work_sweep(label, host, &run);
    }
    CHECK_ROW(label, work(run.m) == work(NULL));
    hm_debug_findings(hm_debug_of_malloc(run.m), &findings);
    CHECK_ROW(label, findings == 0);
    hm_malloc_release(run.m);
    hm_host_release(host);
}

/* The same digest on each host as without one, nothing left, and no allocation whose failure is not coped with. */
static inline void work_everywhere(const char *label, piece_of_work *work, uint32_t flags)
{
    static const char *const specs[] = {"default", "mimalloc", "debug"};
    for (size_t i = 0; i < COUNT(specs); i++) {
        work_on(label, work, specs[i], flags);
    }
}

/* Something of this text's length, that compresses well and not at all by turns. */
static inline void work_fill(unsigned char *bytes, size_t size)
{
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = i / 512 % 2 ? (unsigned char)(state >> 24) : (unsigned char)(i % 61);
    }
}

#endif
