/* SPDX-License-Identifier: MIT */
/* The ready-made wrapping malloc and host: everything the interface promises, over an allocator that offers no
 * more than alloc and release. */
#include "wrap_internal.h"

#include "lock_internal.h"
#include "memory_internal.h"
#include "slots_internal.h"

#include <string.h>

static hm__wrapped *wrap_of(hm_malloc *self)
{
    return (hm__wrapped *)self; /* base is the first member */
}

static void wrap_retain(hm_malloc *self)
{
    __atomic_fetch_add(&wrap_of(self)->references, 1, __ATOMIC_RELAXED);
}

static void wrap_close(hm_malloc *self)
{
    hm__wrapped *m = wrap_of(self);
    hm__lock(&m->lock);
    m->closed = 1;
    hm__unlock(&m->lock);
}

/* Blocks of an object that is not scoped outlive their callers' references, and their object with them. */
static void wrap_release(hm_malloc *self)
{
    hm__wrapped *m = wrap_of(self);
    if (__atomic_sub_fetch(&m->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    wrap_close(self);
    if (self->flags & HM_MALLOC_SCOPED) {
        hm__wrap_put_all(m);
    }
    hm__wrap_let_go(m, 1);
}

static void *wrap_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    (void)level;
    void *block;
    hm__wrap_get(wrap_of(self), size, HM__WRAP_ALIGNMENT, site, &block);
    return block;
}

static void *wrap_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return wrap_debug_alloc(self, size, level, NULL);
}

static hm_status wrap_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    (void)alignment;
    (void)site;
    return block ? hm__wrap_put(wrap_of(self), block, size) : HM_OK;
}

static void wrap_free(hm_malloc *self, void *block)
{
    wrap_debug_free(self, block, HM_SIZE_UNKNOWN, 0, NULL);
}

static void wrap_free_sized(hm_malloc *self, void *block, size_t size)
{
    (void)size;
    wrap_debug_free(self, block, HM_SIZE_UNKNOWN, 0, NULL);
}

static void *wrap_realloc(hm_malloc *self,
                          void *block,
                          size_t old_size,
                          size_t size,
                          hm_level level,
                          hm_site *site)
{
    (void)old_size;
    if (!block) {
        return wrap_debug_alloc(self, size, level, site);
    }
    void *resized;
    size_t requested;
    hm__wrap_resize(wrap_of(self), block, size, HM__WRAP_ALIGNMENT, site, &resized,
                    &requested);
    return resized;
}

static void *wrap_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    const size_t bytes = size && count > SIZE_MAX / size ? SIZE_MAX : count * size;
    void *block = wrap_debug_alloc(self, bytes, level, site); /* SIZE_MAX is refused */
    return block ? memset(block, 0, bytes) : NULL;
}

static void *wrap_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    (void)level;
    void *block;
    hm__wrap_get(wrap_of(self), size, alignment, site, &block);
    return block;
}

static hm_status wrap_request(hm_malloc *self, const hm_request *request, void **out)
{
    if (!out) {
        return HM_E_INVALID;
    }
    *out = NULL;
    hm_status status = hm__request_check(request);
    if (status != HM_OK) {
        return status;
    }
    const size_t bytes = request->bytes;
    const size_t alignment = request->alignment ? request->alignment : HM__WRAP_ALIGNMENT;
    size_t old = 0;
    status = request->block
                 ? hm__wrap_resize(wrap_of(self), request->block, bytes, alignment,
                                   request->site, out, &old)
                 : hm__wrap_get(wrap_of(self), bytes, alignment, request->site, out);
    if (status == HM_OK && (request->flags & HM_REQUEST_ZEROED) && bytes > old) {
        memset((char *)*out + old, 0, bytes - old);
    }
    return status;
}

/* Any object answers for its siblings' blocks, so only the size is asked of the header, whose ever it is. */
static size_t wrap_size_of(hm_malloc *self, const void *block)
{
    hm__wrapped *m = wrap_of(self);
    hm__wrap_block *held = NULL;
    size_t usable = 0;
    if (!block) {
        return 0;
    }
    hm__lock(&m->lock);
    if (hm__wrap_hold(NULL, block, &held) == HM_OK) {
        usable = held->usable;
        hm__wrap_drop(held, HM__WRAP_LIVE);
    }
    hm__unlock(&m->lock);
    return usable;
}

static size_t wrap_good_size(hm_malloc *self, size_t size)
{
    (void)self;
    return size;
}

static int wrap_owns(hm_malloc *self, const void *block)
{
    hm__wrapped *m = wrap_of(self);
    hm__wrap_block *held = NULL;
    hm__lock(&m->lock);
    const int owned = hm__wrap_hold(m, block, &held) == HM_OK;
    if (owned) {
        hm__wrap_drop(held, HM__WRAP_LIVE);
    }
    hm__unlock(&m->lock);
    return owned;
}

static hm_block block_report(const hm__wrap_block *block)
{
    return (hm_block){.size = sizeof(hm_block),
                      .address = hm__wrap_address(block),
                      .requested = block->requested,
                      .usable = block->usable,
                      .site = hm_site_from_id(block->site),
                      .serial = block->serial,
                      .thread = block->thread,
                      .state = HM_BLOCK_LIVE};
}

/* A caller's struct may be older and shorter, or newer and longer: what both know is filled. */
static void fill_known(void *out, const void *known, size_t known_bytes)
{
    size_t size;
    memcpy(&size, out, sizeof(size));
    memcpy(out, known, size < known_bytes ? size : known_bytes);
    memcpy(out, &size, sizeof(size));
}

static hm_status wrap_describe(hm_malloc *self, const void *block, hm_block *out)
{
    if (!out || out->size < sizeof(out->size)) {
        return HM_E_INVALID;
    }
    hm__wrapped *m = wrap_of(self);
    hm__wrap_block *held = NULL;
    hm__lock(&m->lock);
    const hm_status status = hm__wrap_hold(m, block, &held);
    if (status == HM_OK) {
        const hm_block report = block_report(held);
        fill_known(out, &report, sizeof(report));
        hm__wrap_drop(held, HM__WRAP_LIVE);
    }
    hm__unlock(&m->lock);
    return status == HM_OK ? HM_OK : HM_E_NOT_OWNED;
}

static hm_status wrap_walk(hm_malloc *self, hm_visit *visit, void *context)
{
    if (!visit) {
        return HM_E_INVALID;
    }
    hm__wrapped *m = wrap_of(self);
    int stop = 0;
    hm__lock(&m->lock);
    for (const hm__wrap_block *block = m->blocks; block && !stop; block = block->next) {
        const hm_block report = block_report(block);
        stop = visit(context, &report);
    }
    hm__unlock(&m->lock);
    return HM_OK;
}

static hm_status wrap_stats(hm_malloc *self, hm_stats *out)
{
    if (!out || out->size < sizeof(out->size)) {
        return HM_E_INVALID;
    }
    hm__wrapped *m = wrap_of(self);
    hm__lock(&m->lock);
    const hm_stats stats = m->stats;
    hm__unlock(&m->lock);
    fill_known(out, &stats, sizeof(stats));
    return HM_OK;
}

static void wrap_trim(hm_malloc *self)
{
    (void)self;
}

static hm_status wrap_reset(hm_malloc *self)
{
    hm__wrap_put_all(wrap_of(self));
    return HM_OK;
}

static hm_status wrap_find(hm_malloc *self, const char *interface_name, void **out)
{
    (void)self;
    (void)interface_name;
    if (!out) {
        return HM_E_INVALID;
    }
    *out = NULL;
    return HM_E_NOT_FOUND;
}

static const hm_malloc_vtbl wrap_vtbl = {
    .size = sizeof(hm_malloc_vtbl),
    .retain = wrap_retain,
    .release = wrap_release,
    .alloc = wrap_alloc,
    .free = wrap_free,
    .free_sized = wrap_free_sized,
    .debug_alloc = wrap_debug_alloc,
    .debug_free = wrap_debug_free,
    .realloc = wrap_realloc,
    .alloc_zeroed = wrap_alloc_zeroed,
    .alloc_aligned = wrap_alloc_aligned,
    .request = wrap_request,
    .size_of = wrap_size_of,
    .good_size = wrap_good_size,
    .owns = wrap_owns,
    .describe = wrap_describe,
    .walk = wrap_walk,
    .stats = wrap_stats,
    .trim = wrap_trim,
    .reset = wrap_reset,
    .close = wrap_close,
    .find = wrap_find,
};

static hm_status allocator_check(const hm_allocator *allocator, hm_error *err)
{
    if (!allocator) {
        return hm_error_set(err, HM_E_INVALID, "allocator", "it is NULL");
    }
    const hm_status status =
        hm__struct_check(allocator, sizeof(*allocator), sizeof(*allocator));
    if (status != HM_OK) {
        return hm_error_set(err, status, "allocator",
                            "a table of %zu bytes, expected %zu", allocator->size,
                            sizeof(*allocator));
    }
    if (!allocator->alloc || !allocator->release) {
        return hm_error_set(err, HM_E_INVALID, "allocator", "%s is missing",
                            allocator->alloc ? "release" : "alloc");
    }
    if ((allocator->flags & ~HM_ALLOCATOR_THREADSAFE) || allocator->reserved) {
        return hm_error_set(err, HM_E_INVALID, "allocator",
                            "flags 0x%x, reserved 0x%x, expected at most 0x%x and 0",
                            (unsigned)allocator->flags, (unsigned)allocator->reserved,
                            (unsigned)HM_ALLOCATOR_THREADSAFE);
    }
    return HM_OK;
}

hm_status hm__wrap_malloc(const hm_allocator *allocator,
                          hm_host *host,
                          const hm_malloc_opts *opts,
                          hm_malloc **out,
                          hm_error *err)
{
    if (!out) {
        return hm_error_set(err, HM_E_INVALID, "malloc",
                            "nowhere to put the malloc: out is NULL");
    }
    *out = NULL;
    hm_status status = allocator_check(allocator, err);
    hm_malloc_opts copy;
    if (status == HM_OK) {
        status = hm__malloc_opts_read(opts, ~HM_MALLOC_EXECUTABLE, &copy, err);
    }
    if (status != HM_OK) {
        return status;
    }
    hm__wrapped *m = hm__memory_alloc(sizeof(*m));
    if (!m || !hm__block_map_open(&hm__wrap_map)) {
        goto undo_memory;
    }
    m->base.vtbl = &wrap_vtbl;
    m->base.flags = copy.flags | (copy.flags & HM_MALLOC_EXACT ? HM_MALLOC_DEBUG : 0);
    m->host = host;
    m->limit = copy.limit;
    m->references = 1;
    m->holds = 1;
    if (!hm__wrap_add(m, allocator)) {
        goto undo_memory;
    }
    if (host) {
        hm_host_retain(host);
    }
    *out = &m->base;
    return HM_OK;

undo_memory:
    hm__memory_free(m, sizeof(*m));
    return hm_error_set(err, HM_E_NOMEM, "malloc", "no private memory for \"%s\"",
                        copy.name);
}

typedef struct wrap_host {
    hm_host base;
    hm_host_vtbl table; /* the ready-made one with three slots replaced */
    hm_allocator allocator;
    uint32_t references;                        /* atomic */
    char where[sizeof(((hm_error *)0)->where)]; /* "host:NAME" */
} wrap_host;

static wrap_host *wrap_host_of(hm_host *self)
{
    return (wrap_host *)self; /* base is the first member */
}

static void wrap_host_retain(hm_host *self)
{
    __atomic_fetch_add(&wrap_host_of(self)->references, 1, __ATOMIC_RELAXED);
}

static void wrap_host_release(hm_host *self)
{
    wrap_host *host = wrap_host_of(self);
    if (__atomic_sub_fetch(&host->references, 1, __ATOMIC_ACQ_REL) == 0) {
        hm__memory_free(host, sizeof(*host));
    }
}

static hm_status wrap_host_create_malloc(hm_host *self,
                                         const hm_malloc_opts *opts,
                                         hm_malloc **out,
                                         hm_error *err)
{
    hm_error reason;
    const hm_status status =
        hm__wrap_malloc(&wrap_host_of(self)->allocator, self, opts, out, &reason);
    return status == HM_OK
               ? HM_OK
               : hm_error_set(err, status, wrap_host_of(self)->where, "%s", reason.what);
}

hm_status hm__wrap_host(const hm_allocator *allocator,
                        const char *name,
                        hm_host **out,
                        hm_error *err)
{
    if (!out) {
        return hm_error_set(err, HM_E_INVALID, "host",
                            "nowhere to put the host: out is NULL");
    }
    *out = NULL;
    const hm_status status = allocator_check(allocator, err);
    if (status != HM_OK) {
        return status;
    }
    wrap_host *host = hm__memory_alloc(sizeof(*host));
    if (!host) {
        return hm_error_set(err, HM_E_NOMEM, "host", "no private memory for \"%s\"",
                            name ? name : "wrapped");
    }
    host->table = hm__host_basics;
    host->table.create_malloc = wrap_host_create_malloc;
    host->table.retain = wrap_host_retain;
    host->table.release = wrap_host_release;
    host->base.vtbl = &host->table;
    host->allocator = *allocator;
    host->allocator.size = sizeof(host->allocator);
    host->references = 1;
    memcpy(host->where, "host:", 5);
    strncat(host->where, name ? name : "wrapped", sizeof(host->where) - 6);
    *out = &host->base;
    return HM_OK;
}
