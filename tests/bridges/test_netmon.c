/* SPDX-License-Identifier: MIT */
/* Experts beyond the numbered cases: bad input, budgets in shares, configurations that lie, runs side by side. */
#define HM_NETMON_SITES
#include <hostmalloc/bridges/netmon.h>

#include "check.h"

#include <hostmalloc/hostmalloc.h>
#include <pthread.h>
#include <stdlib.h>

#include "memory_internal.h"

static hm_runtime *rt;
static HEXPERTKEY key;
static HEXPERTKEY keeper;

static int setup(void **state)
{
    const hm_runtime_opts opts = {.size = sizeof opts, .spec = "default"};
    const hm_netmon_opts named = {.size = sizeof named, .name = "tested"};
    (void)state;
    assert_int_equal(HM_OK, hm_runtime_open(&opts, &rt, NULL));
    hm_runtime_start(rt);
    assert_int_equal(HM_OK, hm_netmon_open(rt, &named, &key, NULL));
    assert_int_equal(HM_OK, hm_netmon_open(rt, NULL, &keeper, NULL));
    return 0;
}

static int teardown(void **state)
{
    hm_leaks leaks = {.size = sizeof leaks};
    (void)state;
    hm__memory_fail_from(0);
    assert_int_equal(HM_OK, hm_runtime_close(rt, &leaks, NULL));
    assert_int_equal(0, leaks.blocks);
    return 0;
}

static uint64_t live(HEXPERTKEY of)
{
    hm_stats stats;
    assert_int_equal(HM_OK, hm_client_stats((hm_client_key)of, &stats));
    return stats.live_blocks;
}

static BOOL WINAPI takes_one(HEXPERTKEY own,
                             PEXPERTCONFIG config,
                             PEXPERTSTARTUPINFO startup,
                             DWORD flags,
                             HWND window)
{
    (void)config, (void)startup, (void)window;
    void *block = ExpertAllocMemory(own, 10, NULL);
    if (flags) {
        hm_netmon_terminate(own);
    } else {
        ExpertFreeMemory(own, block);
    }
    return TRUE;
}

static void netmon__refuses_nonsense(void **state)
{
    HEXPERTKEY none = &rt;
    hm_error err;
    hm_netmon_opts opts = {.size = 1};
    hm_netmon_result unsized = {.size = 0};
    PEXPERTCONFIG config = NULL;
    (void)state;
    assert_int_equal(HM_E_INVALID, hm_netmon_open(rt, NULL, NULL, &err));
    assert_int_equal(HM_E_INVALID, hm_netmon_open(NULL, NULL, &none, &err));
    assert_null(none);
    assert_int_equal(HM_E_INVALID, hm_netmon_open(rt, &opts, &none, &err));
    assert_string_equal("bridge:netmon", err.where);
    assert_int_equal(HM_E_INVALID,
                     hm_netmon_run(key, takes_one, NULL, NULL, 0, NULL, &unsized, &err));
    assert_int_equal(HM_E_NOT_FOUND,
                     hm_netmon_run(&rt, takes_one, NULL, NULL, 0, NULL, NULL, &err));
    assert_int_equal(HM_E_NOT_FOUND, hm_netmon_close(NULL, NULL, &err));
    assert_int_equal(HM_E_NOT_FOUND, hm_netmon_terminate(&rt));
    assert_int_equal(HM_E_NOT_FOUND, hm_netmon_kill(&rt));
    assert_int_equal(HM_E_STARTED, hm_netmon_kill(key));
    assert_int_equal(HM_E_INVALID, hm_netmon_configure(key, keeper, NULL, NULL, NULL, 0,
                                                       NULL, NULL, &err));
    assert_int_equal(HM_E_INVALID, hm_netmon_configure(key, key, NULL, &config, NULL, 0,
                                                       NULL, NULL, &err));
    assert_int_equal(HM_E_NOT_FOUND, hm_netmon_configure(key, &rt, NULL, &config, NULL, 0,
                                                         NULL, NULL, &err));
    assert_int_equal(HM_E_NOT_FOUND, hm_netmon_configure(&rt, keeper, NULL, &config, NULL,
                                                         0, NULL, NULL, &err));
}

static void netmon__says_how_a_run_ended(void **state)
{
    static const struct {
        const char *label;
        PEXPERTRUNPROC run;
        DWORD flags;
        uint64_t fail_from;
        uint32_t status, substatus;
    } cases[] = {
        {"no entry", NULL, 0, 0, EXPERTSTATUS_ABORTED, EXPERTSUBSTATUS_ABORTED_BAD_ENTRY},
        {"no thread", takes_one, 0, 1, EXPERTSTATUS_ABORTED,
         EXPERTSUBSTATUS_ABORTED_THREAD_FAIL},
        {"done", takes_one, 0, 0, EXPERTSTATUS_DONE, 0},
        {"the user stopped it", takes_one, 1, 0, EXPERTSTATUS_ABORTED,
         EXPERTSUBSTATUS_ABORTED_USER},
        {"stopped before", takes_one, 0, 0, EXPERTSTATUS_ABORTED,
         EXPERTSUBSTATUS_ABORTED_USER}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_netmon_result result = {.size = sizeof result};
        hm__memory_fail_from(cases[i].fail_from);
        const hm_status status = hm_netmon_run(key, cases[i].run, NULL, NULL,
                                               cases[i].flags, NULL, &result, NULL);
        hm__memory_fail_from(0);
        CHECK_ROW(cases[i].label, status == HM_OK);
        CHECK_ROW(cases[i].label, result.status == cases[i].status);
        CHECK_ROW(cases[i].label, result.substatus == cases[i].substatus);
        CHECK_ROW(cases[i].label, result.leaks.blocks == (cases[i].flags ? 1 : 0));
        CHECK_ROW(cases[i].label, live(key) == 0);
    }
}

enum {
    LIES_LONG = 1,
    LIES_SHORT,
    GIVES_FOREIGN,
    GIVES_STACK,
    SAYS_NO,
    GIVES_NONE,
    GIVES
};

static BOOL WINAPI configures(HEXPERTKEY own,
                              PEXPERTCONFIG *config,
                              PEXPERTSTARTUPINFO startup,
                              DWORD flags,
                              HWND window)
{
    static DWORD foreign[] = {8, 0};
    (void)startup, (void)window;
    PEXPERTCONFIG made = ExpertReallocMemory(own, *config, 24, NULL);
    if (!made) {
        return FALSE;
    }
    made->RawConfigLength = flags == LIES_LONG ? 25 : flags == LIES_SHORT ? 3 : 24;
    *config = flags == GIVES_FOREIGN ? (PEXPERTCONFIG)(void *)foreign
              : flags == GIVES_NONE  ? NULL
              : flags == GIVES_STACK ? (PEXPERTCONFIG)(void *)&flags
                                     : made;
    return flags != SAYS_NO;
}

static void netmon__believes_no_configuration(void **state)
{
    static const struct {
        const char *label;
        DWORD flags;
        hm_status status;
        int changed;
    } cases[] = {{"longer than its block", LIES_LONG, HM_E_INVALID, 0},
                 {"shorter than its length", LIES_SHORT, HM_E_INVALID, 0},
                 {"no block of the key", GIVES_FOREIGN, HM_E_INVALID, 0},
                 {"on the stack", GIVES_STACK, HM_E_INVALID, 0},
                 {"says no", SAYS_NO, HM_OK, 0},
                 {"gives none", GIVES_NONE, HM_OK, 0},
                 {"gives one", GIVES, HM_OK, 1}};
    PEXPERTCONFIG config = NULL;
    (void)state;
    assert_int_equal(HM_OK, hm_netmon_configure(key, keeper, configures, &config, NULL,
                                                GIVES, NULL, NULL, NULL));
    for (size_t i = 0; i < COUNT(cases); i++) {
        const PEXPERTCONFIG before = config;
        hm_netmon_result result = {.size = sizeof result};
        CHECK_ROW(cases[i].label, hm_netmon_configure(key, keeper, configures, &config,
                                                      NULL, cases[i].flags, NULL, &result,
                                                      NULL) == cases[i].status);
        CHECK_ROW(cases[i].label, (config != before) == cases[i].changed);
        CHECK_ROW(cases[i].label, config->RawConfigLength == 24);
        CHECK_ROW(cases[i].label, live(key) == 0 && live(keeper) == 1);
    }
    /* One that is not the keeper's is not read at all. */
    PEXPERTCONFIG foreign = (PEXPERTCONFIG)(void *)&rt;
    assert_int_equal(HM_E_INVALID, hm_netmon_configure(key, keeper, configures, &foreign,
                                                       NULL, GIVES, NULL, NULL, NULL));
    assert_int_equal(NMERR_SUCCESS, ExpertFreeMemory(keeper, config));
}

static void netmon__out_of_memory_at_every_step(void **state)
{
    PEXPERTCONFIG config = NULL;
    uint64_t steps = 0;
    int done = 0;
    (void)state;
    while (!done) {
        hm_netmon_result result = {.size = sizeof result};
        hm__memory_fail_from(++steps);
        const hm_status status = hm_netmon_configure(key, keeper, configures, &config,
                                                     NULL, GIVES, NULL, &result, NULL);
        done = hm__memory_calls() < steps;
        hm__memory_fail_from(0);
        assert_true(status == HM_OK || status == HM_E_NOMEM);
        assert_int_equal(0, live(key));
        assert_int_equal(config ? 1 : 0, live(keeper));
        assert_true(done == (config != NULL));
        assert_true(steps < 50);
    }
    assert_true(steps > 3);
    assert_int_equal(NMERR_SUCCESS, ExpertFreeMemory(keeper, config));
}

static BOOL WINAPI raises_every_third(HEXPERTKEY own,
                                      PEXPERTCONFIG config,
                                      PEXPERTSTARTUPINFO startup,
                                      DWORD flags,
                                      HWND window)
{
    (void)config, (void)startup, (void)window;
    for (int i = 0; i < 200; i++) {
        ExpertFreeMemory(own, ExpertAllocMemory(own, (SIZE_T)i, NULL));
    }
    if (flags % 3 == 0 && ExpertAllocMemory(own, 1, NULL)) {
        abort();
    }
    return TRUE;
}

static void *run_many(void *context)
{
    HEXPERTKEY own;
    uintptr_t aborted = 0;
    (void)context;
    assert_int_equal(HM_OK, hm_netmon_open(rt, NULL, &own, NULL));
    for (DWORD i = 0; i < 9; i++) {
        hm_netmon_result result = {.size = sizeof result};
        assert_int_equal(HM_OK, hm_netmon_run(own, raises_every_third, NULL, NULL, i,
                                              NULL, &result, NULL));
        aborted += result.status == EXPERTSTATUS_ABORTED;
        assert_int_equal(0, live(own));
    }
    assert_int_equal(HM_OK, hm_netmon_close(own, NULL, NULL));
    return (void *)aborted;
}

static void netmon__runs_side_by_side(void **state)
{
    pthread_t threads[8];
    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(0, pthread_create(&threads[i], NULL, run_many, NULL));
    }
    for (size_t i = 0; i < COUNT(threads); i++) {
        void *aborted;
        pthread_join(threads[i], &aborted);
        assert_int_equal(3, (uintptr_t)aborted);
    }
}

static void netmon__answers_every_status(void **state)
{
    static const struct {
        hm_status status;
        DWORD error;
    } cases[] = {{HM_OK, NMERR_SUCCESS},
                 {HM_E_CORRUPT, NMERR_SUCCESS},
                 {HM_E_NOMEM, NMERR_OUT_OF_MEMORY},
                 {HM_E_CLOSED, NMERR_EXPERT_TERMINATE},
                 {HM_E_NOT_FOUND, NMERR_INVALID_EXPERT_HANDLE},
                 {HM_E_NOT_OWNED, NMERR_INVALID_PARAMETER},
                 {HM_E_FREED, NMERR_INVALID_PARAMETER},
                 {HM_E_UNSUPPORTED, NMERR_NOT_SUPPORTED},
                 {-99, NMERR_INVALID_PARAMETER}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(cases[i].error, hm_netmon_error(cases[i].status));
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(netmon__refuses_nonsense),
        CASE(netmon__says_how_a_run_ended),
        CASE(netmon__believes_no_configuration),
        CASE(netmon__out_of_memory_at_every_step),
        CASE(netmon__runs_side_by_side),
        CASE(netmon__answers_every_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
