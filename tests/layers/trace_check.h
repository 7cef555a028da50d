/* SPDX-License-Identifier: MIT */
/* What the tests of the trace layer and of replay share: a folder for recordings, and four threads that make one. */
#ifndef HM_TESTS_TRACE_CHECK_H
#define HM_TESTS_TRACE_CHECK_H

#include <hostmalloc/hostmalloc.h>
#include <hostmalloc/trace.h>

#include "check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define SHARED  64

static char folder[64];

static inline const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static inline hm_host *open_host(const char *spec)
{
    hm_host *host = NULL;
    hm_error err;
    if (hm_host_open(spec, &host, &err) != HM_OK) {
        fail_msg("%s: %s: %s", spec, err.where, err.what);
    }
    return host;
}

static inline hm_host *open_file(const char *name, const char *options, const char *below)
{
    char spec[256];
    snprintf(spec, sizeof spec, "trace:file=%s%s+%s", in_folder(name), options, below);
    return open_host(spec);
}

static inline hm_malloc *create(hm_host *host, uint32_t flags)
{
    hm_malloc *m = NULL;
    assert_int_equal(hm_host_create_malloc(host, NULL, flags, &m, NULL), HM_OK);
    return m;
}

/* Four threads with blocks that cross. */
typedef struct crew {
    hm_malloc *m;
    void *shared[SHARED]; /* atomic */
    uint32_t calls;
    uint32_t stop; /* atomic */
} crew;

static inline void *churn(void *context)
{
    crew *c = context;
    uint32_t seed = (uint32_t)(uintptr_t)&seed >> 4;
    for (uint32_t i = 0; i < c->calls && !__atomic_load_n(&c->stop, __ATOMIC_RELAXED);
         i++) {
        seed = seed * 1664525 + 1013904223;
        void *fresh = seed & 0x100 ? hm_alloc(c->m, seed >> 22)
                                   : hm_alloc_aligned(c->m, seed >> 22, 64);
        if (seed & 0x200) {
            fresh = hm_realloc(c->m, fresh, seed >> 21);
        }
        hm_free(c->m, __atomic_exchange_n(&c->shared[(seed >> 12) % SHARED], fresh,
                                          __ATOMIC_ACQ_REL));
    }
    return NULL;
}

static inline void churn_all(hm_malloc *m, uint32_t calls)
{
    crew c = {.m = m, .calls = calls};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &c), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < SHARED; i++) {
        hm_free(m, c.shared[i]);
    }
}

static inline int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/hm-trace-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int drop_folder(void **state)
{
    char call[96];
    (void)state;
    snprintf(call, sizeof call, "rm -rf %s", folder);
    return system(call);
}

#endif
