/* SPDX-License-Identifier: MIT */
/* A malloc that knows its blocks, over one that need not: exact sizes and owners, from any thread.
 *
 * Nothing is added to a block, so what is underneath sees the sizes that were asked for. A mark for every
 * possible start of a block, apart from the blocks, says whether one lives there and how many of its usable bytes
 * were not asked for; the malloc underneath knows the usable ones. */
#ifndef HM_PLUGINS_KNOWN_INTERNAL_H
#define HM_PLUGINS_KNOWN_INTERNAL_H

#include <hostmalloc/module.h>

/* References inner. One that is not HM_MALLOC_THREADSAFE is called by one thread at a time. *out gets one reference, or
   NULL: HM_E_NOMEM. */
hm_status hm__known_create(hm_malloc *inner, hm_malloc **out);

/* m itself where it is exact already, and thread-safe if flags say so, else a known one over it. Takes over the
   reference to m, whatever comes of it; where is for errors. */
hm_status hm__known_over(
    hm_malloc *m, uint32_t flags, const char *where, hm_malloc **out, hm_error *err);

/* The same for a malloc that host makes with these flags, THREADSAFE where it can. */
hm_status hm__known_of_host(hm_host *host,
                            const char *name,
                            uint32_t flags,
                            const char *where,
                            hm_malloc **out,
                            hm_error *err);

/* Around fork, for a malloc that hm__known_create made; others are left alone. */
void hm__known_lock(hm_malloc *m);
void hm__known_unlock(hm_malloc *m);

#endif
