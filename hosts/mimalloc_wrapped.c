/* SPDX-License-Identifier: MIT */
/* Objects of the mimalloc host that must know their blocks: the core's wrapping malloc over mimalloc's two functions.
 *
 * What is added to it is the size of blocks of any kind: a wrapped block starts behind a header, and mimalloc must
 * not be asked about it. */
#include "mimalloc_internal.h"

/* What wrapped objects need: made with the first one, and kept for good. */
typedef struct companion {
    hm_malloc *judge;    /* knows every wrapped block, and nobody allocates from it */
    hm_malloc_vtbl vtbl; /* the wrapping malloc's but for size_of */
} companion;
static companion *wrapped; /* atomic */

static void *allocator_alloc(void *context, size_t bytes)
{
    (void)context;
    return taken(mi_malloc(at_least_smallest(bytes)));
}

static void allocator_release(void *context, void *block, size_t bytes)
{
    (void)context, (void)bytes;
    give(block);
}

static const hm_allocator allocator = {
    .size = sizeof(hm_allocator),
    .alloc = allocator_alloc,
    .release = allocator_release,
    .flags = HM_ALLOCATOR_THREADSAFE,
};

size_t hm__mimalloc_wrapped_bytes(const void *block)
{
    const companion *c = __atomic_load_n(&wrapped, __ATOMIC_ACQUIRE);
    return c ? hm_size_of(c->judge, block) : 0;
}

/* A wrapped object may be asked about a plain block. Not a checking one: it is there to judge suspect pointers,
   and mimalloc reads through them. */
static size_t wrapped_size_of(hm_malloc *self, const void *block)
{
    const size_t bytes = hm__mimalloc_wrapped_bytes(block);
    return bytes || (self->flags & HM_MALLOC_DEBUG) ? bytes : mi_usable_size(block);
}

/* Of two threads that make one at the same time the second gives its own up. */
static companion *wrapped_start(hm_error *err)
{
    const hm_core *core = hm__mimalloc_core;
    companion *found = __atomic_load_n(&wrapped, __ATOMIC_ACQUIRE);
    if (found) {
        return found;
    }
    companion *made = core->memory_alloc(sizeof *made);
    if (!made) {
        core->error_set(err, HM_E_NOMEM, "host:mimalloc",
                        "no memory for a malloc object");
        return NULL;
    }
    if (core->wrap_malloc(&allocator, NULL, NULL, &made->judge, err) != HM_OK) {
        core->memory_free(made, sizeof *made);
        return NULL;
    }
    made->vtbl = *made->judge->vtbl;
    made->vtbl.size_of = wrapped_size_of;
    if (!__atomic_compare_exchange_n(&wrapped, &found, made, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        hm_malloc_release(made->judge);
        core->memory_free(made, sizeof *made);
        return found;
    }
    return made;
}

hm_status hm__mimalloc_create_wrapped(hm_host *host,
                                      const hm_malloc_opts *wanted,
                                      hm_malloc **out,
                                      hm_error *err)
{
    const companion *c = wrapped_start(err);
    if (!c) {
        return HM_E_NOMEM;
    }
    const hm_status status =
        hm__mimalloc_core->wrap_malloc(&allocator, host, wanted, out, err);
    if (status == HM_OK) {
        (*out)->vtbl = &c->vtbl;
    }
    return status;
}
