/* SPDX-License-Identifier: MIT */
/* What the tests of MAPI's memory share: a host chosen, buffers made at a site of this file, and all closed after a case. */
#ifndef HM_TESTS_MAPI_CHECK_H
#define HM_TESTS_MAPI_CHECK_H

#define COBJMACROS
#define HM_MAPI_SITES
#include <hostmalloc/bridges/mapi.h>

#include "check.h"

#include <hostmalloc/hostmalloc.h>
#include <stdlib.h>

#include "memory_internal.h"

static inline int teardown(void **state)
{
    (void)state;
    unsetenv("HOSTMALLOC");
    hm__memory_fail_from(0);
    assert_int_equal(hm_mapi_close(NULL, NULL), HM_OK);
    return 0;
}

static inline void choose(const char *spec)
{
    hm_host *host;
    assert_int_equal(hm_host_open(spec, &host, NULL), HM_OK);
    assert_int_equal(hm_mapi_set_host(host, NULL), HM_OK);
    hm_host_release(host);
}

static inline void *root_of(ULONG bytes)
{
    void *root = NULL;
    assert_int_equal(MAPIAllocateBuffer(bytes, &root), S_OK);
    assert_non_null(root);
    return root;
}

static inline void *more_of(ULONG bytes, void *root)
{
    void *more = NULL;
    assert_int_equal(MAPIAllocateMore(bytes, root, &more), S_OK);
    assert_non_null(more);
    return more;
}

#define CASE(name) cmocka_unit_test_teardown(name, teardown)

#endif
