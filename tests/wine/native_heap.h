/* SPDX-License-Identifier: MIT */
/* How much of the platform's own memory is live: blocks in the heap of the process that were not there when a case began. */
#ifndef HM_TESTS_WINE_NATIVE_HEAP_H
#define HM_TESTS_WINE_NATIVE_HEAP_H

#include <stddef.h>

void native_heap_begin(void);

/* Blocks of so many bytes are not counted; 0: all are. */
size_t native_heap_live(size_t but_of_bytes);

#endif
