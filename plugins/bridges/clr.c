/* SPDX-License-Identifier: MIT */
/* A host as IHostControl and IHostMemoryManager, two interfaces of one object. Mallocs are clr_malloc.c's. */
#include "clr_internal.h"

typedef struct clr_control {
    IHostControl control; /* its identity, and the first member */
    IHostMemoryManager manager;
    uint32_t references; /* atomic */
    hm_host *host;
    hm__clr_listener *listener; /* atomic; the runtime's callback, or NULL */
} clr_control;

static clr_control *of_control(IHostControl *self)
{
    return (clr_control *)self;
}

static clr_control *of_manager(IHostMemoryManager *self)
{
    return (clr_control *)((uintptr_t)self - offsetof(clr_control, manager));
}

HRESULT hm__clr_result(hm_status status)
{
    switch (status) {
    case HM_OK:
        return S_OK;
    case HM_E_NOMEM:
        return E_OUTOFMEMORY;
    case HM_E_INVALID:
    case HM_E_UNSUPPORTED:
        return E_INVALIDARG;
    case HM_E_NOT_OWNED:
    case HM_E_FREED:
        return HOST_E_INVALIDOPERATION;
    default:
        return E_FAIL;
    }
}

static ULONG add_ref(clr_control *c)
{
    return hm__clr_count(&c->references, 1);
}

static ULONG release(clr_control *c)
{
    const uint32_t left = hm__clr_count(&c->references, -1);
    if (left == 0) {
        hm__clr_unlisten(c->host, c->listener);
        hm_host_release(c->host);
        hm_core_table()->memory_free(c, sizeof *c);
    }
    return left;
}

static HRESULT query(clr_control *c, const IID *riid, void **object)
{
    if (!object) {
        return E_POINTER;
    }
    *object = NULL;
    if (hm_com_same_iid(riid, &IID_IUnknown) ||
        hm_com_same_iid(riid, &hm_clr_iid_host_control)) {
        *object = &c->control;
    } else if (hm_com_same_iid(riid, &hm_clr_iid_host_memory_manager)) {
        *object = &c->manager;
    } else {
        return E_NOINTERFACE;
    }
    add_ref(c);
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE control_query(IHostControl *self,
                                               REFIID riid,
                                               void **object)
{
    return query(of_control(self), riid, object);
}

static ULONG STDMETHODCALLTYPE control_add_ref(IHostControl *self)
{
    return add_ref(of_control(self));
}

static ULONG STDMETHODCALLTYPE control_release(IHostControl *self)
{
    return release(of_control(self));
}

static HRESULT STDMETHODCALLTYPE control_get(IHostControl *self,
                                             REFIID riid,
                                             void **object)
{
    if (!object) {
        return E_INVALIDARG;
    }
    *object = NULL;
    if (!riid) {
        return E_INVALIDARG;
    }
    return hm_com_same_iid(riid, &hm_clr_iid_host_memory_manager)
               ? query(of_control(self), riid, object)
               : E_NOINTERFACE;
}

/* A domain has begun, which is no matter of memory. */
static HRESULT STDMETHODCALLTYPE control_domain(IHostControl *self,
                                                DWORD domain,
                                                IUnknown *manager)
{
    (void)self, (void)domain, (void)manager;
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE manager_query(IHostMemoryManager *self,
                                               REFIID riid,
                                               void **object)
{
    return query(of_manager(self), riid, object);
}

static ULONG STDMETHODCALLTYPE manager_add_ref(IHostMemoryManager *self)
{
    return add_ref(of_manager(self));
}

static ULONG STDMETHODCALLTYPE manager_release(IHostMemoryManager *self)
{
    return release(of_manager(self));
}

static HRESULT STDMETHODCALLTYPE manager_create(IHostMemoryManager *self,
                                                DWORD type,
                                                IHostMalloc **object)
{
    return object ? hm__clr_malloc_create(of_manager(self)->host, type, object)
                  : E_INVALIDARG;
}

/* What a runtime asks for with E_FAIL's meaning in mind is memory, so what the system refuses is a lack of it. */
static HRESULT STDMETHODCALLTYPE manager_alloc(IHostMemoryManager *self,
                                               void *address,
                                               SIZE_T bytes,
                                               DWORD type,
                                               DWORD protection,
                                               EMemoryCriticalLevel level,
                                               void **pages)
{
    void *got = NULL;
    if (!pages) {
        return E_INVALIDARG;
    }
    *pages = NULL;
    if (bytes == 0 || (uint32_t)level > eProcessCritical) {
        return E_INVALIDARG;
    }
    const hm_status status = hm_host_virtual_alloc(
        of_manager(self)->host, address, bytes, type, protection, (hm_level)level, &got);
    if (status == HM_OK) {
        *pages = got;
        return got ? S_OK : E_OUTOFMEMORY;
    }
    const HRESULT result = hm__clr_result(status);
    return result == E_FAIL ? E_OUTOFMEMORY : result;
}

static HRESULT STDMETHODCALLTYPE manager_free(IHostMemoryManager *self,
                                              LPVOID address,
                                              SIZE_T bytes,
                                              DWORD type)
{
    return hm__clr_result(
        hm_host_virtual_free(of_manager(self)->host, address, bytes, type));
}

static HRESULT STDMETHODCALLTYPE manager_region(
    IHostMemoryManager *self, void *address, void *buffer, SIZE_T length, SIZE_T *written)
{
    MEMORY_BASIC_INFORMATION *const out = buffer;
    hm_region region;
    if (!written) {
        return E_INVALIDARG;
    }
    *written = 0;
    if (!out || length < sizeof *out) {
        return E_INVALIDARG;
    }
    const hm_status status =
        hm_host_virtual_query(of_manager(self)->host, address, &region);
    if (status != HM_OK) {
        return hm__clr_result(status);
    }
    const MEMORY_BASIC_INFORMATION seen = {.BaseAddress = region.base,
                                           .AllocationBase = region.allocation_base,
                                           .AllocationProtect =
                                               region.allocation_protection,
                                           .RegionSize = region.bytes,
                                           .State = region.state,
                                           .Protect = region.protection,
                                           .Type = region.type};
    *out = seen;
    *written = sizeof *out;
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE manager_protect(
    IHostMemoryManager *self, void *address, SIZE_T bytes, DWORD protection, DWORD *old)
{
    uint32_t before = 0;
    if (!old) {
        return E_INVALIDARG;
    }
    *old = 0;
    const hm_status status = hm_host_virtual_protect(of_manager(self)->host, address,
                                                     bytes, protection, &before);
    *old = status == HM_OK ? before : 0;
    return hm__clr_result(status);
}

static HRESULT STDMETHODCALLTYPE manager_load(IHostMemoryManager *self,
                                              DWORD *percent,
                                              SIZE_T *available)
{
    uint32_t load = 0;
    size_t left = 0;
    if (!percent || !available) {
        return E_INVALIDARG;
    }
    const hm_status status = hm_host_memory_load(of_manager(self)->host, &load, &left);
    *percent = status == HM_OK ? load : 0;
    *available = status == HM_OK ? left : 0;
    return hm__clr_result(status);
}

/* The last one counts, NULL is none. The new one listens before the old one stops, so that nothing is missed. */
static HRESULT STDMETHODCALLTYPE
manager_register(IHostMemoryManager *self, ICLRMemoryNotificationCallback *callback)
{
    clr_control *c = of_manager(self);
    hm__clr_listener *fresh = NULL;
    const hm_status status = callback ? hm__clr_listen(c->host, callback, &fresh) : HM_OK;
    if (status == HM_OK) {
        hm__clr_unlisten(c->host,
                         __atomic_exchange_n(&c->listener, fresh, __ATOMIC_ACQ_REL));
    }
    return hm__clr_result(status);
}

static HRESULT STDMETHODCALLTYPE manager_needs(IHostMemoryManager *self,
                                               LPVOID start,
                                               SIZE_T bytes)
{
    hm_host *host = of_manager(self)->host;
    return host->vtbl->needs_address_space(host, start, bytes) == HM_OK ? S_OK
                                                                        : E_OUTOFMEMORY;
}

static HRESULT STDMETHODCALLTYPE manager_acquired(IHostMemoryManager *self,
                                                  LPVOID start,
                                                  SIZE_T bytes)
{
    hm_host *host = of_manager(self)->host;
    host->vtbl->acquired_address_space(host, start, bytes);
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE manager_released(IHostMemoryManager *self, LPVOID start)
{
    hm_host *host = of_manager(self)->host;
    host->vtbl->released_address_space(host, start);
    return S_OK;
}

static const IHostControlVtbl control_vtbl = {
    .QueryInterface = control_query,
    .AddRef = control_add_ref,
    .Release = control_release,
    .GetHostManager = control_get,
    .SetAppDomainManager = control_domain,
};

static const IHostMemoryManagerVtbl manager_vtbl = {
    .QueryInterface = manager_query,
    .AddRef = manager_add_ref,
    .Release = manager_release,
    .CreateMalloc = manager_create,
    .VirtualAlloc = manager_alloc,
    .VirtualFree = manager_free,
    .VirtualQuery = manager_region,
    .VirtualProtect = manager_protect,
    .GetMemoryLoad = manager_load,
    .RegisterMemoryNotificationCallback = manager_register,
    .NeedsVirtualAddressSpace = manager_needs,
    .AcquiredVirtualAddressSpace = manager_acquired,
    .ReleasedVirtualAddressSpace = manager_released,
};

hm_status hm_clr_control_create(hm_host *host, IHostControl **out, hm_error *err)
{
    if (!out) {
        return hm_error_set(err, HM_E_INVALID, "bridge:clr", "out is NULL");
    }
    *out = NULL;
    if (!host) {
        return hm_error_set(err, HM_E_INVALID, "bridge:clr", "the host is NULL");
    }
    const hm_status status = hm_host_validate(host, err);
    if (status != HM_OK) {
        return status;
    }
    clr_control *c = hm_core_table()->memory_alloc(sizeof *c);
    if (!c) {
        return hm_error_set(err, HM_E_NOMEM, "bridge:clr",
                            "no private memory for a host control");
    }
    c->control.lpVtbl = &control_vtbl;
    c->manager.lpVtbl = &manager_vtbl;
    c->references = 1;
    c->host = host;
    hm_host_retain(host);
    *out = &c->control;
    return HM_OK;
}
