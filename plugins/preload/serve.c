/* SPDX-License-Identifier: MIT */
/* State that every call looks at, and blocks that come back where they were not made: allocated through a library's hook and
 * freed with free(), or the other way round. Libc's heap forgave that, so it is reported and then done. */
#include "serve_internal.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "startup_internal.h"

hm_malloc *hm__preload_malloc;
hm_malloc *hm__preload_direct;
uint32_t hm__preload_phase = HM__PRELOAD_STARTING;
_Thread_local unsigned char hm__preload_loaded;

void hm__preload_serve(hm_malloc *m, int is_direct)
{
    if (m) {
        __atomic_store_n(&hm__preload_direct, is_direct ? m : NULL, __ATOMIC_RELEASE);
        __atomic_store_n(&hm__preload_malloc, m, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&hm__preload_phase, m ? HM__PRELOAD_SERVING : HM__PRELOAD_PASSING,
                     __ATOMIC_RELEASE);
}

void hm__preload_refuse(void)
{
    hm_error err;
    hm_error_set(
        &err, HM_E_UNSUPPORTED, "run",
        "this host takes its blocks from malloc(), so it cannot answer it; expected "
        "another, or --no-malloc");
    hm_error_print(&err);
    for (;;) {
        syscall(SYS_exit_group, HM__PRELOAD_EXIT_REFUSED);
    }
}

static hm_malloc *candidate(size_t index)
{
    return index ? hm__preload_hooked(index - 1) : hm__preload_malloc;
}

static hm_malloc *
owner_of(hm_malloc *asked, const void *block, size_t *bytes, const hm_site **site)
{
    hm_malloc *m;
    for (size_t i = 0; (m = candidate(i)) != NULL || i == 0; i++) {
        if (m && m != asked && hm_owns(m, block) == 1) {
            hm_block known = {.size = sizeof known};
            const int is_known = hm_describe(m, block, &known) == HM_OK;
            *bytes = is_known ? known.requested : hm_size_of(m, block);
            *site = is_known ? known.site : NULL;
            return m;
        }
    }
    return NULL;
}

int hm__preload_free_stray(hm_malloc *asked, void *block, hm_site *site)
{
    size_t bytes;
    const hm_site *birth;
    hm_malloc *owner = owner_of(asked, block, &bytes, &birth);
    return owner && hm_free_at(owner, block, HM_SIZE_UNKNOWN, 0, site) == HM_OK;
}

void *hm__preload_resize_stray(hm_malloc *asked, void *block, size_t size, hm_site *site)
{
    size_t bytes = 0;
    const hm_site *birth = NULL;
    hm_malloc *owner = NULL;
    const int is_startup = hm__startup_owns(block);
    if (is_startup) {
        bytes = hm__startup_size(block);
    } else {
        owner = owner_of(asked, block, &bytes, &birth);
    }
    if (!is_startup && !owner) {
        return NULL;
    }
    void *moved = hm_alloc_at(asked, size, HM_LEVEL_CURRENT,
                              site ? site : (hm_site *)(uintptr_t)birth);
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
