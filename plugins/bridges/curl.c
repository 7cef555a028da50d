/* SPDX-License-Identifier: MIT */
/* The libcurl bridge: five functions without user data over one malloc. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/curl.h>

#include "hook_internal.h"

#define CURL_GLOBAL_ALL 3l

typedef void *malloc_function(size_t size);
typedef void free_function(void *block);
typedef void *realloc_function(void *block, size_t size);
typedef char *strdup_function(const char *text);
typedef void *calloc_function(size_t count, size_t size);
typedef int init_function(long flags,
                          malloc_function *m,
                          free_function *f,
                          realloc_function *r,
                          strdup_function *s,
                          calloc_function *c);
typedef void cleanup_function(void);
typedef char *print_function(const char *format, ...);

static hm__hook hook = {.name = "curl", .where = "bridge:curl"};
static hm_site block_site = {"curl:block", NULL, 0, 0};
static hm_site string_site = {"curl:string", NULL, 0, 0};
static print_function *print;
static free_function *free_printed;
static hm_malloc
    *kept; /* of an initialisation that failed: libcurl keeps the functions */
/* A block of libcurl's that must come to give_back() in the thread that asks; NULL once it did. */
static _Thread_local void *probed;

static void *take(size_t size)
{
    return hm_alloc_at(hook.m, size, HM_LEVEL_CURRENT,
                       hm__hook_site(&hook, &block_site, HM__CALLER()));
}

static void *take_zeroed(size_t count, size_t size)
{
    return hm_alloc_zeroed_at(hook.m, count, size, HM_LEVEL_CURRENT,
                              hm__hook_site(&hook, &block_site, HM__CALLER()));
}

static void *resize(void *block, size_t size)
{
    return hm__hook_realloc(&hook, block, size, &block_site, HM__CALLER());
}

static char *copy(const char *text)
{
    return hm__hook_strdup(&hook, text, &string_site, HM__CALLER());
}

static void give_back(void *block)
{
    if (!block) {
        return;
    }
    if (block == probed) {
        probed = NULL;
    }
    hm__hook_free(&hook, block, &block_site);
}

/* 1 libcurl frees through the hook, 0 it does not, -1 it had no memory to find out. */
static int is_live(void)
{
    char *const text = print("%s", hook.name);
    if (!text) {
        return -1;
    }
    probed = text;
    free_printed(text);
    const int is_ours = !probed;
    probed = NULL;
    return is_ours;
}

static hm_status install_flags(const hm_bridge_opts *opts, long flags, hm_error *err)
{
    void *init, *cleanup, *printing, *freeing;
    const hm_status status = hm__hook_begin(&hook, opts, err);
    if (status != HM_OK) {
        return status;
    }
    if (!(init = hm__hook_need(&hook, opts, "curl_global_init_mem", err)) ||
        !(cleanup = hm__hook_need(&hook, opts, "curl_global_cleanup", err)) ||
        !(printing = hm__hook_need(&hook, opts, "curl_maprintf", err)) ||
        !(freeing = hm__hook_need(&hook, opts, "curl_free", err))) {
        return HM_E_NOT_FOUND;
    }
    print = HM__FUNCTION(print_function *, printing);
    free_printed = HM__FUNCTION(free_function *, freeing);
    if (HM__FUNCTION(init_function *, init)(flags, take, give_back, resize, copy,
                                            take_zeroed) != 0) {
        hm_malloc_release(kept);
        kept = hook.m;
        hm_malloc_retain(kept);
        return hm__hook_refuse(&hook, HM_E_NOMEM, err,
                               "curl_global_init_mem could not initialise libcurl");
    }
    if (!(opts->flags & HM_BRIDGE_NO_PROBE) && is_live() == 0) {
        HM__FUNCTION(cleanup_function *, cleanup)(); /* it counts the calls */
        return hm__hook_refuse(&hook, HM_E_STARTED, err,
                               "libcurl is initialised already and ignores the hook; "
                               "install instead of curl_global_init");
    }
    return HM_OK;
}

hm_status hm_curl_install_flags(const hm_bridge_opts *opts, long flags, hm_error *err)
{
    if (kept) {
        hook.m = NULL;
    }
    const hm_status status = install_flags(opts, flags, err);
    if (status == HM_OK) {
        hm_malloc_release(kept);
        kept = NULL;
    } else if (kept) {
        hook.m = kept;
    }
    return status;
}

static hm_status install(const hm_bridge_opts *opts, hm_error *err)
{
    return hm_curl_install_flags(opts, CURL_GLOBAL_ALL, err);
}

hm_status hm_curl_verify(const hm_site **first, hm_error *err)
{
    if (kept) {
        if (first) {
            *first = __atomic_load_n(&hook.first, __ATOMIC_ACQUIRE);
        }
        if (err) {
            *err = hook.why;
        }
        return hook.why.status;
    }
    const hm_status status = hm__hook_verify(&hook, first, err);
    if (status != HM_OK || is_live() != 0) {
        return status;
    }
    return hm_error_set(err, HM_E_NOT_OWNED, hook.where,
                        "libcurl was initialised anew since, and has other functions");
}

const hm_bridge hm_curl_bridge = {sizeof(hm_bridge), "curl", "curl_global_init_mem",
                                  install, hm_curl_verify};
