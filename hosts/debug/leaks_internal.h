/* SPDX-License-Identifier: MIT */
/* What is live, by site, as reports list it. */
#ifndef HM_DEBUG_LEAKS_INTERNAL_H
#define HM_DEBUG_LEAKS_INTERNAL_H

#include "ignore_internal.h"

typedef struct debug_row {
    uint32_t site;
    uint32_t reserved;
    uint64_t blocks;
    uint64_t bytes;
} debug_row;

typedef struct debug_list {
    debug_row *rows; /* NULL: no memory for them, the totals still hold */
    size_t room;
    size_t count;
    uint64_t blocks;
    uint64_t bytes;
    uint64_t sites;
    uint64_t lost; /* freed, but without a header to say whose they were */
    int leaks;     /* without what is none: */
    uint64_t ignored;
    uint64_t suppressed;
    debug_ignored *ignored_rows; /* by site */
    size_t ignored_count;
} debug_list;

/* Of a host, or of one of its mallocs; leaks: what is ignored or suppressed is counted apart. */
void hm__debug_list_collect(debug_list *list,
                            const debug_host *host,
                            const debug_malloc *only,
                            int leaks);
void hm__debug_list_sort(debug_list *list); /* most bytes first */
void hm__debug_list_free(debug_list *list);

#endif
