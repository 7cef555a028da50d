/* SPDX-License-Identifier: MIT */
/* oneAPI's Unified Memory Framework, where its library is installed: a pool whose functions are those of an allocator we
 * measure anyway, so that the difference is what UMF's interface costs. Nobody packages it for Debian 12, so it is opened
 * at run time and its header is not needed. */
#ifndef HM_TESTS_BENCH_UMF_POOL_H
#define HM_TESTS_BENCH_UMF_POOL_H

#include <stddef.h>

/* The allocator that the pool hands on to. */
typedef struct umf_under {
    void *(*malloc)(size_t size);
    void (*free)(void *block);
    void *(*realloc)(void *block,
                     size_t size); /* may be NULL: the pool then resizes nothing */
} umf_under;

/* UMF's own functions, to be called with pool. */
typedef struct umf_pool {
    void *(*malloc)(void *pool, size_t size);
    void *(*realloc)(void *pool, void *block, size_t size);
    int (*free)(void *pool, void *block);
    void *pool; /* NULL: there is none */
} umf_pool;

/* Once per process: of the library that HOSTMALLOC_BENCH_UMF names, else of UMF 1.x by its soname.
   0: why has the reason, of one line. */
int umf_pool_open(const umf_under *under, umf_pool *out, char why[static 256]);
/* And its provider. Its blocks are freed before. The library stays. */
void umf_pool_close(umf_pool *pool);

#endif
