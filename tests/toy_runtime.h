/* SPDX-License-Identifier: MIT */
/* Runtimes over the toy host, and what must hold after each case. */
#ifndef HM_TESTS_TOY_RUNTIME_H
#define HM_TESTS_TOY_RUNTIME_H

#include <hostmalloc/hostmalloc.h>

#include <stdlib.h>

#include "check.h"
#include "memory_internal.h"
#include "toy_host.h"

static const hm_host_info toy = {.size = sizeof(hm_host_info),
                                 .abi = HM_ABI,
                                 .kind = HM_KIND_HOST,
                                 .name = "toy",
                                 .summary = "for tests",
                                 .version = "1",
                                 .open = toy_open};

static int setup(void **state)
{
    (void)state;
    setenv("HOSTMALLOC_PLUGIN_PATH", "", 1);
    toy_begin(hm_core_table());
    assert_int_equal(HM_OK, hm_registry_add(&toy, NULL));
    return 0;
}

/* Every case leaves the level, the hosts and the private memory as it found them. */
static size_t memory_before;

static int begin(void **state)
{
    (void)state;
    toy_counts = 1;
    toy_on_stats = NULL;
    memory_before = hm__memory_in_use();
    return 0;
}

static int end(void **state)
{
    (void)state;
    assert_int_equal(0, toy_live);
    assert_int_equal(HM_LEVEL_TASK, hm_level_now());
    assert_int_equal(memory_before, hm__memory_in_use());
    return 0;
}

static inline hm_runtime *open_toy(const char *name)
{
    const hm_runtime_opts opts = {.size = sizeof opts, .name = name, .spec = "toy"};
    hm_runtime *rt;
    hm_error err;
    if (hm_runtime_open(&opts, &rt, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    return rt;
}

static inline hm_malloc *make(hm_runtime *rt, const char *name)
{
    const hm_malloc_opts opts = {.size = sizeof opts, .name = name};
    hm_malloc *m;
    hm_error err;
    if (hm_runtime_create_malloc(rt, &opts, &m, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    return m;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
