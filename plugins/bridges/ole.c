/* SPDX-License-Identifier: MIT */
/* Task memory: one malloc for the process, behind functions and behind the one IMalloc object.
 *
 * Nobody pays for the spy: calls go to the malloc through the heap's variable, which holds the spied malloc
 * while somebody spies and the bare one otherwise. */
#include "ole_internal.h"

#include "heap_internal.h"
#include "spied_internal.h"

static hm__heap task = HM__HEAP(task, "task memory", "bridge:ole");

/* Over task.exact; made for the first spy and kept. Atomic. */
static hm_malloc *task_spied;

enum { SITE_GET, SITE_ALLOC, SITE_REALLOC, SITE_FREE, SITE_OBJECT, SITE_SPY };

/* Who asks, when no line of source came along. */
static hm_site sites[] = {
    {"ole:CoGetMalloc", NULL, 0, 0},      {"ole:CoTaskMemAlloc", NULL, 0, 0},
    {"ole:CoTaskMemRealloc", NULL, 0, 0}, {"ole:CoTaskMemFree", NULL, 0, 0},
    {"ole:IMalloc", NULL, 0, 0},          {"ole:CoRegisterMallocSpy", NULL, 0, 0},
};

static int is_spied(const hm_malloc *m)
{
    return m == __atomic_load_n(&task_spied, __ATOMIC_ACQUIRE);
}

static inline void *task_alloc(SIZE_T bytes, hm_site *site)
{
    hm_malloc *m = hm__heap_malloc(&task, site);
    return m ? hm_alloc_at(m, bytes, HM_LEVEL_CURRENT, site) : NULL;
}

/* The debug pair asks whose the block is, where a plain free would believe it. */
static inline void task_free(void *block, hm_site *site)
{
    hm_malloc *m = block ? hm__heap_now(&task) : NULL;
    if (m) {
        (void)HM_LOAD(m->vtbl)->debug_free(m, block, HM_SIZE_UNKNOWN, 0, site);
    }
}

static void *task_realloc(void *block, SIZE_T bytes, hm_site *site)
{
    hm_malloc *m = hm__heap_malloc(&task, site);
    if (!m) {
        return NULL;
    }
    if (is_spied(m)) {
        return hm_spied_resize(m, block, bytes, site);
    }
    if (!block) {
        return hm_alloc_at(m, bytes, HM_LEVEL_CURRENT, site);
    }
    if (!bytes) {
        task_free(block, site);
        return NULL;
    }
    /* A debugging malloc looks by itself, and has something to say about a stranger. */
    if (!(m->flags & HM_MALLOC_DEBUG) && hm_owns(m, block) == 0) {
        return NULL;
    }
    return hm_realloc_at(m, block, HM_SIZE_UNKNOWN, bytes, HM_LEVEL_CURRENT, site);
}

static HRESULT STDMETHODCALLTYPE malloc_query(IMalloc *self, REFIID riid, void **object)
{
    if (!object) {
        return E_POINTER;
    }
    const int known =
        hm_com_same_iid(riid, &IID_IUnknown) || hm_com_same_iid(riid, &IID_IMalloc);
    *object = known ? self : NULL;
    return known ? S_OK : E_NOINTERFACE;
}

/* The task allocator lives as long as the process; the counts are those of a singleton that somebody holds. */
static ULONG STDMETHODCALLTYPE malloc_add_ref(IMalloc *self)
{
    (void)self;
    return 2;
}

static ULONG STDMETHODCALLTYPE malloc_release(IMalloc *self)
{
    (void)self;
    return 1;
}

static void *STDMETHODCALLTYPE malloc_alloc(IMalloc *self, SIZE_T bytes)
{
    (void)self;
    return task_alloc(bytes, &sites[SITE_OBJECT]);
}

static void *STDMETHODCALLTYPE malloc_realloc(IMalloc *self, void *block, SIZE_T bytes)
{
    (void)self;
    return task_realloc(block, bytes, &sites[SITE_OBJECT]);
}

static void STDMETHODCALLTYPE malloc_free(IMalloc *self, void *block)
{
    (void)self;
    task_free(block, &sites[SITE_OBJECT]);
}

static SIZE_T STDMETHODCALLTYPE malloc_get_size(IMalloc *self, void *block)
{
    (void)self;
    hm_malloc *m = block ? hm__heap_now(&task) : NULL;
    if (!m) {
        return HM_SIZE_UNKNOWN;
    }
    return is_spied(m) ? hm_spied_size(m, block) : hm__malloc_bytes(m, block);
}

static int STDMETHODCALLTYPE malloc_did_alloc(IMalloc *self, void *block)
{
    (void)self;
    if (!block) {
        return -1;
    }
    hm_malloc *m = hm__heap_now(&task);
    return m ? hm_owns(m, block) : 0;
}

static void STDMETHODCALLTYPE malloc_heap_minimize(IMalloc *self)
{
    (void)self;
    hm_malloc *m = hm__heap_now(&task);
    if (m) {
        hm_malloc_trim(m);
    }
}

static const IMallocVtbl malloc_vtbl = {
    .QueryInterface = malloc_query,
    .AddRef = malloc_add_ref,
    .Release = malloc_release,
    .Alloc = malloc_alloc,
    .Realloc = malloc_realloc,
    .Free = malloc_free,
    .GetSize = malloc_get_size,
    .DidAlloc = malloc_did_alloc,
    .HeapMinimize = malloc_heap_minimize,
};

static IMalloc task_malloc = {&malloc_vtbl};

HRESULT STDAPICALLTYPE hm_ole_get_malloc(DWORD context, IMalloc **out)
{
    if (!out) {
        return E_INVALIDARG;
    }
    *out = NULL;
    if (context != MEMCTX_TASK) {
        return E_INVALIDARG;
    }
    if (!hm__heap_malloc(&task, &sites[SITE_GET])) {
        return E_OUTOFMEMORY;
    }
    *out = &task_malloc;
    return S_OK;
}

void *STDAPICALLTYPE hm_ole_alloc(SIZE_T bytes)
{
    return task_alloc(bytes, &sites[SITE_ALLOC]);
}

void *STDAPICALLTYPE hm_ole_realloc(void *block, SIZE_T bytes)
{
    return task_realloc(block, bytes, &sites[SITE_REALLOC]);
}

void STDAPICALLTYPE hm_ole_free(void *block)
{
    task_free(block, &sites[SITE_FREE]);
}

void *hm_ole_alloc_at(SIZE_T bytes, hm_site *site)
{
    return task_alloc(bytes, site ? site : &sites[SITE_ALLOC]);
}

void *hm_ole_realloc_at(void *block, SIZE_T bytes, hm_site *site)
{
    return task_realloc(block, bytes, site ? site : &sites[SITE_REALLOC]);
}

void hm_ole_free_at(void *block, hm_site *site)
{
    task_free(block, site ? site : &sites[SITE_FREE]);
}

/* The spied malloc, made on demand; NULL when there is no memory. */
static hm_malloc *spied(void)
{
    hm_malloc *have = __atomic_load_n(&task_spied, __ATOMIC_ACQUIRE);
    hm_malloc *bare = have ? NULL : hm__heap_malloc(&task, &sites[SITE_SPY]);
    hm_malloc *fresh;
    if (!bare || hm_spied_create(bare, &task.used, &fresh, NULL) != HM_OK) {
        return have;
    }
    if (!__atomic_compare_exchange_n(&task_spied, &have, fresh, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        hm_malloc_release(fresh);
        return have;
    }
    return fresh;
}

HRESULT STDAPICALLTYPE hm_ole_register_spy(IMallocSpy *spy)
{
    void *object = NULL;
    if (!spy) {
        return E_INVALIDARG;
    }
    hm_malloc *m = spied();
    if (!m) {
        return E_OUTOFMEMORY;
    }
    if (hm_spied_now(m)) {
        return CO_E_OBJISREG;
    }
    /* Its reference is the registration's. No lock is held: the spy may allocate, or even register. */
    if (FAILED(spy->lpVtbl->QueryInterface(spy, &IID_IMallocSpy, &object)) || !object) {
        return E_INVALIDARG;
    }
    IMallocSpy *queried = object;
    hm_spy *translated = hm__ole_spy_of(queried);
    if (!translated) {
        queried->lpVtbl->Release(queried);
        return E_OUTOFMEMORY;
    }
    const hm_status status = hm_spied_register(m, translated);
    hm_spy_release(translated);
    return status == HM_OK ? S_OK : CO_E_OBJISREG;
}

HRESULT STDAPICALLTYPE hm_ole_revoke_spy(void)
{
    hm_malloc *m = __atomic_load_n(&task_spied, __ATOMIC_ACQUIRE);
    const hm_status status = m ? hm_spied_revoke(m) : HM_E_NOT_FOUND;
    if (status == HM_OK) {
        return S_OK;
    }
    return status == HM_E_STARTED ? E_ACCESSDENIED : CO_E_OBJNOTREG;
}

hm_status hm_ole_set_host(hm_host *host, hm_error *err)
{
    return host ? hm__heap_choose(&task, host, NULL, err)
                : hm_error_set(err, HM_E_INVALID, "bridge:ole", "the host is NULL");
}

hm_status hm_ole_set_malloc(hm_malloc *m, hm_error *err)
{
    return m ? hm__heap_choose(&task, NULL, m, err)
             : hm_error_set(err, HM_E_INVALID, "bridge:ole", "the malloc is NULL");
}

hm_malloc *hm_ole_malloc(void)
{
    return hm__heap_now(&task);
}

hm_status hm_ole_verify(const hm_site **first, hm_error *err)
{
    const hm_status status = hm__heap_verify(&task, first, err);
#ifdef HM_COM_NATIVE
    if (status != HM_E_STARTED) {
        return hm_error_set(err, HM_E_NOT_OWNED, "bridge:ole",
                            "CoTaskMemAlloc is the platform's, ours is hm_ole_alloc");
    }
#endif
    return status;
}

hm_status hm_ole_close(hm_leaks *leaks, hm_error *err)
{
    hm_malloc *m = __atomic_load_n(&task_spied, __ATOMIC_ACQUIRE);
    if (m && hm_spied_now(m)) {
        return hm_error_set(err, HM_E_STARTED, "bridge:ole", "a spy is registered");
    }
    const hm_status status = hm__heap_close(&task, leaks, err);
    if (status == HM_OK) {
        __atomic_store_n(&task_spied, NULL, __ATOMIC_RELEASE);
        hm_malloc_release(m);
    }
    return status;
}
