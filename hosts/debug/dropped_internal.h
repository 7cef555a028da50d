/* SPDX-License-Identifier: MIT */
/* What did not fit. */
#ifndef HM_DEBUG_DROPPED_INTERNAL_H
#define HM_DEBUG_DROPPED_INTERNAL_H

#include "debug_internal.h"

#define DEBUG_DROPS 4u

/* How much of it there was; which is below DEBUG_DROPS. *what is what it was, in the plural. */
uint64_t hm__debug_dropped(const debug_host *host, unsigned which, const char **what);

#endif
