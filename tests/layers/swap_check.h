/* SPDX-License-Identifier: MIT */
/* What the tests of the swap layer share: open, make, swap, and find everything gone at the end. */
#ifndef HM_TESTS_SWAP_CHECK_H
#define HM_TESTS_SWAP_CHECK_H

#include <hostmalloc/hostmalloc.h>
#include <hostmalloc/swap.h>

#include "born_host.h"
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

static inline hm_malloc *create(hm_host *host, uint32_t flags, size_t limit)
{
    hm_malloc *m = NULL;
    hm_error err;
    const hm_malloc_opts opts = {sizeof opts, "swapped", flags, 0, limit};
    if (hm_host_create_malloc_opts(host, &opts, &m, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    return m;
}

static inline void swap_to(hm_host *host, const char *spec)
{
    hm_error err;
    if (hm_swap_to(host, spec, &err) != HM_OK) {
        fail_msg("%s: %s: %s", spec ? spec : "back", err.where, err.what);
    }
}

static inline hm_swap_state state_of(hm_host *host)
{
    hm_swap_state state;
    assert_int_equal(hm_swap_look(host, &state), HM_OK);
    return state;
}

static inline void give_up(hm_malloc *m, hm_host *host)
{
    hm_malloc_release(m);
    hm_host_release(host);
    assert_int_equal(born_load(&born.blocks), 0);
    assert_int_equal(born_load(&born.strangers), 0);
    assert_int_equal(born_load(&born.mallocs), 0);
    assert_int_equal(born_load(&born.hosts), 0);
}

static inline int begin(void **state)
{
    (void)state;
    return born_begin() == HM_OK ? 0 : -1;
}

#endif
