/* SPDX-License-Identifier: MIT */
/* Malloc objects of the default host that know their blocks: scoped, exact, limited and executable ones.
 *
 * They are the core's wrapping malloc, over libc's two functions or over pages for code. The wrapping malloc does
 * not hand out EXECUTABLE, because most allocators cannot give such memory; here it is added to what came back.
 *
 * One slot is replaced. size_of may be asked about any sibling's block, and a plain one is libc's, which the
 * wrapping malloc has not heard of; a wrapped one starts behind a header, and libc must not be asked about it. */
#include "default_internal.h"

#include <stdlib.h>

#include "os.h"

/* One for each host that has made any. */
struct hm__default_wrapped {
    hm_malloc_vtbl vtbl; /* the wrapping malloc's but for size_of */
    hm_malloc *judge;    /* knows every wrapped block; nobody allocates from it */
};

size_t hm__default_wrapped_size(const hm__default_host *host, const void *block)
{
    const hm__default_wrapped *wrapped =
        __atomic_load_n(&host->wrapped, __ATOMIC_ACQUIRE);
    return wrapped ? hm_size_of(wrapped->judge, block) : 0;
}

/* A checking object is there to judge suspect pointers, and libc reads through them: it answers for wrapped blocks
   only. */
static size_t wrapped_size_of(hm_malloc *self, const void *block)
{
    const hm__default_wrapped *wrapped =
        (const hm__default_wrapped *)HM_LOAD(self->vtbl); /* vtbl is the first member */
    const size_t size = hm_size_of(wrapped->judge, block);
    return size || (self->flags & HM_MALLOC_DEBUG) ? size : hm__os_block_size(block);
}

static void *libc_alloc(void *context, size_t bytes)
{
    (void)context;
    return malloc(hm__libc_size(bytes));
}

static void libc_release(void *context, void *block, size_t bytes)
{
    (void)context, (void)bytes;
    free(block);
}

/* The state of each page is recorded, also of those that a vast alignment would leave unused. */
#define CODE_BYTES_MAX ((size_t)1 << 32)

/* Pages of its own for each block, so that protecting or flushing one touches no other. Reservations start at
   granules of 64 KiB, which is address space only. */
static hm_status map(size_t bytes, uint32_t protection, void **out)
{
    return hm__default_core->host_basics->virtual_alloc(
        NULL, NULL, bytes, HM_MEM_RESERVE | HM_MEM_COMMIT, protection, HM_LEVEL_CURRENT,
        out);
}

static void *code_alloc(void *context, size_t bytes)
{
    void *pages = NULL;
    (void)context;
    if (bytes > CODE_BYTES_MAX) {
        return NULL;
    }
    map(bytes, HM_PAGE_EXECUTE_READWRITE, &pages);
    return pages;
}

static void code_release(void *context, void *block, size_t bytes)
{
    (void)context, (void)bytes;
    hm__default_core->host_basics->virtual_free(NULL, block, 0, HM_MEM_RELEASE);
}

static const hm_allocator libc_blocks = {.size = sizeof(hm_allocator),
                                         .alloc = libc_alloc,
                                         .release = libc_release,
                                         .flags = HM_ALLOCATOR_THREADSAFE};
static const hm_allocator code_blocks = {.size = sizeof(hm_allocator),
                                         .alloc = code_alloc,
                                         .release = code_release,
                                         .flags = HM_ALLOCATOR_THREADSAFE};

/* A system that never lets a page be written and run at once refuses the first one: better told at creation than by
   an object that never has a block. */
static hm_status code_check(hm_error *err)
{
    void *pages = NULL;
    if (map(1, HM_PAGE_EXECUTE_READWRITE, &pages) == HM_OK) {
        code_release(NULL, pages, 1);
        return HM_OK;
    }
    const int reason = hm__os_error();
    const hm_status plain = map(1, HM_PAGE_READWRITE, &pages);
    if (plain != HM_OK) {
        return hm__default_core->error_set(err, plain, "host:default",
                                           "no pages for code");
    }
    code_release(NULL, pages, 1);
    hm__default_core->error_set(err, HM_E_UNSUPPORTED, "host:default",
                                "the system refuses pages that may be written and run");
    if (err) {
        err->os_code = reason;
    }
    return HM_E_UNSUPPORTED;
}

void hm__default_wrapped_destroy(hm__default_wrapped *wrapped)
{
    if (wrapped) {
        hm_malloc_release(wrapped->judge);
        hm__default_core->memory_free(wrapped, sizeof *wrapped);
    }
}

/* Two threads may make one each; the second gives its own up. */
static hm_status
wrapped_of(hm__default_host *host, hm__default_wrapped **out, hm_error *err)
{
    const hm_core *core = hm__default_core;
    *out = __atomic_load_n(&host->wrapped, __ATOMIC_ACQUIRE);
    if (*out) {
        return HM_OK;
    }
    hm__default_wrapped *made = core->memory_alloc(sizeof *made);
    if (!made) {
        return core->error_set(err, HM_E_NOMEM, "host:default",
                               "no memory for a malloc object");
    }
    /* The judge holds no reference to the host, which holds it. */
    const hm_status status =
        core->wrap_malloc(&libc_blocks, NULL, NULL, &made->judge, err);
    if (status != HM_OK) {
        core->memory_free(made, sizeof *made);
        return status;
    }
    made->vtbl = *made->judge->vtbl;
    made->vtbl.size_of = wrapped_size_of;
    if (__atomic_compare_exchange_n(&host->wrapped, out, made, 0, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        *out = made;
    } else {
        hm__default_wrapped_destroy(made);
    }
    return HM_OK;
}

hm_status hm__default_create_wrapped(hm__default_host *host,
                                     const hm_malloc_opts *wanted,
                                     hm_malloc **out,
                                     hm_error *err)
{
    const uint32_t executable = wanted->flags & HM_MALLOC_EXECUTABLE;
    hm_malloc_opts rest = *wanted;
    hm__default_wrapped *wrapped = NULL;
    hm_malloc *made = NULL;
    hm_status status = executable ? code_check(err) : HM_OK;
    if (status == HM_OK) {
        status = wrapped_of(host, &wrapped, err);
    }
    if (status == HM_OK) {
        rest.flags &= ~HM_MALLOC_EXECUTABLE;
        status = hm__default_core->wrap_malloc(executable ? &code_blocks : &libc_blocks,
                                               &host->base, &rest, &made, err);
    }
    if (status == HM_OK) {
        made->vtbl = &wrapped->vtbl;
        made->flags |= executable;
        *out = made;
    }
    return status;
}
