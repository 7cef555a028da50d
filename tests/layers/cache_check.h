/* SPDX-License-Identifier: MIT */
/* What the tests of the cache layer share: open, make, and look from below. */
#ifndef HM_TESTS_CACHE_CHECK_H
#define HM_TESTS_CACHE_CHECK_H

#include <hostmalloc/hostmalloc.h>
#include <hostmalloc/limit.h>

#include "check.h"

static inline hm_host *open_host(const char *spec)
{
    hm_host *host = NULL;
    hm_error err;
    if (hm_host_open(spec, &host, &err) != HM_OK) {
        fail_msg("%s: %s: %s", spec, err.where, err.what);
    }
    return host;
}

static inline hm_malloc *create(hm_host *host, uint32_t flags)
{
    hm_malloc *m = NULL;
    hm_error err;
    if (hm_host_create_malloc(host, "cached", flags, &m, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    return m;
}

/* What the hosts below a cache see of it. */
static inline uint64_t live_below(hm_host *host)
{
    hm_limit_use use;
    assert_int_equal(hm_limit_read(host, NULL, &use), HM_OK);
    return use.live;
}

static const struct {
    const char *label;
    uint32_t flags;
} kinds[] = {{"plain", 0},
             {"one thread", HM_MALLOC_ONE_THREAD},
             {"thread-safe", HM_MALLOC_THREADSAFE}};

/* 200 blocks of 64 bytes, freed. */
static inline void free_many(hm_malloc *m)
{
    void *blocks[200];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = hm_alloc(m, 60);
        assert_non_null(blocks[i]);
    }
    for (size_t i = 0; i < COUNT(blocks); i++) {
        hm_free_sized(m, blocks[i], 60);
    }
}

#endif
