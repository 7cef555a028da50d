/* SPDX-License-Identifier: MIT */
/* The simulated runtime as its embedder sees it: ICLRRuntimeHost, and how it finds its managers. */
#include "sim_clr.h"

#include <stdlib.h>
#include <string.h>

static sim_clr *of(ICLRRuntimeHost *self)
{
    return (sim_clr *)self;
}

static HRESULT STDMETHODCALLTYPE host_query(ICLRRuntimeHost *self,
                                            REFIID riid,
                                            void **object)
{
    if (!object) {
        return E_POINTER;
    }
    const int known = hm_com_same_iid(riid, &IID_IUnknown) ||
                      hm_com_same_iid(riid, &hm_clr_iid_runtime_host);
    *object = known ? self : NULL;
    return known ? S_OK : E_NOINTERFACE;
}

/* The embedder's struct, which lives until it says sim_clr_fini(). */
static ULONG STDMETHODCALLTYPE host_count(ICLRRuntimeHost *self)
{
    (void)self;
    return 1;
}

static HRESULT available(const sim_clr *clr)
{
    return __atomic_load_n(&clr->disabled, __ATOMIC_ACQUIRE) ? HOST_E_CLRNOTAVAILABLE
                                                             : S_OK;
}

static HRESULT STDMETHODCALLTYPE host_start(ICLRRuntimeHost *self)
{
    sim_clr *clr = of(self);
    const HRESULT result = available(clr);
    if (result == S_OK) {
        __atomic_add_fetch(&clr->starts, 1, __ATOMIC_ACQ_REL);
        __atomic_store_n(&clr->started, 1, __ATOMIC_RELEASE);
    }
    return result;
}

/* The last one shuts the runtime down. Manager and malloc stay: code of the runtime may still free. */
static HRESULT STDMETHODCALLTYPE host_stop(ICLRRuntimeHost *self)
{
    sim_clr *clr = of(self);
    if (__atomic_load_n(&clr->starts, __ATOMIC_ACQUIRE) == 0) {
        return HOST_E_CLRNOTAVAILABLE;
    }
    if (__atomic_sub_fetch(&clr->starts, 1, __ATOMIC_ACQ_REL) == 0) {
        IHostControl *control = clr->control;
        clr->control = NULL;
        __atomic_store_n(&clr->disabled, 1, __ATOMIC_RELEASE);
        if (control) {
            IHostControl_Release(control);
        }
    }
    return S_OK;
}

/* 1: taken, or there is none and the runtime uses its own memory. */
static int take_memory(sim_clr *clr, IHostControl *control)
{
    void *object = NULL;
    IHostMalloc *heap = NULL;
    if (clr->manager ||
        control->lpVtbl->GetHostManager(control, &hm_clr_iid_host_memory_manager,
                                        &object) != S_OK ||
        !object) {
        return 1;
    }
    IHostMemoryManager *manager = object;
    if (IHostMemoryManager_CreateMalloc(manager, MALLOC_THREADSAFE, &heap) != S_OK) {
        IHostMemoryManager_Release(manager);
        return 0;
    }
    (void)IHostMemoryManager_RegisterMemoryNotificationCallback(manager, &clr->callback);
    clr->manager = manager;
    clr->heap = heap;
    return 1;
}

static void take_others(sim_clr *clr, IHostControl *control)
{
    static const IID *const order[SIM_CLR_OTHERS] = {
        &hm_clr_iid_host_task_manager,          &hm_clr_iid_host_threadpool_manager,
        &hm_clr_iid_host_io_completion_manager, &hm_clr_iid_host_sync_manager,
        &hm_clr_iid_host_assembly_manager,      &hm_clr_iid_host_gc_manager,
        &hm_clr_iid_host_security_manager,      &hm_clr_iid_host_policy_manager};
    for (int i = 0; i < SIM_CLR_OTHERS; i++) {
        void *object = NULL;
        if (!clr->others[i] &&
            control->lpVtbl->GetHostManager(control, order[i], &object) == S_OK) {
            clr->others[i] = object;
        }
    }
}

static HRESULT STDMETHODCALLTYPE host_set_control(ICLRRuntimeHost *self,
                                                  IHostControl *control)
{
    const hm_core *core = hm_core_table();
    sim_clr *clr = of(self);
    if (clr->v1_hosted) {
        return HOST_E_INVALIDOPERATION;
    }
    if (!control) {
        return E_INVALIDARG;
    }
    if (__atomic_load_n(&clr->started, __ATOMIC_ACQUIRE)) {
        return E_ACCESSDENIED;
    }
    core->lock(&clr->lock);
    const int taken = take_memory(clr, control);
    if (taken) {
        take_others(clr, control);
        if (!clr->control) {
            IHostControl_AddRef(control);
            clr->control = control;
        }
    }
    core->unlock(&clr->lock);
    return taken ? S_OK : E_UNEXPECTED;
}

static HRESULT STDMETHODCALLTYPE host_get_control(ICLRRuntimeHost *self,
                                                  ICLRControl **control)
{
    (void)self;
    if (!control) {
        return E_POINTER;
    }
    *control = NULL;
    return E_NOTIMPL;
}

static HRESULT STDMETHODCALLTYPE host_unload(ICLRRuntimeHost *self,
                                             DWORD domain,
                                             BOOL wait)
{
    (void)domain, (void)wait;
    return available(of(self));
}

static HRESULT STDMETHODCALLTYPE host_execute_in(ICLRRuntimeHost *self,
                                                 DWORD domain,
                                                 FExecuteInAppDomainCallback callback,
                                                 void *cookie)
{
    sim_clr *clr = of(self);
    if (!callback) {
        return E_POINTER;
    }
    if (!__atomic_load_n(&clr->starts, __ATOMIC_ACQUIRE) || available(clr) != S_OK) {
        return HOST_E_CLRNOTAVAILABLE;
    }
    const uint32_t before = sim_clr_domain_enter(domain);
    const HRESULT result = callback(cookie);
    sim_clr_domain_enter(before);
    return result;
}

static HRESULT STDMETHODCALLTYPE host_current(ICLRRuntimeHost *self, DWORD *domain)
{
    if (!domain) {
        return E_POINTER;
    }
    *domain = sim_clr_domain_enter(SIM_CLR_DEFAULT_DOMAIN);
    sim_clr_domain_enter(*domain);
    return available(of(self));
}

static HRESULT STDMETHODCALLTYPE host_application(ICLRRuntimeHost *self,
                                                  LPCWSTR name,
                                                  DWORD paths,
                                                  LPCWSTR *path,
                                                  DWORD data,
                                                  LPCWSTR *datum,
                                                  int *result)
{
    (void)self, (void)name, (void)paths, (void)path, (void)data, (void)datum;
    (void)result;
    return E_NOTIMPL; /* there is no code to run */
}

static HRESULT STDMETHODCALLTYPE host_execute(ICLRRuntimeHost *self,
                                              LPCWSTR assembly,
                                              LPCWSTR type,
                                              LPCWSTR method,
                                              LPCWSTR argument,
                                              DWORD *result)
{
    (void)self, (void)assembly, (void)type, (void)method, (void)argument, (void)result;
    return E_NOTIMPL; /* there is no code to run */
}

static const ICLRRuntimeHostVtbl host_vtbl = {
    .QueryInterface = host_query,
    .AddRef = host_count,
    .Release = host_count,
    .Start = host_start,
    .Stop = host_stop,
    .SetHostControl = host_set_control,
    .GetCLRControl = host_get_control,
    .UnloadAppDomain = host_unload,
    .ExecuteInAppDomain = host_execute_in,
    .GetCurrentAppDomainId = host_current,
    .ExecuteApplication = host_application,
    .ExecuteInDefaultAppDomain = host_execute,
};

static HRESULT STDMETHODCALLTYPE callback_query(ICLRMemoryNotificationCallback *self,
                                                REFIID riid,
                                                void **object)
{
    if (!hm_com_same_iid(riid, &IID_IUnknown) &&
        !hm_com_same_iid(riid, &hm_clr_iid_memory_notification_callback)) {
        return E_NOINTERFACE; /* and leaves *object, as the runtime does */
    }
    *object = self;
    return S_OK;
}

static ULONG STDMETHODCALLTYPE callback_count(ICLRMemoryNotificationCallback *self)
{
    (void)self;
    return 1;
}

/* Only flags it: the finalizer collects when it comes round. */
static HRESULT STDMETHODCALLTYPE callback_told(ICLRMemoryNotificationCallback *self,
                                               EMemoryAvailable how)
{
    const hm_core *core = hm_core_table();
    sim_clr *clr = (sim_clr *)((uintptr_t)self - offsetof(sim_clr, callback));
    if (!__atomic_load_n(&clr->started, __ATOMIC_ACQUIRE)) {
        return S_OK;
    }
    if (how != eMemoryAvailableLow) {
        __atomic_store_n(&clr->low_memory, 0, __ATOMIC_RELEASE);
        return S_OK;
    }
    __atomic_add_fetch(&clr->low_memory, 1, __ATOMIC_ACQ_REL);
    const uint64_t now = __atomic_load_n(&clr->now_ms, __ATOMIC_ACQUIRE);
    core->lock(&clr->lock);
    if (!clr->wakes || now - clr->last_wake_ms >= SIM_CLR_WAKE_MS) {
        clr->last_wake_ms = now;
        __atomic_add_fetch(&clr->wakes, 1, __ATOMIC_ACQ_REL);
    }
    core->unlock(&clr->lock);
    return S_OK;
}

static const ICLRMemoryNotificationCallbackVtbl callback_vtbl = {
    .QueryInterface = callback_query,
    .AddRef = callback_count,
    .Release = callback_count,
    .OnMemoryNotification = callback_told,
};

void sim_clr_init(sim_clr *clr)
{
    memset(clr, 0, sizeof *clr);
    clr->base.lpVtbl = &host_vtbl;
    clr->callback.lpVtbl = &callback_vtbl;
    clr->os_load = 50;
    clr->os_available = (SIZE_T)1 << 30;
    clr->address_limit = SIZE_MAX;
    for (int i = 0; i < MaxClrFailure; i++) {
        clr->actions[i] = eThrowException;
    }
}

void sim_clr_fini(sim_clr *clr)
{
    for (uint32_t i = 0; i < clr->early_count; i++) {
        free(clr->early[i]);
    }
    clr->early_count = 0;
}
