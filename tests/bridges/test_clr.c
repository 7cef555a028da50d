/* SPDX-License-Identifier: MIT */
/* A host as a runtime's memory manager: counts, callbacks, misuse and want of memory. */
#define COBJMACROS
#include <hostmalloc/bridges/clr.h>

#include "check.h"

#include "memory_internal.h"
#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>

static hm_host *open_host(const char *spec)
{
    hm_host *host;
    assert_int_equal(hm_host_open(spec, &host, NULL), HM_OK);
    return host;
}

static IHostControl *present(const char *spec)
{
    IHostControl *control;
    hm_host *host = open_host(spec);
    assert_int_equal(hm_clr_control_create(host, &control, NULL), HM_OK);
    hm_host_release(host);
    return control;
}

static IHostMemoryManager *manager_of(IHostControl *control)
{
    void *object = NULL;
    assert_int_equal(
        IHostControl_GetHostManager(control, &IID_IHostMemoryManager, &object), S_OK);
    return object;
}

static IHostMemoryManager *manager(const char *spec)
{
    IHostControl *control = present(spec);
    IHostMemoryManager *m = manager_of(control);
    assert_int_equal(IHostControl_Release(control), 1);
    return m;
}

static IHostMalloc *create(IHostMemoryManager *m, DWORD type)
{
    IHostMalloc *object = NULL;
    assert_int_equal(IHostMemoryManager_CreateMalloc(m, type, &object), S_OK);
    assert_non_null(object);
    return object;
}

static void clr__bad_hosts(void **state)
{
    hm_host broken = {NULL};
    hm_host *host = open_host("default");
    IHostControl *control = (IHostControl *)(uintptr_t)1;
    hm_error err;
    (void)state;
    assert_int_equal(hm_clr_control_create(NULL, &control, &err), HM_E_INVALID);
    assert_null(control);
    assert_string_equal(err.where, "bridge:clr");
    assert_int_equal(hm_clr_control_create(&broken, &control, &err), HM_E_INVALID);
    assert_null(control);
    assert_int_equal(hm_clr_control_create(host, NULL, &err), HM_E_INVALID);
    assert_null(hm_clr_malloc(NULL));
    hm_host_release(host);
}

static void clr__one_object_with_two_interfaces(void **state)
{
    static const IID *const all[] = {&IID_IUnknown, &IID_IHostControl,
                                     &IID_IHostMemoryManager};
    IHostControl *control = present("default");
    IHostMemoryManager *m = manager_of(control);
    (void)state;
    for (size_t i = 0; i < COUNT(all); i++) {
        void *one = NULL;
        void *other = NULL;
        assert_int_equal(IHostControl_QueryInterface(control, all[i], &one), S_OK);
        assert_int_equal(IHostMemoryManager_QueryInterface(m, all[i], &other), S_OK);
        assert_ptr_equal(one, other);
        assert_ptr_equal(one, i == 2 ? (void *)m : (void *)control);
        assert_int_equal(IHostControl_Release(control), 3);
        assert_int_equal(IHostMemoryManager_Release(m), 2);
    }
    void *object = control;
    assert_int_equal(IHostControl_QueryInterface(control, &IID_IMalloc, &object),
                     E_NOINTERFACE);
    assert_null(object);
    object = control;
    assert_int_equal(IHostMemoryManager_QueryInterface(m, NULL, &object), E_NOINTERFACE);
    assert_null(object);
    assert_int_equal(IHostControl_QueryInterface(control, &IID_IUnknown, NULL),
                     E_POINTER);
    assert_int_equal(IHostControl_AddRef(control), 3);
    assert_int_equal(IHostMemoryManager_AddRef(m), 4);
    assert_int_equal(IHostMemoryManager_Release(m), 3);
    assert_int_equal(IHostControl_Release(control), 2);
    assert_int_equal(IHostControl_Release(control), 1);
    assert_int_equal(IHostMemoryManager_Release(m), 0);
}

static void clr__a_malloc_counts_itself(void **state)
{
    static const IID *const known[] = {&IID_IUnknown, &IID_IHostMalloc};
    IHostMemoryManager *m = manager("default");
    IHostMalloc *object = create(m, MALLOC_THREADSAFE);
    (void)state;
    /* It outlives its manager. */
    assert_int_equal(IHostMemoryManager_Release(m), 0);
    for (size_t i = 0; i < COUNT(known); i++) {
        void *same = NULL;
        assert_int_equal(IHostMalloc_QueryInterface(object, known[i], &same), S_OK);
        assert_ptr_equal(same, object);
        assert_int_equal(IHostMalloc_Release(object), 1);
    }
    void *none = object;
    assert_int_equal(IHostMalloc_QueryInterface(object, &IID_IHostControl, &none),
                     E_NOINTERFACE);
    assert_null(none);
    assert_int_equal(IHostMalloc_QueryInterface(object, &IID_IUnknown, NULL), E_POINTER);
    void *block = NULL;
    assert_int_equal(IHostMalloc_Alloc(object, 10, eTaskCritical, &block), S_OK);
    assert_int_equal(hm_owns(hm_clr_malloc(object), block), 1);
    assert_int_equal(IHostMalloc_Free(object, block), S_OK);
    assert_int_equal(IHostMalloc_AddRef(object), 2);
    assert_int_equal(IHostMalloc_Release(object), 1);
    assert_int_equal(IHostMalloc_Release(object), 0);
}

static void clr__an_overrun_block_is_freed(void **state)
{
    IHostMemoryManager *m = manager("debug:report=/dev/null");
    IHostMalloc *object = create(m, MALLOC_THREADSAFE);
    void *block = NULL;
    (void)state;
    assert_int_equal(IHostMalloc_Alloc(object, 10, eTaskCritical, &block), S_OK);
    volatile char *bytes = block;
    bytes[10] ^= 0x5a;
    assert_int_equal(IHostMalloc_Free(object, block), S_OK);
    assert_int_equal(IHostMalloc_Free(object, block), HOST_E_INVALIDOPERATION);
    uint64_t findings = 0;
    assert_int_equal(
        hm_debug_findings(hm_debug_of_malloc(hm_clr_malloc(object)), &findings), HM_OK);
    assert_int_equal(findings, 2);
    IHostMalloc_Release(object);
    IHostMemoryManager_Release(m);
}

/* A host that answers what it is told to, and writes nothing. */
static hm_status page_answer;

static hm_status silent_alloc(hm_host *self,
                              void *address,
                              size_t size,
                              uint32_t type,
                              uint32_t protection,
                              hm_level level,
                              void **out)
{
    (void)self, (void)address, (void)size, (void)type, (void)protection, (void)level;
    (void)out;
    return page_answer;
}

static hm_status silent_free(hm_host *self, void *address, size_t size, uint32_t type)
{
    (void)self, (void)address, (void)size, (void)type;
    return page_answer;
}

static hm_status silent_query(hm_host *self, const void *address, hm_region *out)
{
    (void)self, (void)address, (void)out;
    return page_answer;
}

static hm_status silent_protect(
    hm_host *self, void *address, size_t size, uint32_t protection, uint32_t *old)
{
    (void)self, (void)address, (void)size, (void)protection, (void)old;
    return page_answer;
}

static hm_status silent_load(hm_host *self, uint32_t *percent, size_t *available)
{
    (void)self;
    *percent = 50;
    *available = 50;
    return page_answer;
}

static void clr__what_a_host_answers(void **state)
{
    static const struct {
        hm_status status;
        HRESULT alloc, other;
    } cases[] = {{HM_E_NOMEM, E_OUTOFMEMORY, E_OUTOFMEMORY},
                 {HM_E_INVALID, E_INVALIDARG, E_INVALIDARG},
                 {HM_E_UNSUPPORTED, E_INVALIDARG, E_INVALIDARG},
                 {HM_E_NOT_OWNED, HOST_E_INVALIDOPERATION, HOST_E_INVALIDOPERATION},
                 {HM_E_FREED, HOST_E_INVALIDOPERATION, HOST_E_INVALIDOPERATION},
                 {HM_E_OS, E_OUTOFMEMORY, E_FAIL},
                 {-999, E_OUTOFMEMORY, E_FAIL}};
    hm_layer_host layer = {0};
    hm_host_vtbl table = *hm_core_table()->host_forward;
    hm_host *inner = open_host("default");
    IHostControl *control;
    (void)state;
    table.virtual_alloc = silent_alloc;
    table.virtual_free = silent_free;
    table.virtual_query = silent_query;
    table.virtual_protect = silent_protect;
    table.memory_load = silent_load;
    hm_layer_host_init(&layer, &table, inner, 0);
    assert_int_equal(hm_clr_control_create(&layer.base, &control, NULL), HM_OK);
    IHostMemoryManager *m = manager_of(control);
    for (size_t i = 0; i < COUNT(cases); i++) {
        void *pages = m;
        MEMORY_BASIC_INFORMATION seen;
        SIZE_T written = 5;
        SIZE_T available = 5;
        DWORD number = 5;
        page_answer = cases[i].status;
        assert_int_equal(IHostMemoryManager_VirtualAlloc(m, NULL, 1, MEM_RESERVE, 1,
                                                         eTaskCritical, &pages),
                         cases[i].alloc);
        assert_null(pages);
        assert_int_equal(IHostMemoryManager_VirtualFree(m, NULL, 0, MEM_RELEASE),
                         cases[i].other);
        assert_int_equal(
            IHostMemoryManager_VirtualQuery(m, NULL, &seen, sizeof seen, &written),
            cases[i].other);
        assert_int_equal(written, 0);
        assert_int_equal(IHostMemoryManager_VirtualProtect(m, NULL, 1, 1, &number),
                         cases[i].other);
        assert_int_equal(number, 0);
        number = 5;
        assert_int_equal(IHostMemoryManager_GetMemoryLoad(m, &number, &available),
                         cases[i].other);
        assert_int_equal(number + available, 0);
    }
    /* Success without pages would be taken for pages. */
    void *pages = m;
    page_answer = HM_OK;
    assert_int_equal(IHostMemoryManager_VirtualAlloc(m, NULL, 1, MEM_RESERVE, 1,
                                                     eTaskCritical, &pages),
                     E_OUTOFMEMORY);
    assert_null(pages);
    IHostMemoryManager_Release(m);
    assert_int_equal(IHostControl_Release(control), 0);
    assert_int_equal(layer.references, 1);
    hm_host_release(inner);
    hm_host_release(inner);
}

static void clr__a_drained_malloc_refuses(void **state)
{
    IHostMemoryManager *m = manager("default");
    IHostMalloc *object = create(m, MALLOC_THREADSAFE);
    void *block = NULL;
    void *more = object;
    (void)state;
    assert_int_equal(IHostMalloc_Alloc(object, 10, eTaskCritical, &block), S_OK);
    hm_malloc_close(hm_clr_malloc(object));
    assert_int_equal(IHostMalloc_Alloc(object, 10, eTaskCritical, &more), E_OUTOFMEMORY);
    assert_null(more);
    assert_int_equal(IHostMalloc_Free(object, block), S_OK);
    IHostMalloc_Release(object);
    IHostMemoryManager_Release(m);
}

/* A callback that notes, and may unregister itself. */
typedef struct noting {
    ICLRMemoryNotificationCallback base;
    IHostMemoryManager *leaves; /* unregister there when called */
    int references;
    int calls;
    EMemoryAvailable last;
} noting;

static noting *noting_of(ICLRMemoryNotificationCallback *self)
{
    return (noting *)self;
}

static HRESULT
noting_query(ICLRMemoryNotificationCallback *self, REFIID riid, void **object)
{
    (void)self, (void)riid;
    *object = NULL;
    return E_NOINTERFACE;
}

static ULONG noting_add_ref(ICLRMemoryNotificationCallback *self)
{
    return (ULONG)++noting_of(self)->references;
}

static ULONG noting_release(ICLRMemoryNotificationCallback *self)
{
    return (ULONG)--noting_of(self)->references;
}

static HRESULT noting_told(ICLRMemoryNotificationCallback *self, EMemoryAvailable how)
{
    noting *n = noting_of(self);
    IHostMemoryManager *leaves = n->leaves;
    n->calls++;
    n->last = how;
    n->leaves = NULL;
    if (leaves) {
        IHostMemoryManager_RegisterMemoryNotificationCallback(leaves, NULL);
    }
    return S_OK;
}

static const ICLRMemoryNotificationCallbackVtbl noting_vtbl = {
    noting_query, noting_add_ref, noting_release, noting_told};

#define NOTING                                          \
    {                                                   \
        {&noting_vtbl}, NULL, 1, 0, (EMemoryAvailable)0 \
    }

/* The limit layer tells when its line is crossed, so pressure here is nobody else's. */
static void fill(IHostMalloc *object, void **block)
{
    assert_int_equal(IHostMalloc_Alloc(object, 900, eTaskCritical, block), S_OK);
}

static void clr__low_is_told_and_taken_back(void **state)
{
    noting n = NOTING;
    IHostMemoryManager *m = manager("limit:hard=1000+default");
    IHostMalloc *object = create(m, MALLOC_THREADSAFE);
    void *block;
    (void)state;
    assert_int_equal(IHostMemoryManager_RegisterMemoryNotificationCallback(m, &n.base),
                     S_OK);
    assert_int_equal(n.references, 2);
    fill(object, &block);
    assert_int_equal(n.calls, 1);
    assert_int_equal(n.last, eMemoryAvailableLow);
    assert_int_equal(IHostMalloc_Free(object, block), S_OK);
    assert_int_equal(n.calls, 2);
    assert_true(n.last == eMemoryAvailableNeutral || n.last == eMemoryAvailableHigh);
    assert_int_equal(IHostMemoryManager_RegisterMemoryNotificationCallback(m, NULL),
                     S_OK);
    assert_int_equal(n.references, 1);
    fill(object, &block);
    assert_int_equal(n.calls, 2);
    assert_int_equal(IHostMalloc_Free(object, block), S_OK);
    assert_int_equal(IHostMemoryManager_RegisterMemoryNotificationCallback(m, NULL),
                     S_OK);
    IHostMalloc_Release(object);
    IHostMemoryManager_Release(m);
}

static void clr__who_leaves_in_low_memory_hears_of_its_end(void **state)
{
    noting first = NOTING;
    noting second = NOTING;
    IHostMemoryManager *m = manager("limit:hard=1000+default");
    IHostMalloc *object = create(m, MALLOC_THREADSAFE);
    void *block;
    (void)state;
    IHostMemoryManager_RegisterMemoryNotificationCallback(m, &first.base);
    fill(object, &block);
    assert_int_equal(first.last, eMemoryAvailableLow);
    /* The last one registered counts. */
    IHostMemoryManager_RegisterMemoryNotificationCallback(m, &second.base);
    assert_int_equal(first.calls, 2);
    assert_int_equal(first.last, eMemoryAvailableNeutral);
    assert_int_equal(first.references, 1);
    assert_int_equal(IHostMalloc_Free(object, block), S_OK);
    assert_int_equal(first.calls, 2);
    assert_int_equal(second.references, 2);
    IHostMalloc_Release(object);
    assert_int_equal(IHostMemoryManager_Release(m), 0);
    assert_int_equal(second.references, 1);
}

static void clr__a_callback_unregisters_itself(void **state)
{
    noting n = NOTING;
    IHostMemoryManager *m = manager("limit:hard=1000+default");
    IHostMalloc *object = create(m, MALLOC_THREADSAFE);
    void *block;
    (void)state;
    n.leaves = m;
    IHostMemoryManager_RegisterMemoryNotificationCallback(m, &n.base);
    fill(object, &block);
    assert_int_equal(n.calls, 2);
    assert_int_equal(n.last, eMemoryAvailableNeutral);
    assert_int_equal(n.references, 1);
    assert_int_equal(IHostMalloc_Free(object, block), S_OK);
    IHostMalloc_Release(object);
    IHostMemoryManager_Release(m);
}

/* The host is open before memory runs out: that part is not the bridge's. 1: all of it was had. */
static int everything(hm_host *host)
{
    noting n = NOTING;
    IHostControl *control = NULL;
    IHostMalloc *object = NULL;
    void *block = NULL;
    char file[] = "everything.c";
    const hm_status status = hm_clr_control_create(host, &control, NULL);
    assert_true(status == HM_OK ? control != NULL : status == HM_E_NOMEM && !control);
    if (!control) {
        return 0;
    }
    IHostMemoryManager *m = manager_of(control);
    const HRESULT registered =
        IHostMemoryManager_RegisterMemoryNotificationCallback(m, &n.base);
    assert_true(registered == S_OK || n.references == 1);
    const HRESULT made = IHostMemoryManager_CreateMalloc(m, MALLOC_THREADSAFE, &object);
    assert_true(made == S_OK ? object != NULL : made == E_OUTOFMEMORY && !object);
    if (object) {
        const HRESULT got =
            IHostMalloc_DebugAlloc(object, 64, eTaskCritical, file, 1, &block);
        assert_true(got == S_OK ? block != NULL : got == E_OUTOFMEMORY && !block);
        assert_int_equal(IHostMalloc_Free(object, block), S_OK);
        assert_int_equal(IHostMalloc_Release(object), 0);
    }
    assert_int_equal(IHostMemoryManager_Release(m), 1);
    assert_int_equal(IHostControl_Release(control), 0);
    assert_int_equal(n.references, 1);
    return block && registered == S_OK;
}

static void clr__out_of_memory_at_each_step(void **state)
{
    static const char *const specs[] = {"default", "debug:report=/dev/null"};
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        size_t before = 0;
        uint64_t nth = 0;
        int whole = 0;
        /* The first two rounds want for nothing: what they make and keep is made once. A debugging host holds freed
           blocks back, and their malloc with them, until it goes. */
        for (int round = 0; !whole && round < 200; round++) {
            hm_host *host = open_host(specs[i]);
            nth += round > 1;
            hm__memory_fail_from(nth);
            whole = everything(host) && nth;
            hm__memory_fail_from(0);
            hm_host_release(host);
            if (nth) {
                assert_int_equal(hm__memory_in_use(), before);
            }
            before = hm__memory_in_use();
        }
        assert_true(whole && nth > 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clr__bad_hosts),
        cmocka_unit_test(clr__one_object_with_two_interfaces),
        cmocka_unit_test(clr__a_malloc_counts_itself),
        cmocka_unit_test(clr__an_overrun_block_is_freed),
        cmocka_unit_test(clr__what_a_host_answers),
        cmocka_unit_test(clr__a_drained_malloc_refuses),
        cmocka_unit_test(clr__low_is_told_and_taken_back),
        cmocka_unit_test(clr__who_leaves_in_low_memory_hears_of_its_end),
        cmocka_unit_test(clr__a_callback_unregisters_itself),
        cmocka_unit_test(clr__out_of_memory_at_each_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
