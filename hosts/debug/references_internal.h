/* SPDX-License-Identifier: MIT */
/* Who holds references to mallocs and hosts, for hosts with debug:references. */
#ifndef HM_DEBUG_REFERENCES_INTERNAL_H
#define HM_DEBUG_REFERENCES_INTERNAL_H

#include "finding_internal.h"

/* The call that retains, creates or releases returns to caller. */
void hm__debug_reference_open(const void *object, uintptr_t caller);
void hm__debug_reference_close(const void *object);
void hm__debug_references_drop(const void *object); /* it is gone */
/* Mallocs and hosts somebody still holds, and who does. 0, or the error that kept some of it from being written. */
int hm__debug_references_report(debug_host *host, int fd);
void hm__debug_references_child(void);

/* "/lib/libx.so+0x1234" as a site, for findings. */
hm_site *hm__debug_caller_site(uintptr_t caller);
/* The host has ended and its memory stays: from now on whoever uses it is reported. */
void hm__debug_host_bury(debug_host *host);

/* host.c: for a malloc, which nobody has to release by himself. */
void hm__debug_host_hold(debug_host *host);
void hm__debug_host_let_go(debug_host *host);

#endif
