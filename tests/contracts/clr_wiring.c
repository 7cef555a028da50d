/* SPDX-License-Identifier: MIT */
/* Cases 86 to 101: how a runtime finds its host's managers, and what it keeps of them. */
#include "clr_world.h"

#include <hostmalloc/bridges/ole.h>

#define SET(clr, control) ICLRRuntimeHost_SetHostControl(&(clr)->base, control)

typedef struct wiring {
    sim_clr clr;
    clr_recorder r;
} wiring;

static void wire(wiring *w)
{
    sim_clr_init(&w->clr);
    clr_recorder_init(&w->r);
}

static void no_control(const contract *self)
{
    wiring w;
    (void)self;
    wire(&w);
    CHECK_EQ(SET(&w.clr, NULL), E_INVALIDARG);
    CHECK_PTR(w.clr.control, NULL);
}

static void after_start(const contract *self)
{
    wiring w;
    (void)self;
    wire(&w);
    CHECK_EQ(ICLRRuntimeHost_Start(&w.clr.base), S_OK);
    CHECK_EQ(SET(&w.clr, &w.r.control), E_ACCESSDENIED);
    CHECK_EQ(w.r.asked_count, 0);
    CHECK_EQ(SET(&w.clr, NULL), E_INVALIDARG);
    ICLRRuntimeHost_Stop(&w.clr.base);
    CHECK_EQ(w.r.control_refs, 1);
}

static void hosted_by_v1(const contract *self)
{
    wiring w;
    (void)self;
    wire(&w);
    w.clr.v1_hosted = 1;
    CHECK_EQ(SET(&w.clr, &w.r.control), HOST_E_INVALIDOPERATION);
    CHECK_EQ(SET(&w.clr, NULL), HOST_E_INVALIDOPERATION);
    CHECK_EQ(w.r.asked_count, 0);
}

static const IID *const order[] = {
    &hm_clr_iid_host_memory_manager,     &hm_clr_iid_host_task_manager,
    &hm_clr_iid_host_threadpool_manager, &hm_clr_iid_host_io_completion_manager,
    &hm_clr_iid_host_sync_manager,       &hm_clr_iid_host_assembly_manager,
    &hm_clr_iid_host_gc_manager,         &hm_clr_iid_host_security_manager,
    &hm_clr_iid_host_policy_manager};

static void asks_in_order(const contract *self)
{
    wiring w;
    (void)self;
    wire(&w);
    CHECK_EQ(SET(&w.clr, &w.r.control), S_OK);
    CHECK_EQ(w.r.asked_count, (int)COUNT(order));
    for (int i = 0; i < w.r.asked_count; i++) {
        CHECK(hm_com_same_iid(&w.r.asked[i], order[i]));
    }
}

/* The runtime works with its own memory, and nothing reaches the host. */
static void uses_own_memory(wiring *w)
{
    CHECK_EQ(SET(&w->clr, &w->r.control), S_OK);
    CHECK_PTR(w->clr.manager, NULL);
    CHECK_EQ(w->r.creates + w->r.registrations, 0);
    CHECK_EQ(ICLRRuntimeHost_Start(&w->clr.base), S_OK);
    void *block = sim_clr_alloc(&w->clr, 100);
    CHECK(block != NULL);
    CHECK(sim_clr_free(&w->clr, block));
    CHECK_EQ(w->r.allocs, 0);
    CHECK_EQ(ICLRRuntimeHost_Stop(&w->clr.base), S_OK);
    sim_clr_fini(&w->clr);
}

static void no_interface(const contract *self)
{
    wiring w;
    (void)self;
    wire(&w);
    w.r.get_manager = E_NOINTERFACE;
    uses_own_memory(&w);
}

static void success_without_object(const contract *self)
{
    wiring w;
    (void)self;
    wire(&w);
    w.r.without = 1;
    uses_own_memory(&w);
}

static void s_false_with_object(const contract *self)
{
    wiring w;
    (void)self;
    wire(&w);
    w.r.get_manager = S_FALSE;
    uses_own_memory(&w);
}

static void one_malloc(const contract *self)
{
    wiring w;
    (void)self;
    wire(&w);
    CHECK_EQ(SET(&w.clr, &w.r.control), S_OK);
    CHECK_EQ(w.r.creates, 1);
    CHECK_EQ(w.r.create_type, 1);
    CHECK_PTR(w.clr.heap, &w.r.heap);
    CHECK_EQ(ICLRRuntimeHost_Start(&w.clr.base), S_OK);
    CHECK(sim_clr_free(&w.clr, sim_clr_alloc(&w.clr, 10)));
    ICLRRuntimeHost_Stop(&w.clr.base);
    CHECK_EQ(w.r.creates, 1);
}

static void one_registration(const contract *self)
{
    static const HRESULT answers[] = {S_OK, S_FALSE, E_FAIL};
    (void)self;
    for (size_t i = 0; i < COUNT(answers); i++) {
        wiring w;
        wire(&w);
        w.r.registration = answers[i];
        CHECK_EQ(SET(&w.clr, &w.r.control), S_OK);
        CHECK_EQ(w.r.registrations, 1);
        CHECK_EQ(w.r.creates_before_registration, 1);
        CHECK_PTR(w.r.callback, &w.clr.callback);
        CHECK_PTR(w.clr.manager, &w.r.manager);
    }
}

static void create_fails(const contract *self)
{
    wiring w;
    wire(&w);
    w.r.create = (HRESULT)self->value;
    CHECK_EQ(SET(&w.clr, &w.r.control), E_UNEXPECTED);
    CHECK_EQ(w.r.asked_count, 1);
    CHECK_EQ(w.r.manager_releases, 1);
    CHECK_EQ(w.r.manager_refs, 1);
    CHECK_EQ(w.r.registrations, 0);
    CHECK_EQ(w.r.control_adds, 0);
    CHECK_PTR(w.clr.manager, NULL);
    CHECK_PTR(w.clr.control, NULL);
}

static void asks_once(const contract *self)
{
    wiring w;
    (void)self;
    wire(&w);
    CHECK_EQ(SET(&w.clr, &w.r.control), S_OK);
    CHECK_EQ(SET(&w.clr, &w.r.control), S_OK);
    CHECK_EQ(w.r.asked_count, 9 + 8);
    CHECK(hm_com_same_iid(&w.r.asked[9], &hm_clr_iid_host_task_manager));
    CHECK_EQ(w.r.creates, 1);
    CHECK_EQ(w.r.control_adds, 1);
}

static void asks_again(const contract *self)
{
    wiring w;
    (void)self;
    wire(&w);
    w.r.get_manager = E_NOINTERFACE;
    CHECK_EQ(SET(&w.clr, &w.r.control), S_OK);
    w.r.get_manager = S_OK;
    CHECK_EQ(SET(&w.clr, &w.r.control), S_OK);
    CHECK_EQ(w.r.asked_count, 9 + 9);
    CHECK(hm_com_same_iid(&w.r.asked[9], &hm_clr_iid_host_memory_manager));
    CHECK_PTR(w.clr.manager, &w.r.manager);
    CHECK_EQ(w.r.control_adds, 1);
}

static void keeps_and_releases(const contract *self)
{
    wiring w;
    (void)self;
    wire(&w);
    CHECK_EQ(SET(&w.clr, &w.r.control), S_OK);
    CHECK_EQ(w.r.control_refs, 2);
    CHECK_EQ(ICLRRuntimeHost_Start(&w.clr.base), S_OK);
    CHECK_EQ(ICLRRuntimeHost_Start(&w.clr.base), S_OK);
    CHECK_EQ(ICLRRuntimeHost_Stop(&w.clr.base), S_OK);
    CHECK_EQ(w.r.control_refs, 2);
    CHECK_EQ(ICLRRuntimeHost_Stop(&w.clr.base), S_OK);
    CHECK_EQ(w.r.control_refs, 1);
    CHECK_EQ(w.r.control_adds, 1);
    CHECK_EQ(w.r.manager_releases, 0);
    CHECK_EQ(w.r.heap_refs, 1);

    /* The same with this world's host; what the runtime never releases, the test does. */
    IHostControl *control = clr_world_control();
    sim_clr_init(&w.clr);
    CHECK_EQ(SET(&w.clr, control), S_OK);
    CHECK_EQ(ICLRRuntimeHost_Start(&w.clr.base), S_OK);
    void *block = sim_clr_alloc(&w.clr, 24);
    CHECK(block != NULL && sim_clr_free(&w.clr, block));
    CHECK_EQ(ICLRRuntimeHost_Stop(&w.clr.base), S_OK);
    REQUIRE(w.clr.manager != NULL && w.clr.heap != NULL);
    block = NULL;
    CHECK_EQ(IHostMalloc_Alloc(w.clr.heap, 8, eTaskCritical, &block), S_OK);
    CHECK_EQ(IHostMalloc_Free(w.clr.heap, block), S_OK);
    IHostMemoryManager_RegisterMemoryNotificationCallback(w.clr.manager, NULL);
    CHECK_EQ(IHostMalloc_Release(w.clr.heap), 0);
    CHECK_EQ(IHostMemoryManager_Release(w.clr.manager), 2);
}

static void refuses_unknown(const contract *self)
{
    static const IID other = {0x12345678, 0x9abc, 0xdef0, {1, 2, 3, 4, 5, 6, 7, 8}};
    IHostControl *control = clr_world_control();
    (void)self;
    for (size_t i = 1; i < COUNT(order); i++) {
        void *object = P0;
        CHECK_EQ(IHostControl_GetHostManager(control, order[i], &object), E_NOINTERFACE);
        CHECK_PTR(object, NULL);
    }
    void *object = P0;
    CHECK_EQ(IHostControl_GetHostManager(control, &other, &object), E_NOINTERFACE);
    CHECK_PTR(object, NULL);
    object = P0;
    CHECK_EQ(IHostControl_GetHostManager(control, NULL, &object), E_INVALIDARG);
    CHECK_PTR(object, NULL);
    CHECK_EQ(IHostControl_GetHostManager(control, &other, NULL), E_INVALIDARG);
    CHECK_EQ(IHostControl_SetAppDomainManager(control, 1, NULL), S_OK);
}

#define SLOT(table, member) (offsetof(table, member) / sizeof(void *))
#define SLOTS(table)        (sizeof(table) / sizeof(void *))

#define UNKNOWN_FIRST(table)                  \
    CHECK_EQ(SLOT(table, QueryInterface), 0); \
    CHECK_EQ(SLOT(table, AddRef), 1);         \
    CHECK_EQ(SLOT(table, Release), 2)

static void slots_of_task_memory(void)
{
    CHECK_EQ(SLOTS(IMallocVtbl), 9);
    UNKNOWN_FIRST(IMallocVtbl);
    CHECK_EQ(SLOT(IMallocVtbl, Alloc), 3);
    CHECK_EQ(SLOT(IMallocVtbl, Realloc), 4);
    CHECK_EQ(SLOT(IMallocVtbl, Free), 5);
    CHECK_EQ(SLOT(IMallocVtbl, GetSize), 6);
    CHECK_EQ(SLOT(IMallocVtbl, DidAlloc), 7);
    CHECK_EQ(SLOT(IMallocVtbl, HeapMinimize), 8);
    CHECK_EQ(SLOTS(IMallocSpyVtbl), 15);
    UNKNOWN_FIRST(IMallocSpyVtbl);
    CHECK_EQ(SLOT(IMallocSpyVtbl, PreAlloc), 3);
    CHECK_EQ(SLOT(IMallocSpyVtbl, PostAlloc), 4);
    CHECK_EQ(SLOT(IMallocSpyVtbl, PreFree), 5);
    CHECK_EQ(SLOT(IMallocSpyVtbl, PostFree), 6);
    CHECK_EQ(SLOT(IMallocSpyVtbl, PreRealloc), 7);
    CHECK_EQ(SLOT(IMallocSpyVtbl, PostRealloc), 8);
    CHECK_EQ(SLOT(IMallocSpyVtbl, PreGetSize), 9);
    CHECK_EQ(SLOT(IMallocSpyVtbl, PostGetSize), 10);
    CHECK_EQ(SLOT(IMallocSpyVtbl, PreDidAlloc), 11);
    CHECK_EQ(SLOT(IMallocSpyVtbl, PostDidAlloc), 12);
    CHECK_EQ(SLOT(IMallocSpyVtbl, PreHeapMinimize), 13);
    CHECK_EQ(SLOT(IMallocSpyVtbl, PostHeapMinimize), 14);
}

static void slots_in_order(const contract *self)
{
    (void)self;
    slots_of_task_memory();
    CHECK_EQ(SLOTS(IHostMallocVtbl), 6);
    UNKNOWN_FIRST(IHostMallocVtbl);
    CHECK_EQ(SLOT(IHostMallocVtbl, Alloc), 3);
    CHECK_EQ(SLOT(IHostMallocVtbl, DebugAlloc), 4);
    CHECK_EQ(SLOT(IHostMallocVtbl, Free), 5);
    CHECK_EQ(SLOTS(IHostMemoryManagerVtbl), 13);
    UNKNOWN_FIRST(IHostMemoryManagerVtbl);
    CHECK_EQ(SLOT(IHostMemoryManagerVtbl, CreateMalloc), 3);
    CHECK_EQ(SLOT(IHostMemoryManagerVtbl, VirtualAlloc), 4);
    CHECK_EQ(SLOT(IHostMemoryManagerVtbl, VirtualFree), 5);
    CHECK_EQ(SLOT(IHostMemoryManagerVtbl, VirtualQuery), 6);
    CHECK_EQ(SLOT(IHostMemoryManagerVtbl, VirtualProtect), 7);
    CHECK_EQ(SLOT(IHostMemoryManagerVtbl, GetMemoryLoad), 8);
    CHECK_EQ(SLOT(IHostMemoryManagerVtbl, RegisterMemoryNotificationCallback), 9);
    CHECK_EQ(SLOT(IHostMemoryManagerVtbl, NeedsVirtualAddressSpace), 10);
    CHECK_EQ(SLOT(IHostMemoryManagerVtbl, AcquiredVirtualAddressSpace), 11);
    CHECK_EQ(SLOT(IHostMemoryManagerVtbl, ReleasedVirtualAddressSpace), 12);
    CHECK_EQ(SLOTS(ICLRMemoryNotificationCallbackVtbl), 4);
    UNKNOWN_FIRST(ICLRMemoryNotificationCallbackVtbl);
    CHECK_EQ(SLOT(ICLRMemoryNotificationCallbackVtbl, OnMemoryNotification), 3);
    CHECK_EQ(SLOTS(IHostControlVtbl), 5);
    UNKNOWN_FIRST(IHostControlVtbl);
    CHECK_EQ(SLOT(IHostControlVtbl, GetHostManager), 3);
    CHECK_EQ(SLOT(IHostControlVtbl, SetAppDomainManager), 4);
    CHECK_EQ(SLOTS(ICLRRuntimeHostVtbl), 12);
    UNKNOWN_FIRST(ICLRRuntimeHostVtbl);
    CHECK_EQ(SLOT(ICLRRuntimeHostVtbl, Start), 3);
    CHECK_EQ(SLOT(ICLRRuntimeHostVtbl, Stop), 4);
    CHECK_EQ(SLOT(ICLRRuntimeHostVtbl, SetHostControl), 5);
    CHECK_EQ(SLOT(ICLRRuntimeHostVtbl, GetCLRControl), 6);
    CHECK_EQ(SLOT(ICLRRuntimeHostVtbl, UnloadAppDomain), 7);
    CHECK_EQ(SLOT(ICLRRuntimeHostVtbl, ExecuteInAppDomain), 8);
    CHECK_EQ(SLOT(ICLRRuntimeHostVtbl, GetCurrentAppDomainId), 9);
    CHECK_EQ(SLOT(ICLRRuntimeHostVtbl, ExecuteApplication), 10);
    CHECK_EQ(SLOT(ICLRRuntimeHostVtbl, ExecuteInDefaultAppDomain), 11);
    CHECK_EQ(SLOTS(ICLRControlVtbl), 5);
}

const contract clr_wiring_cases[16] = {
    {86, "C", "SetHostControl(NULL) is refused", no_control, 0},
    {87, "C", "SetHostControl after Start is refused", after_start, 0},
    {88, "C", "SetHostControl beside the old hosting interface is refused", hosted_by_v1,
     0},
    {89, "C", "nine managers are asked for, in order", asks_in_order, 0},
    {90, "D", "no memory manager: the runtime's own memory", no_interface, 0},
    {91, "C", "S_OK and NULL: the runtime's own memory", success_without_object, 0},
    {92, "C", "S_FALSE and an object: ignored", s_false_with_object, 0},
    {93, "C", "CreateMalloc once, of type 1", one_malloc, 0},
    {94, "C", "one registration, its failure ignored", one_registration, 0},
    {95, "C", "CreateMalloc fails: E_UNEXPECTED, one Release", create_fails,
     (long)E_OUTOFMEMORY},
    {96, "C", "CreateMalloc says S_FALSE: the same", create_fails, (long)S_FALSE},
    {97, "C", "a second SetHostControl asks only for what is missing", asks_once, 0},
    {98, "C", "also for the memory manager, if that was missing", asks_again, 0},
    {99, "C, D", "the control is released, manager and malloc never", keeps_and_releases,
     0},
    {100, "D", "GetHostManager refuses what is not offered", refuses_unknown, 0},
    {101, "C, D", "tables have their slots in order", slots_in_order, 0},
};
