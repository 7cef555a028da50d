/* SPDX-License-Identifier: MIT */
/* Telling the program what was found. */
#ifndef HM_DEBUG_TELL_INTERNAL_H
#define HM_DEBUG_TELL_INTERNAL_H

#include "finding_internal.h"

/* After it was printed or counted; no lock held but the walk. */
void hm__debug_tell(const debug_finding *f);
/* What had to wait, unless it still has to. */
void hm__debug_tell_waiting(void);
/* Between the two a book of this thread is not as it should be; may be nested. */
void hm__debug_tell_later(void);
void hm__debug_tell_again(void);

/* In the child of a fork: callbacks on other threads stayed with the parent. */
void hm__debug_tell_child(debug_host *host);

hm_status hm__debug_on_finding(debug_host *host, hm_debug_tell *tell, void *context);

#endif
