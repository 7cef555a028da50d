/* SPDX-License-Identifier: MIT */
/* One table for the process, by return address, that readers share without a lock. It is bounded: a program has some
 * thousands of places that allocate, and one that makes code as it runs must not grow it for ever. */
#include "callers_internal.h"

#include <hostmalloc/module.h>

#include <errno.h>
#include <stdio.h>

#include "objects_internal.h"

#define PROBES    64u
#define ERA_SHIFT 48
#define ADDRESS   (((uintptr_t)1 << ERA_SHIFT) - 1)
_Static_assert(HM__CALLERS_COUNT == 1u << 16, "a slot is the top 16 bits of the hash");

hm__caller_entry *hm__callers;
uintptr_t hm__callers_era;
static uint64_t dropped; /* atomic */

void hm__callers_start(void)
{
    hm__callers = hm_core_table()->pages_map(HM__CALLERS_COUNT * sizeof *hm__callers);
}

void hm__callers_forget(void)
{
    __atomic_add_fetch(&hm__callers_era, (uintptr_t)1 << ERA_SHIFT, __ATOMIC_RELAXED);
}

uint64_t hm__callers_dropped(void)
{
    return __atomic_load_n(&dropped, __ATOMIC_RELAXED);
}

/* Code that no file holds, such as a just-in-time compiler's, is one place. */
static hm_site *name(uintptr_t address)
{
    char text[4096 + 32];
    const char *path;
    uintptr_t base;
    /* The call itself lies before the address it returns to, which may be the next function's. */
    if (!hm__object_of(address - 1, &path, &base)) {
        return hm_site_intern("(generated code)", NULL, 0);
    }
    snprintf(text, sizeof text, "%s+0x%zx", path, (size_t)(address - base));
    return hm_site_intern(text, NULL, 0);
}

hm_site *hm__caller_new(uintptr_t key)
{
    const int kept = errno;
    const uint32_t first = hm__caller_slot(key);
    hm_site *site = NULL;
    for (uint32_t i = 0; hm__callers && i < PROBES; i++) {
        hm__caller_entry *entry = &hm__callers[(first + i) % HM__CALLERS_COUNT];
        uintptr_t seen = __atomic_load_n(&entry->key, __ATOMIC_RELAXED);
        if (seen == 0 &&
            __atomic_compare_exchange_n(&entry->key, &seen, key, 0, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            seen = key;
        }
        if (seen != key) {
            continue;
        }
        site = __atomic_load_n(&entry->site, __ATOMIC_ACQUIRE);
        if (!site) {
            /* Several threads may be the first: they are told the same. */
            site = name(key & ADDRESS);
            __atomic_store_n(&entry->site, site, __ATOMIC_RELEASE);
        }
        break;
    }
    if (!site) {
        __atomic_add_fetch(&dropped, 1, __ATOMIC_RELAXED);
    }
    errno = kept;
    return site;
}
