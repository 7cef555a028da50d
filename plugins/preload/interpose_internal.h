/* SPDX-License-Identifier: MIT */
/* Allocation on behalf of a caller in the program: what malloc() and operator new have in common. */
#ifndef HM_PLUGINS_PRELOAD_INTERPOSE_INTERNAL_H
#define HM_PLUGINS_PRELOAD_INTERPOSE_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

/* Where the loader's code lies; bytes 0 until that is known. */
extern uintptr_t hm__loader_start, hm__loader_bytes;

/* NULL with errno ENOMEM. */
void *hm__interposed_alloc(size_t size, const void *caller);
void *hm__interposed_aligned(size_t size,
                             size_t alignment, /* a power of two */
                             const void *caller);
/* size HM_SIZE_UNKNOWN and alignment 0 where the caller does not say; errno is kept. */
void hm__interposed_free(void *block, size_t size, size_t alignment, const void *caller);

/* interpose.c is compiled for speed and has no prototypes of its own names. */
void *malloc(size_t size);
void free(void *block);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void *reallocarray(void *block, size_t count, size_t size);
void *memalign(size_t alignment, size_t size);
void *aligned_alloc(size_t alignment, size_t size);
int posix_memalign(void **block, size_t alignment, size_t size);
void *valloc(size_t size);
void *pvalloc(size_t size);
size_t malloc_usable_size(void *block);

#endif
