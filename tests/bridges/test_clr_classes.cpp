/* SPDX-License-Identifier: MIT */
/* CLR hosting as a C++ program sees it: interfaces are classes, and a runtime and a host of its own are classes, too. */
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <hostmalloc/bridges/clr.h>
#include <hostmalloc/hostmalloc.h>

static int failures;

#define CHECK(condition)                                                 \
    do {                                                                 \
        if (!(condition)) {                                              \
            failures++;                                                  \
            std::fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
        }                                                                \
    } while (0)

/* The runtime's callback. */
class Callback : public ICLRMemoryNotificationCallback
{
  public:
    int calls = 0;
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID, void **object) override
    {
        *object = nullptr;
        return E_NOINTERFACE;
    }
    ULONG STDMETHODCALLTYPE AddRef() override
    {
        return 1;
    }
    ULONG STDMETHODCALLTYPE Release() override
    {
        return 1;
    }
    HRESULT STDMETHODCALLTYPE OnMemoryNotification(EMemoryAvailable) override
    {
        calls++;
        return S_OK;
    }
};

static void use_ours()
{
    hm_host *host;
    IHostControl *control = nullptr;
    IHostMemoryManager *manager = nullptr;
    IHostMalloc *heap = nullptr;
    void *object = nullptr;
    char file[] = "a.cpp";
    Callback callback;
    CHECK(hm_host_open("default", &host, nullptr) == HM_OK);
    CHECK(hm_clr_control_create(host, &control, nullptr) == HM_OK);
    CHECK(control->GetHostManager(IID_IHostMemoryManager, &object) == S_OK);
    manager = static_cast<IHostMemoryManager *>(object);
    CHECK(manager->QueryInterface(IID_IHostControl, &object) == S_OK &&
          object == control);
    CHECK(control->Release() == 2);
    CHECK(control->SetAppDomainManager(1, nullptr) == S_OK);
    CHECK(manager->RegisterMemoryNotificationCallback(&callback) == S_OK);
    CHECK(manager->CreateMalloc(MALLOC_THREADSAFE, &heap) == S_OK);
    void *block = nullptr;
    CHECK(heap->Alloc(10, eTaskCritical, &block) == S_OK && block);
    CHECK(heap->Free(block) == S_OK);
    CHECK(heap->DebugAlloc(10, eAppDomainCritical, file, 3, &block) == S_OK);
    CHECK(heap->Free(block) == S_OK && heap->Free(block) == HOST_E_INVALIDOPERATION);

    void *pages = nullptr;
    DWORD old = 0, percent = 101;
    SIZE_T written = 0, available = 0;
    MEMORY_BASIC_INFORMATION seen;
    CHECK(manager->VirtualAlloc(nullptr, 4096, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE,
                                eTaskCritical, &pages) == S_OK);
    CHECK(manager->VirtualProtect(pages, 4096, PAGE_READONLY, &old) == S_OK &&
          old == PAGE_READWRITE);
    CHECK(manager->VirtualQuery(pages, &seen, sizeof seen, &written) == S_OK &&
          seen.Protect == PAGE_READONLY);
    CHECK(manager->VirtualFree(pages, 0, MEM_RELEASE) == S_OK);
    CHECK(manager->GetMemoryLoad(&percent, &available) == S_OK && percent <= 100);
    manager->NeedsVirtualAddressSpace(nullptr, 0);
    CHECK(manager->AcquiredVirtualAddressSpace(nullptr, 0) == S_OK);
    CHECK(manager->ReleasedVirtualAddressSpace(nullptr) == S_OK);
    CHECK(hm_clr_check(manager, nullptr, nullptr) == 0);
    CHECK(manager->RegisterMemoryNotificationCallback(nullptr) == S_OK);
    CHECK(heap->Release() == 0 && manager->Release() == 1 && control->Release() == 0);
    hm_host_release(host);
}

/* A host's malloc, by std::malloc. */
class Heap : public IHostMalloc
{
  public:
    int live = 0;
    int line = 0;
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID, void **object) override
    {
        *object = nullptr;
        return E_NOINTERFACE;
    }
    ULONG STDMETHODCALLTYPE AddRef() override
    {
        return 1;
    }
    ULONG STDMETHODCALLTYPE Release() override
    {
        return 1;
    }
    HRESULT STDMETHODCALLTYPE Alloc(SIZE_T bytes,
                                    EMemoryCriticalLevel,
                                    void **block) override
    {
        *block = std::malloc(bytes ? bytes : 1);
        live += *block != nullptr;
        return *block ? S_OK : E_OUTOFMEMORY;
    }
    HRESULT STDMETHODCALLTYPE DebugAlloc(SIZE_T bytes,
                                         EMemoryCriticalLevel level,
                                         char *,
                                         int where,
                                         void **block) override
    {
        line = where;
        return Alloc(bytes, level, block);
    }
    HRESULT STDMETHODCALLTYPE Free(void *block) override
    {
        live -= block != nullptr;
        std::free(block);
        return S_OK;
    }
};

/* A host that has mallocs and nothing else. */
class Manager : public IHostMemoryManager
{
  public:
    Heap heap;
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID, void **object) override
    {
        *object = nullptr;
        return E_NOINTERFACE;
    }
    ULONG STDMETHODCALLTYPE AddRef() override
    {
        return 1;
    }
    ULONG STDMETHODCALLTYPE Release() override
    {
        return 1;
    }
    HRESULT STDMETHODCALLTYPE CreateMalloc(DWORD, IHostMalloc **object) override
    {
        *object = &heap;
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE
    VirtualAlloc(void *, SIZE_T, DWORD, DWORD, EMemoryCriticalLevel, void **) override
    {
        return E_OUTOFMEMORY;
    }
    HRESULT STDMETHODCALLTYPE VirtualFree(LPVOID, SIZE_T, DWORD) override
    {
        return HOST_E_INVALIDOPERATION;
    }
    HRESULT STDMETHODCALLTYPE VirtualQuery(void *, void *, SIZE_T, SIZE_T *) override
    {
        return E_NOTIMPL;
    }
    HRESULT STDMETHODCALLTYPE VirtualProtect(void *, SIZE_T, DWORD, DWORD *) override
    {
        return E_NOTIMPL;
    }
    HRESULT STDMETHODCALLTYPE GetMemoryLoad(DWORD *, SIZE_T *) override
    {
        return E_NOTIMPL;
    }
    HRESULT STDMETHODCALLTYPE
    RegisterMemoryNotificationCallback(ICLRMemoryNotificationCallback *) override
    {
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE NeedsVirtualAddressSpace(LPVOID, SIZE_T) override
    {
        return E_OUTOFMEMORY;
    }
    HRESULT STDMETHODCALLTYPE AcquiredVirtualAddressSpace(LPVOID, SIZE_T) override
    {
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE ReleasedVirtualAddressSpace(LPVOID) override
    {
        return S_OK;
    }
};

static void use_theirs()
{
    Manager manager;
    hm_host *host = nullptr;
    hm_malloc *m = nullptr;
    CHECK(hm_clr_host_create(&manager, "classes", &host, nullptr) == HM_OK);
    CHECK(hm_host_create_malloc(host, "m", HM_MALLOC_EXACT, &m, nullptr) == HM_OK);
    void *p = hm_debug_alloc(m, 10, HM_LEVEL_TASK, "x.cpp", 12);
    CHECK(p && manager.heap.live == 1 && manager.heap.line == 12);
    CHECK(hm_size_of(m, p) == 10);
    CHECK(hm_free(m, p) == HM_OK && manager.heap.live == 0);
    hm_malloc_release(m);
    hm_host_release(host);
}

int main()
{
    use_ours();
    use_theirs();
    return failures != 0;
}
