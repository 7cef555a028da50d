/* SPDX-License-Identifier: MIT */
/* Figures in a mapped file. */
#ifndef HM_DEBUG_LIVE_INTERNAL_H
#define HM_DEBUG_LIVE_INTERNAL_H

#include "debug_internal.h"

hm_status hm__debug_live_open(debug_host *host, const char *path, hm_error *err);
void hm__debug_live_ended(debug_host *host); /* NULL live does nothing, here and below */
void hm__debug_live_close(debug_host *host);

/* Figures of a group of sites for one book: in the file, or in private memory where that is full or there is none.
   NULL: no memory. Lock held, as for the next three. */
debug_tally *hm__debug_live_group(const debug_book *book, uint32_t group);
void hm__debug_live_group_free(const debug_book *book, debug_tally *tallies);
void hm__debug_live_fold_begin(const debug_malloc *m);
void hm__debug_live_fold_end(const debug_malloc *m);

/* Lock held. */
void hm__debug_live_malloc(const debug_malloc *m);
void hm__debug_live_malloc_gone(const debug_malloc *m);

/* Names of all sites that have a number by now. */
void hm__debug_live_names(debug_live *live);
/* Sites up to this number have their names written, or never will. */
uint32_t hm__debug_live_named(const debug_live *live);
/* The entry of host->seen at place, under the host's report lock; text is what was printed, NULL for a repeat. */
void hm__debug_live_finding(debug_host *host,
                            uint32_t place,
                            const char *text,
                            size_t length);

/* In a child of fork: its figures leave the parent's file. */
void hm__debug_live_child(debug_host *host);

#endif
