/* SPDX-License-Identifier: MIT */
/* The simulated runtime by itself: what it does beside the calls that the numbered cases look at. */
#include "sim_clr.h"

#include "check.h"

#include <hostmalloc/hostmalloc.h>
#include <pthread.h>

#include "clr_recorder.h"

static void wire(sim_clr *clr, clr_recorder *r)
{
    sim_clr_init(clr);
    clr_recorder_init(r);
    assert_int_equal(ICLRRuntimeHost_SetHostControl(&clr->base, &r->control), S_OK);
    assert_int_equal(ICLRRuntimeHost_Start(&clr->base), S_OK);
}

static void sim_clr__actions_a_failure_may_have(void **state)
{
    static const struct {
        const char *label;
        EClrFailure failure;
        EPolicyAction lowest, highest;
    } cases[] = {
        {"a resource", FAIL_NonCriticalResource, eThrowException, eDisableRuntime},
        {"under a lock", FAIL_CriticalResource, eThrowException, eDisableRuntime},
        {"fatal", FAIL_FatalRuntime, eRudeExitProcess, eDisableRuntime},
        {"orphaned", FAIL_OrphanedLock, eUnloadAppDomain, eDisableRuntime},
        {"stack", FAIL_StackOverflow, eRudeUnloadAppDomain, eDisableRuntime},
        {"access", FAIL_AccessViolation, MaxPolicyAction, eNoAction},
        {"contract", FAIL_CodeContract, eThrowException, eExitProcess},
        {"none", MaxClrFailure, MaxPolicyAction, eNoAction}};
    sim_clr clr;
    (void)state;
    sim_clr_init(&clr);
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int action = eNoAction; action <= MaxPolicyAction; action++) {
            const int valid =
                action >= (int)cases[i].lowest && action <= (int)cases[i].highest;
            if ((sim_clr_set_action_on_failure(&clr, cases[i].failure,
                                               (EPolicyAction)action) == S_OK) != valid) {
                fail_msg("%s: action %d", cases[i].label, action);
            }
        }
    }
}

static void sim_clr__refusals_take_the_action_that_was_set(void **state)
{
    static const struct {
        const char *label;
        EPolicyAction set, taken;
        int domain, is_disabled, is_ended;
    } cases[] = {{"thrown", eThrowException, eThrowException, 1, 0, 0},
                 {"aborted", eAbortThread, eAbortThread, 1, 0, 0},
                 {"unloaded", eUnloadAppDomain, eUnloadAppDomain, 5, 0, 0},
                 {"the default domain stays", eUnloadAppDomain, eThrowException, 1, 0, 0},
                 {"ended", eExitProcess, eExitProcess, 1, 0, 1},
                 {"ended rudely", eRudeExitProcess, eRudeExitProcess, 1, 0, 1},
                 {"disabled", eDisableRuntime, eDisableRuntime, 1, 1, 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        sim_clr clr;
        clr_recorder r;
        wire(&clr, &r);
        sim_clr_set_action_on_failure(&clr, FAIL_NonCriticalResource, cases[i].set);
        r.alloc = E_OUTOFMEMORY;
        const uint32_t before = sim_clr_domain_enter((uint32_t)cases[i].domain);
        assert_null(sim_clr_alloc(&clr, 10));
        assert_null(sim_clr_debug_alloc(&clr, 10, "x", 1));
        assert_null(sim_clr_virtual_alloc(&clr, NULL, 65536, MEM_RESERVE, PAGE_READONLY));
        sim_clr_domain_enter(before);
        if (clr.last_action != (int32_t)cases[i].taken || clr.refusals != 3 ||
            (int)clr.disabled != cases[i].is_disabled ||
            (clr.exit_code == HOST_E_EXITPROCESS_OUTOFMEMORY) != cases[i].is_ended) {
            fail_msg("%s: action %d, disabled %u, exit code 0x%x", cases[i].label,
                     (int)clr.last_action, clr.disabled, (unsigned)clr.exit_code);
        }
    }
}

static void sim_clr__what_predates_the_manager_never_reaches_it(void **state)
{
    sim_clr clr;
    clr_recorder r;
    void *early[SIM_CLR_EARLY];
    (void)state;
    sim_clr_init(&clr);
    clr_recorder_init(&r);
    for (size_t i = 0; i < COUNT(early); i++) {
        early[i] = sim_clr_alloc(&clr, i);
        assert_non_null(early[i]);
    }
    assert_null(sim_clr_alloc(&clr, 1));
    assert_int_equal(clr.disabled, 1); /* at start-up, a refusal is the end */
    clr.disabled = 0;
    assert_int_equal(ICLRRuntimeHost_SetHostControl(&clr.base, &r.control), S_OK);
    for (size_t i = 0; i < COUNT(early); i++) {
        assert_true(sim_clr_free(&clr, early[i]));
    }
    assert_int_equal(r.frees, 0);
    assert_true(sim_clr_free(&clr, NULL));
    assert_int_equal(r.frees, 1); /* NULL is passed on */
    sim_clr_fini(&clr);
}

static void sim_clr__s_false_is_no_success_but_for_a_query(void **state)
{
    sim_clr clr;
    clr_recorder r;
    MEMORY_BASIC_INFORMATION seen;
    DWORD old = 0;
    (void)state;
    wire(&clr, &r);
    r.alloc = S_FALSE;
    assert_null(sim_clr_virtual_alloc(&clr, NULL, 65536, MEM_RESERVE, PAGE_READONLY));
    assert_false(sim_clr_virtual_free(&clr, &r, 0, MEM_RELEASE));
    assert_false(sim_clr_virtual_protect(&clr, &r, 1, PAGE_READONLY, &old));
    assert_int_equal(sim_clr_virtual_query(&clr, &r, &seen), 0);
}

static void sim_clr__is_a_runtime_host(void **state)
{
    sim_clr clr;
    clr_recorder r;
    void *object = NULL;
    ICLRControl *control = (ICLRControl *)(uintptr_t)1;
    DWORD domain = 0;
    (void)state;
    wire(&clr, &r);
    assert_int_equal(
        ICLRRuntimeHost_QueryInterface(&clr.base, &IID_ICLRRuntimeHost, &object), S_OK);
    assert_ptr_equal(object, &clr.base);
    assert_int_equal(ICLRRuntimeHost_QueryInterface(&clr.base, &IID_IHostMalloc, &object),
                     E_NOINTERFACE);
    assert_null(object);
    assert_int_equal(clr.base.lpVtbl->GetCLRControl(&clr.base, &control), E_NOTIMPL);
    assert_null(control);
    assert_int_equal(clr.base.lpVtbl->GetCurrentAppDomainId(&clr.base, &domain), S_OK);
    assert_int_equal(domain, SIM_CLR_DEFAULT_DOMAIN);
    assert_int_equal(clr.base.lpVtbl->ExecuteInAppDomain(&clr.base, 1, NULL, NULL),
                     E_POINTER);
    assert_int_equal(ICLRRuntimeHost_Stop(&clr.base), S_OK);
    assert_int_equal(ICLRRuntimeHost_Stop(&clr.base), HOST_E_CLRNOTAVAILABLE);
    assert_int_equal(ICLRRuntimeHost_Start(&clr.base), HOST_E_CLRNOTAVAILABLE);
}

static void *work(void *context)
{
    sim_clr *clr = context;
    const uint32_t before = sim_clr_domain_enter(3);
    size_t wrong = 0;
    for (size_t i = 0; i < 2000; i++) {
        if (i % 3 == 0) {
            sim_clr_lock_take();
        }
        char *block = i % 2 ? sim_clr_alloc(clr, i % 300)
                            : sim_clr_debug_alloc(clr, i % 300, "work.cs", (int)(i % 9));
        wrong += !block || !sim_clr_free(clr, block);
        wrong += i % 1000 == 0 && sim_clr_free(clr, &wrong);
        if (i % 3 == 0) {
            sim_clr_lock_leave();
        }
    }
    sim_clr_domain_enter(before);
    return (void *)wrong;
}

/* The whole of it on a real host, from many threads. */
static void sim_clr__threads_on_a_host(void **state)
{
    hm_host *host;
    IHostControl *control;
    pthread_t threads[8];
    sim_clr clr;
    (void)state;
    assert_int_equal(hm_host_open("debug:report=/dev/null", &host, NULL), HM_OK);
    assert_int_equal(hm_clr_control_create(host, &control, NULL), HM_OK);
    hm_host_release(host);
    sim_clr_init(&clr);
    assert_int_equal(ICLRRuntimeHost_SetHostControl(&clr.base, control), S_OK);
    assert_int_equal(IHostControl_Release(control), 2);
    assert_int_equal(ICLRRuntimeHost_Start(&clr.base), S_OK);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, &clr), 0);
    }
    for (size_t i = 0; i < COUNT(threads); i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(clr.refusals, 0);
    assert_int_equal(ICLRRuntimeHost_Stop(&clr.base), S_OK);
    /* What it never releases. */
    IHostMemoryManager_RegisterMemoryNotificationCallback(clr.manager, NULL);
    assert_int_equal(IHostMalloc_Release(clr.heap), 0);
    assert_int_equal(IHostMemoryManager_Release(clr.manager), 0);
    sim_clr_fini(&clr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sim_clr__actions_a_failure_may_have),
        cmocka_unit_test(sim_clr__refusals_take_the_action_that_was_set),
        cmocka_unit_test(sim_clr__what_predates_the_manager_never_reaches_it),
        cmocka_unit_test(sim_clr__s_false_is_no_success_but_for_a_query),
        cmocka_unit_test(sim_clr__is_a_runtime_host),
        cmocka_unit_test(sim_clr__threads_on_a_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
