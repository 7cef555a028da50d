/* SPDX-License-Identifier: MIT */
/* Stopping at a block. */
#ifndef HM_DEBUG_BREAK_INTERNAL_H
#define HM_DEBUG_BREAK_INTERNAL_H

#include "debug_internal.h"

/* Read FILE:LINE#N; without #N the first. */
hm_status hm__debug_break_read(debug_break *wanted, const char *text, hm_error *err);
/* What a malloc of the host is made with. */
const hm_malloc_vtbl *hm__debug_table(const debug_host *host, int shared);

#endif
