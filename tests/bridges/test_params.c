/* SPDX-License-Identifier: MIT */
/* The check of the ownership rules sees each way to break one; and the help for callees at its edges. */
#include <hostmalloc/bridges/params.h>

#include "check.h"

#include <hostmalloc/hostmalloc.h>
#include <string.h>

#include "memory_internal.h"

static hm_host *host;
static hm_malloc *m;
static void *one, *two;

#define P0     ((void *)(uintptr_t)0xdeadbeef)
#define PASSED 24

static int setup(void **state)
{
    hm_error err;
    (void)state;
    if (hm_host_open("fault+default", &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "params", HM_MALLOC_EXACT, &m, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    one = two = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}

static void *get(void *context, size_t bytes)
{
    (void)context;
    return hm_alloc(m, bytes);
}

static void put(void *context, void *block)
{
    (void)context;
    hm_free(m, block);
}

static const hm_params_memory com = {
    sizeof(hm_params_memory), HM_PARAMS_COM, 0, NULL, get, put};
static const hm_params_memory mapi = {
    sizeof(hm_params_memory), HM_PARAMS_MAPI, 0, NULL, get, put};

static int pass(void *context)
{
    (void)context;
    one = hm_alloc(m, PASSED);
    if (one) {
        memset(one, 5, PASSED);
    }
    return one ? 0 : 1;
}

static void clean(void *context)
{
    (void)context;
    hm_free(m, one == P0 ? NULL : one);
    one = NULL;
}

/* Functions that break a rule each. */

static HRESULT leaves_initial(void *context)
{
    (void)context;
    void *made = hm_alloc(m, 8);
    one = made ? made : one;
    return made ? S_OK : E_OUTOFMEMORY;
}

static HRESULT leaves_freed(void *context)
{
    (void)context;
    one = hm_alloc(m, 8);
    void *more = one ? hm_alloc(m, 8) : NULL;
    if (!more) {
        hm_free(m, one); /* and still points there */
        return E_OUTOFMEMORY;
    }
    hm_free(m, more);
    return S_OK;
}

static HRESULT leaks(void *context)
{
    (void)context;
    one = NULL;
    void *made = hm_alloc(m, 8);
    void *more = made ? hm_alloc(m, 8) : NULL;
    if (!more) {
        return E_OUTOFMEMORY; /* made is forgotten */
    }
    hm_free(m, more);
    one = made;
    return S_OK;
}

static HRESULT frees_first(void *context)
{
    (void)context;
    hm_free(m, one);
    void *made = hm_alloc(m, 48);
    if (!made) {
        return E_OUTOFMEMORY; /* one dangles */
    }
    one = made;
    return S_OK;
}

static HRESULT writes_first(void *context)
{
    (void)context;
    memset(one, 9, 1);
    void *made = hm_alloc(m, 48);
    if (!made) {
        return E_OUTOFMEMORY;
    }
    hm_free(m, one);
    one = made;
    return S_OK;
}

static HRESULT replaces_and_fails(void *context)
{
    (void)context;
    void *made = hm_alloc(m, 48);
    if (!made) {
        return E_OUTOFMEMORY;
    }
    hm_free(m, one);
    one = made;
    void *more = hm_alloc(m, 8);
    hm_free(m, more);
    return more ? S_OK : E_OUTOFMEMORY;
}

static HRESULT clears_and_leaks(void *context)
{
    (void)context;
    void *made = hm_alloc(m, 48);
    if (!made) {
        one = NULL; /* nobody can free it now */
        return E_OUTOFMEMORY;
    }
    hm_free(m, one);
    one = made;
    return S_OK;
}

static HRESULT clears_and_frees(void *context)
{
    (void)context;
    void *made = hm_alloc(m, 48);
    hm_free(m, one);
    one = made;
    return made ? S_OK : E_OUTOFMEMORY;
}

static HRESULT keeps_the_old(void *context)
{
    (void)context;
    void *made = hm_alloc(m, 48);
    one = made ? made : one;
    return made ? S_OK : E_OUTOFMEMORY;
}

static HRESULT always_fails(void *context)
{
    (void)context;
    one = NULL;
    return E_FAIL;
}

static HRESULT allocates_nothing(void *context)
{
    (void)context;
    one = NULL;
    return S_OK;
}

static HRESULT falls_back(void *context)
{
    (void)context;
    one = hm_alloc(m, 800);
    one = one ? one : hm_alloc(m, 8);
    return one ? S_OK : E_OUTOFMEMORY;
}

static void params__check_sees_each_mistake(void **state)
{
    static const struct {
        const char *label;
        HRESULT (*call)(void *context);
        uint32_t rules, direction;
        const char *what; /* NULL: it keeps the rules */
    } cases[] = {
        {"COM out left", leaves_initial, HM_PARAMS_COM, HM_PARAM_OUT,
         "allocation 1 refused: \"one\" is not NULL"},
        {"MAPI out left", leaves_initial, HM_PARAMS_MAPI, HM_PARAM_OUT, NULL},
        {"COM out dangles", leaves_freed, HM_PARAMS_COM, HM_PARAM_OUT,
         "allocation 2 refused: \"one\" is not NULL"},
        {"MAPI out dangles", leaves_freed, HM_PARAMS_MAPI, HM_PARAM_OUT,
         "allocation 2 refused: \"one\" is neither NULL nor its initial value"},
        {"a leak", leaks, HM_PARAMS_COM, HM_PARAM_OUT,
         "allocation 2 refused: a block is left that nobody knows"},
        {"in/out dangles", frees_first, HM_PARAMS_COM, HM_PARAM_IN_OUT,
         "allocation 1 refused: \"one\" was freed and is still there"},
        {"in/out written", writes_first, HM_PARAMS_COM, HM_PARAM_IN_OUT,
         "allocation 1 refused: \"one\" has other contents"},
        {"in/out replaced", replaces_and_fails, HM_PARAMS_MAPI, HM_PARAM_IN_OUT,
         "allocation 2 refused: \"one\" is neither NULL nor what was passed in"},
        {"in/out cleared", clears_and_leaks, HM_PARAMS_COM, HM_PARAM_IN_OUT,
         "allocation 1 refused: a block is left that nobody knows"},
        {"in/out cleared and freed", clears_and_frees, HM_PARAMS_COM, HM_PARAM_IN_OUT,
         NULL},
        {"in/out not freed", keeps_the_old, HM_PARAMS_COM, HM_PARAM_IN_OUT,
         "nothing refused: after the caller's clean-up the blocks are not those of "
         "before"},
        {"fails anyway", always_fails, HM_PARAMS_COM, HM_PARAM_OUT,
         "nothing refused: the call fails"},
        {"allocates nothing", allocates_nothing, HM_PARAMS_COM, HM_PARAM_OUT, NULL},
        {"falls back", falls_back, HM_PARAMS_COM, HM_PARAM_OUT, NULL}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm_param param = {"one", cases[i].direction, 0, &one, P0, PASSED};
        const int in_out = cases[i].direction == HM_PARAM_IN_OUT;
        const hm_params_case checked = {.size = sizeof checked,
                                        .rules = cases[i].rules,
                                        .host = host,
                                        .memory = m,
                                        .prepare = in_out ? pass : NULL,
                                        .call = cases[i].call,
                                        .clean = clean,
                                        .params = &param,
                                        .count = 1};
        hm_error err = {HM_OK, 0, "", ""};
        const hm_status status = hm_params_check(&checked, NULL, &err);
        if (strcmp(err.what, cases[i].what ? cases[i].what : "") != 0) {
            fail_msg("%s: says '%s'", cases[i].label, err.what);
        }
        CHECK_ROW(cases[i].label, status == (cases[i].what ? HM_E_INVALID : HM_OK));
        hm_malloc_reset(m);
        one = NULL;
    }
}

static void params__check_refuses_nonsense(void **state)
{
    hm_host *bare;
    hm_error err;
    (void)state;
    const hm_param good = {"one", HM_PARAM_OUT, 0, &one, NULL, 0};
    const hm_param bad = {"one", 3, 0, &one, NULL, 0};
    const hm_param nowhere = {"one", HM_PARAM_OUT, 0, NULL, NULL, 0};
    const hm_params_case complete = {.size = sizeof complete,
                                     .host = host,
                                     .memory = m,
                                     .call = allocates_nothing,
                                     .params = &good,
                                     .count = 1};
    hm_params_case broken[8];
    for (size_t i = 0; i < COUNT(broken); i++) {
        broken[i] = complete;
    }
    broken[0].size = 8;
    broken[1].rules = 2;
    broken[2].host = NULL;
    broken[3].memory = NULL;
    broken[4].call = NULL;
    broken[5].params = NULL;
    broken[6].params = &bad;
    broken[7].params = &nowhere;
    for (size_t i = 0; i < COUNT(broken); i++) {
        assert_int_equal(HM_E_INVALID, hm_params_check(&broken[i], NULL, &err));
    }
    assert_int_equal(HM_E_INVALID, hm_params_check(NULL, NULL, NULL));
    uint64_t refused = 9;
    assert_int_equal(HM_OK, hm_params_check(&complete, &refused, &err));
    assert_int_equal(0, refused);
    assert_int_equal(HM_OK, hm_host_open("default", &bare, NULL));
    broken[0] = complete;
    broken[0].host = bare;
    assert_int_equal(HM_E_NOT_FOUND, hm_params_check(&broken[0], NULL, &err));
    hm_malloc *forgetful;
    assert_int_equal(HM_OK, hm_host_create_malloc(bare, "params", 0, &forgetful, NULL));
    broken[0] = complete;
    broken[0].memory = forgetful; /* keeps no list */
    assert_int_equal(HM_E_UNSUPPORTED, hm_params_check(&broken[0], NULL, &err));
    assert_string_equal("the malloc does not know its blocks", err.what);
    hm_malloc_release(forgetful);
    hm_host_release(bare);
    for (uint64_t n = 1; n <= 2; n++) {
        const size_t before = hm__memory_in_use();
        hm__memory_fail_from(n);
        const hm_status status = hm_params_check(&complete, NULL, &err);
        hm__memory_fail_from(0);
        assert_int_equal(HM_E_NOMEM, status);
        assert_true(hm__memory_in_use() == before);
    }
}

static void params__callee_at_its_edges(void **state)
{
    static const hm_params_memory *const memories[] = {&com, &mapi};
    hm_params p;
    (void)state;
    for (size_t i = 0; i < COUNT(memories); i++) {
        const int is_com = memories[i] == &com;
        /* A NULL place. */
        hm_params_begin(&p, memories[i]);
        hm_params_out(&p, NULL);
        assert_int_equal(is_com ? E_POINTER : E_INVALIDARG, hm_params_end(&p, S_OK));
        hm_params_begin(&p, memories[i]);
        hm_params_in_out(&p, NULL);
        assert_int_equal(E_FAIL, hm_params_end(&p, E_FAIL));
        /* A place that was not announced. */
        hm_params_begin(&p, memories[i]);
        assert_null(hm_params_alloc(&p, &one, 8));
        assert_int_equal(E_OUTOFMEMORY, hm_params_end(&p, S_OK));
        /* A second block for a place replaces the first. */
        hm_params_begin(&p, memories[i]);
        one = P0;
        hm_params_out(&p, &one);
        assert_ptr_equal(is_com ? NULL : P0, one);
        assert_non_null(hm_params_alloc(&p, &one, 8));
        void *second = hm_params_alloc(&p, &one, 9);
        assert_ptr_equal(is_com ? NULL : P0, one); /* not before the end */
        assert_int_equal(S_FALSE, hm_params_end(&p, S_FALSE));
        assert_ptr_equal(second, one);
        clean(NULL);
        /* An in/out that was NULL. */
        hm_params_begin(&p, memories[i]);
        hm_params_in_out(&p, &two);
        assert_non_null(hm_params_alloc(&p, &two, 8));
        assert_int_equal(S_OK, hm_params_end(&p, S_OK));
        hm_free(m, two);
        two = NULL;
        /* More than fit: the call fails, and keeps nothing. */
        hm_params_begin(&p, memories[i]);
        for (int n = 0; n < HM_PARAMS_MOST; n++) {
            assert_non_null(hm_params_alloc(&p, NULL, 8));
        }
        assert_null(hm_params_alloc(&p, NULL, 8));
        assert_int_equal(E_OUTOFMEMORY, hm_params_end(&p, S_OK));
        assert_null(hm_params_alloc(&p, &one, SIZE_MAX));
        hm_stats stats;
        assert_int_equal(HM_OK, hm_malloc_stats(m, &stats));
        assert_int_equal(0, stats.live_blocks);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(params__check_sees_each_mistake),
        CASE(params__check_refuses_nonsense),
        CASE(params__callee_at_its_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
