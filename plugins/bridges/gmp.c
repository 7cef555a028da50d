/* SPDX-License-Identifier: MIT */
/* The GMP bridge: three functions that are told sizes and must not fail, over one malloc. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/gmp.h>

#include <stdlib.h>

#include "hook_internal.h"

typedef void *alloc_function(size_t size);
typedef void *realloc_function(void *block, size_t old_size, size_t size);
typedef void free_function(void *block, size_t size);
typedef void set_function(alloc_function *a, realloc_function *r, free_function *f);
typedef void get_function(alloc_function **a, realloc_function **r, free_function **f);

static hm__hook hook = {.name = "gmp", .where = "bridge:gmp"};
static hm_site block_site = {"gmp:block", NULL, 0, 0};
static get_function *get;
static hm_gmp_exhausted *exhausted;
static void *exhausted_context;

void hm_gmp_on_exhausted(hm_gmp_exhausted *function, void *context)
{
    exhausted = function;
    exhausted_context = context;
}

static void make_room(size_t size)
{
    if (exhausted) {
        exhausted(exhausted_context, size);
    }
}

/* GMP goes on with whatever it gets, so nothing is not an answer. */
static _Noreturn void give_up(size_t size)
{
    hm_error err;
    hm_error_set(&err, HM_E_NOMEM, hook.where,
                 "no %zu bytes for a number, and GMP cannot be told", size);
    hm_error_print(&err);
    abort();
}

static void *take(size_t size)
{
    hm_site *const site = hm__hook_site(&hook, &block_site, HM__CALLER());
    void *block = hm_alloc_at(hook.m, size, HM_LEVEL_CURRENT, site);
    if (!block) {
        make_room(size);
        block = hm_alloc_at(hook.m, size, HM_LEVEL_CURRENT, site);
    }
    if (!block) {
        give_up(size);
    }
    return block;
}

static void *resize(void *block, size_t old_size, size_t size)
{
    void *moved = hm_realloc_at(hook.m, block, old_size, size, HM_LEVEL_CURRENT, NULL);
    if (!moved) {
        make_room(size);
        moved = hm_realloc_at(hook.m, block, old_size, size, HM_LEVEL_CURRENT, NULL);
    }
    if (!moved) {
        give_up(size);
    }
    return moved;
}

static void give_back(void *block, size_t size)
{
    if (hm_free_sized_at(hook.m, block, size, &block_site) == HM_E_NOT_OWNED) {
        __atomic_fetch_add(&hook.foreign, 1, __ATOMIC_RELAXED);
    }
}

static hm_status install(const hm_bridge_opts *opts, hm_error *err)
{
    alloc_function *a = NULL;
    realloc_function *r = NULL;
    free_function *f = NULL;
    void *set, *asked, *own;
    const hm_status status = hm__hook_begin(&hook, opts, err);
    if (status != HM_OK) {
        return status;
    }
    if (!(set = hm__hook_need(&hook, opts, "__gmp_set_memory_functions", err)) ||
        !(asked = hm__hook_need(&hook, opts, "__gmp_get_memory_functions", err))) {
        return HM_E_NOT_FOUND;
    }
    get = HM__FUNCTION(get_function *, asked);
    own = opts->lookup(opts->lookup_context, "__gmp_default_allocate");
    get(&a, &r, &f);
    if (own && !(opts->flags & HM_BRIDGE_REPLACE) &&
        a != HM__FUNCTION(alloc_function *, own)) {
        return hm__hook_refuse(&hook, HM_E_NOT_OWNED, err,
                               "somebody has called mp_set_memory_functions before");
    }
    HM__FUNCTION(set_function *, set)(take, resize, give_back);
    return HM_OK;
}

hm_status hm_gmp_verify(const hm_site **first, hm_error *err)
{
    alloc_function *a = NULL;
    realloc_function *r = NULL;
    free_function *f = NULL;
    const hm_status status = hm__hook_verify(&hook, first, err);
    if (status != HM_OK) {
        return status;
    }
    get(&a, &r, &f);
    if (a == take && r == resize && f == give_back) {
        return HM_OK;
    }
    return hm_error_set(err, HM_E_NOT_OWNED, hook.where,
                        "somebody called mp_set_memory_functions since");
}

const hm_bridge hm_gmp_bridge = {sizeof(hm_bridge), "gmp", "__gmp_set_memory_functions",
                                 install, hm_gmp_verify};
