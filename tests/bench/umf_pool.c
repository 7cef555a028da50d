/* SPDX-License-Identifier: MIT */
/* A pool of oneAPI's Unified Memory Framework: see umf_pool.h. Types and names are those of its version 1.0, which later
   ones of the same major number accept. */
#include "umf_pool.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UMF_MAJOR       1
#define UMF_OPS_VERSION (UMF_MAJOR << 16)
#define UMF_NOT_TRACKED \
    2u /* nothing is looked up by address, as in the fastest of its own pools */
#define UMF_NOT_THERE    5 /* "not supported" */
#define UMF_OUT_OF_SPACE 1

/* umf_memory_pool_ops_t */
typedef struct pool_ops {
    uint32_t version;
    int (*initialize)(void *provider, const void *params, void **pool);
    int (*finalize)(void *pool);
    void *(*malloc)(void *pool, size_t size);
    void *(*calloc)(void *pool, size_t count, size_t size);
    void *(*realloc)(void *pool, void *block, size_t size);
    void *(*aligned_malloc)(void *pool, size_t size, size_t alignment);
    int (*malloc_usable_size)(void *pool, const void *block, size_t *size);
    int (*free)(void *pool, void *block);
    int (*get_last_allocation_error)(void *pool);
    int (*get_name)(void *pool, const char **name);
    void (*ext_ctl)(void);         /* none of ours */
    void (*ext_trim_memory)(void); /* none of ours */
} pool_ops;

static struct umf {
    int (*version)(void);
    const void *(*provider_ops)(void);
    int (*params_create)(void **params);
    int (*params_destroy)(void *params);
    int (*provider_create)(const void *ops, const void *params, void **provider);
    int (*provider_destroy)(void *provider);
    int (*pool_create)(const pool_ops *ops,
                       void *provider,
                       const void *params,
                       uint32_t flags,
                       void **pool);
    int (*pool_destroy)(void *pool);
    void *(*pool_malloc)(void *pool, size_t size);
    void *(*pool_realloc)(void *pool, void *block, size_t size);
    int (*pool_free)(void *pool, void *block);
} umf;

/* In the order of struct umf. */
static const char *const names[] = {
    "umfGetCurrentVersion",
    "umfOsMemoryProviderOps",
    "umfOsMemoryProviderParamsCreate",
    "umfOsMemoryProviderParamsDestroy",
    "umfMemoryProviderCreate",
    "umfMemoryProviderDestroy",
    "umfPoolCreate",
    "umfPoolDestroy",
    "umfPoolMalloc",
    "umfPoolRealloc",
    "umfPoolFree",
};
#define NAMES (sizeof names / sizeof names[0])
_Static_assert(sizeof(struct umf) == NAMES * sizeof(void *), "a name for each function");

static umf_under below; /* read at each call, like the table of addresses of a program */
static void *provider;

static int start(void *of, const void *params, void **pool)
{
    (void)of;
    (void)params;
    *pool = &below;
    return 0;
}

static int finish(void *pool)
{
    (void)pool;
    return 0;
}

static void *take(void *pool, size_t size)
{
    (void)pool;
    return below.malloc(size);
}

static int give(void *pool, void *block)
{
    (void)pool;
    below.free(block);
    return 0;
}

static void *resize(void *pool, void *block, size_t size)
{
    (void)pool;
    return below.realloc ? below.realloc(block, size) : NULL;
}

/* The benchmark asks for none of the next four, but a table has to be whole. */
static void *take_zeroed(void *pool, size_t count, size_t size)
{
    void *block = size && count > SIZE_MAX / size ? NULL : take(pool, count * size);
    return block ? memset(block, 0, count * size) : NULL;
}

static void *take_aligned(void *pool, size_t size, size_t alignment)
{
    return alignment <= _Alignof(max_align_t) ? take(pool, size) : NULL;
}

static int size_of(void *pool, const void *block, size_t *size)
{
    (void)pool;
    (void)block;
    *size = 0;
    return UMF_NOT_THERE;
}

static int last_error(void *pool)
{
    (void)pool;
    return UMF_OUT_OF_SPACE;
}

static int name_of(void *pool, const char **name)
{
    (void)pool;
    *name = "under";
    return 0;
}

static const pool_ops ops = {UMF_OPS_VERSION, start,        finish,  take, take_zeroed,
                             resize,          take_aligned, size_of, give, last_error,
                             name_of,         NULL,         NULL};

static int refuse(char why[static 256], const char *what, const char *which)
{
    snprintf(why, 256, "%s%s%s", what, *which ? ": " : "", which);
    return 0;
}

static int find_library(char why[static 256])
{
    const char *const asked = getenv("HOSTMALLOC_BENCH_UMF");
    void *library = dlopen(asked ? asked : "libumf.so.1", RTLD_NOW | RTLD_LOCAL);
    void *found[NAMES];
    if (!library) {
        return asked ? refuse(why, "HOSTMALLOC_BENCH_UMF cannot be opened", asked)
                     : refuse(why, "not installed", "");
    }
    for (size_t i = 0; i < NAMES; i++) {
        found[i] = dlsym(library, names[i]);
        if (!found[i]) {
            return refuse(why, "its library lacks", names[i]);
        }
    }
    memcpy(&umf, found, sizeof umf);
    if (umf.version() >> 16 != UMF_MAJOR) {
        return refuse(why, "not version 1 of its interface", "");
    }
    return 1;
}

static int make_provider(void)
{
    void *params = NULL;
    if (umf.params_create(&params) != 0) {
        return 0;
    }
    const int done = umf.provider_create(umf.provider_ops(), params, &provider) == 0;
    umf.params_destroy(params);
    return done;
}

int umf_pool_open(const umf_under *under, umf_pool *out, char why[static 256])
{
    void *pool = NULL;
    memset(out, 0, sizeof *out);
    if (!under->malloc || !under->free) {
        return refuse(why, "the allocator under it is not in this build", "");
    }
    if (!find_library(why)) {
        return 0;
    }
    if (!make_provider()) {
        return refuse(why, "it made no memory provider", "");
    }
    below = *under;
    if (umf.pool_create(&ops, provider, NULL, UMF_NOT_TRACKED, &pool) != 0) {
        umf.provider_destroy(provider);
        provider = NULL;
        return refuse(why, "it made no pool", "");
    }
    *out = (umf_pool){umf.pool_malloc, umf.pool_realloc, umf.pool_free, pool};
    return 1;
}

void umf_pool_close(umf_pool *pool)
{
    if (pool->pool) {
        umf.pool_destroy(pool->pool);
        umf.provider_destroy(provider);
        provider = NULL;
    }
    memset(pool, 0, sizeof *pool);
}
