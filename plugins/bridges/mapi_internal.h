/* SPDX-License-Identifier: MIT */
/* Between MAPI's buffers (mapi.c) and its IMalloc (mapi_malloc.c), which share a malloc and not their blocks. */
#ifndef HM_PLUGINS_MAPI_INTERNAL_H
#define HM_PLUGINS_MAPI_INTERNAL_H

#include <hostmalloc/bridges/mapi.h>

#include "heap_internal.h"

extern hm__heap hm__mapi_heap;

/* 1 a live buffer, root or linked. */
int hm__mapi_is_buffer(const void *block);

#endif
