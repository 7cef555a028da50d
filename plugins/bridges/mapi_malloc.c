/* SPDX-License-Identifier: MIT */
/* MAPI's default allocator: one IMalloc object for the process, beside the buffers. */
#include "mapi_internal.h"

static hm_site site = {"mapi:IMalloc", NULL, 0, 0};

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

/* It lives as long as the process, and says so. */
static ULONG STDMETHODCALLTYPE malloc_count(IMalloc *self)
{
    (void)self;
    return 1;
}

static void *STDMETHODCALLTYPE malloc_alloc(IMalloc *self, SIZE_T bytes)
{
    hm_malloc *m = hm__heap_malloc(&hm__mapi_heap, &site);
    (void)self;
    return m ? hm_alloc_at(m, bytes, HM_LEVEL_CURRENT, &site) : NULL;
}

/* The debug pair asks whose the block is, where a plain free would believe it. */
static void STDMETHODCALLTYPE malloc_free(IMalloc *self, void *block)
{
    hm_malloc *m = block ? hm__heap_now(&hm__mapi_heap) : NULL;
    (void)self;
    if (m && !hm__mapi_is_buffer(block)) {
        (void)HM_LOAD(m->vtbl)->debug_free(m, block, HM_SIZE_UNKNOWN, 0, &site);
    }
}

static void *STDMETHODCALLTYPE malloc_realloc(IMalloc *self, void *block, SIZE_T bytes)
{
    hm_malloc *m = hm__heap_malloc(&hm__mapi_heap, &site);
    if (!block) {
        return malloc_alloc(self, bytes);
    }
    if (!m || hm__mapi_is_buffer(block)) {
        return NULL;
    }
    if (!bytes) {
        malloc_free(self, block);
        return NULL;
    }
    /* A debugging malloc looks by itself, and has something to say about a stranger. */
    if (!(m->flags & HM_MALLOC_DEBUG) && hm_owns(m, block) == 0) {
        return NULL;
    }
    return hm_realloc_at(m, block, HM_SIZE_UNKNOWN, bytes, HM_LEVEL_CURRENT, &site);
}

static SIZE_T STDMETHODCALLTYPE malloc_get_size(IMalloc *self, void *block)
{
    hm_malloc *m = block ? hm__heap_now(&hm__mapi_heap) : NULL;
    hm_block seen;
    (void)self;
    return m && hm_describe(m, block, &seen) == HM_OK && seen.state == HM_BLOCK_LIVE
               ? seen.requested
               : HM_SIZE_UNKNOWN;
}

/* It never says, on any system. */
static int STDMETHODCALLTYPE malloc_did_alloc(IMalloc *self, void *block)
{
    (void)self;
    (void)block;
    return -1;
}

static void STDMETHODCALLTYPE malloc_heap_minimize(IMalloc *self)
{
    hm_malloc *m = hm__heap_now(&hm__mapi_heap);
    (void)self;
    if (m) {
        hm_malloc_trim(m);
    }
}

static const IMallocVtbl malloc_vtbl = {
    .QueryInterface = malloc_query,
    .AddRef = malloc_count,
    .Release = malloc_count,
    .Alloc = malloc_alloc,
    .Realloc = malloc_realloc,
    .Free = malloc_free,
    .GetSize = malloc_get_size,
    .DidAlloc = malloc_did_alloc,
    .HeapMinimize = malloc_heap_minimize,
};

static IMalloc default_malloc = {&malloc_vtbl};

LPMALLOC STDAPICALLTYPE hm_mapi_default_malloc(void)
{
    return hm__heap_malloc(&hm__mapi_heap, &site) ? &default_malloc : NULL;
}
