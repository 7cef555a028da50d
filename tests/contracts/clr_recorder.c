/* SPDX-License-Identifier: MIT */
#include "clr_recorder.h"

#include <stdlib.h>
#include <string.h>

static clr_recorder *of_control(IHostControl *self)
{
    return (clr_recorder *)self;
}

static clr_recorder *of_manager(IHostMemoryManager *self)
{
    return (clr_recorder *)((uintptr_t)self - offsetof(clr_recorder, manager));
}

static clr_recorder *of_heap(IHostMalloc *self)
{
    return (clr_recorder *)((uintptr_t)self - offsetof(clr_recorder, heap));
}

static HRESULT nothing_else(void **object)
{
    *object = NULL;
    return E_NOINTERFACE;
}

static HRESULT STDMETHODCALLTYPE control_query(IHostControl *self,
                                               REFIID riid,
                                               void **object)
{
    (void)self, (void)riid;
    return nothing_else(object);
}

static ULONG STDMETHODCALLTYPE control_add_ref(IHostControl *self)
{
    of_control(self)->control_adds++;
    return (ULONG)++of_control(self)->control_refs;
}

static ULONG STDMETHODCALLTYPE control_release(IHostControl *self)
{
    return (ULONG)--of_control(self)->control_refs;
}

static HRESULT STDMETHODCALLTYPE control_get(IHostControl *self,
                                             REFIID riid,
                                             void **object)
{
    clr_recorder *r = of_control(self);
    if (r->asked_count < 32) {
        r->asked[r->asked_count++] = *riid;
    }
    if (!hm_com_same_iid(riid, &hm_clr_iid_host_memory_manager)) {
        return nothing_else(object);
    }
    const int gives = !r->without && !FAILED(r->get_manager);
    *object = gives ? &r->manager : NULL;
    r->manager_refs += gives;
    return r->get_manager;
}

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
    (void)self, (void)riid;
    return nothing_else(object);
}

static ULONG STDMETHODCALLTYPE manager_add_ref(IHostMemoryManager *self)
{
    return (ULONG)++of_manager(self)->manager_refs;
}

static ULONG STDMETHODCALLTYPE manager_release(IHostMemoryManager *self)
{
    of_manager(self)->manager_releases++;
    return (ULONG)--of_manager(self)->manager_refs;
}

static HRESULT STDMETHODCALLTYPE manager_create(IHostMemoryManager *self,
                                                DWORD type,
                                                IHostMalloc **object)
{
    clr_recorder *r = of_manager(self);
    r->creates++;
    r->create_type = type;
    *object = FAILED(r->create) || r->without ? NULL : &r->heap;
    r->heap_refs += *object != NULL;
    return r->create;
}

static HRESULT STDMETHODCALLTYPE manager_alloc(IHostMemoryManager *self,
                                               void *address,
                                               SIZE_T bytes,
                                               DWORD type,
                                               DWORD protection,
                                               EMemoryCriticalLevel level,
                                               void **pages)
{
    clr_recorder *r = of_manager(self);
    (void)address, (void)type, (void)protection;
    r->level = level;
    r->bytes = bytes;
    *pages = NULL; /* and S_OK with it, where that is the answer */
    return r->alloc;
}

static HRESULT STDMETHODCALLTYPE manager_free(IHostMemoryManager *self,
                                              LPVOID address,
                                              SIZE_T bytes,
                                              DWORD type)
{
    (void)self, (void)address, (void)bytes, (void)type;
    return HOST_E_INVALIDOPERATION;
}

static HRESULT STDMETHODCALLTYPE manager_region(
    IHostMemoryManager *self, void *address, void *buffer, SIZE_T length, SIZE_T *written)
{
    (void)self, (void)address, (void)buffer, (void)length;
    *written = 0;
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE manager_protect(
    IHostMemoryManager *self, void *address, SIZE_T bytes, DWORD protection, DWORD *old)
{
    (void)self, (void)address, (void)bytes, (void)protection, (void)old;
    return S_FALSE;
}

static HRESULT STDMETHODCALLTYPE manager_load(IHostMemoryManager *self,
                                              DWORD *percent,
                                              SIZE_T *available)
{
    *percent = 77;
    *available = 7777;
    return of_manager(self)->load;
}

static HRESULT STDMETHODCALLTYPE
manager_register(IHostMemoryManager *self, ICLRMemoryNotificationCallback *callback)
{
    clr_recorder *r = of_manager(self);
    r->registrations++;
    r->creates_before_registration = r->creates;
    r->callback = callback; /* without a reference, as hosts do */
    return r->registration;
}

static HRESULT STDMETHODCALLTYPE manager_needs(IHostMemoryManager *self,
                                               LPVOID start,
                                               SIZE_T bytes)
{
    clr_recorder *r = of_manager(self);
    r->needs_calls++;
    r->needed = start;
    r->needed_bytes = bytes;
    return r->needs;
}

static HRESULT STDMETHODCALLTYPE manager_acquired(IHostMemoryManager *self,
                                                  LPVOID start,
                                                  SIZE_T bytes)
{
    clr_recorder *r = of_manager(self);
    r->acquired_calls++;
    r->acquired = start;
    r->acquired_bytes = bytes;
    return E_FAIL; /* which nobody looks at */
}

static HRESULT STDMETHODCALLTYPE manager_released(IHostMemoryManager *self, LPVOID start)
{
    clr_recorder *r = of_manager(self);
    r->released_calls++;
    r->released = start;
    return E_FAIL;
}

static HRESULT STDMETHODCALLTYPE heap_query(IHostMalloc *self, REFIID riid, void **object)
{
    (void)self, (void)riid;
    return nothing_else(object);
}

static ULONG STDMETHODCALLTYPE heap_add_ref(IHostMalloc *self)
{
    return (ULONG)++of_heap(self)->heap_refs;
}

static ULONG STDMETHODCALLTYPE heap_release(IHostMalloc *self)
{
    return (ULONG)--of_heap(self)->heap_refs;
}

static HRESULT STDMETHODCALLTYPE heap_alloc(IHostMalloc *self,
                                            SIZE_T bytes,
                                            EMemoryCriticalLevel level,
                                            void **block)
{
    clr_recorder *r = of_heap(self);
    r->allocs++;
    r->bytes = bytes;
    r->level = level;
    *block = NULL;
    if (FAILED(r->alloc) || (int)level <= (int)r->refuse_from) {
        return FAILED(r->alloc) ? r->alloc : E_OUTOFMEMORY;
    }
    *block = malloc(bytes ? bytes : 1);
    return *block ? r->alloc : E_OUTOFMEMORY;
}

static HRESULT STDMETHODCALLTYPE heap_debug_alloc(IHostMalloc *self,
                                                  SIZE_T bytes,
                                                  EMemoryCriticalLevel level,
                                                  char *file,
                                                  int line,
                                                  void **block)
{
    clr_recorder *r = of_heap(self);
    strncpy(r->file, file ? file : "", sizeof r->file - 1);
    r->line = line;
    return heap_alloc(self, bytes, level, block);
}

static HRESULT STDMETHODCALLTYPE heap_free(IHostMalloc *self, void *block)
{
    of_heap(self)->frees++;
    free(block);
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

static const IHostMallocVtbl heap_vtbl = {
    .QueryInterface = heap_query,
    .AddRef = heap_add_ref,
    .Release = heap_release,
    .Alloc = heap_alloc,
    .DebugAlloc = heap_debug_alloc,
    .Free = heap_free,
};

void clr_recorder_init(clr_recorder *r)
{
    memset(r, 0, sizeof *r);
    r->control.lpVtbl = &control_vtbl;
    r->manager.lpVtbl = &manager_vtbl;
    r->heap.lpVtbl = &heap_vtbl;
    r->control_refs = 1;
    r->manager_refs = 1;
    r->refuse_from = (EMemoryCriticalLevel)-1;
}
