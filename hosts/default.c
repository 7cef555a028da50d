/* SPDX-License-Identifier: MIT */
/* The default host: blocks from libc, pages from the system.
 *
 * A plain malloc object is libc itself behind a table: nothing is counted and nothing is added to a block. Objects
 * that must know their blocks are in default_wrapped.c. */
#include "default_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

typedef struct plain_malloc {
    hm_malloc base;
    hm__default_host *host; /* one reference */
    uint32_t references;    /* atomic */
} plain_malloc;

hm_module_describe_fn hm__default_describe;

const hm_core *hm__default_core; /* set once, before anybody knows the host's name */

static plain_malloc *plain_from(hm_malloc *self)
{
    return (plain_malloc *)self; /* base is the first member */
}

static hm__default_host *host_from(hm_host *self)
{
    return (hm__default_host *)self; /* base is the first member */
}

static void plain_retain(hm_malloc *self)
{
    __atomic_fetch_add(&plain_from(self)->references, 1, __ATOMIC_RELAXED);
}

/* Its blocks are libc's, and stay. */
static void plain_release(hm_malloc *self)
{
    plain_malloc *m = plain_from(self);
    if (__atomic_sub_fetch(&m->references, 1, __ATOMIC_ACQ_REL) == 0) {
        hm__default_host *host = m->host;
        hm__default_core->memory_free(m, sizeof *m);
        hm_host_release(&host->base);
    }
}

/* Apart, so that the compiler leaves it a branch: a choice of sizes ahead of one call costs every size a cycle. */
__attribute__((noinline, cold)) static void *tiny_alloc(void)
{
    return malloc(HM__LIBC_SMALLEST);
}

static void *plain_alloc(hm_malloc *self, size_t size, hm_level level)
{
    (void)self, (void)level;
    return size < HM__LIBC_SMALLEST ? tiny_alloc() : malloc(size);
}

/* free keeps errno by itself (POSIX since 2024, glibc since 2.33, musl too). Keeping it once more would cost the jump
   at the end, and that is a seventh of a pair of calls. */
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

static void *plain_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    (void)self, (void)old_size, (void)level, (void)site;
    const int kept = errno;
    void *moved = realloc(block, hm__libc_size(size));
    if (!moved && block && size <= hm__os_block_size(block)) {
        moved = block; /* it found no memory to move to, but a shrink never fails */
    }
    errno = kept; /* this frees, too */
    return moved;
}

static void *plain_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    (void)self, (void)level, (void)site;
    if (size && count > SIZE_MAX / size) {
        return NULL;
    }
    return calloc(1, hm__libc_size(count * size));
}

static void *plain_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    (void)site;
    if (alignment == 0 || (alignment & (alignment - 1))) {
        return NULL;
    }
    if (alignment <= HM__LIBC_SMALLEST) {
        return plain_alloc(self, size, level);
    }
    /* Not every allocator looks whether the sum fits before it makes it. */
    if (size > PTRDIFF_MAX || alignment > PTRDIFF_MAX - size) {
        return NULL;
    }
    return hm__os_block_aligned(alignment, hm__libc_size(size));
}

static size_t plain_size_of(hm_malloc *self, const void *block)
{
    const size_t wrapped = hm__default_wrapped_size(plain_from(self)->host, block);
    return wrapped ? wrapped : hm__os_block_size(block);
}

static void plain_trim(hm_malloc *self)
{
    (void)self;
    hm__os_blocks_trim();
}

static void plain_close(hm_malloc *self)
{
    __atomic_store_n(&self->vtbl, &plain_from(self)->host->closed_vtbl, __ATOMIC_RELAXED);
}

static hm_status host_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    const uint32_t knows_its_blocks =
        HM_MALLOC_EXECUTABLE | HM_MALLOC_SCOPED | HM_MALLOC_EXACT;
    hm_malloc_opts wanted;
    *out = NULL;
    const hm_status status = hm__default_core->malloc_opts_read(
        opts, HM_MALLOC_THREADSAFE | HM_MALLOC_ONE_THREAD | knows_its_blocks, &wanted,
        err);
    if (status != HM_OK) {
        return status;
    }
    /* Where free takes no aligned block, each block has to say where it begins. */
    if (wanted.limit || (wanted.flags & knows_its_blocks) ||
        !hm__os()->has_aligned_blocks) {
        return hm__default_create_wrapped(host_from(self), &wanted, out, err);
    }
    plain_malloc *m = hm__default_core->memory_alloc(sizeof *m);
    if (!m) {
        return hm__default_core->error_set(err, HM_E_NOMEM, "host:default",
                                           "no memory for a malloc object");
    }
    m->base.vtbl = &host_from(self)->plain_vtbl;
    m->base.flags = wanted.flags;
    m->references = 1;
    m->host = host_from(self);
    hm_host_retain(self);
    *out = &m->base;
    return HM_OK;
}

static void host_retain(hm_host *self)
{
    __atomic_fetch_add(&host_from(self)->references, 1, __ATOMIC_RELAXED);
}

static void host_release(hm_host *self)
{
    hm__default_host *host = host_from(self);
    if (__atomic_sub_fetch(&host->references, 1, __ATOMIC_ACQ_REL) == 0) {
        hm__default_wrapped_destroy(host->wrapped);
        hm__default_core->memory_free(host, sizeof *host);
    }
}

/* "libc" is for whoever must know whether blocks come from the process's malloc, which others watch already. */
static hm_status host_find(hm_host *self, const char *interface_name, void **out)
{
    if (out && interface_name && strcmp(interface_name, "libc") == 0) {
        *out = self;
        return HM_OK;
    }
    return hm__default_core->host_basics->find(self, interface_name, out);
}

static void tables_fill(hm__default_host *host)
{
    hm_malloc_vtbl *plain = &host->plain_vtbl;
    *plain = *hm__default_core->malloc_basics;
    plain->retain = plain_retain;
    plain->release = plain_release;
    plain->alloc = plain_alloc;
    plain->free = plain_free;
    plain->free_sized = plain_free_sized;
    plain->realloc = plain_realloc;
    plain->alloc_zeroed = plain_alloc_zeroed;
    plain->alloc_aligned = plain_alloc_aligned;
    plain->size_of = plain_size_of;
    plain->trim = plain_trim;
    plain->close = plain_close;
    hm__default_core->malloc_closed(plain, &host->closed_vtbl);
    host->vtbl = *hm__default_core->host_basics;
    host->vtbl.retain = host_retain;
    host->vtbl.release = host_release;
    host->vtbl.create_malloc = host_create_malloc;
    host->vtbl.find = host_find;
}

static hm_status
host_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)values, (void)inner;
    *out = NULL;
    hm__default_host *host = hm__default_core->memory_alloc(sizeof *host);
    if (!host) {
        return hm__default_core->error_set(err, HM_E_NOMEM, "host:default",
                                           "no memory for the host");
    }
    tables_fill(host);
    host->base.vtbl = &host->vtbl;
    host->references = 1;
    *out = &host->base;
    return HM_OK;
}

static const hm_host_info info = {.size = sizeof(hm_host_info),
                                  .abi = HM_ABI,
                                  .kind = HM_KIND_HOST,
                                  .name = "default",
                                  .summary = "blocks from libc, pages from the system",
                                  .version = HM_VERSION,
                                  .open = host_open};
static const hm_host_info *const infos[] = {&info};

/* Several threads may be the first: one of them stores, all see it. */
hm_status
hm__default_describe(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    const hm_core *none = NULL;
    __atomic_compare_exchange_n(&hm__default_core, &none, core, 0, __ATOMIC_ACQ_REL,
                                __ATOMIC_ACQUIRE);
    *list = infos;
    *count = 1;
    return HM_OK;
}
