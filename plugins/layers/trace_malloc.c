/* SPDX-License-Identifier: MIT */
/* The way of a call through the trace layer: put down, passed on, finished with what came back. */
#include "trace_internal.h"

#include <string.h>

typedef struct trace_malloc {
    hm_layer_malloc layer;
    trace_host *host;
    uint32_t number;
} trace_malloc;

static const hm_core *core;
static hm_malloc_vtbl malloc_vtbl;

static trace_malloc *trace_from(hm_malloc *self)
{
    return (trace_malloc *)self; /* layer is the first member, base is its first */
}

static const hm_malloc_vtbl *table_of(const hm_malloc *m)
{
    return HM_LOAD(m->vtbl);
}

static trace_mark begin(trace_malloc *m,
                        uint32_t kind,
                        uint64_t bytes,
                        const void *block,
                        hm_level level,
                        hm_site *site)
{
    const trace_call call = {kind, m->number, bytes, block, 1, level, site};
    return hm__trace_begin(core, m->host, &call);
}

/* An allocation that came back. */
static void *end(trace_malloc *m, trace_mark mark, void *block)
{
    hm__trace_finish(m->host, mark, (uint64_t)(uintptr_t)block);
    return block;
}

static hm_status end_status(trace_malloc *m, trace_mark mark, hm_status status)
{
    hm__trace_finish(m->host, mark, (uint64_t)(int64_t)status);
    return status;
}

static void *trace_alloc(hm_malloc *self, size_t size, hm_level level)
{
    trace_malloc *m = trace_from(self);
    hm_malloc *inner = m->layer.inner;
    const trace_mark mark = begin(m, HM_TRACE_ALLOC, size, NULL, level, NULL);
    return end(m, mark, (table_of(inner)->alloc)(inner, size, level));
}

static void *
trace_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    trace_malloc *m = trace_from(self);
    const trace_mark mark = begin(m, HM_TRACE_ALLOC, size, NULL, level, site);
    return end(m, mark, hm_alloc_at(m->layer.inner, size, level, site));
}

/* UINT64_MAX stands for "not said" on every width. */
static uint64_t said(size_t size)
{
    return size == HM_SIZE_UNKNOWN ? UINT64_MAX : size;
}

static void trace_free(hm_malloc *self, void *block)
{
    trace_malloc *m = trace_from(self);
    hm_malloc *inner = m->layer.inner;
    if (block) {
        const trace_mark mark =
            begin(m, HM_TRACE_FREE, UINT64_MAX, block, HM_LEVEL_CURRENT, NULL);
        (table_of(inner)->free)(inner, block);
        end_status(m, mark, HM_OK);
    }
}

static void trace_free_sized(hm_malloc *self, void *block, size_t size)
{
    trace_malloc *m = trace_from(self);
    hm_malloc *inner = m->layer.inner;
    if (block) {
        const trace_mark mark =
            begin(m, HM_TRACE_FREE_SIZED, said(size), block, HM_LEVEL_CURRENT, NULL);
        table_of(inner)->free_sized(inner, block, size);
        end_status(m, mark, HM_OK);
    }
}

static hm_status trace_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    trace_malloc *m = trace_from(self);
    hm_malloc *inner = m->layer.inner;
    if (!block) {
        return HM_OK;
    }
    const uint32_t kind = size == HM_SIZE_UNKNOWN ? HM_TRACE_FREE : HM_TRACE_FREE_SIZED;
    const trace_mark mark = begin(m, kind, said(size), block, HM_LEVEL_CURRENT, site);
    return end_status(m, mark,
                      table_of(inner)->debug_free(inner, block, size, alignment, site));
}

static void *trace_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    trace_malloc *m = trace_from(self);
    const trace_mark mark = begin(m, HM_TRACE_REALLOC, size, block, level, site);
    return end(m, mark,
               hm_realloc_at(m->layer.inner, block, old_size, size, level, site));
}

static void *trace_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    trace_malloc *m = trace_from(self);
    const uint64_t bytes =
        size && count > SIZE_MAX / size ? UINT64_MAX : (uint64_t)count * size;
    const trace_mark mark = begin(m, HM_TRACE_ZEROED, bytes, NULL, level, site);
    return end(m, mark, hm_alloc_zeroed_at(m->layer.inner, count, size, level, site));
}

static void *trace_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    trace_malloc *m = trace_from(self);
    /* Zero is no alignment either; the record's own 0 stands for 1. */
    const size_t shown = alignment ? alignment : 3;
    const trace_call call = {HM_TRACE_ALIGNED, m->number, size, NULL, shown, level, site};
    const trace_mark mark = hm__trace_begin(core, m->host, &call);
    return end(m, mark,
               hm_alloc_aligned_at(m->layer.inner, size, alignment, level, site));
}

/* The rare call, recorded as the common one that it amounts to. */
static hm_status trace_request(hm_malloc *self, const hm_request *request, void **out)
{
    trace_malloc *m = trace_from(self);
    if (!request || !out || !HM_HAS(request, hm_request, site)) {
        return hm_malloc_request(m->layer.inner, request, out);
    }
    trace_call call = {HM_TRACE_ALLOC, m->number,    request->bytes, request->block, 1,
                       request->level, request->site};
    if (request->block) {
        call.kind = HM_TRACE_REALLOC;
    } else if (request->flags & HM_REQUEST_ZEROED) {
        call.kind = HM_TRACE_ZEROED;
    } else if (request->alignment) {
        call.kind = HM_TRACE_ALIGNED;
    }
    call.alignment = request->alignment ? request->alignment : 1;
    const trace_mark mark = hm__trace_begin(core, m->host, &call);
    const hm_status status = hm_malloc_request(m->layer.inner, request, out);
    end(m, mark, status == HM_OK ? *out : NULL);
    return status;
}

static hm_status trace_reset(hm_malloc *self)
{
    trace_malloc *m = trace_from(self);
    const trace_mark mark = begin(m, HM_TRACE_RESET, 0, NULL, HM_LEVEL_CURRENT, NULL);
    return end_status(m, mark, hm_malloc_reset(m->layer.inner));
}

static void trace_close(hm_malloc *self)
{
    trace_malloc *m = trace_from(self);
    const trace_mark mark = begin(m, HM_TRACE_CLOSE, 0, NULL, HM_LEVEL_CURRENT, NULL);
    hm_malloc_close(m->layer.inner);
    end_status(m, mark, HM_OK);
}

static void trace_release(hm_malloc *self)
{
    trace_malloc *m = trace_from(self);
    if (__atomic_sub_fetch(&m->layer.references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    const trace_mark mark = begin(m, HM_TRACE_RELEASE, 0, NULL, HM_LEVEL_CURRENT, NULL);
    hm_host *host = m->layer.host;
    hm_malloc_release(m->layer.inner);
    end_status(m, mark, HM_OK);
    core->memory_free(m, sizeof *m);
    hm_host_release(host);
}

static hm_status trace_find(hm_malloc *self, const char *name, void **out)
{
    trace_malloc *m = trace_from(self);
    if (name && out && strcmp(name, "trace") == 0) {
        *out = &m->host->questions;
        return HM_OK;
    }
    return hm_malloc_find(m->layer.inner, name, out);
}

void hm__trace_tables(const hm_core *from)
{
    core = from;
    malloc_vtbl = *core->malloc_forward;
    malloc_vtbl.release = trace_release;
    malloc_vtbl.alloc = trace_alloc;
    malloc_vtbl.free = trace_free;
    malloc_vtbl.free_sized = trace_free_sized;
    malloc_vtbl.debug_alloc = trace_debug_alloc;
    malloc_vtbl.debug_free = trace_debug_free;
    malloc_vtbl.realloc = trace_realloc;
    malloc_vtbl.alloc_zeroed = trace_alloc_zeroed;
    malloc_vtbl.alloc_aligned = trace_alloc_aligned;
    malloc_vtbl.request = trace_request;
    malloc_vtbl.reset = trace_reset;
    malloc_vtbl.close = trace_close;
    malloc_vtbl.find = trace_find;
}

static hm_status make(trace_host *host,
                      const hm_malloc_opts *wanted,
                      uint32_t number,
                      hm_malloc **out,
                      hm_error *err)
{
    hm_host *below = host->layer.inner;
    hm_malloc *inner = NULL;
    trace_malloc *m = core->memory_alloc(sizeof *m);
    if (!m) {
        return core->error_set(err, HM_E_NOMEM, "layer:trace",
                               "no private memory for a malloc object");
    }
    hm_status status = below->vtbl->create_malloc(below, wanted, &inner, err);
    if (status == HM_OK) {
        status = core->malloc_validate(inner, err);
    }
    if (status != HM_OK) {
        core->memory_free(m, sizeof *m);
        return status;
    }
    hm_layer_malloc_init(&m->layer, &malloc_vtbl, inner, &host->layer.base, sizeof *m);
    if (host->sites) {
        m->layer.base.flags |= HM_MALLOC_DEBUG;
    }
    m->host = host;
    m->number = number;
    *out = &m->layer.base;
    return HM_OK;
}

hm_status hm__trace_create_malloc(hm_host *self,
                                  const hm_malloc_opts *opts,
                                  hm_malloc **out,
                                  hm_error *err)
{
    trace_host *host = (trace_host *)self; /* layer is the first member */
    trace_ring *ring = __atomic_load_n(&host->ring, __ATOMIC_ACQUIRE);
    hm_malloc_opts wanted;
    *out = NULL;
    hm_status status = core->malloc_opts_read(opts, ~0u, &wanted, err);
    if (status != HM_OK) {
        return status;
    }
    const uint32_t number =
        ring ? __atomic_add_fetch(&ring->header->malloc_count, 1, __ATOMIC_RELAXED) : 0;
    const trace_call call = {.kind = HM_TRACE_CREATE_MALLOC,
                             .malloc_number = number,
                             .bytes = wanted.flags,
                             .block = (const void *)(uintptr_t)wanted.limit,
                             .alignment = 1,
                             .level = HM_LEVEL_CURRENT};
    const trace_mark mark = hm__trace_begin(core, host, &call);
    status = make(host, &wanted, number, out, err);
    hm__trace_finish(host, mark, (uint64_t)(int64_t)status);
    return status;
}
