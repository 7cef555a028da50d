/* SPDX-License-Identifier: MIT */
/* A foreign IHostMemoryManager as a host. What it answers counts as it does for the runtime: only exactly S_OK is
 * success, but for queries and for address space. */
#include "clr_internal.h"

#include <string.h>

typedef struct clr_host {
    hm_host base;
    hm_host_vtbl table; /* the ready-made one, most slots replaced */
    IHostMemoryManager *manager;
    hm__clr_callback *callback;
    uint32_t references;                        /* atomic */
    char where[sizeof(((hm_error *)0)->where)]; /* "host:NAME" */
} clr_host;

static clr_host *host_of(hm_host *self)
{
    return (clr_host *)self;
}

static IHostMemoryManager *manager_of(hm_host *self)
{
    return host_of(self)->manager;
}

static hm_status status_of(HRESULT result)
{
    switch (result) {
    case S_OK:
        return HM_OK;
    case E_OUTOFMEMORY:
        return HM_E_NOMEM;
    case E_INVALIDARG:
        return HM_E_INVALID;
    case E_NOTIMPL:
        return HM_E_UNSUPPORTED;
    case HOST_E_INVALIDOPERATION:
        return HM_E_NOT_OWNED;
    case HOST_E_CLRNOTAVAILABLE:
        return HM_E_CLOSED;
    case HOST_E_TIMEOUT:
        return HM_E_TIMEOUT;
    default:
        return HM_E_OS;
    }
}

static void host_retain(hm_host *self)
{
    hm__clr_count(&host_of(self)->references, 1);
}

static void host_release(hm_host *self)
{
    clr_host *h = host_of(self);
    if (hm__clr_count(&h->references, -1) == 0) {
        hm__clr_callback_leave(h->callback);
        h->manager->lpVtbl->Release(h->manager);
        hm_core_table()->memory_free(h, sizeof *h);
    }
}

static hm_status host_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    clr_host *h = host_of(self);
    hm_malloc_opts copy;
    IHostMalloc *object = NULL;
    hm_error reason;
    if (!out) {
        return hm_error_set(err, HM_E_INVALID, h->where, "out is NULL");
    }
    *out = NULL;
    hm_status status = hm_core_table()->malloc_opts_read(opts, ~0u, &copy, err);
    if (status != HM_OK) {
        return status;
    }
    const DWORD type = copy.flags & (HM_MALLOC_THREADSAFE | HM_MALLOC_EXECUTABLE);
    const HRESULT result = h->manager->lpVtbl->CreateMalloc(h->manager, type, &object);
    if (result != S_OK || !object) {
        /* A success that is none still made an object. */
        if (SUCCEEDED(result) && object) {
            object->lpVtbl->Release(object);
        }
        status =
            result == E_INVALIDARG || result == E_NOTIMPL ? HM_E_UNSUPPORTED : HM_E_NOMEM;
        return hm_error_set(err, status, h->where, "CreateMalloc(%u) answered 0x%08x%s",
                            (unsigned)type, (unsigned)result, object ? "" : " and NULL");
    }
    status = hm__clr_foreign_malloc(object, self, &copy, out, &reason);
    return status == HM_OK ? HM_OK
                           : hm_error_set(err, status, h->where, "%s", reason.what);
}

static hm_status host_virtual_alloc(hm_host *self,
                                    void *address,
                                    size_t size,
                                    uint32_t type,
                                    uint32_t protection,
                                    hm_level level,
                                    void **out)
{
    IHostMemoryManager *m = manager_of(self);
    void *pages = NULL;
    if (!out) {
        return HM_E_INVALID;
    }
    *out = NULL;
    const HRESULT result = m->lpVtbl->VirtualAlloc(
        m, address, size, type, protection,
        (EMemoryCriticalLevel)(level == HM_LEVEL_CURRENT ? hm_level_now() : level),
        &pages);
    if (result == S_OK && pages) {
        *out = pages;
        return HM_OK;
    }
    return FAILED(result) ? status_of(result) : HM_E_NOMEM;
}

static hm_status
host_virtual_free(hm_host *self, void *address, size_t size, uint32_t type)
{
    IHostMemoryManager *m = manager_of(self);
    return status_of(m->lpVtbl->VirtualFree(m, address, size, type));
}

static hm_status host_virtual_query(hm_host *self, const void *address, hm_region *out)
{
    IHostMemoryManager *m = manager_of(self);
    MEMORY_BASIC_INFORMATION seen;
    SIZE_T written = 0;
    if (!out || !HM_HAS(out, hm_region, type)) {
        return HM_E_INVALID;
    }
    memset(&seen, 0, sizeof seen);
    const HRESULT result = m->lpVtbl->VirtualQuery(m, (void *)(uintptr_t)address, &seen,
                                                   sizeof seen, &written);
    if (FAILED(result) || written < sizeof seen) {
        return FAILED(result) ? status_of(result) : HM_E_INVALID;
    }
    const int is_free = seen.State == MEM_FREE;
    out->base = seen.BaseAddress;
    out->bytes = seen.RegionSize;
    out->state = seen.State;
    out->allocation_base = is_free ? NULL : seen.AllocationBase;
    out->allocation_protection = is_free ? 0 : seen.AllocationProtect;
    out->protection = seen.State == MEM_COMMIT ? seen.Protect : 0;
    out->type = is_free ? 0 : seen.Type;
    return HM_OK;
}

static hm_status host_virtual_protect(
    hm_host *self, void *address, size_t size, uint32_t protection, uint32_t *old)
{
    IHostMemoryManager *m = manager_of(self);
    DWORD before = 0;
    if (!old) {
        return HM_E_INVALID;
    }
    const HRESULT result =
        m->lpVtbl->VirtualProtect(m, address, size, protection, &before);
    if (result == S_OK) {
        *old = before;
    }
    return status_of(result);
}

/* Without figures of the manager's the system's are used. */
static hm_status host_memory_load(hm_host *self, uint32_t *percent, size_t *available)
{
    IHostMemoryManager *m = manager_of(self);
    DWORD load = 0;
    SIZE_T left = 0;
    if (!percent || !available) {
        return HM_E_INVALID;
    }
    if (m->lpVtbl->GetMemoryLoad(m, &load, &left) != S_OK) {
        return hm_core_table()->host_basics->memory_load(self, percent, available);
    }
    *percent = load < 100 ? load : 100;
    *available = left;
    return HM_OK;
}

static hm_status host_subscribe(hm_host *self, hm_notify *notify, void *context)
{
    clr_host *h = host_of(self);
    return hm__clr_callback_subscribe(h->callback, h->manager, notify, context);
}

static hm_status host_unsubscribe(hm_host *self, hm_notify *notify, void *context)
{
    return hm__clr_callback_unsubscribe(host_of(self)->callback, notify, context);
}

static hm_status host_needs_address_space(hm_host *self, void *start, size_t size)
{
    IHostMemoryManager *m = manager_of(self);
    return SUCCEEDED(m->lpVtbl->NeedsVirtualAddressSpace(m, start, size)) ? HM_OK
                                                                          : HM_E_NOMEM;
}

static void host_acquired_address_space(hm_host *self, void *start, size_t size)
{
    IHostMemoryManager *m = manager_of(self);
    (void)m->lpVtbl->AcquiredVirtualAddressSpace(m, start, size);
}

static void host_released_address_space(hm_host *self, void *start)
{
    IHostMemoryManager *m = manager_of(self);
    (void)m->lpVtbl->ReleasedVirtualAddressSpace(m, start);
}

static void table_fill(hm_host_vtbl *table)
{
    *table = *hm_core_table()->host_basics;
    table->retain = host_retain;
    table->release = host_release;
    table->create_malloc = host_create_malloc;
    table->virtual_alloc = host_virtual_alloc;
    table->virtual_free = host_virtual_free;
    table->virtual_query = host_virtual_query;
    table->virtual_protect = host_virtual_protect;
    table->memory_load = host_memory_load;
    table->subscribe = host_subscribe;
    table->unsubscribe = host_unsubscribe;
    table->needs_address_space = host_needs_address_space;
    table->acquired_address_space = host_acquired_address_space;
    table->released_address_space = host_released_address_space;
}

hm_status hm_clr_host_create(IHostMemoryManager *manager,
                             const char *name,
                             hm_host **out,
                             hm_error *err)
{
    const hm_core *core = hm_core_table();
    if (!manager || !out) {
        if (out) {
            *out = NULL;
        }
        return hm_error_set(err, HM_E_INVALID, "bridge:clr", "%s is NULL",
                            out ? "the manager" : "out");
    }
    *out = NULL;
    clr_host *h = core->memory_alloc(sizeof *h);
    hm__clr_callback *callback = h ? hm__clr_callback_take(manager) : NULL;
    if (!callback) {
        core->memory_free(h, sizeof *h);
        return hm_error_set(err, HM_E_NOMEM, "bridge:clr",
                            "no private memory for a host");
    }
    table_fill(&h->table);
    h->base.vtbl = &h->table;
    h->manager = manager;
    h->callback = callback;
    h->references = 1;
    memcpy(h->where, "host:", 5);
    strncat(h->where, name ? name : "clr", sizeof(h->where) - 6);
    manager->lpVtbl->AddRef(manager);
    *out = &h->base;
    return HM_OK;
}
