/* SPDX-License-Identifier: MIT */
/* What umf_pool.c calls of oneAPI's Unified Memory Framework, for its test alone: the same names, and a pool that does
 * what UMF's own does for one, which is to count and to call on. What STAND_IN in the environment names fails: "version",
 * "params", "provider" or "pool". stand_in_objects is how many of its objects are there. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

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
} pool_ops;

typedef struct stand_in {
    pool_ops ops;
    void *under;
    long live; /* atomic */
} stand_in;

static int
    objects; /* params, providers and pools; a pool stays one while it has blocks */
static int a_provider, some_params, some_ops;

static int is_to_fail(const char *what)
{
    const char *wanted = getenv("STAND_IN");
    return wanted && strcmp(wanted, what) == 0;
}

EXPORT int stand_in_objects(void);
EXPORT int stand_in_objects(void)
{
    return objects;
}

EXPORT int umfGetCurrentVersion(void);
EXPORT int umfGetCurrentVersion(void)
{
    return is_to_fail("version") ? 11 : 1 << 16;
}

EXPORT const void *umfOsMemoryProviderOps(void);
EXPORT const void *umfOsMemoryProviderOps(void)
{
    return &some_ops;
}

EXPORT int umfOsMemoryProviderParamsCreate(void **params);
EXPORT int umfOsMemoryProviderParamsCreate(void **params)
{
    if (is_to_fail("params")) {
        return 5;
    }
    objects++;
    *params = &some_params;
    return 0;
}

EXPORT int umfOsMemoryProviderParamsDestroy(void *params);
EXPORT int umfOsMemoryProviderParamsDestroy(void *params)
{
    objects -= params == &some_params;
    return 0;
}

EXPORT int umfMemoryProviderCreate(const void *ops, const void *params, void **provider);
EXPORT int umfMemoryProviderCreate(const void *ops, const void *params, void **provider)
{
    if (is_to_fail("provider") || ops != &some_ops || params != &some_params) {
        return 3;
    }
    objects++;
    *provider = &a_provider;
    return 0;
}

EXPORT int umfMemoryProviderDestroy(void *provider);
EXPORT int umfMemoryProviderDestroy(void *provider)
{
    objects -= provider == &a_provider;
    return 0;
}

EXPORT int umfPoolCreate(
    const pool_ops *ops, void *provider, const void *params, uint32_t flags, void **pool);
EXPORT int umfPoolCreate(
    const pool_ops *ops, void *provider, const void *params, uint32_t flags, void **pool)
{
    const char *name = NULL;
    stand_in *made = is_to_fail("pool") || !provider ? NULL : calloc(1, sizeof *made);
    if (!made || ops->version != 1 << 16 || flags != 2 ||
        ops->initialize(provider, params, &made->under) != 0 ||
        ops->get_name(NULL, &name) != 0 || !name) {
        free(made);
        return 3;
    }
    made->ops = *ops;
    objects++;
    *pool = made;
    return 0;
}

EXPORT int umfPoolDestroy(void *pool);
EXPORT int umfPoolDestroy(void *pool)
{
    stand_in *made = pool;
    made->ops.finalize(made->under);
    objects -= made->live == 0;
    free(made);
    return 0;
}

EXPORT void *umfPoolMalloc(void *pool, size_t size);
EXPORT void *umfPoolMalloc(void *pool, size_t size)
{
    stand_in *made = pool;
    void *block = made->ops.malloc(made->under, size);
    __atomic_add_fetch(&made->live, block != NULL, __ATOMIC_RELAXED);
    return block;
}

EXPORT void *umfPoolRealloc(void *pool, void *block, size_t size);
EXPORT void *umfPoolRealloc(void *pool, void *block, size_t size)
{
    stand_in *made = pool;
    return made->ops.realloc(made->under, block, size);
}

EXPORT int umfPoolFree(void *pool, void *block);
EXPORT int umfPoolFree(void *pool, void *block)
{
    stand_in *made = pool;
    __atomic_sub_fetch(&made->live, block != NULL, __ATOMIC_RELAXED);
    return made->ops.free(made->under, block);
}
