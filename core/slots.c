/* SPDX-License-Identifier: MIT */
/* The ready-made table: slots of a malloc object in terms of the others. closed.c has what it becomes when drained.
 *
 * An object that wants sites is called through its debug pair here too, as callers do. */
#include "slots_internal.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>

static int is_power_of_two(size_t n)
{
    return n && !(n & (n - 1));
}

/* What a checking object says of a block before its bytes are touched; HM_OK where it cannot tell. */
static hm_status block_verdict(hm_malloc *self, const void *block)
{
    if (!(self->flags & HM_MALLOC_DEBUG) || HM_LOAD(self->vtbl)->owns(self, block)) {
        return HM_OK;
    }
    hm_block seen;
    return hm_describe(self, block, &seen) == HM_OK && seen.state == HM_BLOCK_FREED
               ? HM_E_FREED
               : HM_E_NOT_OWNED;
}

static size_t block_bytes(hm_malloc *self, const void *block, size_t given)
{
    return given == HM_SIZE_UNKNOWN ? HM_LOAD(self->vtbl)->size_of(self, block) : given;
}

/* Only an object that keeps sites can be asked. */
hm_site *hm__birth_site(hm_malloc *self, const void *block)
{
    hm_block seen;
    if (!(self->flags & HM_MALLOC_DEBUG) || hm_describe(self, block, &seen) != HM_OK ||
        !seen.site) {
        return NULL;
    }
    return hm_site_intern(seen.site->file, seen.site->function, seen.site->line);
}

/* Put fresh in the place of block: bytes over, block freed. When block turns out not to be ours to free, fresh
   goes back and nothing has happened. */
static hm_status block_replace(hm_malloc *self,
                               void *block,
                               size_t old_size,
                               void *fresh,
                               size_t bytes,
                               hm_site *site)
{
    memcpy(fresh, block, bytes);
    const hm_status verdict = hm_free_at(self, block, old_size, 0, site);
    if (verdict != HM_OK && verdict != HM_E_CORRUPT) {
        hm_free_at(self, fresh, HM_SIZE_UNKNOWN, 0, site);
        return verdict;
    }
    return HM_OK;
}

static void *
basic_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    (void)site;
    return (HM_LOAD(self->vtbl)->alloc)(self, size, level);
}

static void basic_free_sized(hm_malloc *self, void *block, size_t size)
{
    (void)size;
    (HM_LOAD(self->vtbl)->free)(self, block);
}

static hm_status basic_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    (void)size;
    (void)alignment;
    (void)site;
    (HM_LOAD(self->vtbl)->free)(self, block);
    return HM_OK;
}

static void *basic_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    if (!block) {
        return hm_alloc_at(self, size, level, site);
    }
    if (block_verdict(self, block) != HM_OK) {
        return NULL;
    }
    const int kept_errno = errno; /* this frees, and what frees leaves it alone */
    const size_t old_bytes = block_bytes(self, block, old_size);
    void *fresh =
        hm_alloc_at(self, size, level, site ? site : hm__birth_site(self, block));
    if (!fresh) {
        errno = size <= old_bytes ? kept_errno : errno;
        return size <= old_bytes ? block : NULL;
    }
    const size_t kept = old_bytes < size ? old_bytes : size;
    if (block_replace(self, block, old_size, fresh, kept, site) != HM_OK) {
        return NULL;
    }
    errno = kept_errno;
    return fresh;
}

static void *basic_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    if (size && count > SIZE_MAX / size) {
        return NULL;
    }
    void *block = hm_alloc_at(self, count * size, level, site);
    return block ? memset(block, 0, count * size) : NULL;
}

static void *basic_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    if (!is_power_of_two(alignment) || alignment > alignof(max_align_t)) {
        return NULL;
    }
    return hm_alloc_at(self, size, level, site);
}

hm_status hm__request_check(const hm_request *request)
{
    const hm_status status =
        request ? hm__struct_check(request, sizeof(*request), sizeof(*request))
                : HM_E_INVALID;
    if (status != HM_OK) {
        return status;
    }
    const int known = !(request->flags & ~HM_REQUEST_ZEROED) &&
                      (!request->alignment || is_power_of_two(request->alignment));
    return known ? HM_OK : HM_E_INVALID;
}

static void *request_alloc(hm_malloc *self, const hm_request *request)
{
    const hm_malloc_vtbl *table = HM_LOAD(self->vtbl);
    const size_t bytes = request->bytes;
    const int zeroed = (request->flags & HM_REQUEST_ZEROED) != 0;
    if (request->alignment > alignof(max_align_t)) {
        void *block = table->alloc_aligned(self, bytes, request->alignment,
                                           request->level, request->site);
        return block && zeroed ? memset(block, 0, bytes) : block;
    }
    return zeroed ? table->alloc_zeroed(self, 1, bytes, request->level, request->site)
                  : hm_alloc_at(self, bytes, request->level, request->site);
}

/* realloc promises no more than alloc's alignment, so a block that must be aligned further is moved here. */
static hm_status
request_move(hm_malloc *self, const hm_request *request, size_t old_bytes, void **out)
{
    const size_t kept = old_bytes < request->bytes ? old_bytes : request->bytes;
    hm_site *site = request->site ? request->site : hm__birth_site(self, request->block);
    void *fresh = HM_LOAD(self->vtbl)
                      ->alloc_aligned(self, request->bytes, request->alignment,
                                      request->level, site);
    if (!fresh) {
        const int fits = request->bytes <= old_bytes &&
                         !((uintptr_t)request->block & (request->alignment - 1));
        *out = fits ? request->block : NULL;
        return fits ? HM_OK : HM_E_NOMEM;
    }
    const hm_status status = block_replace(self, request->block, request->old_bytes,
                                           fresh, kept, request->site);
    *out = status == HM_OK ? fresh : NULL;
    return status;
}

static hm_status request_realloc(hm_malloc *self, const hm_request *request, void **out)
{
    hm_status status = block_verdict(self, request->block);
    if (status != HM_OK) {
        return status;
    }
    const size_t old_bytes = block_bytes(self, request->block, request->old_bytes);
    if (request->alignment > alignof(max_align_t)) {
        status = request_move(self, request, old_bytes, out);
    } else {
        *out =
            (HM_LOAD(self->vtbl)->realloc)(self, request->block, request->old_bytes,
                                           request->bytes, request->level, request->site);
        status = *out ? HM_OK : HM_E_NOMEM;
    }
    if (status == HM_OK && (request->flags & HM_REQUEST_ZEROED) &&
        request->bytes > old_bytes) {
        memset((char *)*out + old_bytes, 0, request->bytes - old_bytes);
    }
    return status;
}

static hm_status basic_request(hm_malloc *self, const hm_request *request, void **out)
{
    if (!out) {
        return HM_E_INVALID;
    }
    *out = NULL;
    const hm_status status = hm__request_check(request);
    if (status != HM_OK) {
        return status;
    }
    if (request->block) {
        return request_realloc(self, request, out);
    }
    *out = request_alloc(self, request);
    return *out ? HM_OK : HM_E_NOMEM;
}

static size_t basic_good_size(hm_malloc *self, size_t size)
{
    (void)self;
    return size;
}

static int basic_owns(hm_malloc *self, const void *block)
{
    (void)self;
    (void)block;
    return -1;
}

static hm_status basic_describe(hm_malloc *self, const void *block, hm_block *out)
{
    (void)self;
    (void)block;
    (void)out;
    return HM_E_UNSUPPORTED;
}

static hm_status basic_walk(hm_malloc *self, hm_visit *visit, void *context)
{
    (void)self;
    (void)visit;
    (void)context;
    return HM_E_UNSUPPORTED;
}

static hm_status basic_stats(hm_malloc *self, hm_stats *out)
{
    (void)self;
    (void)out;
    return HM_E_UNSUPPORTED;
}

static void basic_trim(hm_malloc *self)
{
    (void)self;
}

static hm_status basic_reset(hm_malloc *self)
{
    (void)self;
    return HM_E_UNSUPPORTED;
}

static hm_status basic_find(hm_malloc *self, const char *interface_name, void **out)
{
    (void)self;
    (void)interface_name;
    if (!out) {
        return HM_E_INVALID;
    }
    *out = NULL;
    return HM_E_NOT_FOUND;
}

/* alloc, free, retain, release and size_of are the implementer's. */
const hm_malloc_vtbl hm__malloc_basics = {
    .size = sizeof(hm_malloc_vtbl),
    .free_sized = basic_free_sized,
    .debug_alloc = basic_debug_alloc,
    .debug_free = basic_debug_free,
    .realloc = basic_realloc,
    .alloc_zeroed = basic_alloc_zeroed,
    .alloc_aligned = basic_alloc_aligned,
    .request = basic_request,
    .good_size = basic_good_size,
    .owns = basic_owns,
    .describe = basic_describe,
    .walk = basic_walk,
    .stats = basic_stats,
    .trim = basic_trim,
    .reset = basic_reset,
    .close = hm__malloc_close,
    .find = basic_find,
};
