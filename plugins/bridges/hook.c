/* SPDX-License-Identifier: MIT */
/* Installing and explaining the hooks that a whole process has one of. */
#include "hook_internal.h"

#include <string.h>

#include <hostmalloc/hostmalloc.h>

#define KNOWN_FLAGS (HM_BRIDGE_REPLACE | HM_BRIDGE_NO_PROBE)

static hm_status remember(hm__hook *hook, const hm_error *why, hm_error *err)
{
    hook->why = *why;
    if (err) {
        *err = *why;
    }
    return why->status;
}

static hm_status refuse(hm__hook *hook, hm_status status, hm_error *err, const char *what)
{
    hm_error why;
    hm_error_set(&why, status, hook->where, "%s", what);
    return remember(hook, &why, err);
}

static hm_status
ready_malloc(hm__hook *hook, const hm_bridge_opts *opts, hm_malloc **m, hm_error *why)
{
    if (opts->host) {
        const hm_status status = hm_host_validate(opts->host, why);
        return status == HM_OK ? hm_host_create_malloc(opts->host, hook->name,
                                                       HM_MALLOC_THREADSAFE, m, why)
                               : status;
    }
    const hm_status status = hm_malloc_validate(opts->m, why);
    if (status != HM_OK) {
        return status;
    }
    if (!(opts->m->flags & HM_MALLOC_THREADSAFE)) {
        return hm_error_set(why, HM_E_INVALID, hook->where,
                            "the malloc is not HM_MALLOC_THREADSAFE");
    }
    hm_malloc_retain(opts->m);
    *m = opts->m;
    return HM_OK;
}

hm_status hm__hook_begin(hm__hook *hook, const hm_bridge_opts *opts, hm_error *err)
{
    hm_malloc *m = NULL;
    hm_error why;
    if (hook->m) {
        return hm_error_set(err, HM_E_EXISTS, hook->where,
                            "installed already, and for good");
    }
    if (!opts || !HM_HAS(opts, hm_bridge_opts, flags) || !opts->lookup ||
        !opts->m == !opts->host || (opts->flags & ~KNOWN_FLAGS)) {
        return refuse(
            hook, HM_E_INVALID, err,
            "needs sized options with a lookup, one of malloc and host, known flags");
    }
    const hm_status status = ready_malloc(hook, opts, &m, &why);
    if (status != HM_OK) {
        return remember(hook, &why, err);
    }
    hook->caller = opts->caller;
    hook->caller_context = opts->caller_context;
    hook->m = m;
    return HM_OK;
}

hm_status
hm__hook_refuse(hm__hook *hook, hm_status status, hm_error *err, const char *what)
{
    hm_malloc_release(hook->m);
    hook->m = NULL;
    hook->caller = NULL;
    return refuse(hook, status, err, what);
}

void *
hm__hook_need(hm__hook *hook, const hm_bridge_opts *opts, const char *name, hm_error *err)
{
    hm_error why;
    void *const found = opts->lookup(opts->lookup_context, name);
    if (!found) {
        hm_malloc_release(hook->m);
        hook->m = NULL;
        hook->caller = NULL;
        hm_error_set(&why, HM_E_NOT_FOUND, hook->where, "no %s in this process", name);
        remember(hook, &why, err);
    }
    return found;
}

char *hm__hook_strdup(hm__hook *hook, const char *text, hm_site *own, void *caller)
{
    if (!text) {
        return NULL;
    }
    const size_t size = strlen(text) + 1;
    char *const copy =
        hm_alloc_at(hook->m, size, HM_LEVEL_CURRENT, hm__hook_site(hook, own, caller));
    return copy ? memcpy(copy, text, size) : NULL;
}

hm_status hm__hook_verify(const hm__hook *hook, const hm_site **first, hm_error *err)
{
    if (first) {
        *first = __atomic_load_n(&hook->first, __ATOMIC_ACQUIRE);
    }
    if (hook->m) {
        const uint32_t foreign = __atomic_load_n(&hook->foreign, __ATOMIC_RELAXED);
        return foreign ? hm_error_set(err, HM_E_STARTED, hook->where,
                                      "installed too late: %u blocks of before came back",
                                      foreign)
                       : HM_OK;
    }
    if (hook->why.status == HM_OK) {
        return hm_error_set(err, HM_E_NOT_FOUND, hook->where, "nobody installed it");
    }
    if (err) {
        *err = hook->why;
    }
    return hook->why.status;
}
