/* SPDX-License-Identifier: MIT */
/* A foreign IHostMalloc as a malloc with every slot: the core's wrapping malloc over Alloc and Free, and a thin
 * layer over that, because the wrapping malloc does not pass levels and sites on.
 *
 * The wrapping malloc lives until its last block is freed, which may be after its last reference; it holds what
 * it believes to be its host meanwhile. That is the source here, which holds the foreign object. */
#include "clr_internal.h"

#include <hostmalloc/layer.h>

typedef struct foreign_source {
    hm_host base; /* only retain and release are ever called */
    hm_host_vtbl table;
    uint32_t references; /* atomic */
    IHostMalloc *object; /* one reference */
} foreign_source;

static _Thread_local hm_site *site_now; /* of the request under way */

static foreign_source *source_of(hm_host *self)
{
    return (foreign_source *)self;
}

static void source_retain(hm_host *self)
{
    hm__clr_count(&source_of(self)->references, 1);
}

static void source_release(hm_host *self)
{
    foreign_source *s = source_of(self);
    if (hm__clr_count(&s->references, -1) == 0) {
        s->object->lpVtbl->Release(s->object);
        hm_core_table()->memory_free(s, sizeof *s);
    }
}

/* Only exactly S_OK is a block, as for the runtime. */
static void *source_alloc(void *context, size_t bytes)
{
    IHostMalloc *object = ((foreign_source *)context)->object;
    const EMemoryCriticalLevel level = (EMemoryCriticalLevel)hm_level_now();
    const hm_site *site = site_now;
    void *block = NULL;
    const HRESULT result = site && site->file
                               ? object->lpVtbl->DebugAlloc(object, bytes, level,
                                                            (char *)(uintptr_t)site->file,
                                                            (int)site->line, &block)
                               : object->lpVtbl->Alloc(object, bytes, level, &block);
    if (result == S_OK) {
        return block;
    }
    /* A success that is none still gave a block. */
    if (SUCCEEDED(result)) {
        (void)object->lpVtbl->Free(object, block);
    }
    return NULL;
}

static void source_free(void *context, void *block, size_t bytes)
{
    IHostMalloc *object = ((foreign_source *)context)->object;
    (void)bytes;
    (void)object->lpVtbl->Free(object, block);
}

typedef struct request_scope {
    hm_level level;
    hm_site *site;
} request_scope;

static inline request_scope scope_begin(hm_level level, hm_site *site)
{
    const request_scope before = {hm_level_now(), site_now};
    if (level != HM_LEVEL_CURRENT) {
        (void)hm_level_enter(level);
    }
    site_now = site;
    return before;
}

static inline void scope_end(const request_scope *before)
{
    hm_level_leave(before->level);
    site_now = before->site;
}

static hm_malloc *inner_of(hm_malloc *self)
{
    return ((hm_layer_malloc *)self)->inner;
}

static void *
foreign_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    const request_scope before = scope_begin(level, site);
    void *block = hm_alloc_at(inner_of(self), size, level, site);
    scope_end(&before);
    return block;
}

static void *foreign_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return foreign_debug_alloc(self, size, level, NULL);
}

static void *foreign_realloc(hm_malloc *self,
                             void *block,
                             size_t old_size,
                             size_t size,
                             hm_level level,
                             hm_site *site)
{
    const request_scope before = scope_begin(level, site);
    void *moved = hm_realloc_at(inner_of(self), block, old_size, size, level, site);
    scope_end(&before);
    return moved;
}

static void *foreign_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    const request_scope before = scope_begin(level, site);
    void *block = hm_alloc_zeroed_at(inner_of(self), count, size, level, site);
    scope_end(&before);
    return block;
}

static void *foreign_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    const request_scope before = scope_begin(level, site);
    void *block = hm_alloc_aligned_at(inner_of(self), size, alignment, level, site);
    scope_end(&before);
    return block;
}

static hm_status foreign_request(hm_malloc *self, const hm_request *request, void **out)
{
    const int known = request && HM_HAS(request, hm_request, site);
    const request_scope before = scope_begin(known ? request->level : HM_LEVEL_CURRENT,
                                             known ? request->site : NULL);
    const hm_status status = hm_malloc_request(inner_of(self), request, out);
    scope_end(&before);
    return status;
}

typedef struct foreign_malloc {
    hm_layer_malloc layer;
    hm_malloc_vtbl table;
} foreign_malloc;

static void table_fill(hm_malloc_vtbl *table)
{
    *table = *hm_core_table()->malloc_forward;
    table->alloc = foreign_alloc;
    table->debug_alloc = foreign_debug_alloc;
    table->realloc = foreign_realloc;
    table->alloc_zeroed = foreign_alloc_zeroed;
    table->alloc_aligned = foreign_alloc_aligned;
    table->request = foreign_request;
}

static hm_status no_memory(hm_error *err)
{
    return hm_error_set(err, HM_E_NOMEM, "bridge:clr", "no private memory for a malloc");
}

static hm_status source_create(IHostMalloc *object, foreign_source **out)
{
    foreign_source *s = hm_core_table()->memory_alloc(sizeof *s);
    if (!s) {
        object->lpVtbl->Release(object);
        return HM_E_NOMEM;
    }
    s->table = *hm_core_table()->host_basics;
    s->table.retain = source_retain;
    s->table.release = source_release;
    s->base.vtbl = &s->table;
    s->references = 1;
    s->object = object;
    *out = s;
    return HM_OK;
}

hm_status hm__clr_foreign_malloc(IHostMalloc *object,
                                 hm_host *host,
                                 const hm_malloc_opts *opts,
                                 hm_malloc **out,
                                 hm_error *err)
{
    const hm_core *core = hm_core_table();
    hm_malloc_opts wrapped = *opts;
    foreign_source *source;
    hm_malloc *inner;
    *out = NULL;
    if (source_create(object, &source) != HM_OK) {
        return no_memory(err);
    }
    const hm_allocator allocator = {
        .size = sizeof allocator,
        .context = source,
        .alloc = source_alloc,
        .release = source_free,
        .flags = opts->flags & HM_MALLOC_THREADSAFE ? HM_ALLOCATOR_THREADSAFE : 0};
    wrapped.flags &= ~HM_MALLOC_EXECUTABLE;
    hm_status status =
        core->wrap_malloc(&allocator, &source->base, &wrapped, &inner, err);
    source_release(&source->base); /* the wrapping malloc's now */
    if (status != HM_OK) {
        return status;
    }
    foreign_malloc *made = core->memory_alloc(sizeof *made);
    if (!made) {
        hm_malloc_release(inner);
        return no_memory(err);
    }
    table_fill(&made->table);
    hm_layer_malloc_init(&made->layer, &made->table, inner, host, sizeof *made);
    made->layer.base.flags |= opts->flags & HM_MALLOC_EXECUTABLE;
    *out = &made->layer.base;
    return HM_OK;
}
