/* SPDX-License-Identifier: MIT */
/* Tables for hosts that want to know of each allocation. */
#ifndef HM_DEBUG_WATCH_INTERNAL_H
#define HM_DEBUG_WATCH_INTERNAL_H

#include "debug_internal.h"

/* Before the first malloc of a host. */
void hm__debug_watch_prepare(void);
/* The tables that tell the host; for those that add to them. */
const hm_malloc_vtbl *hm__debug_watched(uint32_t kind, int shared);
/* What a malloc of the host is made with. */
const hm_malloc_vtbl *hm__debug_table(const debug_host *host, int shared);

#endif
