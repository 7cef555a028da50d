/* SPDX-License-Identifier: MIT */
/* The OpenSSL bridge: three functions that are handed a file and a line, over one malloc. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/openssl.h>

#include "hook_internal.h"

/* What LibreSSL answers to OpenSSL_version_num(), in every release. */
#define LIBRESSL 0x20000000ul

typedef void *malloc_function(size_t size, const char *file, int line);
typedef void *realloc_function(void *block, size_t size, const char *file, int line);
typedef void free_function(void *block, const char *file, int line);
typedef int set_function(malloc_function *m, realloc_function *r, free_function *f);
typedef void get_function(malloc_function **m, realloc_function **r, free_function **f);
typedef unsigned long version_function(void);

static hm__hook hook = {.name = "openssl", .where = "bridge:openssl"};
static hm_site block_site = {"openssl:block", NULL, 0, 0};
static get_function *get;

static void *take(size_t size, const char *file, int line)
{
    if (size == 0) {
        return NULL;
    }
    return hm_alloc_at(hook.m, size, HM_LEVEL_CURRENT,
                       hm__hook_line(&hook, file, line, &block_site, HM__CALLER()));
}

static void give_back(void *block, const char *file, int line)
{
    if (block) {
        hm__hook_free(&hook, block,
                      hook.m->flags & HM_MALLOC_DEBUG
                          ? hm_site_intern(file, NULL, line > 0 ? (uint32_t)line : 0)
                          : NULL);
    }
}

static void *resize(void *block, size_t size, const char *file, int line)
{
    if (!block) {
        return take(size, file, line);
    }
    if (size == 0) {
        give_back(block, file, line);
        return NULL;
    }
    return hm_realloc_at(hook.m, block, HM_SIZE_UNKNOWN, size, HM_LEVEL_CURRENT,
                         hm__hook_line(&hook, file, line, &block_site, HM__CALLER()));
}

static hm_status install(const hm_bridge_opts *opts, hm_error *err)
{
    malloc_function *m = NULL;
    realloc_function *r = NULL;
    free_function *f = NULL;
    void *set, *asked, *own, *version;
    const hm_status status = hm__hook_begin(&hook, opts, err);
    if (status != HM_OK) {
        return status;
    }
    if (!(version = hm__hook_need(&hook, opts, "OpenSSL_version_num", err)) ||
        !(set = hm__hook_need(&hook, opts, "CRYPTO_set_mem_functions", err)) ||
        !(asked = hm__hook_need(&hook, opts, "CRYPTO_get_mem_functions", err)) ||
        !(own = hm__hook_need(&hook, opts, "CRYPTO_malloc", err))) {
        return HM_E_NOT_FOUND;
    }
    if (HM__FUNCTION(version_function *, version)() == LIBRESSL) {
        return hm__hook_refuse(&hook, HM_E_UNSUPPORTED, err,
                               "LibreSSL's CRYPTO_set_mem_functions does nothing");
    }
    get = HM__FUNCTION(get_function *, asked);
    get(&m, &r, &f);
    if (m != HM__FUNCTION(malloc_function *, own) && !(opts->flags & HM_BRIDGE_REPLACE)) {
        return hm__hook_refuse(&hook, HM_E_NOT_OWNED, err,
                               "somebody has called CRYPTO_set_mem_functions before");
    }
    if (HM__FUNCTION(set_function *, set)(take, resize, give_back) != 1) {
        return hm__hook_refuse(
            &hook, HM_E_STARTED, err,
            "libcrypto has allocated already; install before any call of it");
    }
    return HM_OK;
}

hm_status hm_openssl_verify(const hm_site **first, hm_error *err)
{
    malloc_function *m = NULL;
    realloc_function *r = NULL;
    free_function *f = NULL;
    const hm_status status = hm__hook_verify(&hook, first, err);
    if (status != HM_OK) {
        return status;
    }
    get(&m, &r, &f);
    if (m == take && r == resize && f == give_back) {
        return HM_OK;
    }
    return hm_error_set(err, HM_E_NOT_OWNED, hook.where,
                        "somebody called CRYPTO_set_mem_functions since");
}

const hm_bridge hm_openssl_bridge = {
    sizeof(hm_bridge), "openssl", "CRYPTO_set_mem_functions", install, hm_openssl_verify};
