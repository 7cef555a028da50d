/* SPDX-License-Identifier: MIT */
/* Between the task allocator (ole.c) and the objects that translate spies (ole_spy.c). */
#ifndef HM_PLUGINS_OLE_INTERNAL_H
#define HM_PLUGINS_OLE_INTERNAL_H

#include <hostmalloc/bridges/ole.h>

/* A spy that calls object, whose reference it takes over; NULL, and the reference is the caller's, when there is no memory. */
hm_spy *hm__ole_spy_of(IMallocSpy *object);

#endif
