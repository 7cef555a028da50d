/* SPDX-License-Identifier: MIT */
/* The pass-through tables: what a layer does not change goes to the object underneath, slot for slot. */
#include "slots_internal.h"

#include "memory_internal.h"

static hm_layer_malloc *layer_of(hm_malloc *self)
{
    return (hm_layer_malloc *)self; /* base is the first member */
}

static hm_malloc *inner_of(hm_malloc *self)
{
    return layer_of(self)->inner;
}

static const hm_malloc_vtbl *table_of(const hm_malloc *m)
{
    return HM_LOAD(m->vtbl);
}

static void malloc_retain(hm_malloc *self)
{
    __atomic_fetch_add(&layer_of(self)->references, 1, __ATOMIC_RELAXED);
}

/* Inside out: the malloc underneath may still need its host, and the layer's host the memory of nothing here. */
static void malloc_release(hm_malloc *self)
{
    hm_layer_malloc *layer = layer_of(self);
    if (__atomic_sub_fetch(&layer->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    hm_host *host = layer->host;
    hm_malloc_release(layer->inner);
    hm__memory_free(layer, layer->bytes);
    hm_host_release(host);
}

static void *malloc_alloc(hm_malloc *self, size_t size, hm_level level)
{
    hm_malloc *inner = inner_of(self);
    return (table_of(inner)->alloc)(inner, size, level);
}

static void malloc_free(hm_malloc *self, void *block)
{
    hm_malloc *inner = inner_of(self);
    (table_of(inner)->free)(inner, block);
}

static void malloc_free_sized(hm_malloc *self, void *block, size_t size)
{
    hm_malloc *inner = inner_of(self);
    table_of(inner)->free_sized(inner, block, size);
}

static void *
malloc_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    hm_malloc *inner = inner_of(self);
    return table_of(inner)->debug_alloc(inner, size, level, site);
}

static hm_status malloc_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    hm_malloc *inner = inner_of(self);
    return table_of(inner)->debug_free(inner, block, size, alignment, site);
}

static void *malloc_realloc(hm_malloc *self,
                            void *block,
                            size_t old_size,
                            size_t size,
                            hm_level level,
                            hm_site *site)
{
    hm_malloc *inner = inner_of(self);
    return (table_of(inner)->realloc)(inner, block, old_size, size, level, site);
}

static void *malloc_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    hm_malloc *inner = inner_of(self);
    return table_of(inner)->alloc_zeroed(inner, count, size, level, site);
}

static void *malloc_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    hm_malloc *inner = inner_of(self);
    return table_of(inner)->alloc_aligned(inner, size, alignment, level, site);
}

static hm_status malloc_request(hm_malloc *self, const hm_request *request, void **out)
{
    return hm_malloc_request(inner_of(self), request, out);
}

static size_t malloc_size_of(hm_malloc *self, const void *block)
{
    return hm_size_of(inner_of(self), block);
}

static size_t malloc_good_size(hm_malloc *self, size_t size)
{
    return hm_good_size(inner_of(self), size);
}

static int malloc_owns(hm_malloc *self, const void *block)
{
    return hm_owns(inner_of(self), block);
}

/* The caller has sized and zeroed what it wants filled; the inline callers would do so again for this build. */
static hm_status malloc_describe(hm_malloc *self, const void *block, hm_block *out)
{
    hm_malloc *inner = inner_of(self);
    return table_of(inner)->describe(inner, block, out);
}

static hm_status malloc_walk(hm_malloc *self, hm_visit *visit, void *context)
{
    return hm_walk(inner_of(self), visit, context);
}

static hm_status malloc_stats(hm_malloc *self, hm_stats *out)
{
    hm_malloc *inner = inner_of(self);
    return table_of(inner)->stats(inner, out);
}

static void malloc_trim(hm_malloc *self)
{
    hm_malloc_trim(inner_of(self));
}

static hm_status malloc_reset(hm_malloc *self)
{
    return hm_malloc_reset(inner_of(self));
}

static void malloc_close(hm_malloc *self)
{
    hm_malloc_close(inner_of(self));
}

static hm_status malloc_find(hm_malloc *self, const char *interface_name, void **out)
{
    return hm_malloc_find(inner_of(self), interface_name, out);
}

const hm_malloc_vtbl hm__malloc_forward = {
    .size = sizeof(hm_malloc_vtbl),
    .retain = malloc_retain,
    .release = malloc_release,
    .alloc = malloc_alloc,
    .free = malloc_free,
    .free_sized = malloc_free_sized,
    .debug_alloc = malloc_debug_alloc,
    .debug_free = malloc_debug_free,
    .realloc = malloc_realloc,
    .alloc_zeroed = malloc_alloc_zeroed,
    .alloc_aligned = malloc_alloc_aligned,
    .request = malloc_request,
    .size_of = malloc_size_of,
    .good_size = malloc_good_size,
    .owns = malloc_owns,
    .describe = malloc_describe,
    .walk = malloc_walk,
    .stats = malloc_stats,
    .trim = malloc_trim,
    .reset = malloc_reset,
    .close = malloc_close,
    .find = malloc_find,
};

static hm_layer_host *layer_host_of(hm_host *self)
{
    return (hm_layer_host *)self; /* base is the first member */
}

static hm_host *inner_host_of(hm_host *self)
{
    return layer_host_of(self)->inner;
}

static void host_retain(hm_host *self)
{
    __atomic_fetch_add(&layer_host_of(self)->references, 1, __ATOMIC_RELAXED);
}

static void host_release(hm_host *self)
{
    hm_layer_host *layer = layer_host_of(self);
    if (__atomic_sub_fetch(&layer->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    hm_host *inner = layer->inner;
    hm__memory_free(layer, layer->bytes);
    hm_host_release(inner);
}

static hm_status host_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    hm_host *inner = inner_host_of(self);
    return inner->vtbl->create_malloc(inner, opts, out, err);
}

static hm_status host_virtual_alloc(hm_host *self,
                                    void *address,
                                    size_t size,
                                    uint32_t type,
                                    uint32_t protection,
                                    hm_level level,
                                    void **out)
{
    return hm_host_virtual_alloc(inner_host_of(self), address, size, type, protection,
                                 level, out);
}

static hm_status
host_virtual_free(hm_host *self, void *address, size_t size, uint32_t type)
{
    return hm_host_virtual_free(inner_host_of(self), address, size, type);
}

static hm_status host_virtual_query(hm_host *self, const void *address, hm_region *out)
{
    hm_host *inner = inner_host_of(self);
    return inner->vtbl->virtual_query(inner, address, out);
}

static hm_status host_virtual_protect(
    hm_host *self, void *address, size_t size, uint32_t protection, uint32_t *old)
{
    return hm_host_virtual_protect(inner_host_of(self), address, size, protection, old);
}

static hm_status host_memory_load(hm_host *self, uint32_t *percent, size_t *available)
{
    return hm_host_memory_load(inner_host_of(self), percent, available);
}

static hm_status host_subscribe(hm_host *self, hm_notify *notify, void *context)
{
    return hm_host_subscribe(inner_host_of(self), notify, context);
}

static hm_status host_unsubscribe(hm_host *self, hm_notify *notify, void *context)
{
    return hm_host_unsubscribe(inner_host_of(self), notify, context);
}

static hm_status host_needs_address_space(hm_host *self, void *start, size_t size)
{
    hm_host *inner = inner_host_of(self);
    return inner->vtbl->needs_address_space(inner, start, size);
}

static void host_acquired_address_space(hm_host *self, void *start, size_t size)
{
    hm_host *inner = inner_host_of(self);
    inner->vtbl->acquired_address_space(inner, start, size);
}

static void host_released_address_space(hm_host *self, void *start)
{
    hm_host *inner = inner_host_of(self);
    inner->vtbl->released_address_space(inner, start);
}

static hm_status host_find(hm_host *self, const char *interface_name, void **out)
{
    return hm_host_find(inner_host_of(self), interface_name, out);
}

const hm_host_vtbl hm__host_forward = {
    .size = sizeof(hm_host_vtbl),
    .retain = host_retain,
    .release = host_release,
    .create_malloc = host_create_malloc,
    .virtual_alloc = host_virtual_alloc,
    .virtual_free = host_virtual_free,
    .virtual_query = host_virtual_query,
    .virtual_protect = host_virtual_protect,
    .memory_load = host_memory_load,
    .subscribe = host_subscribe,
    .unsubscribe = host_unsubscribe,
    .needs_address_space = host_needs_address_space,
    .acquired_address_space = host_acquired_address_space,
    .released_address_space = host_released_address_space,
    .find = host_find,
};
