/* SPDX-License-Identifier: MIT */
/* A process whose runtime takes its memory from the host named on the command line, for the tests of the bridges to hooks
 * of the whole process. A hook is installed once, so what must happen without it or before it runs in a copy of the
 * process, made before.
 *
 * The host stands under the fault layer, which passes all calls on until a test asks for a fault. */
#ifndef HM_TESTS_HOOKED_H
#define HM_TESTS_HOOKED_H

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hostmalloc/bridges/bridge.h>
#include <hostmalloc/debug.h>
#include <hostmalloc/fault.h>
#include <hostmalloc/hostmalloc.h>

typedef struct hooked {
    const char *spec;
    hm_host *host;
} hooked;

static hooked process;

/* Ends the program with a word, outside of cmocka's cases. */
static inline void hooked_must(int holds, const char *what, const hm_error *err)
{
    if (!holds) {
        fprintf(stderr, "%s: %s%s%s\n", process.spec, what, err ? ": " : "",
                err ? err->what : "");
        exit(1);
    }
}

static inline void hooked_open(int argc, char **argv)
{
    char spec[128];
    hm_error err;
    process.spec = argc > 1 ? argv[1] : "default";
    snprintf(spec, sizeof(spec), "fault+%s", process.spec);
    hooked_must(hm_host_open(spec, &process.host, &err) == HM_OK, "no host", &err);
}

/* A malloc for a bridge. libc's counts its blocks and bytes, a debug host's does so anyway, mimalloc's stays as it is. */
static inline hm_malloc *hooked_malloc(const char *name)
{
    const hm_malloc_opts opts = {
        .size = sizeof(opts),
        .name = name,
        .flags = HM_MALLOC_THREADSAFE,
        .limit = strcmp(process.spec, "default") == 0 ? (size_t)1 << 40 : 0};
    hm_malloc *m;
    hm_error err;
    hooked_must(hm_host_create_malloc_opts(process.host, &opts, &m, &err) == HM_OK,
                "no malloc", &err);
    return m;
}

/* What @p run answers in a copy of this process. */
static inline uint64_t hooked_in_copy(uint64_t (*run)(void))
{
    int ends[2];
    uint64_t answer = 0;
    int status = 0;
    hooked_must(pipe(ends) == 0, "no pipe", NULL);
    fflush(NULL);
    const pid_t copy = fork();
    if (copy == 0) {
        answer = run();
        _exit(write(ends[1], &answer, sizeof(answer)) != (ssize_t)sizeof(answer));
    }
    close(ends[1]);
    hooked_must(copy > 0 && read(ends[0], &answer, sizeof(answer)) == sizeof(answer) &&
                    waitpid(copy, &status, 0) == copy && status == 0,
                "the copy of this process failed", NULL);
    close(ends[0]);
    return answer;
}

/* Blocks live in @p m; 0 where its host does not count. */
static inline uint64_t hooked_live(hm_malloc *m)
{
    hm_stats stats;
    return hm_malloc_stats(m, &stats) == HM_OK ? stats.live_blocks : 0;
}

/* Something came through @p m, as far as it counts. */
static inline void hooked_check_used(hm_malloc *m, uint64_t at_least)
{
    hm_stats stats;
    if (hm_malloc_stats(m, &stats) == HM_OK) {
        assert_true(stats.total_blocks >= at_least);
    }
}

/* A debug host found nothing wrong with what the runtime did. */
static inline void hooked_check_findings(hm_malloc *m)
{
    hm_debug *const debug = hm_debug_of_malloc(m);
    uint64_t findings = 0;
    if (debug) {
        assert_int_equal(hm_debug_check(debug, NULL), HM_OK);
        hm_debug_findings(debug, &findings);
        assert_int_equal(findings, 0);
    }
}

/* @p run copes with the failure of each of its allocations; it makes at least @p at_least. */
static inline void
hooked_sweep(int (*run)(void *context), void *context, uint64_t at_least)
{
    hm_fault_count last;
    const hm_status status = hm_fault_sweep(process.host, NULL, run, context, &last);
    if (status != HM_OK) {
        char site[128];
        fail_msg("%s: allocation %llu failed at %s and was not coped with",
                 hm_status_name(status), (unsigned long long)last.last_failed,
                 hm_site_text(last.last_site, 1, site, sizeof(site)));
    }
    assert_true(last.counted >= at_least);
}

/* A digest of what a runtime put out: FNV-1a, to be started with HOOKED_DIGEST. */
#define HOOKED_DIGEST 14695981039346656037ull

static inline uint64_t hooked_digest(uint64_t digest, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        digest = (digest ^ ((const unsigned char *)bytes)[i]) * 1099511628211ull;
    }
    return digest;
}

/* Options that every bridge refuses, none of which leaves anything changed. */
static inline void
hooked_check_options(const hm_bridge *bridge, hm_bridge_lookup *lookup, void *context)
{
    hm_error err;
    hm_malloc *const m = hooked_malloc("options");
    hm_malloc *alone;
    assert_int_equal(hm_host_create_malloc(process.host, "alone", 0, &alone, NULL),
                     HM_OK);
    const struct {
        const char *label;
        hm_bridge_opts opts;
        hm_status want;
    } cases[] = {
        {"no malloc", {.lookup = lookup}, HM_E_INVALID},
        {"two", {.m = m, .host = process.host, .lookup = lookup}, HM_E_INVALID},
        {"no lookup", {.m = m}, HM_E_INVALID},
        {"unknown flag", {.m = m, .lookup = lookup, .flags = 0x80}, HM_E_INVALID},
        {"not thread-safe",
         {.m = alone, .lookup = lookup},
         alone->flags & HM_MALLOC_THREADSAFE ? HM_OK : HM_E_INVALID},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_bridge_opts opts = cases[i].opts;
        opts.size = sizeof(opts);
        opts.lookup_context = context;
        if (cases[i].want != HM_OK) {
            CHECK_ROW(cases[i].label, bridge->install(&opts, &err) == cases[i].want);
            CHECK_ROW(cases[i].label, bridge->verify(NULL, NULL) == cases[i].want);
        }
    }
    hm_bridge_opts unsized = {.m = m, .lookup = lookup, .lookup_context = context};
    assert_int_equal(bridge->install(&unsized, &err), HM_E_INVALID);
    assert_int_equal(bridge->install(NULL, &err), HM_E_INVALID);
    hm_malloc_release(m);
    hm_malloc_release(alone);
}

static inline void *hooked_finds_nothing(void *context, const char *name)
{
    (void)context;
    (void)name;
    return NULL;
}

/* Before anything is installed: what verify says, options that are refused, a process without the runtime. */
static inline void hooked_check_before(const hm_bridge *bridge, hm_bridge_lookup *lookup)
{
    const hm_site *first;
    hm_error err;
    const hm_bridge_opts nowhere = {
        .size = sizeof(nowhere), .host = process.host, .lookup = hooked_finds_nothing};
    assert_int_equal(bridge->verify(&first, &err), HM_E_NOT_FOUND);
    assert_null(first);
    hooked_check_options(bridge, lookup, NULL);
    assert_int_equal(bridge->install(&nowhere, &err), HM_E_NOT_FOUND);
    assert_non_null(strstr(err.what, "in this process"));
    assert_int_equal(bridge->verify(NULL, &err), HM_E_NOT_FOUND);
}

/* Installed: a second install is refused and changes nothing. */
static inline void hooked_check_twice(const hm_bridge *bridge, hm_bridge_lookup *lookup)
{
    hm_error err;
    const hm_bridge_opts opts = {
        .size = sizeof(opts), .host = process.host, .lookup = lookup};
    assert_int_equal(bridge->install(&opts, &err), HM_E_EXISTS);
    assert_int_equal(bridge->verify(NULL, &err), HM_OK);
}

#endif
