/* SPDX-License-Identifier: MIT */
/* A runtime that asks for its memory by CLR hosting, on a host of ours: here the debug host, which says at the end which
 * lines of the runtime never gave back what they got. The runtime is a few lines of make-believe; a real one makes
 * the same calls, through the same tables. */
#include <stdio.h>
#include <string.h>

#define COBJMACROS
#include <hostmalloc/bridges/clr.h>
#include <hostmalloc/hostmalloc.h>

/* The runtime: all it knows of its host is what IHostControl answers. */

static IHostMemoryManager *manager;
static IHostMalloc *heap;

/* A low-memory notification is where a real one would collect. */
static HRESULT STDMETHODCALLTYPE query(ICLRMemoryNotificationCallback *self,
                                       REFIID riid,
                                       void **object)
{
    (void)self, (void)riid;
    *object = NULL;
    return E_NOINTERFACE;
}

static ULONG STDMETHODCALLTYPE count(ICLRMemoryNotificationCallback *self)
{
    (void)self;
    return 1;
}

static HRESULT STDMETHODCALLTYPE told(ICLRMemoryNotificationCallback *self,
                                      EMemoryAvailable available)
{
    (void)self;
    if (available == eMemoryAvailableLow) {
        printf("the runtime is told that memory is low\n");
    }
    return S_OK;
}

static const ICLRMemoryNotificationCallbackVtbl callback_vtbl = {query, count, count,
                                                                 told};
static ICLRMemoryNotificationCallback callback = {&callback_vtbl};

static int runtime_start(IHostControl *control)
{
    void *object = NULL;
    if (IHostControl_GetHostManager(control, &IID_IHostMemoryManager, &object) != S_OK) {
        return 0;
    }
    manager = object;
    if (IHostMemoryManager_CreateMalloc(manager, MALLOC_THREADSAFE, &heap) != S_OK) {
        return 0;
    }
    IHostMemoryManager_RegisterMemoryNotificationCallback(manager, &callback);
    return 1;
}

static void *get(SIZE_T bytes, EMemoryCriticalLevel level, const char *file, int line)
{
    void *block = NULL;
    return IHostMalloc_DebugAlloc(heap, bytes, level, (char *)(uintptr_t)file, line,
                                  &block) == S_OK
               ? block
               : NULL;
}

static void put(void *block)
{
    if (IHostMalloc_Free(heap, block) != S_OK) {
        printf("that was not a block of the heap\n");
    }
}

static void runtime_work(void)
{
    char on_stack[16];
    for (int i = 0; i < 3; i++) {
        char *type = get(48, eTaskCritical, "types.cpp", 120);
        char *name = get(16, eTaskCritical, "names.cpp", 77);
        strcpy(name, "System.String");
        put(type); /* and the name stays: the mistake */
    }
    put(on_stack + 8); /* another one, which is refused */

    /* The collector's heap: address space first, pages when they are needed. */
    void *space = NULL;
    void *page = NULL;
    IHostMemoryManager_VirtualAlloc(manager, NULL, 1 << 20, MEM_RESERVE, PAGE_READWRITE,
                                    eProcessCritical, &space);
    IHostMemoryManager_VirtualAlloc(manager, space, 4096, MEM_COMMIT, PAGE_READWRITE,
                                    eTaskCritical, &page);
    printf("the collector has %s\n", page && page == space ? "its first page" : "none");
    IHostMemoryManager_VirtualFree(manager, space, 0, MEM_RELEASE);

    void *much = get(1 << 20, eTaskCritical, "large.cpp", 5);
    printf("a megabyte at task level: %s\n", much ? "given" : "refused");
    put(much);
}

/* Its embedder. */

static int show(void *context, const hm_block *block)
{
    char place[64];
    (void)context;
    printf("live: %zu bytes from %s\n", block->requested,
           hm_site_text(block->site, 0, place, sizeof place));
    return 0;
}

int main(void)
{
    hm_host *host;
    hm_error err;
    IHostControl *control;
    if (hm_host_open("limit:hard=64K+debug", &host, &err) != HM_OK ||
        hm_clr_control_create(host, &control, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    hm_host_release(host);
    if (!runtime_start(control)) {
        return 1;
    }
    IHostControl_Release(control);
    runtime_work();

    /* A runtime releases neither its manager nor its heap; who embeds it can ask what is live, and release them. */
    hm_walk(hm_clr_malloc(heap), show, NULL);
    fflush(stdout);
    IHostMalloc_Release(heap);
    IHostMemoryManager_RegisterMemoryNotificationCallback(manager, NULL);
    IHostMemoryManager_Release(manager);
    return 0;
}

/* $ clr_host
 * that was not a block of the heap
 * the collector has its first page
 * the runtime is told that memory is low
 * a megabyte at task level: refused
 * live: 16 bytes from names.cpp:77
 * live: 16 bytes from names.cpp:77
 * live: 16 bytes from names.cpp:77
 * ==hostmalloc== ERROR #1 free of an address on this thread's stack (HM_E_NOT_OWNED), malloc "IHostMalloc"
 *   address      0xADDRESS
 *   freed here   clr:IHostMalloc, thread 1
 *   hint         a local variable goes by itself when its function returns
 * ==hostmalloc== malloc "IHostMalloc" was released with 3 blocks of 48 bytes live
 * ==hostmalloc== LEAK: blocks never freed
 *     blocks         bytes    share  site
 *          3            48   100.0%  names.cpp:77
 *          3            48           total of 1 site
 * ==hostmalloc== SUMMARY: 1 error, 3 blocks and 48 bytes leaked at 1 site
 */
