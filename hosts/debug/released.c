/* SPDX-License-Identifier: MIT */
/* A malloc after its last release: whoever still holds it is told so. Blocks that were live then can still be freed. */
#include "finding_internal.h"
#include "references_internal.h"

static hm_site *caller_site(const debug_malloc *m, uintptr_t caller)
{
    return m->host->keeps_references ? hm__debug_caller_site(caller) : NULL;
}

#define CALLER_SITE(m) caller_site(m, (uintptr_t)__builtin_return_address(0))

static void retain(hm_malloc *self)
{
    debug_malloc *m = hm__debug_from(self);
    hm__debug_found_released(m, "retain of a released malloc", CALLER_SITE(m));
}

static void release(hm_malloc *self)
{
    debug_malloc *m = hm__debug_from(self);
    hm__debug_found_released(m, "release of a released malloc", CALLER_SITE(m));
}

static void *refuse(hm_malloc *self, hm_site *site)
{
    debug_malloc *m = hm__debug_from(self);
    hm__debug_found_released(m, "allocation from a released malloc", site);
    __atomic_add_fetch(&m->failed, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void *alloc(hm_malloc *self, size_t size, hm_level level)
{
    (void)size;
    (void)level;
    return refuse(self, NULL);
}

static void *debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    (void)size;
    (void)level;
    return refuse(self, site);
}

static void *realloc_block(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    (void)block;
    (void)old_size;
    (void)size;
    (void)level;
    return refuse(self, site);
}

static void *
alloc_more(hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    (void)count;
    (void)size;
    (void)level;
    return refuse(self, site);
}

static hm_status
debug_free(hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    debug_malloc *m = hm__debug_from(self);
    if (!block) {
        return HM_OK;
    }
    hm__debug_found_released(m, "free on a released malloc", site);
    return hm__debug_usual(m)->debug_free(self, block, size, alignment, site);
}

static void free_block(hm_malloc *self, void *block)
{
    debug_free(self, block, HM_SIZE_UNKNOWN, 0, NULL);
}

static void free_sized(hm_malloc *self, void *block, size_t size)
{
    debug_free(self, block, size, 0, NULL);
}

static hm_status request(hm_malloc *self, const hm_request *asked, void **out)
{
    refuse(self, asked && asked->size >= sizeof(*asked) ? asked->site : NULL);
    if (!out) {
        return HM_E_INVALID;
    }
    *out = NULL;
    return HM_E_CLOSED;
}

static void nothing(hm_malloc *self)
{
    (void)self;
}

static hm_status reset(hm_malloc *self)
{
    (void)self;
    return HM_E_CLOSED;
}

const hm_malloc_vtbl hm__debug_released = {
    .size = sizeof(hm_malloc_vtbl),
    .retain = retain,
    .release = release,
    .alloc = alloc,
    .free = free_block,
    .free_sized = free_sized,
    .debug_alloc = debug_alloc,
    .debug_free = debug_free,
    .realloc = realloc_block,
    .alloc_zeroed = alloc_more,
    .alloc_aligned = alloc_more,
    .request = request,
    .size_of = hm__debug_size_of,
    .good_size = hm__debug_good_size,
    .owns = hm__debug_owns,
    .describe = hm__debug_describe_block,
    .walk = hm__debug_walk,
    .stats = hm__debug_stats,
    .trim = nothing,
    .reset = reset,
    .close = nothing,
    .find = hm__debug_find,
};
