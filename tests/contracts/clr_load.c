/* SPDX-License-Identifier: MIT */
/* Cases 137 to 149: how memory stands, what the runtime does about it, address space, and values. */
#include "clr_world.h"

#include <hostmalloc/bridges/mapi.h>

typedef struct running {
    sim_clr clr;
    clr_recorder r;
} running;

static void run_with(running *now, int started)
{
    sim_clr_init(&now->clr);
    clr_recorder_init(&now->r);
    CHECK_EQ(ICLRRuntimeHost_SetHostControl(&now->clr.base, &now->r.control), S_OK);
    if (started) {
        CHECK_EQ(ICLRRuntimeHost_Start(&now->clr.base), S_OK);
    }
    REQUIRE(now->r.callback != NULL);
}

static HRESULT tell(running *now, int how)
{
    return ICLRMemoryNotificationCallback_OnMemoryNotification(now->r.callback,
                                                               (EMemoryAvailable)how);
}

static void says_the_load(const contract *self)
{
    IHostMemoryManager *m = clr_world_manager();
    DWORD percent = 101;
    SIZE_T available = 0;
    (void)self;
    CHECK_EQ(IHostMemoryManager_GetMemoryLoad(m, &percent, &available), S_OK);
    CHECK(percent <= 100);
    CHECK(available > 0);
    CHECK_EQ(IHostMemoryManager_GetMemoryLoad(m, NULL, &available), E_INVALIDARG);
    CHECK_EQ(IHostMemoryManager_GetMemoryLoad(m, &percent, NULL), E_INVALIDARG);
}

static void prefers_the_system(const contract *self)
{
    static const HRESULT answers[] = {S_FALSE, E_FAIL, HOST_E_TIMEOUT};
    running now;
    DWORD percent = 0;
    SIZE_T available = 0;
    (void)self;
    run_with(&now, 1);
    for (size_t i = 0; i < COUNT(answers); i++) {
        now.r.load = answers[i];
        sim_clr_memory_load(&now.clr, &percent, &available);
        CHECK_EQ(percent, now.clr.os_load);
        CHECK_EQ(available, now.clr.os_available);
    }
    now.r.load = S_OK;
    sim_clr_memory_load(&now.clr, &percent, &available);
    CHECK_EQ(percent, 77);
    CHECK_EQ(available, 7777);
    now.clr.address_limit = 1000;
    sim_clr_memory_load(&now.clr, &percent, &available);
    CHECK_EQ(available, 1000);
}

static void hears_nothing_before_start(const contract *self)
{
    running now;
    (void)self;
    run_with(&now, 0);
    CHECK_EQ(tell(&now, eMemoryAvailableLow), S_OK);
    CHECK_EQ(now.clr.low_memory, 0);
    CHECK_EQ(now.clr.wakes, 0);
    CHECK_EQ(sim_clr_finalizer_step(&now.clr), 0);
}

static void collects_when_low(const contract *self)
{
    running now;
    (void)self;
    run_with(&now, 1);
    CHECK_EQ(tell(&now, eMemoryAvailableLow), S_OK);
    CHECK_EQ(now.clr.low_collections, 0); /* it was only flagged */
    CHECK_EQ(now.clr.wakes, 1);
    CHECK_EQ(sim_clr_finalizer_step(&now.clr), 1);
    CHECK_EQ(now.clr.low_collections, 1);
    CHECK_EQ(sim_clr_finalizer_step(&now.clr), 0);
}

static void wakes_now_and_then(const contract *self)
{
    running now;
    (void)self;
    run_with(&now, 1);
    now.clr.now_ms = 1000;
    CHECK_EQ(tell(&now, eMemoryAvailableLow), S_OK);
    now.clr.now_ms = 1000 + 8191;
    CHECK_EQ(tell(&now, eMemoryAvailableLow), S_OK);
    CHECK_EQ(now.clr.wakes, 1);
    CHECK(now.clr.low_memory != 0);
    sim_clr_collect(&now.clr);
    CHECK_EQ(now.clr.tight_collections, 1);
    now.clr.now_ms = 1000 + 8192;
    CHECK_EQ(tell(&now, eMemoryAvailableLow), S_OK);
    CHECK_EQ(now.clr.wakes, 2);
}

static void is_low_no_more(const contract *self)
{
    (void)self;
    for (int how = eMemoryAvailableNeutral; how <= eMemoryAvailableHigh; how++) {
        running now;
        run_with(&now, 1);
        CHECK_EQ(tell(&now, eMemoryAvailableLow), S_OK);
        CHECK_EQ(tell(&now, how), S_OK);
        CHECK_EQ(now.clr.low_memory, 0);
        sim_clr_collect(&now.clr);
        CHECK_EQ(now.clr.tight_collections, 0);
        CHECK_EQ(sim_clr_finalizer_step(&now.clr), 0);
    }
}

static void takes_other_values(const contract *self)
{
    static const int values[] = {0, 99, -1};
    (void)self;
    for (size_t i = 0; i < COUNT(values); i++) {
        running now;
        run_with(&now, 1);
        CHECK_EQ(tell(&now, values[i]), S_OK);
        CHECK_EQ(now.clr.wakes, 0);
        CHECK_EQ(tell(&now, eMemoryAvailableLow), S_OK);
        CHECK_EQ(tell(&now, values[i]), S_OK);
        CHECK_EQ(now.clr.low_memory, 0);
    }
}

static void callback_identity(const contract *self)
{
    static const IID *const known[] = {&IID_IUnknown,
                                       &hm_clr_iid_memory_notification_callback};
    running now;
    (void)self;
    run_with(&now, 1);
    ICLRMemoryNotificationCallback *callback = now.r.callback;
    for (size_t i = 0; i < COUNT(known); i++) {
        void *object = NULL;
        CHECK_EQ(
            ICLRMemoryNotificationCallback_QueryInterface(callback, known[i], &object),
            S_OK);
        CHECK_PTR(object, callback);
    }
    void *object = P0;
    CHECK_EQ(ICLRMemoryNotificationCallback_QueryInterface(
                 callback, &hm_clr_iid_host_malloc, &object),
             E_NOINTERFACE);
    CHECK_PTR(object, P0); /* untouched */
    CHECK_EQ(ICLRMemoryNotificationCallback_AddRef(callback), 1);
    CHECK_EQ(ICLRMemoryNotificationCallback_Release(callback), 1);
    CHECK_EQ(ICLRMemoryNotificationCallback_Release(callback), 1);
}

typedef struct mapping {
    sim_clr_mapper mapper;
    int failures; /* of the next attempts */
    int attempts;
    int unmap_fails;
} mapping;

static int map_one(void *context, void *address, SIZE_T bytes, void **base, SIZE_T *whole)
{
    mapping *m = context;
    (void)address, (void)bytes;
    m->attempts++;
    if (m->attempts <= m->failures) {
        return 0;
    }
    *base = P0;
    *whole = 12345;
    return 1;
}

static int unmap_one(void *context, void *base)
{
    const mapping *m = context;
    (void)base;
    return !m->unmap_fails;
}

static void map_with(running *now, mapping *m, int failures)
{
    run_with(now, 1);
    *m = (mapping){.mapper = {m, map_one, unmap_one}, .failures = failures};
    now->clr.mapper = &m->mapper;
}

static void maps(const contract *self)
{
    running now;
    mapping m;
    (void)self;
    map_with(&now, &m, 0);
    CHECK_PTR(sim_clr_map(&now.clr, NULL, 100), P0);
    CHECK_EQ(now.r.needs_calls, 0);
    CHECK_EQ(now.r.acquired_calls, 1);
    CHECK_PTR(now.r.acquired, P0);
    CHECK_EQ(now.r.acquired_bytes, 12345);
    /* And this world's host takes all three. */
    IHostMemoryManager *host = clr_world_manager();
    const HRESULT needs = IHostMemoryManager_NeedsVirtualAddressSpace(host, NULL, 0);
    CHECK(needs == S_OK || needs == E_OUTOFMEMORY);
    CHECK_EQ(IHostMemoryManager_AcquiredVirtualAddressSpace(host, P0, 12345), S_OK);
    CHECK_EQ(IHostMemoryManager_ReleasedVirtualAddressSpace(host, P0), S_OK);
}

static void maps_again(const contract *self)
{
    static const HRESULT answers[] = {S_OK, S_FALSE};
    (void)self;
    for (size_t i = 0; i < COUNT(answers); i++) {
        running now;
        mapping m;
        map_with(&now, &m, 1);
        now.r.needs = answers[i];
        CHECK_PTR(sim_clr_map(&now.clr, P0, 100), P0);
        CHECK_EQ(m.attempts, 2);
        CHECK_EQ(now.r.needs_calls, 1);
        CHECK_PTR(now.r.needed, P0);
        CHECK_EQ(now.r.needed_bytes, 100);
        CHECK_EQ(now.r.acquired_calls, 1);
        map_with(&now, &m, 9);
        CHECK_PTR(sim_clr_map(&now.clr, NULL, 0), NULL);
        CHECK_EQ(m.attempts, 2);
        CHECK_EQ(now.r.acquired_calls, 0);
    }
}

static void gives_up(const contract *self)
{
    running now;
    mapping m;
    (void)self;
    map_with(&now, &m, 1);
    now.r.needs = E_OUTOFMEMORY;
    CHECK_PTR(sim_clr_map(&now.clr, NULL, 100), NULL);
    CHECK_EQ(m.attempts, 1);
    CHECK_EQ(now.r.needs_calls, 1);
    CHECK_EQ(now.r.acquired_calls, 0);
}

static void unmaps(const contract *self)
{
    running now;
    mapping m;
    (void)self;
    map_with(&now, &m, 0);
    CHECK_PTR(sim_clr_map(&now.clr, NULL, 100), P0);
    CHECK_EQ(sim_clr_unmap(&now.clr, P0), 1);
    CHECK_EQ(now.r.released_calls, 1);
    CHECK_PTR(now.r.released, P0);
    m.unmap_fails = 1;
    CHECK_EQ(sim_clr_unmap(&now.clr, P0), 0);
    CHECK_EQ(now.r.released_calls, 1);
}

static void values(const contract *self)
{
    static const struct {
        HRESULT is;
        uint32_t should;
    } codes[] = {{S_OK, 0},
                 {S_FALSE, 1},
                 {E_NOTIMPL, 0x80004001u},
                 {E_NOINTERFACE, 0x80004002u},
                 {E_POINTER, 0x80004003u},
                 {E_FAIL, 0x80004005u},
                 {E_UNEXPECTED, 0x8000ffffu},
                 {E_ACCESSDENIED, 0x80070005u},
                 {E_OUTOFMEMORY, 0x8007000eu},
                 {E_INVALIDARG, 0x80070057u},
                 {CO_E_NOTINITIALIZED, 0x800401f0u},
                 {CO_E_OBJNOTREG, 0x800401fbu},
                 {CO_E_OBJISREG, 0x800401fcu},
                 {hrSuccess, 0},
                 {MAPI_E_INTERFACE_NOT_SUPPORTED, 0x80004002u},
                 {MAPI_E_CALL_FAILED, 0x80004005u},
                 {MAPI_E_NO_ACCESS, 0x80070005u},
                 {MAPI_E_NOT_ENOUGH_MEMORY, 0x8007000eu},
                 {MAPI_E_INVALID_PARAMETER, 0x80070057u},
                 {MAPI_E_NO_SUPPORT, 0x80040102u},
                 {MAPI_E_NOT_ENOUGH_RESOURCES, 0x8004010eu},
                 {MAPI_E_NOT_INITIALIZED, 0x80040605u},
                 {MAPI_W_ERRORS_RETURNED, 0x00040380u},
                 {HOST_E_DEADLOCK, 0x80131020u},
                 {HOST_E_INTERRUPTED, 0x80131021u},
                 {HOST_E_INVALIDOPERATION, 0x80131022u},
                 {HOST_E_CLRNOTAVAILABLE, 0x80131023u},
                 {HOST_E_TIMEOUT, 0x80131024u},
                 {HOST_E_NOT_OWNER, 0x80131025u},
                 {HOST_E_ABANDONED, 0x80131026u},
                 {HOST_E_EXITPROCESS_THREADABORT, 0x80131027u},
                 {HOST_E_EXITPROCESS_ADUNLOAD, 0x80131028u},
                 {HOST_E_EXITPROCESS_TIMEOUT, 0x80131029u},
                 {HOST_E_EXITPROCESS_OUTOFMEMORY, 0x8013102au},
                 {HOST_E_EXITPROCESS_STACKOVERFLOW, 0x8013102bu}};
    (void)self;
    for (size_t i = 0; i < COUNT(codes); i++) {
        CHECK_EQ((uint32_t)codes[i].is, codes[i].should);
    }
    CHECK_EQ(HRESULT_FACILITY(HOST_E_INVALIDOPERATION), 0x13);
    CHECK_EQ(HRESULT_CODE(HOST_E_INVALIDOPERATION), 0x1022);
    CHECK(FAILED(HOST_E_INVALIDOPERATION) && SUCCEEDED(S_FALSE));
    CHECK_EQ(eMemoryAvailableLow, HM_PRESSURE_LOW);
    CHECK_EQ(eMemoryAvailableHigh, HM_PRESSURE_HIGH);
    CHECK_EQ(eProcessCritical, HM_LEVEL_PROCESS);
    CHECK_EQ(MALLOC_THREADSAFE, HM_MALLOC_THREADSAFE);
    CHECK_EQ(MALLOC_EXECUTABLE, HM_MALLOC_EXECUTABLE);
    CHECK_EQ(MaxClrFailure, 7);
    CHECK_EQ(eDisableRuntime, 9);
}

const contract clr_load_cases[13] = {
    {137, "D", "GetMemoryLoad answers 0 to 100 and bytes", says_the_load, 0},
    {138, "C", "GetMemoryLoad says S_FALSE: the system's figures", prefers_the_system, 0},
    {139, "C", "Low before Start has no effect", hears_nothing_before_start, 0},
    {140, "D, C", "Low after Start asks for one collection", collects_when_low, 0},
    {141, "C", "Low within 8192 ms wakes nobody", wakes_now_and_then, 0},
    {142, "C", "Neutral and High end low memory", is_low_no_more, 0},
    {143, "C", "other values are not low", takes_other_values, 0},
    {144, "C", "the callback's identity and its constant counts", callback_identity, 0},
    {145, "C", "a mapping that succeeds is acquired once", maps, 0},
    {146, "C", "a mapping that fails is tried once more", maps_again, 0},
    {147, "D, C", "unless the host refuses", gives_up, 0},
    {148, "C", "an unmapping is told once, a failed one not", unmaps, 0},
    {149, "C", "values of all results", values, 0},
};
