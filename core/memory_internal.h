/* SPDX-License-Identifier: MIT */
/* The core's private memory: page by page from the OS, small pieces from size classes, never from the
   process's malloc, so that what watches an allocator does not disturb it. */
#ifndef HM_CORE_MEMORY_INTERNAL_H
#define HM_CORE_MEMORY_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

void *hm__memory_alloc(size_t bytes); /* zeroed, aligned to 16; NULL when there is none */
void hm__memory_free(void *memory, size_t bytes); /* bytes as asked for */
char *hm__memory_copy(const char *text); /* with its terminator; free with strlen + 1 */
void *hm__pages_map(size_t bytes);       /* rounded up to pages */
void hm__pages_unmap(void *pages, size_t bytes);

/* Bytes of private memory in use, and an injected shortage for tests: the n-th call from now on (1 the next)
   fails and every later one too, until called with 0. */
size_t hm__memory_in_use(void);
void hm__memory_fail_from(uint64_t nth);
uint64_t hm__memory_calls(void); /* calls since the last hm__memory_fail_from */

#endif
