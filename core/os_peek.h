/* SPDX-License-Identifier: MIT */
/* Reading where perhaps nothing may be read. */
#ifndef HM_CORE_OS_PEEK_H
#define HM_CORE_OS_PEEK_H

#include <stddef.h>

/* Copies up to 512 bytes. 1 done; 0: not all of them can be read, or nobody can tell. Never faults; for reports, because
   it takes several calls of the system. Keeps errno. */
int hm__os_peek(void *to, const void *from, size_t bytes);

#endif
