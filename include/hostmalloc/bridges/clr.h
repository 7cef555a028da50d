/* SPDX-License-Identifier: MIT */
/**
 * @file clr.h
 * @brief The bridge to CLR hosting: any host as IHostControl, IHostMemoryManager and IHostMalloc, and the reverse.
 *
 *     hm_clr_control_create(host, &control, &err);              a runtime that speaks these takes its memory from host
 *     ICLRRuntimeHost_SetHostControl(runtime, control);
 *
 *     hm_clr_host_create(manager, "name", &host, &err);         somebody's IHostMemoryManager, used as a host
 *
 * Scope of the hook: one runtime. Window: before the runtime starts. What the runtime does not tell: the size and the
 * thread of what it frees, and a line of source unless it calls DebugAlloc.
 *
 * What the documentation leaves open is answered so: a NULL place for a result, an unknown level and unknown flags
 * are E_INVALIDARG; every out parameter is NULL or 0 after a failure; ownership is exact on any host, so a foreign, interior
 * or freed pointer is HOST_E_INVALIDOPERATION and nothing happens; a block whose guard was overwritten is freed with S_OK,
 * because it was the caller's. E_FAIL is left to what the system refuses for no reason of the caller's.
 * Objects are counted and destroyed at 0. A runtime never releases the manager nor its mallocs, so these live
 * as long as the process; that is the hosting contract, not a leak of the bridge.
 *
 * The names of the platform are declared where the platform's own headers (mscoree.h) do not declare them.
 * Stable since 1.0: names, values and layouts are the platform's and never change.
 */
#ifndef HM_BRIDGES_CLR_H
#define HM_BRIDGES_CLR_H

#include <hostmalloc/bridges/com.h>
#include <hostmalloc/host.h>

#if defined(HM_COM_NATIVE) && defined(__has_include)
#if __has_include(<mscoree.h>)
#include <mscoree.h>
#endif
#if __has_include(<corerror.h>)
#include <corerror.h>
#endif
#endif

#ifndef HOST_E_DEADLOCK
#define HOST_E_DEADLOCK                  ((HRESULT)0x80131020u)
#define HOST_E_INTERRUPTED               ((HRESULT)0x80131021u)
#define HOST_E_INVALIDOPERATION          ((HRESULT)0x80131022u)
#define HOST_E_CLRNOTAVAILABLE           ((HRESULT)0x80131023u)
#define HOST_E_TIMEOUT                   ((HRESULT)0x80131024u)
#define HOST_E_NOT_OWNER                 ((HRESULT)0x80131025u)
#define HOST_E_ABANDONED                 ((HRESULT)0x80131026u)
#define HOST_E_EXITPROCESS_THREADABORT   ((HRESULT)0x80131027u)
#define HOST_E_EXITPROCESS_ADUNLOAD      ((HRESULT)0x80131028u)
#define HOST_E_EXITPROCESS_TIMEOUT       ((HRESULT)0x80131029u)
#define HOST_E_EXITPROCESS_OUTOFMEMORY   ((HRESULT)0x8013102au)
#define HOST_E_EXITPROCESS_STACKOVERFLOW ((HRESULT)0x8013102bu)
#endif

#ifndef HM_COM_NATIVE

#define FACILITY_URT 0x13

#define MEM_COMMIT      0x1000u
#define MEM_RESERVE     0x2000u
#define MEM_DECOMMIT    0x4000u
#define MEM_RELEASE     0x8000u
#define MEM_FREE        0x10000u
#define MEM_PRIVATE     0x20000u
#define MEM_MAPPED      0x40000u
#define MEM_RESET       0x80000u
#define MEM_TOP_DOWN    0x100000u
#define MEM_WRITE_WATCH 0x200000u
#define MEM_PHYSICAL    0x400000u
#define MEM_IMAGE       0x1000000u
#define MEM_RESET_UNDO  0x1000000u
#define MEM_LARGE_PAGES 0x20000000u

#define PAGE_NOACCESS          0x01u
#define PAGE_READONLY          0x02u
#define PAGE_READWRITE         0x04u
#define PAGE_WRITECOPY         0x08u
#define PAGE_EXECUTE           0x10u
#define PAGE_EXECUTE_READ      0x20u
#define PAGE_EXECUTE_READWRITE 0x40u
#define PAGE_EXECUTE_WRITECOPY 0x80u
#define PAGE_GUARD             0x100u
#define PAGE_NOCACHE           0x200u
#define PAGE_WRITECOMBINE      0x400u

/** What VirtualQuery writes: a run of pages with one state and protection. */
typedef struct _MEMORY_BASIC_INFORMATION {
    PVOID BaseAddress;
    PVOID AllocationBase;
    DWORD AllocationProtect;
    SIZE_T RegionSize;
    DWORD State;
    DWORD Protect;
    DWORD Type;
} MEMORY_BASIC_INFORMATION;
HM_STATIC_ASSERT(sizeof(MEMORY_BASIC_INFORMATION) == (sizeof(void *) == 8 ? 48 : 28),
                 "the platform's layout");

#endif

/* Per interface, because platforms differ in how many of these their mscoree.h has. */

#ifndef __IHostMemoryManager_INTERFACE_DEFINED__

/** How memory stands, as a host tells its runtime. */
typedef enum EMemoryAvailable {
    eMemoryAvailableLow = 1,
    eMemoryAvailableNeutral = 2,
    eMemoryAvailableHigh = 3
} EMemoryAvailable;

/** What breaks if an allocation fails; the values of hm_level. */
typedef enum EMemoryCriticalLevel {
    eTaskCritical = 0,
    eAppDomainCritical = 1,
    eProcessCritical = 2
} EMemoryCriticalLevel;

/** Bits of CreateMalloc's first argument, which once was a BOOL. */
typedef enum MALLOC_TYPE { MALLOC_THREADSAFE = 0x1, MALLOC_EXECUTABLE = 0x2 } MALLOC_TYPE;

#endif

#ifndef __ICLRPolicyManager_INTERFACE_DEFINED__

typedef enum EClrFailure {
    FAIL_NonCriticalResource,
    FAIL_CriticalResource,
    FAIL_FatalRuntime,
    FAIL_OrphanedLock,
    FAIL_StackOverflow,
    FAIL_AccessViolation,
    FAIL_CodeContract,
    MaxClrFailure
} EClrFailure;

/** What a runtime does about a failure, in order of severity. */
typedef enum EPolicyAction {
    eNoAction,
    eThrowException,
    eAbortThread,
    eRudeAbortThread,
    eUnloadAppDomain,
    eRudeUnloadAppDomain,
    eExitProcess,
    eFastExitProcess,
    eRudeExitProcess,
    eDisableRuntime,
    MaxPolicyAction
} EPolicyAction;

#endif

typedef struct IHostControl IHostControl;
typedef struct IHostMemoryManager IHostMemoryManager;
typedef struct IHostMalloc IHostMalloc;
typedef struct ICLRMemoryNotificationCallback ICLRMemoryNotificationCallback;
typedef struct ICLRControl ICLRControl;
typedef struct ICLRRuntimeHost ICLRRuntimeHost;

/* One declaration serves both languages: a class of pure virtual functions, or a table of functions. */
#ifdef HM_COM_CLASSES
#define HM__CLR_INTERFACE(name) struct name : public IUnknown
#define HM__CLR_METHOD(result, method, self, ...) \
    virtual result STDMETHODCALLTYPE method(__VA_ARGS__) = 0;
#define HM__CLR_PLAIN_METHOD(result, method, self) \
    virtual result STDMETHODCALLTYPE method() = 0;
#define HM__CLR_END(name, slots)
#else
#define HM__CLR_INTERFACE(name)           \
    typedef struct name##Vtbl name##Vtbl; \
    struct name {                         \
        const name##Vtbl *lpVtbl;         \
    };                                    \
    struct name##Vtbl
#define HM__CLR_METHOD(result, method, self, ...) \
    result(STDMETHODCALLTYPE *method)(self * This, __VA_ARGS__);
#define HM__CLR_PLAIN_METHOD(result, method, self) \
    result(STDMETHODCALLTYPE *method)(self * This);
#define HM__CLR_END(name, slots)                                             \
    HM_STATIC_ASSERT(sizeof(name##Vtbl) == (slots) * sizeof(void (*)(void)), \
                     #slots " slots");
#endif
#ifdef HM_COM_CLASSES
#define HM__CLR_UNKNOWN(self)
#else
#define HM__CLR_UNKNOWN(self)                                      \
    HM__CLR_METHOD(HRESULT, QueryInterface, self, REFIID, void **) \
    HM__CLR_PLAIN_METHOD(ULONG, AddRef, self)                      \
    HM__CLR_PLAIN_METHOD(ULONG, Release, self)
#endif

/* clang-format off */
#ifndef __IHostControl_INTERFACE_DEFINED__
/** Made by a host: where a runtime asks for the managers it may use. */
HM__CLR_INTERFACE(IHostControl) {
    HM__CLR_UNKNOWN(IHostControl)
    /** Supported: S_OK and a reference. Else E_NOINTERFACE and NULL. */
    HM__CLR_METHOD(HRESULT, GetHostManager, IHostControl, REFIID riid, void **object)
    HM__CLR_METHOD(HRESULT, SetAppDomainManager, IHostControl, DWORD domain, IUnknown *manager)
};
HM__CLR_END(IHostControl, 5)
#endif

#ifndef __IHostMalloc_INTERFACE_DEFINED__
/** Made by a host: blocks of bytes. */
HM__CLR_INTERFACE(IHostMalloc) {
    HM__CLR_UNKNOWN(IHostMalloc)
    HM__CLR_METHOD(HRESULT, Alloc, IHostMalloc, SIZE_T bytes, EMemoryCriticalLevel level, void **block)
    /** @p file is copied, NULL allowed. */
    HM__CLR_METHOD(HRESULT, DebugAlloc, IHostMalloc, SIZE_T bytes, EMemoryCriticalLevel level, char *file, int line,
                   void **block)
    HM__CLR_METHOD(HRESULT, Free, IHostMalloc, void *block)
};
HM__CLR_END(IHostMalloc, 6)
#endif

#ifndef __ICLRMemoryNotificationCallback_INTERFACE_DEFINED__
/** Made by a runtime: its host says how memory stands. Never blocks. */
HM__CLR_INTERFACE(ICLRMemoryNotificationCallback) {
    HM__CLR_UNKNOWN(ICLRMemoryNotificationCallback)
    HM__CLR_METHOD(HRESULT, OnMemoryNotification, ICLRMemoryNotificationCallback, EMemoryAvailable available)
};
HM__CLR_END(ICLRMemoryNotificationCallback, 4)
#endif

#ifndef __IHostMemoryManager_INTERFACE_DEFINED__
/** Made by a host: mallocs, pages, and how memory stands. */
HM__CLR_INTERFACE(IHostMemoryManager) {
    HM__CLR_UNKNOWN(IHostMemoryManager)
    HM__CLR_METHOD(HRESULT, CreateMalloc, IHostMemoryManager, DWORD type, IHostMalloc **object)
    HM__CLR_METHOD(HRESULT, VirtualAlloc, IHostMemoryManager, void *address, SIZE_T bytes, DWORD type, DWORD protection,
                   EMemoryCriticalLevel level, void **pages)
    HM__CLR_METHOD(HRESULT, VirtualFree, IHostMemoryManager, LPVOID address, SIZE_T bytes, DWORD type)
    /** Never waits for another thread. */
    HM__CLR_METHOD(HRESULT, VirtualQuery, IHostMemoryManager, void *address, void *buffer, SIZE_T length, SIZE_T *written)
    HM__CLR_METHOD(HRESULT, VirtualProtect, IHostMemoryManager, void *address, SIZE_T bytes, DWORD protection, DWORD *old)
    HM__CLR_METHOD(HRESULT, GetMemoryLoad, IHostMemoryManager, DWORD *percent, SIZE_T *available)
    HM__CLR_METHOD(HRESULT, RegisterMemoryNotificationCallback, IHostMemoryManager,
                   ICLRMemoryNotificationCallback *callback)
    HM__CLR_METHOD(HRESULT, NeedsVirtualAddressSpace, IHostMemoryManager, LPVOID start, SIZE_T bytes)
    HM__CLR_METHOD(HRESULT, AcquiredVirtualAddressSpace, IHostMemoryManager, LPVOID start, SIZE_T bytes)
    HM__CLR_METHOD(HRESULT, ReleasedVirtualAddressSpace, IHostMemoryManager, LPVOID start)
};
HM__CLR_END(IHostMemoryManager, 13)
#endif

#ifndef __ICLRControl_INTERFACE_DEFINED__
HM__CLR_INTERFACE(ICLRControl) {
    HM__CLR_UNKNOWN(ICLRControl)
    HM__CLR_METHOD(HRESULT, GetCLRManager, ICLRControl, REFIID riid, void **object)
    HM__CLR_METHOD(HRESULT, SetAppDomainManagerType, ICLRControl, LPCWSTR assembly, LPCWSTR type)
};
HM__CLR_END(ICLRControl, 5)
#endif

#ifndef __ICLRRuntimeHost_INTERFACE_DEFINED__
typedef HRESULT(STDMETHODCALLTYPE *FExecuteInAppDomainCallback)(void *cookie);
/** Made by a runtime: where its embedder starts. */
HM__CLR_INTERFACE(ICLRRuntimeHost) {
    HM__CLR_UNKNOWN(ICLRRuntimeHost)
    HM__CLR_PLAIN_METHOD(HRESULT, Start, ICLRRuntimeHost)
    HM__CLR_PLAIN_METHOD(HRESULT, Stop, ICLRRuntimeHost)
    /** Before Start; E_ACCESSDENIED after it. */
    HM__CLR_METHOD(HRESULT, SetHostControl, ICLRRuntimeHost, IHostControl *control)
    HM__CLR_METHOD(HRESULT, GetCLRControl, ICLRRuntimeHost, ICLRControl **control)
    HM__CLR_METHOD(HRESULT, UnloadAppDomain, ICLRRuntimeHost, DWORD domain, BOOL wait)
    HM__CLR_METHOD(HRESULT, ExecuteInAppDomain, ICLRRuntimeHost, DWORD domain, FExecuteInAppDomainCallback callback,
                   void *cookie)
    HM__CLR_METHOD(HRESULT, GetCurrentAppDomainId, ICLRRuntimeHost, DWORD *domain)
    HM__CLR_METHOD(HRESULT, ExecuteApplication, ICLRRuntimeHost, LPCWSTR name, DWORD paths, LPCWSTR *path, DWORD data,
                   LPCWSTR *datum, int *result)
    HM__CLR_METHOD(HRESULT, ExecuteInDefaultAppDomain, ICLRRuntimeHost, LPCWSTR assembly, LPCWSTR type, LPCWSTR method,
                   LPCWSTR argument, DWORD *result)
};
HM__CLR_END(ICLRRuntimeHost, 12)
#endif
/* clang-format on */

#if defined(COBJMACROS) && !defined(HM_COM_CLASSES)
#ifndef __IHostControl_INTERFACE_DEFINED__
#define IHostControl_QueryInterface(self, riid, object) \
    (self)->lpVtbl->QueryInterface(self, riid, object)
#define IHostControl_AddRef(self)  (self)->lpVtbl->AddRef(self)
#define IHostControl_Release(self) (self)->lpVtbl->Release(self)
#define IHostControl_GetHostManager(self, riid, object) \
    (self)->lpVtbl->GetHostManager(self, riid, object)
#define IHostControl_SetAppDomainManager(self, domain, manager) \
    (self)->lpVtbl->SetAppDomainManager(self, domain, manager)
#endif
#ifndef __IHostMalloc_INTERFACE_DEFINED__
#define IHostMalloc_QueryInterface(self, riid, object) \
    (self)->lpVtbl->QueryInterface(self, riid, object)
#define IHostMalloc_AddRef(self)  (self)->lpVtbl->AddRef(self)
#define IHostMalloc_Release(self) (self)->lpVtbl->Release(self)
#define IHostMalloc_Alloc(self, bytes, level, block) \
    (self)->lpVtbl->Alloc(self, bytes, level, block)
#define IHostMalloc_DebugAlloc(self, bytes, level, file, line, block) \
    (self)->lpVtbl->DebugAlloc(self, bytes, level, file, line, block)
#define IHostMalloc_Free(self, block) (self)->lpVtbl->Free(self, block)
#endif
#ifndef __ICLRMemoryNotificationCallback_INTERFACE_DEFINED__
#define ICLRMemoryNotificationCallback_QueryInterface(self, riid, object) \
    (self)->lpVtbl->QueryInterface(self, riid, object)
#define ICLRMemoryNotificationCallback_AddRef(self)  (self)->lpVtbl->AddRef(self)
#define ICLRMemoryNotificationCallback_Release(self) (self)->lpVtbl->Release(self)
#define ICLRMemoryNotificationCallback_OnMemoryNotification(self, available) \
    (self)->lpVtbl->OnMemoryNotification(self, available)
#endif
#ifndef __IHostMemoryManager_INTERFACE_DEFINED__
#define IHostMemoryManager_QueryInterface(self, riid, object) \
    (self)->lpVtbl->QueryInterface(self, riid, object)
#define IHostMemoryManager_AddRef(self)  (self)->lpVtbl->AddRef(self)
#define IHostMemoryManager_Release(self) (self)->lpVtbl->Release(self)
#define IHostMemoryManager_CreateMalloc(self, type, object) \
    (self)->lpVtbl->CreateMalloc(self, type, object)
#define IHostMemoryManager_VirtualAlloc(self, address, bytes, type, protection, level, \
                                        pages)                                         \
    (self)->lpVtbl->VirtualAlloc(self, address, bytes, type, protection, level, pages)
#define IHostMemoryManager_VirtualFree(self, address, bytes, type) \
    (self)->lpVtbl->VirtualFree(self, address, bytes, type)
#define IHostMemoryManager_VirtualQuery(self, address, buffer, length, written) \
    (self)->lpVtbl->VirtualQuery(self, address, buffer, length, written)
#define IHostMemoryManager_VirtualProtect(self, address, bytes, protection, old) \
    (self)->lpVtbl->VirtualProtect(self, address, bytes, protection, old)
#define IHostMemoryManager_GetMemoryLoad(self, percent, available) \
    (self)->lpVtbl->GetMemoryLoad(self, percent, available)
#define IHostMemoryManager_RegisterMemoryNotificationCallback(self, callback) \
    (self)->lpVtbl->RegisterMemoryNotificationCallback(self, callback)
#define IHostMemoryManager_NeedsVirtualAddressSpace(self, start, bytes) \
    (self)->lpVtbl->NeedsVirtualAddressSpace(self, start, bytes)
#define IHostMemoryManager_AcquiredVirtualAddressSpace(self, start, bytes) \
    (self)->lpVtbl->AcquiredVirtualAddressSpace(self, start, bytes)
#define IHostMemoryManager_ReleasedVirtualAddressSpace(self, start) \
    (self)->lpVtbl->ReleasedVirtualAddressSpace(self, start)
#endif
#ifndef __ICLRRuntimeHost_INTERFACE_DEFINED__
#define ICLRRuntimeHost_QueryInterface(self, riid, object) \
    (self)->lpVtbl->QueryInterface(self, riid, object)
#define ICLRRuntimeHost_AddRef(self)  (self)->lpVtbl->AddRef(self)
#define ICLRRuntimeHost_Release(self) (self)->lpVtbl->Release(self)
#define ICLRRuntimeHost_Start(self)   (self)->lpVtbl->Start(self)
#define ICLRRuntimeHost_Stop(self)    (self)->lpVtbl->Stop(self)
#define ICLRRuntimeHost_SetHostControl(self, control) \
    (self)->lpVtbl->SetHostControl(self, control)
#endif
#endif

HM_BEGIN_DECLS

/* Interface identifiers, here on every platform; those of a platform's headers have the same values. */
extern const IID hm_clr_iid_host_control;
extern const IID hm_clr_iid_host_memory_manager;
extern const IID hm_clr_iid_host_malloc;
extern const IID hm_clr_iid_memory_notification_callback;
extern const IID hm_clr_iid_clr_control;
extern const IID hm_clr_iid_runtime_host;
/* The other managers a runtime asks for, in the order in which it asks. */
extern const IID hm_clr_iid_host_task_manager;
extern const IID hm_clr_iid_host_threadpool_manager;
extern const IID hm_clr_iid_host_io_completion_manager;
extern const IID hm_clr_iid_host_sync_manager;
extern const IID hm_clr_iid_host_assembly_manager;
extern const IID hm_clr_iid_host_gc_manager;
extern const IID hm_clr_iid_host_security_manager;
extern const IID hm_clr_iid_host_policy_manager;

/**
 * @p host as a host control, which gives out its memory manager: by GetHostManager, and by QueryInterface, because both
 * are one object. Other managers are refused, so that the runtime uses its own. The object references @p host.
 * @param[out] out one reference, or NULL
 * @return HM_E_INVALID for a NULL or broken @p host or a NULL @p out; HM_E_NOMEM
 * @threads any
 */
hm_status hm_clr_control_create(hm_host *host, IHostControl **out, hm_error *err);

/** The malloc behind an object that hm_clr_control_create()'s manager made, without a reference, to ask what is live
    and from which line; NULL for NULL and for somebody else's object. @threads any */
hm_malloc *hm_clr_malloc(IHostMalloc *object);

/**
 * Somebody's memory manager as a host, which references it. Its mallocs have every slot: sizes, ownership, alignment,
 * realloc, limits and scopes are added here, in a header before each block. A site arrives there as
 * DebugAlloc's file and line, a level as the level; pages, load, notifications and address space are passed on.
 * Only exactly S_OK is success, as for the runtime, except where that accepts more. The callback that is registered
 * there at the first subscription is never freed, because managers keep it without a reference.
 * @param name for reports; copied; NULL is "clr"
 * @param[out] out one reference, or NULL
 * @return HM_E_INVALID for a NULL @p manager or @p out; HM_E_NOMEM
 * @threads any
 */
hm_status hm_clr_host_create(IHostMemoryManager *manager,
                             const char *name,
                             hm_host **out,
                             hm_error *err);

/**
 * Does a memory manager do what a runtime relies on without looking? Allocates, frees, reserves and commits a little.
 * @param tell called with each clause that does not hold; NULL allowed
 * @return how many did not; at least 1 for a NULL @p manager
 * @threads any
 */
int hm_clr_check(IHostMemoryManager *manager,
                 void (*tell)(void *context, const char *clause),
                 void *context);

HM_END_DECLS

#ifndef __IHostControl_INTERFACE_DEFINED__
#define IID_IHostControl hm_clr_iid_host_control
#endif
#ifndef __IHostMemoryManager_INTERFACE_DEFINED__
#define IID_IHostMemoryManager hm_clr_iid_host_memory_manager
#endif
#ifndef __IHostMalloc_INTERFACE_DEFINED__
#define IID_IHostMalloc hm_clr_iid_host_malloc
#endif
#ifndef __ICLRMemoryNotificationCallback_INTERFACE_DEFINED__
#define IID_ICLRMemoryNotificationCallback hm_clr_iid_memory_notification_callback
#endif
#ifndef __ICLRControl_INTERFACE_DEFINED__
#define IID_ICLRControl hm_clr_iid_clr_control
#endif
#ifndef __ICLRRuntimeHost_INTERFACE_DEFINED__
#define IID_ICLRRuntimeHost hm_clr_iid_runtime_host
#endif

#endif
