/* SPDX-License-Identifier: MIT */
/* Short forms of the calls on pages, for tests. */
#ifndef HM_TESTS_PAGES_CHECK_H
#define HM_TESTS_PAGES_CHECK_H

#include <unistd.h>

#include "check.h"
#include "os.h"
#include "virtual_internal.h"

#define PAGE    ((size_t)hm__os()->page_size)
#define GRANULE ((size_t)65536)
#define RESERVE HM_MEM_RESERVE
#define COMMIT  HM_MEM_COMMIT
#define RW      HM_PAGE_READWRITE
#define NONE    HM_PAGE_NOACCESS

static inline char *reserved(size_t bytes)
{
    void *base = NULL;
    assert_int_equal(hm__virtual_alloc(NULL, bytes, RESERVE, NONE, &base), HM_OK);
    assert_non_null(base);
    return base;
}

static inline void committed(char *address, size_t bytes, uint32_t protection)
{
    void *out = NULL;
    assert_int_equal(hm__virtual_alloc(address, bytes, COMMIT, protection, &out), HM_OK);
    assert_true(out == address - (uintptr_t)address % PAGE);
}

static inline void released(void *base)
{
    assert_int_equal(hm__virtual_free(base, 0, HM_MEM_RELEASE), HM_OK);
}

static inline hm_region asked(const void *address)
{
    hm_region region = {.size = sizeof region};
    assert_int_equal(hm__virtual_query(address, &region), HM_OK);
    return region;
}

/* The kernel copies to and from a page, or answers EFAULT: access is judged without a signal. */
static inline int readable(const char *page)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const int answer = write(ends[1], page, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return answer;
}

static inline int writable(char *page)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "w", 1), 1);
    const int answer = read(ends[0], page, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return answer;
}

static inline int is_zero(const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i]) {
            return 0;
        }
    }
    return 1;
}

#endif
