/* SPDX-License-Identifier: MIT */
/* Reserve, commit, free, protect and query pages with the meaning of the Win32 calls, one table of
   reservations for the process. */
#ifndef HM_CORE_VIRTUAL_INTERNAL_H
#define HM_CORE_VIRTUAL_INTERNAL_H

#include <hostmalloc/host.h>

hm_status hm__virtual_alloc(
    void *address, size_t size, uint32_t type, uint32_t protection, void **out);
hm_status hm__virtual_free(void *address, size_t size, uint32_t type);
hm_status hm__virtual_query(const void *address, hm_region *out);
hm_status
hm__virtual_protect(void *address, size_t size, uint32_t protection, uint32_t *old);

#endif
