/* SPDX-License-Identifier: MIT */
/* What the slow paths ask of the calling thread's scopes. Nothing is looked for where there is no scope. */
#ifndef HM_DEBUG_SCOPE_INTERNAL_H
#define HM_DEBUG_SCOPE_INTERNAL_H

#include "debug_internal.h"

#define HM_DEBUG_SCOPE_LAST HM_DEBUG_SCOPE_IGNORE

hm_status hm__debug_scope_begin(const debug_host *host,
                                const debug_malloc *only,
                                uint32_t kind,
                                hm_site *site);
hm_status
hm__debug_scope_end(const debug_host *host, const debug_malloc *only, uint32_t kind);
void hm__debug_scopes_free(debug_thread *me); /* the thread's own, at its exit */

/* What a call from site is attributed to. */
hm_site *hm__debug_scope_site(const debug_malloc *m, hm_site *site);
/* A finding, when this thread must not allocate from m now. */
void hm__debug_scope_check(debug_malloc *m, hm_site *site);
/* 1: what this thread makes or resizes now is no leak. */
int hm__debug_scope_ignores(const debug_malloc *m);

#endif
