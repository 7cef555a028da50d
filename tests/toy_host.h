/* SPDX-License-Identifier: MIT */
/* A host small enough to be seen through, for tests and for the modules they load: blocks from the core's private
 * memory, exact counts, and a switch for each way to disappoint. Everything comes from the hm_core table. */
#ifndef HM_TESTS_TOY_HOST_H
#define HM_TESTS_TOY_HOST_H

#include <hostmalloc/layer.h>
#include <hostmalloc/module.h>

#include <stddef.h>
#include <string.h>

static const hm_core *toy_core;
static hm_malloc_vtbl toy_malloc_vtbl;
static hm_host_vtbl toy_host_vtbl;
static uint32_t toy_live;           /* atomic: hosts and mallocs alive */
static int toy_counts = 1;          /* stats answers */
static void (*toy_on_create)(void); /* called by create_malloc, when set */
static void (*toy_on_stats)(void);  /* called by stats, when set */

#define TOY_HEAD 16 /* before each block: its size */

typedef struct toy_malloc {
    hm_malloc base;
    hm_host *host;
    uint32_t references; /* atomic */
    uint32_t closed;     /* atomic */
    uint64_t blocks;     /* atomic */
    uint64_t bytes;      /* atomic */
} toy_malloc;

typedef struct toy_host {
    hm_host base;
    uint32_t references; /* atomic */
} toy_host;

static void *toy_alloc(hm_malloc *self, size_t size, hm_level level)
{
    toy_malloc *m = (toy_malloc *)self;
    (void)level;
    if (__atomic_load_n(&m->closed, __ATOMIC_RELAXED) || size > SIZE_MAX / 2) {
        return NULL;
    }
    char *head = toy_core->memory_alloc(size + TOY_HEAD);
    if (!head) {
        return NULL;
    }
    memcpy(head, &size, sizeof size);
    __atomic_fetch_add(&m->blocks, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&m->bytes, size, __ATOMIC_RELAXED);
    return head + TOY_HEAD;
}

static size_t toy_size_of(hm_malloc *self, const void *block)
{
    size_t size = 0;
    (void)self;
    if (block) {
        memcpy(&size, (const char *)block - TOY_HEAD, sizeof size);
    }
    return size;
}

static void toy_free(hm_malloc *self, void *block)
{
    toy_malloc *m = (toy_malloc *)self;
    if (block) {
        const size_t size = toy_size_of(self, block);
        __atomic_fetch_sub(&m->blocks, 1, __ATOMIC_RELAXED);
        __atomic_fetch_sub(&m->bytes, size, __ATOMIC_RELAXED);
        toy_core->memory_free((char *)block - TOY_HEAD, size + TOY_HEAD);
    }
}

static hm_status toy_stats(hm_malloc *self, hm_stats *out)
{
    const toy_malloc *m = (toy_malloc *)self;
    if (toy_on_stats) {
        toy_on_stats();
    }
    if (!toy_counts) {
        return HM_E_UNSUPPORTED;
    }
    out->live_blocks = __atomic_load_n(&m->blocks, __ATOMIC_RELAXED);
    out->live_bytes = __atomic_load_n(&m->bytes, __ATOMIC_RELAXED);
    return HM_OK;
}

static void toy_malloc_close(hm_malloc *self)
{
    __atomic_store_n(&((toy_malloc *)self)->closed, 1, __ATOMIC_RELAXED);
}

static void toy_malloc_retain(hm_malloc *self)
{
    __atomic_fetch_add(&((toy_malloc *)self)->references, 1, __ATOMIC_RELAXED);
}

static void toy_malloc_release(hm_malloc *self)
{
    toy_malloc *m = (toy_malloc *)self;
    if (__atomic_sub_fetch(&m->references, 1, __ATOMIC_ACQ_REL) == 0) {
        hm_host_release(m->host);
        toy_core->memory_free(m, sizeof *m);
        __atomic_fetch_sub(&toy_live, 1, __ATOMIC_RELAXED);
    }
}

static hm_status toy_create_malloc(hm_host *self,
                                   const hm_malloc_opts *opts,
                                   hm_malloc **out,
                                   hm_error *err)
{
    hm_malloc_opts read;
    *out = NULL;
    if (toy_on_create) {
        toy_on_create();
    }
    const hm_status status =
        toy_core->malloc_opts_read(opts, HM_MALLOC_THREADSAFE, &read, err);
    if (status != HM_OK) {
        return status;
    }
    toy_malloc *m = toy_core->memory_alloc(sizeof *m);
    if (!m) {
        return toy_core->error_set(err, HM_E_NOMEM, "host:toy", "no memory for a malloc");
    }
    m->base.vtbl = &toy_malloc_vtbl;
    m->base.flags = read.flags;
    m->host = self;
    m->references = 1;
    hm_host_retain(self);
    __atomic_fetch_add(&toy_live, 1, __ATOMIC_RELAXED);
    *out = &m->base;
    return HM_OK;
}

static void toy_host_retain(hm_host *self)
{
    __atomic_fetch_add(&((toy_host *)self)->references, 1, __ATOMIC_RELAXED);
}

static void toy_host_release(hm_host *self)
{
    toy_host *h = (toy_host *)self;
    if (__atomic_sub_fetch(&h->references, 1, __ATOMIC_ACQ_REL) == 0) {
        toy_core->memory_free(h, sizeof *h);
        __atomic_fetch_sub(&toy_live, 1, __ATOMIC_RELAXED);
    }
}

/* Once, before anything else. */
static inline void toy_begin(const hm_core *core)
{
    if (toy_core) {
        return;
    }
    toy_core = core;
    toy_malloc_vtbl = *core->malloc_basics;
    toy_malloc_vtbl.retain = toy_malloc_retain;
    toy_malloc_vtbl.release = toy_malloc_release;
    toy_malloc_vtbl.alloc = toy_alloc;
    (toy_malloc_vtbl.free) = toy_free;
    toy_malloc_vtbl.size_of = toy_size_of;
    toy_malloc_vtbl.stats = toy_stats;
    (toy_malloc_vtbl.close) = toy_malloc_close;
    toy_host_vtbl = *core->host_basics;
    toy_host_vtbl.retain = toy_host_retain;
    toy_host_vtbl.release = toy_host_release;
    toy_host_vtbl.create_malloc = toy_create_malloc;
}

/* hm_host_info.open of a host. */
static inline hm_status
toy_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    toy_host *h = toy_core->memory_alloc(sizeof *h);
    (void)values;
    (void)inner;
    if (!h) {
        return toy_core->error_set(err, HM_E_NOMEM, "host:toy", "no memory for a host");
    }
    h->base.vtbl = &toy_host_vtbl;
    h->references = 1;
    __atomic_fetch_add(&toy_live, 1, __ATOMIC_RELAXED);
    *out = &h->base;
    return HM_OK;
}

/* hm_host_info.open of a layer that changes nothing. */
static inline hm_status toy_open_layer(const hm_option_values *values,
                                       hm_host *inner,
                                       hm_host **out,
                                       hm_error *err)
{
    hm_layer_host *layer = toy_core->memory_alloc(sizeof *layer);
    (void)values;
    if (!layer) {
        return toy_core->error_set(err, HM_E_NOMEM, "layer:toy", "no memory for a layer");
    }
    hm_layer_host_init(layer, toy_core->host_forward, inner, sizeof *layer);
    *out = &layer->base;
    return HM_OK;
}

#endif
