/* SPDX-License-Identifier: MIT */
/* The process's allocator as it is without us: what the default host and a run with --no-malloc take from. The library in
 * this object is linked with its own calls of malloc and free led here (--wrap), so they never come back to us. */
#ifndef HM_PLUGINS_PRELOAD_LIBC_INTERNAL_H
#define HM_PLUGINS_PRELOAD_LIBC_INTERNAL_H

#include <stddef.h>

/* libc's own names, beside the ones that can be replaced; there from the first instruction on. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void __libc_free(void *block);
void *__libc_memalign(size_t alignment, size_t bytes);

/* Find what has no second name, and whether somebody before us is the process's allocator already: then 1, its functions
   are taken instead, and nobody calls ours. */
int hm__libc_start(void);
size_t hm__libc_size_of(void *block);
void *hm__libc_memalign(size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
void __wrap_free(void *block);
int __wrap_posix_memalign(void **block, size_t alignment, size_t bytes);
size_t __wrap_malloc_usable_size(void *block);
int __wrap_atexit(void (*handler)(void));

#endif
