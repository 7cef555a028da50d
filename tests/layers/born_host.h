/* SPDX-License-Identifier: MIT */
/* A host that knows its blocks by birth: each carries the malloc it came from, and a free on another is counted.
 * It counts what is alive of it, so that a test sees old hosts go. */
#ifndef HM_TESTS_BORN_HOST_H
#define HM_TESTS_BORN_HOST_H

#include <hostmalloc/hostmalloc.h>

#include <stdlib.h>
#include <string.h>

typedef struct born_counts {
    int64_t hosts; /* atomic, as all below */
    int64_t mallocs;
    int64_t blocks;
    int64_t strangers; /* frees on a malloc the block was not born on */
    int32_t refuse; /* mallocs from now on: this many are made, then none; -1 all are */
} born_counts;
static born_counts born = {.refuse = -1};

typedef struct born_object {
    hm_layer_malloc layer; /* inner is not used */
} born_object;

typedef struct born_head {
    hm_malloc *birth;
    size_t size;
    void *raw; /* what libc gave */
    void *unused;
} born_head;

static const hm_core *born_core;
static hm_malloc_vtbl born_malloc_vtbl;
static hm_host_vtbl born_host_vtbl;

static void born_count(int64_t *counter, int64_t amount)
{
    __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

static int64_t born_load(const int64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void *born_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    (void)level, (void)site;
    const size_t offset = alignment > sizeof(born_head) ? alignment : sizeof(born_head);
    const size_t room = offset + (size + offset - 1) / offset * offset;
    char *raw = size < SIZE_MAX / 2 ? aligned_alloc(offset, room) : NULL;
    if (!raw) {
        return NULL;
    }
    ((born_head *)(raw + offset))[-1] = (born_head){self, size, raw, NULL};
    born_count(&born.blocks, 1);
    return raw + offset;
}

static void *born_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return born_alloc_aligned(self, size, 1, level, NULL);
}

static void born_free(hm_malloc *self, void *block)
{
    born_head *head = (born_head *)block - 1;
    if (block) {
        born_count(&born.strangers, head->birth != self);
        born_count(&born.blocks, -1);
        head->birth = NULL;
        (free)(head->raw);
    }
}

static size_t born_size_of(hm_malloc *self, const void *block)
{
    (void)self;
    return block ? ((const born_head *)block - 1)->size : 0;
}

static void born_retain(hm_malloc *self)
{
    __atomic_fetch_add(&((hm_layer_malloc *)self)->references, 1, __ATOMIC_RELAXED);
}

static void born_release(hm_malloc *self)
{
    hm_layer_malloc *m = (hm_layer_malloc *)self;
    if (__atomic_sub_fetch(&m->references, 1, __ATOMIC_ACQ_REL) == 0) {
        hm_host_release(m->host);
        born_core->memory_free(m, sizeof(born_object));
        born_count(&born.mallocs, -1);
    }
}

static hm_status born_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    hm_malloc_opts read;
    *out = NULL;
    hm_status status = born_core->malloc_opts_read(
        opts, HM_MALLOC_THREADSAFE | HM_MALLOC_ONE_THREAD, &read, err);
    if (status != HM_OK) {
        return status;
    }
    born_object *m = born.refuse != 0 ? born_core->memory_alloc(sizeof *m) : NULL;
    if (!m) {
        return born_core->error_set(err, HM_E_NOMEM, "host:born", "no more mallocs");
    }
    born.refuse -= born.refuse > 0;
    m->layer.base.vtbl = &born_malloc_vtbl;
    m->layer.base.flags = read.flags;
    m->layer.host = self;
    m->layer.references = 1;
    hm_host_retain(self);
    born_count(&born.mallocs, 1);
    *out = &m->layer.base;
    return HM_OK;
}

static void born_host_retain(hm_host *self)
{
    __atomic_fetch_add(&((hm_layer_host *)self)->references, 1, __ATOMIC_RELAXED);
}

static void born_host_release(hm_host *self)
{
    hm_layer_host *host = (hm_layer_host *)self;
    if (__atomic_sub_fetch(&host->references, 1, __ATOMIC_ACQ_REL) == 0) {
        born_core->memory_free(host, sizeof *host);
        born_count(&born.hosts, -1);
    }
}

static hm_status
born_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)values, (void)inner;
    *out = NULL;
    hm_layer_host *host = born_core->memory_alloc(sizeof *host);
    if (!host) {
        return born_core->error_set(err, HM_E_NOMEM, "host:born", "no memory");
    }
    host->base.vtbl = &born_host_vtbl;
    host->references = 1;
    born_count(&born.hosts, 1);
    *out = &host->base;
    return HM_OK;
}

static const hm_host_info born_info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_HOST,
    .name = "born",
    .summary = "knows each block's malloc",
    .version = "1",
    .open = born_open,
};

static hm_status born_begin(void)
{
    born_core = hm_core_table();
    born_malloc_vtbl = *born_core->malloc_basics;
    born_malloc_vtbl.retain = born_retain;
    born_malloc_vtbl.release = born_release;
    born_malloc_vtbl.alloc = born_alloc;
    (born_malloc_vtbl.free) = born_free;
    born_malloc_vtbl.alloc_aligned = born_alloc_aligned;
    born_malloc_vtbl.size_of = born_size_of;
    born_host_vtbl = *born_core->host_basics;
    born_host_vtbl.retain = born_host_retain;
    born_host_vtbl.release = born_host_release;
    born_host_vtbl.create_malloc = born_create_malloc;
    return hm_registry_add(&born_info, NULL);
}

#endif
