/* SPDX-License-Identifier: MIT */
/* Who serves a call of the program's: the host's malloc object, libc, or the start-up buffer; and how a thread that is
 * inside the host is kept from coming in again. */
#ifndef HM_PLUGINS_PRELOAD_SERVE_INTERNAL_H
#define HM_PLUGINS_PRELOAD_SERVE_INTERNAL_H

#include <hostmalloc/host.h>

#define HM__PRELOAD_STARTING 0u /* the host is not open: the start-up buffer */
#define HM__PRELOAD_PASSING  1u /* libc, as if we were not here */
#define HM__PRELOAD_SERVING  2u

/* A spec is never replaced by another, and this is not the program's failure: the code that `run` uses for it. */
#define HM__PRELOAD_EXIT_REFUSED 2

/* Set once, by the constructor, and then read by all. */
extern hm_malloc *hm__preload_malloc; /* NULL unless it serves */
extern uint32_t hm__preload_phase;

/* The same, where its host may be entered again while it works; else NULL. */
extern hm_malloc *hm__preload_direct;

/* This thread has called the loader, and may have brought a library that wants a bridge. */
extern _Thread_local unsigned char hm__preload_loaded;

/* m NULL: libc serves. is_direct: no call of m's causes another one that m could not take. */
void hm__preload_serve(hm_malloc *m, int is_direct);

/* The host takes its blocks from malloc(): end the process, and say so. */
_Noreturn void hm__preload_refuse(void);

/* The host to give to bridges: over @p host, with every call of its mallocs marked as inside, and blocks that the
   program mixes up found. NULL when there is no memory. */
hm_host *hm__preload_hooked_host(hm_host *host);

/* Mallocs of that host, in order; NULL past the last. */
hm_malloc *hm__preload_hooked(size_t index);

/* A block that the malloc which was asked does not own: free it where it belongs. 0: nobody's. */
int hm__preload_free_stray(hm_malloc *asked, void *block, hm_site *site);
/* realloc of a block that is not @p asked's: a new one of @p asked's. NULL: nobody's, or no memory. */
void *hm__preload_resize_stray(hm_malloc *asked, void *block, size_t size, hm_site *site);

#endif
