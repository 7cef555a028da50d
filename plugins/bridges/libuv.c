/* SPDX-License-Identifier: MIT */
/* The libuv bridge: four functions without user data over one malloc. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/libuv.h>

#include "hook_internal.h"
#include "known_internal.h"

typedef void *malloc_function(size_t size);
typedef void *realloc_function(void *block, size_t size);
typedef void *calloc_function(size_t count, size_t size);
typedef void free_function(void *block);
typedef int set_function(malloc_function *m,
                         realloc_function *r,
                         calloc_function *c,
                         free_function *f);
typedef void *loop_function(void);
typedef int close_function(void *loop);

static hm__hook hook = {.name = "libuv", .where = "bridge:libuv"};
static hm_site block_site = {"libuv:block", NULL, 0, 0};
static free_function *libc_free; /* NULL: not to be had */

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

/* libuv frees what realpath() made for it as if it were its own. */
static void give_back(void *block)
{
    if (block && libc_free && hm_owns(hook.m, block) == 0) {
        libc_free(block);
    } else {
        hm__hook_free(&hook, block, &block_site);
    }
}

/* A malloc that cannot tell what it owns is made to. */
static hm_status know_blocks(hm_error *err)
{
    int elsewhere = 0;
    hm_malloc *knowing;
    if (hm_owns(hook.m, &elsewhere) >= 0) {
        return HM_OK;
    }
    if (hm__known_create(hook.m, &knowing) != HM_OK) {
        return hm__hook_refuse(&hook, HM_E_NOMEM, err,
                               "no private memory to know blocks by");
    }
    hm_malloc_release(hook.m); /* the other has a reference of its own */
    hook.m = knowing;
    return HM_OK;
}

/* What asking libuv takes; address 0: not to be had, so the question is not asked. */
static const char *const probe_names[] = {"uv_default_loop", "uv_loop_close", "malloc",
                                          "realloc",         "calloc",        "free"};
#define PROBE_NAMES (sizeof(probe_names) / sizeof(probe_names[0]))

/* A loop that exists takes no memory: then libc's functions are back in place. */
static int is_late(const hm_bridge_opts *opts, set_function *set)
{
    void *found[PROBE_NAMES];
    for (size_t i = 0; i < PROBE_NAMES; i++) {
        found[i] = opts->lookup(opts->lookup_context, probe_names[i]);
        if (!found[i]) {
            return 0;
        }
    }
    void *const loop = HM__FUNCTION(loop_function *, found[0])();
    if (__atomic_load_n(&hook.first, __ATOMIC_ACQUIRE)) {
        if (loop) {
            HM__FUNCTION(close_function *, found[1])(loop);
        }
        __atomic_store_n(&hook.first, NULL, __ATOMIC_RELEASE); /* it was our own */
        return 0;
    }
    set(HM__FUNCTION(malloc_function *, found[2]),
        HM__FUNCTION(realloc_function *, found[3]),
        HM__FUNCTION(calloc_function *, found[4]),
        HM__FUNCTION(free_function *, found[5]));
    return 1;
}

static hm_status install(const hm_bridge_opts *opts, hm_error *err)
{
    hm_status status = hm__hook_begin(&hook, opts, err);
    if (status == HM_OK) {
        status = know_blocks(err);
    }
    if (status != HM_OK) {
        return status;
    }
    void *const found = hm__hook_need(&hook, opts, "uv_replace_allocator", err);
    if (!found) {
        return HM_E_NOT_FOUND;
    }
    set_function *const set = HM__FUNCTION(set_function *, found);
    libc_free = HM__FUNCTION(free_function *, opts->lookup(opts->lookup_context, "free"));
    if (set(take, resize, take_zeroed, give_back) != 0) {
        return hm__hook_refuse(&hook, HM_E_UNSUPPORTED, err,
                               "uv_replace_allocator refused");
    }
    if (!(opts->flags & HM_BRIDGE_NO_PROBE) && is_late(opts, set)) {
        return hm__hook_refuse(&hook, HM_E_STARTED, err,
                               "the default loop is there already; install before any "
                               "call of libuv");
    }
    return HM_OK;
}

hm_status hm_libuv_verify(const hm_site **first, hm_error *err)
{
    return hm__hook_verify(&hook, first, err);
}

const hm_bridge hm_libuv_bridge = {sizeof(hm_bridge), "libuv", "uv_replace_allocator",
                                   install, hm_libuv_verify};
