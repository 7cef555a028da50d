/* SPDX-License-Identifier: MIT */
/* Blocks with a broken header, when their host goes. */
#ifndef HM_DEBUG_BROKEN_INTERNAL_H
#define HM_DEBUG_BROKEN_INTERNAL_H

#include "finding_internal.h"

typedef struct debug_broken {
    void **blocks; /* that may be the host's, or another's */
    size_t count;
    size_t room;
} debug_broken;

/* While the mallocs of the host, which is off the list of hosts, still have their inner ones. */
void hm__debug_broken_begin(const debug_host *host, debug_broken *list);
/* When these are gone, and what they gave back is not mapped any more. */
void hm__debug_broken_end(debug_broken *list);

#endif
