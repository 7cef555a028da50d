/* SPDX-License-Identifier: MIT */
/* Sites for callers that bring no line: "/usr/lib/libfoo.so.1+0x1234", to which the report adds function and line. */
#ifndef HM_PLUGINS_PRELOAD_CALLERS_INTERNAL_H
#define HM_PLUGINS_PRELOAD_CALLERS_INTERNAL_H

#include <hostmalloc/site.h>

typedef struct hm__caller_entry {
    uintptr_t key; /* atomic; the address and its era; 0: empty */
    hm_site *site; /* atomic; NULL until the first one who came has it */
} hm__caller_entry;

#define HM__CALLERS_COUNT 65536u /* a power of two */

extern hm__caller_entry *hm__callers; /* NULL: there is no memory for sites */
extern uintptr_t hm__callers_era;     /* atomic; in the bits no address uses */

void hm__callers_start(void);
/* Objects were unmapped: an address may come to be another function's. */
void hm__callers_forget(void);
uint64_t hm__callers_dropped(void); /* calls whose caller found no room */
hm_site *hm__caller_new(uintptr_t key);

static inline uint32_t hm__caller_slot(uintptr_t key)
{
    return (uint32_t)((uint64_t)key * 0x9e3779b97f4a7c15u >> 48);
}

/* NULL: no room, or no memory. Takes no lock, unless the address is new. */
static inline hm_site *hm__caller_site(const void *address)
{
    const uintptr_t key =
        (uintptr_t)address | __atomic_load_n(&hm__callers_era, __ATOMIC_RELAXED);
    hm__caller_entry *entries = hm__callers;
    if (__builtin_expect(entries != NULL, 1)) {
        const hm__caller_entry *entry = &entries[hm__caller_slot(key)];
        if (__builtin_expect(__atomic_load_n(&entry->key, __ATOMIC_RELAXED) == key, 1)) {
            hm_site *site = __atomic_load_n(&entry->site, __ATOMIC_ACQUIRE);
            if (__builtin_expect(site != NULL, 1)) {
                return site;
            }
        }
    }
    return hm__caller_new(key);
}

#endif
