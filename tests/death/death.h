/* SPDX-License-Identifier: MIT */
/* What every misuse starts and ends with: a malloc of a debug host that reports to standard error. */
#ifndef HM_TESTS_DEATH_H
#define HM_TESTS_DEATH_H

#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>

#include <stdlib.h>

static hm_host *death_host;

static inline hm_malloc *
death_malloc_of(const char *spec, const char *name, uint32_t flags)
{
    hm_malloc *m;
    hm_error err;
    if ((!death_host && hm_host_open(spec, &death_host, &err) != HM_OK) ||
        hm_host_create_malloc(death_host, name, flags, &m, &err) != HM_OK) {
        hm_error_print(&err);
        exit(1);
    }
    return m;
}

static inline hm_malloc *death_malloc(const char *name, uint32_t flags)
{
    return death_malloc_of("debug", name, flags);
}

static inline int death_end(hm_malloc *m)
{
    hm_malloc_release(m);
    hm_host_release(death_host);
    return 0;
}

/* The verdict decides how the program ends, so that the report alone cannot make a test pass. */
#define EXPECT(verdict, call)                           \
    do {                                                \
        const hm_status seen = (call);                  \
        if (seen != (verdict)) {                        \
            const hm_error err = {seen, 0, "test", ""}; \
            hm_error_print(&err);                       \
            exit(3);                                    \
        }                                               \
    } while (0)

#endif
