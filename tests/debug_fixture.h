/* SPDX-License-Identifier: MIT */
/* A debug host that reports into a file, for the tests of it. */
#ifndef HM_TESTS_DEBUG_FIXTURE_H
#define HM_TESTS_DEBUG_FIXTURE_H

#include "check.h"

#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct debug_fixture {
    hm_host *host;
    hm_malloc *m;
    char path[64];
    char text[65536]; /* what the report file held when last read */
} debug_fixture;

/* spec: what follows "debug:report=FILE", such as ",quarantine=64+default" or "". */
static inline void fixture_open(debug_fixture *f, const char *spec, uint32_t flags)
{
    char whole[256];
    hm_error err = {0};
    memset(f, 0, sizeof(*f));
    snprintf(f->path, sizeof(f->path), "/tmp/hm-debug-%ld-XXXXXX", (long)getpid());
    const int fd = mkstemp(f->path);
    assert_true(fd >= 0);
    close(fd);
    const int length = snprintf(whole, sizeof(whole), "debug:report=%s%s", f->path, spec);
    assert_true(length > 0 && (size_t)length < sizeof(whole));
    if (hm_host_open(whole, &f->host, &err) != HM_OK ||
        hm_host_create_malloc(f->host, "rows", flags, &f->m, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
}

static inline const char *fixture_report(debug_fixture *f)
{
    FILE *file = fopen(f->path, "r");
    assert_non_null(file);
    f->text[fread(f->text, 1, sizeof(f->text) - 1, file)] = '\0';
    fclose(file);
    return f->text;
}

/* What hm_debug_explain writes of an address. */
static inline const char *
fixture_explained(const debug_fixture *f, const void *address, hm_status expected)
{
    static char text[4096];
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(hm_debug_explain(hm_debug_of_host(f->host), address, fileno(file)),
                     expected);
    rewind(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* Gives back what open took; the report can be read afterwards. */
static inline void fixture_close(debug_fixture *f)
{
    hm_malloc_release(f->m);
    hm_host_release(f->host);
    fixture_report(f);
    unlink(f->path);
}

static inline uint64_t fixture_findings(debug_fixture *f)
{
    uint64_t count = UINT64_MAX;
    assert_int_equal(hm_debug_findings(hm_debug_of_host(f->host), &count), HM_OK);
    return count;
}

static inline hm_stats fixture_stats(hm_malloc *m)
{
    hm_stats stats;
    assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
    return stats;
}

#endif
