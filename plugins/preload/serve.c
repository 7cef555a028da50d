/* SPDX-License-Identifier: MIT */
/* State that every call looks at, and blocks that come back where they were not made: allocated through a library's hook and
 * freed with free(), or the other way round. Libc's heap forgave that, so it is reported and then done. */
#include "serve_internal.h"

#include <string.h>

#include "startup_internal.h"

hm_malloc *hm__preload_malloc;
uint32_t hm__preload_phase = HM__PRELOAD_STARTING;
_Thread_local unsigned char hm__preload_inside;
_Thread_local unsigned char hm__preload_loaded;

void hm__preload_serve(hm_malloc *m)
{
    if (m) {
        __atomic_store_n(&hm__preload_malloc, m, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&hm__preload_phase, m ? HM__PRELOAD_SERVING : HM__PRELOAD_PASSING,
                     __ATOMIC_RELEASE);
}

static hm_malloc *candidate(size_t index)
{
    return index ? hm__preload_hooked(index - 1) : hm__preload_malloc;
}

hm_malloc *hm__preload_owner(hm_malloc *asked, const void *block, size_t *bytes)
{
    hm_malloc *m;
    for (size_t i = 0; (m = candidate(i)) != NULL || i == 0; i++) {
        if (m && m != asked && hm_owns(m, block) == 1) {
            hm_block known = {.size = sizeof known};
            *bytes = hm_describe(m, block, &known) == HM_OK ? known.requested
                                                            : hm_size_of(m, block);
            return m;
        }
    }
    return NULL;
}

int hm__preload_free_stray(hm_malloc *asked, void *block, hm_site *site)
{
    size_t bytes;
    hm_malloc *owner = hm__preload_owner(asked, block, &bytes);
    return owner && hm_free_at(owner, block, HM_SIZE_UNKNOWN, 0, site) == HM_OK;
}

void *hm__preload_resize_stray(hm_malloc *asked, void *block, size_t size, hm_site *site)
{
    size_t bytes = 0;
    const int is_startup = hm__startup_owns(block);
    hm_malloc *owner = NULL;
    if (is_startup) {
        bytes = hm__startup_size(block);
    } else {
        owner = hm__preload_owner(asked, block, &bytes);
    }
    void *moved =
        is_startup || owner ? hm_alloc_at(asked, size, HM_LEVEL_CURRENT, site) : NULL;
    if (!moved) {
        return NULL;
    }
    memcpy(moved, block, bytes < size ? bytes : size);
    if (is_startup) {
        hm__startup_free(block);
    } else {
        hm_free_at(owner, block, HM_SIZE_UNKNOWN, 0, site);
    }
    return moved;
}
