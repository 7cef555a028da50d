/* SPDX-License-Identifier: MIT */
/* Running a client's code where it may fail, and telling afterwards. */
#include "client_internal.h"

#include <string.h>

#include "lock_internal.h"

HM_STATIC_ASSERT(HM_CLIENT_RETURNED == HM__OS_RETURNED &&
                     HM_CLIENT_RAISED == HM__OS_RAISED && HM_CLIENT_ENDED == HM__OS_ENDED,
                 "one set of numbers");

/* The client stays while its guard is set: it cannot be closed. */
static hm_status begin(hm_client_key key, hm__os_guard *guard, hm_error *err)
{
    hm__client *const c = hm__client_enter(key);
    if (!c) {
        return hm_error_set(err, HM_E_NOT_FOUND, "client", "no client has this key");
    }
    hm_status status = HM_OK;
    if (c->guard) {
        status =
            hm_error_set(err, HM_E_STARTED, "client", "client \"%.60s\" runs", c->name);
    } else {
        c->guard = guard;
    }
    hm__client_leave(c);
    return status;
}

static void end(hm_client_key key)
{
    hm__client *const c = hm__client_enter(key);
    if (c) {
        c->guard = NULL;
        hm__client_leave(c);
    }
}

static hm_status run_held(hm_client_key key,
                          void (*run)(void *context),
                          void *context,
                          hm_client_ending *ending,
                          hm_error *err)
{
    hm_client_ending told = {.size = sizeof told, .leaks = {.size = sizeof told.leaks}};
    if (!run || (ending && ending->size < sizeof ending->size)) {
        return hm_error_set(err, HM_E_INVALID, "client", "%s",
                            run ? "hm_client_ending.size is not set"
                                : "nothing to run: it is NULL");
    }
    hm__os_guard guard = {.run = run, .context = context};
    const hm_status status = begin(key, &guard, err);
    if (status != HM_OK) {
        return status;
    }
    const int ran = hm__os_guard_run(&guard);
    const int32_t why = ran ? 0 : hm__os_error();
    if (ran && guard.ending != HM__OS_RETURNED) {
        hm_client_reclaim(key, &told.leaks); /* before the next run may own something */
    }
    end(key);
    if (!ran) {
        hm_error_set(err, HM_E_OS, "client", "no thread to run it on");
        if (err) {
            err->os_code = why;
        }
        return HM_E_OS;
    }
    told.how = guard.ending;
    told.code = guard.code;
    if (ending) {
        const size_t size = ending->size;
        memcpy(ending, &told, size < sizeof told ? size : sizeof told);
        ending->size = size;
    }
    return HM_OK;
}

/* What runs has its guard on this stack, so a kill of the caller waits for it. */
hm_status hm_client_run(hm_client_key key,
                        void (*run)(void *context),
                        void *context,
                        hm_client_ending *ending,
                        hm_error *err)
{
    hm__os_guard_hold();
    const hm_status status = run_held(key, run, context, ending, err);
    hm__os_guard_drop();
    return status;
}

hm_status hm_client_kill(hm_client_key key)
{
    hm__client *const c = hm__client_enter(key);
    if (!c) {
        return HM_E_NOT_FOUND;
    }
    hm_status status = HM_E_STARTED;
    if (c->guard) {
        status = hm__os_guard_kill(c->guard) ? HM_OK : HM_E_UNSUPPORTED;
    }
    hm__client_leave(c);
    return status;
}
