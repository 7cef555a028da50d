/* SPDX-License-Identifier: MIT */
/* The libxml2 bridge: five functions without user data over one malloc. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/libxml2.h>

#include "hook_internal.h"

typedef void free_function(void *block);
typedef void *malloc_function(size_t size);
typedef void *realloc_function(void *block, size_t size);
typedef char *strdup_function(const char *text);
typedef int set_function(free_function *f,
                         malloc_function *m,
                         malloc_function *atomic,
                         realloc_function *r,
                         strdup_function *s);
typedef int get_function(free_function **f,
                         malloc_function **m,
                         malloc_function **atomic,
                         realloc_function **r,
                         strdup_function **s);

static hm__hook hook = {.name = "libxml2", .where = "bridge:libxml2"};
static hm_site block_site = {"libxml2:block", NULL, 0, 0};
static hm_site text_site = {"libxml2:text", NULL, 0, 0};
static hm_site string_site = {"libxml2:string", NULL, 0, 0};
static get_function *get;

static void *take(size_t size)
{
    return hm_alloc_at(hook.m, size, HM_LEVEL_CURRENT,
                       hm__hook_site(&hook, &block_site, HM__CALLER()));
}

/* For blocks that hold no pointers, a collector's matter; here it says what they are for. */
static void *take_text(size_t size)
{
    return hm_alloc_at(hook.m, size, HM_LEVEL_CURRENT,
                       hm__hook_site(&hook, &text_site, HM__CALLER()));
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
    hm__hook_free(&hook, block, &block_site);
}

static hm_status install(const hm_bridge_opts *opts, hm_error *err)
{
    free_function *f = NULL;
    malloc_function *m, *atomic;
    realloc_function *r;
    strdup_function *s;
    const double *infinity;
    void *set, *asked, *own;
    const hm_status status = hm__hook_begin(&hook, opts, err);
    if (status != HM_OK) {
        return status;
    }
    if (!(set = hm__hook_need(&hook, opts, "xmlGcMemSetup", err)) ||
        !(asked = hm__hook_need(&hook, opts, "xmlGcMemGet", err))) {
        return HM_E_NOT_FOUND;
    }
    /* A variable that its initialisation sets. */
    infinity = opts->lookup(opts->lookup_context, "xmlXPathPINF");
    if (infinity && *infinity > 0) {
        return hm__hook_refuse(&hook, HM_E_STARTED, err,
                               "libxml2 is initialised already and keeps what it took; "
                               "install before any call of it");
    }
    get = HM__FUNCTION(get_function *, asked);
    own = opts->lookup(opts->lookup_context, "free");
    if (own && !(opts->flags & HM_BRIDGE_REPLACE) && get(&f, &m, &atomic, &r, &s) == 0 &&
        f != HM__FUNCTION(free_function *, own)) {
        return hm__hook_refuse(&hook, HM_E_NOT_OWNED, err,
                               "somebody has called xmlMemSetup before");
    }
    if (HM__FUNCTION(set_function *, set)(give_back, take, take_text, resize, copy) !=
        0) {
        return hm__hook_refuse(&hook, HM_E_UNSUPPORTED, err, "xmlGcMemSetup refused");
    }
    return HM_OK;
}

hm_status hm_libxml2_verify(const hm_site **first, hm_error *err)
{
    free_function *f = NULL;
    malloc_function *m, *atomic;
    realloc_function *r;
    strdup_function *s;
    const hm_status status = hm__hook_verify(&hook, first, err);
    if (status != HM_OK) {
        return status;
    }
    if (get(&f, &m, &atomic, &r, &s) == 0 && f == give_back && m == take) {
        return HM_OK;
    }
    return hm_error_set(err, HM_E_NOT_OWNED, hook.where,
                        "somebody called xmlMemSetup since");
}

const hm_bridge hm_libxml2_bridge = {sizeof(hm_bridge), "libxml2", "xmlGcMemSetup",
                                     install, hm_libxml2_verify};
