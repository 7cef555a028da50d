/* SPDX-License-Identifier: MIT */
/* A malloc whose blocks are a client's, for whatever knows mallocs only. It has the client's key and nothing of the client,
 * so it outlives it. */
#include "client_internal.h"

#include "memory_internal.h"
#include "slots_internal.h"

typedef struct held {
    hm_malloc base;
    hm_malloc_vtbl table;
    hm_client_key key;
    uint32_t references; /* atomic */
} held;

static held *held_from(hm_malloc *self)
{
    return (held *)self; /* base is the first member */
}

static void held_retain(hm_malloc *self)
{
    __atomic_fetch_add(&held_from(self)->references, 1, __ATOMIC_RELAXED);
}

static void held_release(hm_malloc *self)
{
    held *h = held_from(self);
    if (__atomic_sub_fetch(&h->references, 1, __ATOMIC_ACQ_REL) == 0) {
        hm__memory_free(h, sizeof *h);
    }
}

/* A client asks at the level of its thread. */
static void *
held_realloc_to(hm_malloc *self, void *block, size_t size, hm_level level, hm_site *site)
{
    const hm_client_key key = held_from(self)->key;
    const hm_level before =
        level == HM_LEVEL_CURRENT ? hm_level_now() : hm_level_enter(level);
    hm_status status;
    size_t old = 0;
    void *got = hm_client_realloc(key, block, size, site, &status);
    hm_level_leave(before);
    /* Stopped, where a malloc still shrinks: the block keeps its size. */
    if (!got && status == HM_E_CLOSED && block &&
        hm_client_size(key, block, &old) == HM_OK && size <= old) {
        return block;
    }
    return got;
}

static void *held_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    return held_realloc_to(self, NULL, size, level, site);
}

static void *held_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return held_realloc_to(self, NULL, size, level, NULL);
}

static hm_status held_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    (void)size;
    (void)alignment;
    return block ? hm_client_free(held_from(self)->key, block, site) : HM_OK;
}

static void held_free(hm_malloc *self, void *block)
{
    (void)held_debug_free(self, block, HM_SIZE_UNKNOWN, 0, NULL);
}

static void held_free_sized(hm_malloc *self, void *block, size_t size)
{
    (void)held_debug_free(self, block, size, 0, NULL);
}

static void *held_realloc(hm_malloc *self,
                          void *block,
                          size_t old_size,
                          size_t size,
                          hm_level level,
                          hm_site *site)
{
    (void)old_size;
    return held_realloc_to(self, block, size, level, site);
}

static size_t held_size_of(hm_malloc *self, const void *block)
{
    hm__client *const c = hm__client_enter(held_from(self)->key);
    size_t usable = 0;
    if (!c) {
        return 0;
    }
    if (hm__client_blocks_find(&c->blocks, block)) {
        hm__client_host_begin(c);
        usable = hm_size_of(c->malloc_object, block);
        hm__client_host_end(c);
    }
    hm__client_leave(c);
    return usable;
}

static int held_owns(hm_malloc *self, const void *block)
{
    size_t bytes;
    return block && hm_client_size(held_from(self)->key, block, &bytes) == HM_OK;
}

static hm_status held_describe(hm_malloc *self, const void *block, hm_block *out)
{
    if (!out || out->size < sizeof *out) {
        return HM_E_INVALID;
    }
    hm__client *const c = hm__client_enter(held_from(self)->key);
    if (!c) {
        return HM_E_NOT_OWNED;
    }
    const hm__client_block *const b = hm__client_blocks_find(&c->blocks, block);
    if (b) {
        const size_t size = out->size;
        *out = hm__client_block_shown(b);
        out->size = size;
    }
    hm__client_leave(c);
    return b ? HM_OK : HM_E_NOT_OWNED;
}

static hm_status held_walk(hm_malloc *self, hm_visit *visit, void *context)
{
    const hm_status status = hm_client_walk(held_from(self)->key, visit, context);
    return status == HM_E_NOT_FOUND ? HM_OK : status; /* closed: it has none */
}

static hm_status held_stats(hm_malloc *self, hm_stats *out)
{
    hm_stats counted;
    if (!out || out->size < sizeof *out) {
        return HM_E_INVALID;
    }
    const size_t size = out->size;
    (void)hm_client_stats(held_from(self)->key, &counted);
    *out = counted;
    out->size = size;
    return HM_OK;
}

static hm_status held_reset(hm_malloc *self)
{
    (void)hm_client_reclaim(held_from(self)->key, NULL);
    return HM_OK;
}

static void table_fill(hm_malloc_vtbl *table)
{
    *table = hm__malloc_basics;
    table->retain = held_retain;
    table->release = held_release;
    table->alloc = held_alloc;
    table->free = held_free;
    table->free_sized = held_free_sized;
    table->debug_alloc = held_debug_alloc;
    table->debug_free = held_debug_free;
    table->realloc = held_realloc;
    table->size_of = held_size_of;
    table->owns = held_owns;
    table->describe = held_describe;
    table->walk = held_walk;
    table->stats = held_stats;
    table->reset = held_reset;
}

hm_status hm_client_as_malloc(hm_client_key key, hm_malloc **out, hm_error *err)
{
    if (!out) {
        return hm_error_set(err, HM_E_INVALID, "client", "out is NULL");
    }
    *out = NULL;
    hm__client *const c = hm__client_enter(key);
    if (!c) {
        return hm_error_set(err, HM_E_NOT_FOUND, "client", "no client has this key");
    }
    held *const h = hm__memory_alloc(sizeof *h);
    if (h) {
        table_fill(&h->table);
        h->base.vtbl = &h->table;
        h->base.flags = HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT |
                        (c->malloc_object->flags & HM_MALLOC_DEBUG);
        h->key = key;
        h->references = 1;
        *out = &h->base;
    }
    hm__client_leave(c);
    return h ? HM_OK
             : hm_error_set(err, HM_E_NOMEM, "client", "no private memory for a malloc");
}
