/* SPDX-License-Identifier: MIT */
/* The default host: blocks from the process's own malloc, pages from the system.
 *
 * The one place in the library that calls libc's malloc. Plain objects are libc, slot by slot; objects that must
 * know their blocks (scoped, exact, limited) are the core's wrapping malloc over the same two functions. */
#include <hostmalloc/module.h>

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>

#include "os.h"

typedef struct default_host {
    hm_host base;
    uint32_t references; /* atomic */
} default_host;

typedef struct default_malloc {
    hm_malloc base;
    hm_host *host;
    uint32_t references; /* atomic */
} default_malloc;

hm_module_describe_fn hm__default_describe;

static const hm_core *core;
static hm_malloc_vtbl plain_vtbl;
static hm_malloc_vtbl closed_vtbl;
static hm_host_vtbl host_vtbl;

static default_malloc *malloc_from(hm_malloc *self)
{
    return (default_malloc *)self; /* base is the first member */
}

static void plain_retain(hm_malloc *self)
{
    __atomic_fetch_add(&malloc_from(self)->references, 1, __ATOMIC_RELAXED);
}

static void plain_release(hm_malloc *self)
{
    default_malloc *m = malloc_from(self);
    if (__atomic_sub_fetch(&m->references, 1, __ATOMIC_ACQ_REL) == 0) {
        hm_host *host = m->host;
        core->memory_free(m, sizeof *m);
        hm_host_release(host);
    }
}

/* Not every libc gives a block for zero bytes; one byte is a block everywhere. */
static size_t at_least_one(size_t size)
{
    return size + !size;
}

static void *plain_alloc(hm_malloc *self, size_t size, hm_level level)
{
    (void)self, (void)level;
    return malloc(at_least_one(size));
}

/* No errno is kept here: glibc's free does since 2.33, and keeping it twice would cost the jump. */
static void plain_free(hm_malloc *self, void *block)
{
    (void)self;
    free(block);
}

static void plain_free_sized(hm_malloc *self, void *block, size_t size)
{
    (void)self, (void)size;
    free(block);
}

static void *
plain_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    (void)self, (void)level, (void)site;
    return malloc(at_least_one(size));
}

static hm_status plain_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    (void)self, (void)size, (void)alignment, (void)site;
    free(block);
    return HM_OK;
}

static void *plain_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    (void)self, (void)old_size, (void)level, (void)site;
    void *moved = realloc(block, at_least_one(size));
    return moved || !block || size > hm__os_block_size(block) ? moved : block;
}

static void *plain_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    (void)self, (void)level, (void)site;
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL
                                                       : calloc(1, at_least_one(bytes));
}

static void *plain_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    (void)self, (void)level, (void)site;
    if (alignment == 0 || (alignment & (alignment - 1))) {
        return NULL;
    }
    if (alignment <= alignof(max_align_t)) {
        return malloc(at_least_one(size));
    }
    void *block = NULL;
    const int kept = errno;
    const int refused = posix_memalign(&block, alignment, at_least_one(size));
    errno = kept;
    return refused ? NULL : block;
}

static size_t plain_size_of(hm_malloc *self, const void *block)
{
    (void)self;
    return hm__os_block_size(block);
}

static void plain_close(hm_malloc *self)
{
    __atomic_store_n(&self->vtbl, &closed_vtbl, __ATOMIC_RELAXED);
}

/* For the wrapping malloc. */
static void *allocator_alloc(void *context, size_t bytes)
{
    (void)context;
    return malloc(at_least_one(bytes));
}

static void allocator_release(void *context, void *block, size_t bytes)
{
    (void)context, (void)bytes;
    free(block);
}

static const hm_allocator allocator = {
    .size = sizeof(hm_allocator),
    .alloc = allocator_alloc,
    .release = allocator_release,
    .flags = HM_ALLOCATOR_THREADSAFE,
};

static void host_retain(hm_host *self)
{
    __atomic_fetch_add(&((default_host *)self)->references, 1, __ATOMIC_RELAXED);
}

static void host_release(hm_host *self)
{
    default_host *host = (default_host *)self; /* base is the first member */
    if (__atomic_sub_fetch(&host->references, 1, __ATOMIC_ACQ_REL) == 0) {
        core->memory_free(host, sizeof *host);
    }
}

static hm_status host_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    hm_malloc_opts wanted;
    *out = NULL;
    const hm_status status = core->malloc_opts_read(
        opts,
        HM_MALLOC_THREADSAFE | HM_MALLOC_SCOPED | HM_MALLOC_ONE_THREAD | HM_MALLOC_EXACT,
        &wanted, err);
    if (status != HM_OK) {
        return status;
    }
    if (wanted.limit || wanted.flags & (HM_MALLOC_SCOPED | HM_MALLOC_EXACT)) {
        return core->wrap_malloc(&allocator, self, &wanted, out, err);
    }
    default_malloc *m = core->memory_alloc(sizeof *m);
    if (!m) {
        return core->error_set(err, HM_E_NOMEM, "host:default",
                               "no private memory for a malloc object");
    }
    m->base.vtbl = &plain_vtbl;
    m->base.flags = wanted.flags;
    m->references = 1;
    m->host = self;
    hm_host_retain(self);
    *out = &m->base;
    return HM_OK;
}

static hm_status
host_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)values, (void)inner;
    *out = NULL;
    default_host *host = core->memory_alloc(sizeof *host);
    if (!host) {
        return core->error_set(err, HM_E_NOMEM, "host:default",
                               "no private memory for the host");
    }
    host->base.vtbl = &host_vtbl;
    host->references = 1;
    *out = &host->base;
    return HM_OK;
}

static const hm_host_info info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_HOST,
    .name = "default",
    .summary = "blocks from the C library, pages from the system",
    .version = HM_VERSION,
    .open = host_open,
};
static const hm_host_info *const infos[] = {&info};

static void tables_fill(void)
{
    plain_vtbl = *core->malloc_basics;
    plain_vtbl.retain = plain_retain;
    plain_vtbl.release = plain_release;
    plain_vtbl.alloc = plain_alloc;
    plain_vtbl.free = plain_free;
    plain_vtbl.free_sized = plain_free_sized;
    plain_vtbl.debug_alloc = plain_debug_alloc;
    plain_vtbl.debug_free = plain_debug_free;
    plain_vtbl.realloc = plain_realloc;
    plain_vtbl.alloc_zeroed = plain_alloc_zeroed;
    plain_vtbl.alloc_aligned = plain_alloc_aligned;
    plain_vtbl.size_of = plain_size_of;
    plain_vtbl.close = plain_close;
    core->malloc_closed(&plain_vtbl, &closed_vtbl);
    host_vtbl = *core->host_basics;
    host_vtbl.retain = host_retain;
    host_vtbl.release = host_release;
    host_vtbl.create_malloc = host_create_malloc;
}

hm_status
hm__default_describe(const hm_core *from, const hm_host_info *const **list, size_t *count)
{
    if (!core) {
        core = from;
        tables_fill();
    }
    *list = infos;
    *count = 1;
    return HM_OK;
}
