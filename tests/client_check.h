/* SPDX-License-Identifier: MIT */
/* What the tests of clients share: a runtime per case, other hosts on the way, one of them for one call at a time. */
#ifndef HM_TESTS_CLIENT_CHECK_H
#define HM_TESTS_CLIENT_CHECK_H

#include "toy_runtime.h"

#include <hostmalloc/client.h>

static hm_runtime *rt;

static inline hm_runtime *open_on(const char *spec)
{
    const hm_runtime_opts opts = {.size = sizeof opts, .name = "guest", .spec = spec};
    hm_runtime *opened;
    hm_error err;
    if (hm_runtime_open(&opts, &opened, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    hm_runtime_start(opened);
    return opened;
}

static inline hm_client_key open_client(const char *name, size_t budget)
{
    const hm_client_opts opts = {.size = sizeof opts, .name = name, .budget = budget};
    hm_client_key key;
    hm_error err;
    if (hm_client_open(rt, &opts, &key, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    assert_true(key != 0);
    return key;
}

/* In a case: go over to another host, and back. What that host keeps for good is not this test's. */
static hm_runtime *usual;
static size_t memory_on_the_way;

static inline void go_to(const char *spec)
{
    usual = rt;
    memory_on_the_way = hm__memory_in_use();
    rt = open_on(spec);
}

static inline void go_back(void)
{
    hm_leaks leaks = {.size = sizeof leaks};
    assert_int_equal(HM_OK, hm_runtime_close(rt, &leaks, NULL));
    assert_true(leaks.blocks == 0);
    rt = usual;
    memory_before += hm__memory_in_use() - memory_on_the_way;
}

static inline void close_client(hm_client_key key)
{
    assert_int_equal(HM_OK, hm_client_close(key, NULL, NULL));
}

static inline uint64_t live(hm_client_key key)
{
    hm_stats stats;
    assert_int_equal(HM_OK, hm_client_stats(key, &stats));
    return stats.live_blocks;
}

/* A host for one call at a time, which says when it is not so. */
static hm_host_vtbl single_host_vtbl;
static hm_malloc_vtbl single_malloc_vtbl;
static uint32_t single_inside;    /* atomic */
static uint32_t single_overlaps;  /* atomic */
static hm_runtime *single_closes; /* while a malloc is made; NULL: nothing */

static void *single_alloc(hm_malloc *self, size_t size, hm_level level)
{
    if (__atomic_fetch_add(&single_inside, 1, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&single_overlaps, 1, __ATOMIC_RELAXED);
    }
    void *block = toy_alloc(self, size, level);
    __atomic_fetch_sub(&single_inside, 1, __ATOMIC_RELAXED);
    return block;
}

static void single_free(hm_malloc *self, void *block)
{
    if (__atomic_fetch_add(&single_inside, 1, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&single_overlaps, 1, __ATOMIC_RELAXED);
    }
    toy_free(self, block);
    __atomic_fetch_sub(&single_inside, 1, __ATOMIC_RELAXED);
}

static hm_status single_create_malloc(hm_host *self,
                                      const hm_malloc_opts *opts,
                                      hm_malloc **out,
                                      hm_error *err)
{
    *out = NULL;
    if (opts && opts->flags) {
        return hm_error_set(err, HM_E_UNSUPPORTED, "host:single", "no flags are offered");
    }
    if (single_closes) {
        assert_int_equal(HM_OK, hm_runtime_close(single_closes, NULL, NULL));
        single_closes = NULL;
    }
    const hm_status status = toy_create_malloc(self, opts, out, err);
    if (status == HM_OK) {
        (*out)->vtbl = &single_malloc_vtbl;
    }
    return status;
}

static hm_status
single_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    const hm_status status = toy_open(values, inner, out, err);
    if (status == HM_OK) {
        (*out)->vtbl = &single_host_vtbl;
    }
    return status;
}

static const hm_host_info single = {.size = sizeof(hm_host_info),
                                    .abi = HM_ABI,
                                    .kind = HM_KIND_HOST,
                                    .name = "single",
                                    .summary = "for one call at a time",
                                    .version = "1",
                                    .open = single_open};

/* The first client makes a place for clients, which stays; the toy host offers nothing that the others do not. */
static int client_setup(void **state)
{
    setup(state);
    single_host_vtbl = toy_host_vtbl;
    single_host_vtbl.create_malloc = single_create_malloc;
    single_malloc_vtbl = toy_malloc_vtbl;
    single_malloc_vtbl.alloc = single_alloc;
    (single_malloc_vtbl.free) = single_free;
    assert_int_equal(HM_OK, hm_registry_add(&single, NULL));
    rt = open_on("toy");
    close_client(open_client("first", 0));
    return hm_runtime_close(rt, NULL, NULL);
}

static int client_begin(void **state)
{
    begin(state);
    rt = open_on("toy");
    return 0;
}

static int client_end(void **state)
{
    hm__memory_fail_from(0);
    assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, NULL));
    return end(state);
}

#define CLIENT_CASE(name) cmocka_unit_test_setup_teardown(name, client_begin, client_end)

#endif
