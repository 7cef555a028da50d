/* SPDX-License-Identifier: MIT */
/* Somebody's memory manager as a host: what it may do wrong, and what it is told. */
#include "clr_recorder.h"

#include "check.h"

#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>
#include <string.h>

#include "memory_internal.h"

static hm_host *host_over(clr_recorder *r)
{
    hm_host *host = NULL;
    clr_recorder_init(r);
    assert_int_equal(hm_clr_host_create(&r->manager, "recorder", &host, NULL), HM_OK);
    assert_int_equal(r->manager_refs, 2);
    return host;
}

static hm_malloc *create(hm_host *host, uint32_t flags)
{
    hm_malloc *m;
    assert_int_equal(hm_host_create_malloc(host, "foreign", flags, &m, NULL), HM_OK);
    return m;
}

static void clr_host__bad_managers(void **state)
{
    clr_recorder r;
    hm_host *host = (hm_host *)(uintptr_t)1;
    hm_error err;
    (void)state;
    clr_recorder_init(&r);
    assert_int_equal(hm_clr_host_create(NULL, "x", &host, &err), HM_E_INVALID);
    assert_null(host);
    assert_string_equal(err.where, "bridge:clr");
    assert_int_equal(hm_clr_host_create(&r.manager, "x", NULL, &err), HM_E_INVALID);
    assert_int_equal(r.manager_refs, 1);
    /* A name too long for errors is cut. */
    char name[200];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(hm_clr_host_create(&r.manager, name, &host, &err), HM_OK);
    r.create = E_FAIL;
    hm_malloc *m;
    assert_int_equal(hm_host_create_malloc(host, "m", 0, &m, &err), HM_E_NOMEM);
    assert_int_equal(strncmp(err.where, "host:nnnn", 9), 0);
    assert_true(strlen(err.where) < sizeof err.where);
    hm_host_release(host);
    assert_int_equal(r.manager_refs, 1);
}

static void clr_host__create_malloc_that_is_none(void **state)
{
    static const struct {
        const char *label;
        HRESULT result;
        int without;
        hm_status want;
    } cases[] = {{"out of memory", E_OUTOFMEMORY, 0, HM_E_NOMEM},
                 {"a success that is none", S_FALSE, 0, HM_E_NOMEM},
                 {"no object", S_OK, 1, HM_E_NOMEM},
                 {"an argument it does not take", E_INVALIDARG, 0, HM_E_UNSUPPORTED},
                 {"not there", E_NOTIMPL, 0, HM_E_UNSUPPORTED},
                 {"catastrophe", E_FAIL, 0, HM_E_NOMEM}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        clr_recorder r;
        hm_error err;
        hm_host *host = host_over(&r);
        hm_malloc *m = (hm_malloc *)(uintptr_t)1;
        r.create = cases[i].result;
        r.without = cases[i].without;
        if (hm_host_create_malloc(host, "m", 0, &m, &err) != cases[i].want || m ||
            r.heap_refs != 0 || strcmp(err.where, "host:recorder") != 0 ||
            !strstr(err.what, "CreateMalloc(0) answered 0x")) {
            fail_msg("%s: %s, %s", cases[i].label, err.where, err.what);
        }
        hm_host_release(host);
    }
}

static void clr_host__flags_become_a_type(void **state)
{
    static const struct {
        uint32_t flags;
        DWORD type;
    } cases[] = {{0, 0},
                 {HM_MALLOC_THREADSAFE, 1},
                 {HM_MALLOC_THREADSAFE | HM_MALLOC_EXECUTABLE, 3},
                 {HM_MALLOC_ONE_THREAD, 0},
                 {HM_MALLOC_EXACT | HM_MALLOC_SCOPED, 0}};
    clr_recorder r;
    hm_host *host = host_over(&r);
    hm_malloc *m;
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        m = create(host, cases[i].flags);
        assert_int_equal(r.create_type, cases[i].type);
        assert_int_equal(m->flags & cases[i].flags, cases[i].flags);
        hm_malloc_release(m);
        assert_int_equal(r.heap_refs, 0);
    }
    const int before = r.creates;
    assert_int_equal(hm_host_create_malloc(host, "m", 0x80, &m, NULL), HM_E_INVALID);
    assert_null(m);
    assert_int_equal(host->vtbl->create_malloc(host, NULL, NULL, NULL), HM_E_INVALID);
    assert_int_equal(r.creates, before);
    hm_host_release(host);
}

static void clr_host__levels_and_lines_arrive(void **state)
{
    clr_recorder r;
    hm_host *host = host_over(&r);
    hm_malloc *m = create(host, HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT);
    hm_site *site = hm_site_intern("there.c", NULL, 17);
    void *p = hm_alloc_at(m, 10, HM_LEVEL_DOMAIN, site);
    (void)state;
    assert_int_equal(r.level, eAppDomainCritical);
    assert_string_equal(r.file, "there.c");
    assert_int_equal(r.line, 17);
    p = hm_realloc_at(m, p, HM_SIZE_UNKNOWN, 5000, HM_LEVEL_PROCESS, site);
    assert_int_equal(r.level, eProcessCritical);
    assert_int_equal(hm_free(m, p), HM_OK);
    const hm_level before = hm_level_enter(HM_LEVEL_DOMAIN);
    assert_int_equal(hm_free(m, (hm_alloc)(m, 10)), HM_OK);
    assert_int_equal(r.level, eAppDomainCritical);
    p = hm_alloc_at(m, 10, HM_LEVEL_TASK, NULL);
    assert_int_equal(r.level, eTaskCritical);
    assert_int_equal(hm_level_now(), HM_LEVEL_DOMAIN);
    hm_level_leave(before);
    assert_int_equal(hm_free(m, p), HM_OK);
    p = hm_alloc_zeroed_at(m, 3, 5, HM_LEVEL_PROCESS, site);
    assert_int_equal(r.level, eProcessCritical);
    assert_int_equal(((char *)p)[14], 0);
    assert_int_equal(hm_free(m, p), HM_OK);
    p = hm_alloc_aligned_at(m, 10, 256, HM_LEVEL_DOMAIN, site);
    assert_int_equal(r.level, eAppDomainCritical);
    assert_int_equal((uintptr_t)p % 256, 0);
    assert_int_equal(hm_free(m, p), HM_OK);
    const hm_request request = {
        .size = sizeof request, .bytes = 24, .level = HM_LEVEL_PROCESS, .site = site};
    assert_int_equal(hm_malloc_request(m, &request, &p), HM_OK);
    assert_int_equal(r.level, eProcessCritical);
    assert_int_equal(hm_free(m, p), HM_OK);
    assert_int_equal(hm_malloc_request(m, NULL, &p), HM_E_INVALID);
    assert_int_equal(r.allocs, r.frees);
    hm_malloc_release(m);
    hm_host_release(host);
}

static void clr_host__only_s_ok_is_a_block(void **state)
{
    static const HRESULT answers[] = {E_OUTOFMEMORY, HOST_E_CLRNOTAVAILABLE, E_FAIL};
    clr_recorder r;
    hm_host *host = host_over(&r);
    hm_malloc *m = create(host, 0);
    void *p = hm_alloc(m, 100);
    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        r.alloc = answers[i];
        assert_null(hm_alloc(m, 10));
        assert_null(hm_realloc(m, p, 100000));
        memset(p, 1, 100);
    }
    r.alloc = S_FALSE; /* with a block, which is given back */
    const int live = r.allocs - r.frees;
    assert_null(hm_alloc(m, 10));
    assert_int_equal(r.allocs - r.frees, live);
    r.alloc = S_OK;
    assert_int_equal(hm_size_of(m, p), 100);
    hm_free(m, p);
    hm_malloc_release(m);
    hm_host_release(host);
}

/* The foreign object stays until the last block is back. */
static void clr_host__blocks_outlive_their_malloc(void **state)
{
    clr_recorder r;
    hm_host *host = host_over(&r);
    hm_malloc *m = create(host, HM_MALLOC_SCOPED);
    (void)state;
    assert_non_null(hm_alloc(m, 10));
    assert_non_null(hm_alloc(m, 20));
    assert_int_equal(r.heap_refs, 1);
    hm_malloc_release(m);
    assert_int_equal(r.heap_refs, 0);
    assert_int_equal(r.frees, 2);
    m = create(host, 0);
    hm_host_release(host);
    assert_int_equal(r.manager_refs, 2); /* the malloc's */
    hm_malloc_release(m);
    assert_int_equal(r.manager_refs, 1);
    assert_int_equal(r.heap_refs, 0);
}

static void clr_host__pages_that_go_wrong(void **state)
{
    static const struct {
        HRESULT result;
        hm_status want;
    } cases[] = {{E_OUTOFMEMORY, HM_E_NOMEM},
                 {S_OK, HM_E_NOMEM}, /* with NULL */
                 {S_FALSE, HM_E_NOMEM},
                 {E_INVALIDARG, HM_E_INVALID},
                 {HOST_E_INVALIDOPERATION, HM_E_NOT_OWNED},
                 {HOST_E_CLRNOTAVAILABLE, HM_E_CLOSED},
                 {HOST_E_TIMEOUT, HM_E_TIMEOUT},
                 {E_FAIL, HM_E_OS}};
    clr_recorder r;
    hm_host *host = host_over(&r);
    hm_region region;
    uint32_t old = 5;
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        void *pages = &r;
        r.alloc = cases[i].result;
        assert_int_equal(hm_host_virtual_alloc(host, NULL, 4096, HM_MEM_RESERVE,
                                               HM_PAGE_READWRITE, HM_LEVEL_DOMAIN,
                                               &pages),
                         cases[i].want);
        assert_null(pages);
        assert_int_equal(r.level, eAppDomainCritical);
    }
    assert_int_equal(hm_host_virtual_alloc(host, NULL, 4096, HM_MEM_RESERVE,
                                           HM_PAGE_READWRITE, HM_LEVEL_CURRENT, NULL),
                     HM_E_INVALID);
    assert_int_equal(hm_host_virtual_free(host, &r, 0, HM_MEM_RELEASE), HM_E_NOT_OWNED);
    assert_int_equal(hm_host_virtual_query(host, &r, &region), HM_E_INVALID);
    assert_int_equal(host->vtbl->virtual_query(host, &r, NULL), HM_E_INVALID);
    /* S_FALSE is no success of VirtualProtect. */
    assert_int_equal(hm_host_virtual_protect(host, &r, 4096, HM_PAGE_READONLY, &old),
                     HM_E_OS);
    assert_int_equal(old, 5);
    assert_int_equal(hm_host_virtual_protect(host, &r, 4096, HM_PAGE_READONLY, NULL),
                     HM_E_INVALID);
    hm_host_release(host);
}

static void clr_host__load_and_address_space(void **state)
{
    clr_recorder r;
    hm_host *host = host_over(&r);
    uint32_t percent = 0;
    size_t available = 0;
    (void)state;
    assert_int_equal(hm_host_memory_load(host, &percent, &available), HM_OK);
    assert_int_equal(percent, 77);
    assert_int_equal(available, 7777);
    r.load = S_FALSE; /* the system's figures, then */
    assert_int_equal(hm_host_memory_load(host, &percent, &available), HM_OK);
    assert_true(percent <= 100 && available != 7777);
    assert_int_equal(hm_host_memory_load(host, NULL, &available), HM_E_INVALID);
    assert_int_equal(host->vtbl->needs_address_space(host, &r, 50), HM_OK);
    assert_ptr_equal(r.needed, &r);
    assert_int_equal(r.needed_bytes, 50);
    r.needs = S_FALSE;
    assert_int_equal(host->vtbl->needs_address_space(host, NULL, 0), HM_OK);
    r.needs = E_OUTOFMEMORY;
    assert_int_equal(host->vtbl->needs_address_space(host, NULL, 0), HM_E_NOMEM);
    host->vtbl->acquired_address_space(host, &r, 60);
    assert_int_equal(r.acquired_bytes, 60);
    host->vtbl->released_address_space(host, &r);
    assert_ptr_equal(r.released, &r);
    hm_host_release(host);
}

static hm_pressure heard;

static size_t hear(void *context, hm_pressure pressure)
{
    ++*(int *)context;
    heard = pressure;
    return 0;
}

static void clr_host__notifications(void **state)
{
    static const struct {
        int told;
        hm_pressure want;
    } cases[] = {{1, HM_PRESSURE_LOW},
                 {2, HM_PRESSURE_NEUTRAL},
                 {3, HM_PRESSURE_HIGH},
                 {0, HM_PRESSURE_NEUTRAL},
                 {99, HM_PRESSURE_NEUTRAL}};
    clr_recorder r;
    hm_host *host = host_over(&r);
    int calls = 0;
    (void)state;
    assert_int_equal(r.registrations, 0);
    assert_int_equal(hm_host_unsubscribe(host, hear, &calls), HM_E_NOT_FOUND);
    assert_int_equal(hm_host_subscribe(host, NULL, &calls), HM_E_INVALID);
    r.registration = E_FAIL;
    assert_int_equal(hm_host_subscribe(host, hear, &calls), HM_E_UNSUPPORTED);
    r.registration = S_OK;
    assert_int_equal(hm_host_subscribe(host, hear, &calls), HM_OK);
    assert_int_equal(hm_host_subscribe(host, hear, &calls), HM_E_EXISTS);
    assert_int_equal(r.registrations, 2);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(ICLRMemoryNotificationCallback_OnMemoryNotification(
                             r.callback, (EMemoryAvailable)cases[i].told),
                         S_OK);
        assert_int_equal(heard, cases[i].want);
    }
    assert_int_equal(calls, (int)COUNT(cases));
    assert_int_equal(hm_host_unsubscribe(host, hear, &calls), HM_OK);
    hm_host_release(host);

    /* A manager that kept the callback may go on calling it. */
    assert_int_equal(ICLRMemoryNotificationCallback_OnMemoryNotification(
                         r.callback, eMemoryAvailableLow),
                     S_OK);
    assert_int_equal(calls, (int)COUNT(cases));
    void *object = &r;
    assert_int_equal(ICLRMemoryNotificationCallback_QueryInterface(
                         r.callback, &IID_IHostMalloc, &object),
                     E_NOINTERFACE);
    assert_null(object);
    assert_int_equal(ICLRMemoryNotificationCallback_QueryInterface(
                         r.callback, &IID_ICLRMemoryNotificationCallback, &object),
                     S_OK);
    assert_ptr_equal(object, r.callback);
    assert_int_equal(ICLRMemoryNotificationCallback_AddRef(r.callback), 1);
    assert_int_equal(ICLRMemoryNotificationCallback_Release(r.callback), 1);

    /* The next host over this address finds it again, and the manager hears of it again. */
    ICLRMemoryNotificationCallback *before = r.callback;
    host = host_over(&r);
    hm_host *second = NULL;
    assert_int_equal(hm_clr_host_create(&r.manager, NULL, &second, NULL), HM_OK);
    assert_int_equal(hm_host_subscribe(second, hear, &calls), HM_OK);
    assert_ptr_equal(r.callback, before);
    assert_int_equal(hm_host_unsubscribe(second, hear, &calls), HM_OK);
    hm_host_release(second);
    hm_host_release(host);
}

/* 1: all of it was had. */
static int everything(clr_recorder *r)
{
    hm_host *host = NULL;
    hm_malloc *m = NULL;
    void *p = NULL;
    int calls = 0;
    clr_recorder_init(r);
    hm_status status = hm_clr_host_create(&r->manager, "oom", &host, NULL);
    assert_true(status == HM_OK ? host != NULL : status == HM_E_NOMEM && !host);
    if (!host) {
        assert_int_equal(r->manager_refs, 1);
        return 0;
    }
    const hm_status heard_of = hm_host_subscribe(host, hear, &calls);
    status = hm_host_create_malloc(host, "m", HM_MALLOC_THREADSAFE, &m, NULL);
    assert_true(status == HM_OK ? m != NULL : status == HM_E_NOMEM && !m);
    if (m) {
        p = hm_alloc(m, 10);
        hm_free(m, p);
        hm_malloc_release(m);
    }
    if (heard_of == HM_OK) {
        assert_int_equal(hm_host_unsubscribe(host, hear, &calls), HM_OK);
    }
    hm_host_release(host);
    assert_int_equal(r->manager_refs, 1);
    assert_int_equal(r->heap_refs, 0);
    assert_int_equal(r->allocs, r->frees);
    return p && heard_of == HM_OK;
}

static void clr_host__out_of_memory_at_each_step(void **state)
{
    clr_recorder r;
    uint64_t nth = 0;
    int whole = 0;
    (void)state;
    assert_true(everything(&r)); /* also what is made once and stays */
    const size_t before = hm__memory_in_use();
    while (!whole && nth < 200) {
        hm__memory_fail_from(++nth);
        whole = everything(&r);
        hm__memory_fail_from(0);
        assert_int_equal(hm__memory_in_use(), before);
    }
    assert_true(whole && nth > 3);
}

/* Presented to a runtime, and taken for a stranger's. */
static hm_host *there_and_back(const char *spec)
{
    hm_host *host;
    hm_host *back = NULL;
    IHostControl *control;
    void *manager = NULL;
    assert_int_equal(hm_host_open(spec, &host, NULL), HM_OK);
    assert_int_equal(hm_clr_control_create(host, &control, NULL), HM_OK);
    hm_host_release(host);
    IHostControl_GetHostManager(control, &IID_IHostMemoryManager, &manager);
    IHostControl_Release(control);
    assert_int_equal(hm_clr_host_create(manager, "back", &back, NULL), HM_OK);
    IHostMemoryManager_Release((IHostMemoryManager *)manager);
    return back;
}

/* A debug host under both bridges learns who asked, in front of them. */
static void clr_host__sites_go_through_both_bridges(void **state)
{
    hm_host *back = there_and_back("debug:report=/dev/null");
    hm_malloc *m = create(back, HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT);
    hm_block seen;
    char place[64];
    (void)state;
    void *p = hm_debug_alloc(m, 64, HM_LEVEL_TASK, "far.c", 7);
    assert_int_equal(hm_describe(m, p, &seen), HM_OK);
    assert_int_equal(seen.requested, 64);
    assert_string_equal(hm_site_text(seen.site, 0, place, sizeof place), "far.c:7");
    assert_int_equal(hm_free(m, (char *)p + 16), HM_E_NOT_OWNED);
    assert_int_equal(hm_free(m, p), HM_OK);
    assert_int_equal(hm_free(m, p), HM_E_FREED);
    hm_malloc_release(m);
    hm_host_release(back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clr_host__bad_managers),
        cmocka_unit_test(clr_host__create_malloc_that_is_none),
        cmocka_unit_test(clr_host__flags_become_a_type),
        cmocka_unit_test(clr_host__levels_and_lines_arrive),
        cmocka_unit_test(clr_host__only_s_ok_is_a_block),
        cmocka_unit_test(clr_host__blocks_outlive_their_malloc),
        cmocka_unit_test(clr_host__pages_that_go_wrong),
        cmocka_unit_test(clr_host__load_and_address_space),
        cmocka_unit_test(clr_host__notifications),
        cmocka_unit_test(clr_host__out_of_memory_at_each_step),
        cmocka_unit_test(clr_host__sites_go_through_both_bridges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
