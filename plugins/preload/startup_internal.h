/* SPDX-License-Identifier: MIT */
/* The start-up buffer: memory for calls that no host may serve, because there is none yet or because this thread is
 * inside it. A block is told by its address alone, so that it can be freed at any later time. */
#ifndef HM_PLUGINS_PRELOAD_STARTUP_INTERNAL_H
#define HM_PLUGINS_PRELOAD_STARTUP_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

/* Address space only: pages that nobody touches cost nothing. */
#define HM__STARTUP_BYTES ((size_t)64 << 20)

extern unsigned char hm__startup_buffer[HM__STARTUP_BYTES];

static inline int hm__startup_owns(const void *block)
{
    return (uintptr_t)block - (uintptr_t)hm__startup_buffer < HM__STARTUP_BYTES;
}

/* alignment is a power of two; NULL when the buffer is used up. Fit for any thread, at any time, from the first
   instruction of the process on. */
void *hm__startup_alloc(size_t bytes, size_t alignment);
void hm__startup_free(void *block);
size_t hm__startup_size(const void *block); /* usable bytes */

/* After this, fork() keeps the buffer whole. */
void hm__startup_guard_fork(void);

#endif
