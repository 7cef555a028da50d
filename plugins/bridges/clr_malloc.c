/* SPDX-License-Identifier: MIT */
/* A host's malloc as IHostMalloc. It knows its blocks on any host: what the host does not, the bridge does. */
#include "clr_internal.h"

#include "known_internal.h"

typedef struct clr_malloc {
    IHostMalloc base;        /* the first member */
    hm_malloc *m;            /* one reference */
    uint32_t references;     /* atomic */
    struct clr_malloc *next; /* the list's */
    struct clr_malloc *previous;
} clr_malloc;

/* All there are, because a fork takes the locks of those that know their blocks by themselves. */
static hm_lock list_lock;
static clr_malloc *list;    /* guarded by list_lock */
static uint32_t fork_known; /* atomic */

static void fork_lock(void *context)
{
    (void)context;
    hm_core_table()->lock(&list_lock);
    for (clr_malloc *c = list; c; c = c->next) {
        hm__known_lock(c->m);
    }
}

static void fork_unlock(void *context)
{
    (void)context;
    for (clr_malloc *c = list; c; c = c->next) {
        hm__known_unlock(c->m);
    }
    hm_core_table()->unlock(&list_lock);
}

/* Before the core's, whose functions are called under a malloc's lock. */
static hm_fork_hooks fork_hooks = {.size = sizeof fork_hooks,
                                   .rank = 61,
                                   .prepare = fork_lock,
                                   .parent = fork_unlock,
                                   .child = fork_unlock};

static void list_add(clr_malloc *c)
{
    const hm_core *core = hm_core_table();
    if (!__atomic_load_n(&fork_known, __ATOMIC_ACQUIRE)) {
        core->at_fork(&fork_hooks); /* twice is once */
        __atomic_store_n(&fork_known, 1, __ATOMIC_RELEASE);
    }
    core->lock(&list_lock);
    c->next = list;
    if (list) {
        list->previous = c;
    }
    list = c;
    core->unlock(&list_lock);
}

static void list_remove(clr_malloc *c)
{
    const hm_core *core = hm_core_table();
    core->lock(&list_lock);
    *(c->previous ? &c->previous->next : &list) = c->next;
    if (c->next) {
        c->next->previous = c->previous;
    }
    core->unlock(&list_lock);
}

/* Who asks, when no line of source came along. */
static hm_site plain_site = {"clr:IHostMalloc", NULL, 0, 0};

static const IHostMallocVtbl malloc_vtbl;

static clr_malloc *of(IHostMalloc *self)
{
    return (clr_malloc *)self;
}

static HRESULT STDMETHODCALLTYPE malloc_query(IHostMalloc *self,
                                              REFIID riid,
                                              void **object)
{
    if (!object) {
        return E_POINTER;
    }
    const int known = hm_com_same_iid(riid, &IID_IUnknown) ||
                      hm_com_same_iid(riid, &hm_clr_iid_host_malloc);
    *object = known ? self : NULL;
    if (known) {
        hm__clr_count(&of(self)->references, 1);
    }
    return known ? S_OK : E_NOINTERFACE;
}

static ULONG STDMETHODCALLTYPE malloc_add_ref(IHostMalloc *self)
{
    return hm__clr_count(&of(self)->references, 1);
}

static ULONG STDMETHODCALLTYPE malloc_release(IHostMalloc *self)
{
    clr_malloc *c = of(self);
    const uint32_t left = hm__clr_count(&c->references, -1);
    if (left == 0) {
        list_remove(c);
        hm_malloc_release(c->m);
        hm_core_table()->memory_free(c, sizeof *c);
    }
    return left;
}

static HRESULT STDMETHODCALLTYPE malloc_alloc(IHostMalloc *self,
                                              SIZE_T bytes,
                                              EMemoryCriticalLevel level,
                                              void **block)
{
    if (!block) {
        return E_INVALIDARG;
    }
    if ((uint32_t)level > eProcessCritical) {
        *block = NULL;
        return E_INVALIDARG;
    }
    void *const got = hm_alloc_at(of(self)->m, bytes, (hm_level)level, &plain_site);
    *block = got;
    return got ? S_OK : E_OUTOFMEMORY;
}

static HRESULT STDMETHODCALLTYPE malloc_debug_alloc(IHostMalloc *self,
                                                    SIZE_T bytes,
                                                    EMemoryCriticalLevel level,
                                                    char *file,
                                                    int line,
                                                    void **block)
{
    if (!file) {
        return malloc_alloc(self, bytes, level, block);
    }
    if (!block) {
        return E_INVALIDARG;
    }
    *block = NULL;
    if ((uint32_t)level > eProcessCritical) {
        return E_INVALIDARG;
    }
    *block = hm_debug_alloc(of(self)->m, bytes, (hm_level)level, file,
                            line > 0 ? (uint32_t)line : 0);
    return *block ? S_OK : E_OUTOFMEMORY;
}

/* The debug pair asks whose the block is, where a plain free would believe it. A block whose guard was overwritten
   is taken: it was the caller's, and reporting that is the host's affair. */
static HRESULT STDMETHODCALLTYPE malloc_free(IHostMalloc *self, void *block)
{
    if (!block) {
        return S_OK;
    }
    hm_malloc *m = of(self)->m;
    const hm_status status =
        HM_LOAD(m->vtbl)->debug_free(m, block, HM_SIZE_UNKNOWN, 0, &plain_site);
    return status == HM_OK || status == HM_E_CORRUPT ? S_OK : HOST_E_INVALIDOPERATION;
}

static const IHostMallocVtbl malloc_vtbl = {
    .QueryInterface = malloc_query,
    .AddRef = malloc_add_ref,
    .Release = malloc_release,
    .Alloc = malloc_alloc,
    .DebugAlloc = malloc_debug_alloc,
    .Free = malloc_free,
};

/* Blocks of code on a host that has none: its pages, each block with a reservation of its own. */
static void *code_alloc(void *context, size_t bytes)
{
    void *pages = NULL;
    const hm_status status =
        hm_host_virtual_alloc(context, NULL, bytes, HM_MEM_RESERVE | HM_MEM_COMMIT,
                              HM_PAGE_EXECUTE_READWRITE, hm_level_now(), &pages);
    return status == HM_OK ? pages : NULL;
}

static void code_release(void *context, void *block, size_t bytes)
{
    (void)bytes;
    (void)hm_host_virtual_free(context, block, 0, HM_MEM_RELEASE);
}

static hm_status code_create(hm_host *host, const char *name, hm_malloc **out)
{
    const hm_allocator pages = {.size = sizeof pages,
                                .context = host,
                                .alloc = code_alloc,
                                .release = code_release,
                                .flags = HM_ALLOCATOR_THREADSAFE};
    const hm_malloc_opts opts = {.size = sizeof opts,
                                 .name = name,
                                 .flags = HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT};
    return hm_core_table()->wrap_malloc(&pages, host, &opts, out, NULL);
}

HRESULT hm__clr_malloc_create(hm_host *host, uint32_t type, IHostMalloc **out)
{
    const hm_core *core = hm_core_table();
    hm_malloc *m;
    *out = NULL;
    if (type & ~(uint32_t)(MALLOC_THREADSAFE | MALLOC_EXECUTABLE)) {
        return E_INVALIDARG;
    }
    clr_malloc *c = core->memory_alloc(sizeof *c);
    if (!c) {
        return E_OUTOFMEMORY;
    }
    hm_status status =
        hm__known_of_host(host, "IHostMalloc", type, "bridge:clr", &m, NULL);
    if (status == HM_E_UNSUPPORTED && (type & MALLOC_EXECUTABLE)) {
        status = code_create(host, "IHostMalloc", &m);
    }
    if (status != HM_OK) {
        core->memory_free(c, sizeof *c);
        return E_OUTOFMEMORY;
    }
    c->base.lpVtbl = &malloc_vtbl;
    c->m = m;
    c->references = 1;
    list_add(c);
    *out = &c->base;
    return S_OK;
}

hm_malloc *hm_clr_malloc(IHostMalloc *object)
{
    return object && object->lpVtbl == &malloc_vtbl ? of(object)->m : NULL;
}
