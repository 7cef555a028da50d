/* SPDX-License-Identifier: MIT */
/* The runtime core: keeps what it asked its host for, and says at the end what was not given back. */
#include <hostmalloc/registry.h>
#include <hostmalloc/runtime.h>

#include <string.h>

#include "client_internal.h"
#include "lock_internal.h"
#include "memory_internal.h"

/* One malloc that was made. Entries are only added until the runtime closes, so visitors need no lock. */
typedef struct entry {
    struct entry *next; /* atomic */
    hm_malloc *malloc_object;
    char *name;
} entry;

struct hm_runtime {
    char *name;
    hm_host *host;    /* guarded by lock */
    entry *first;     /* atomic; guarded by lock for writers */
    entry **end;      /* where the next entry goes; guarded by lock */
    uint32_t closing; /* guarded by lock */
    uint32_t clients; /* 1 once there was one; guarded by lock */
    uint32_t joining; /* clients under way, and 1 until closed; guarded by lock */
    uint32_t started; /* of the opener; so is the next */
    uint32_t opener;  /* the thread that opened */
};

/* One for all runtimes: it is held for a few stores, and fork can find it. */
static hm_lock lock;
static uint32_t fork_known; /* atomic */

/* Runtimes that this thread opened and has not started yet. They may start in any order: the first one to come
   enters the level, the last one to go leaves it. */
static _Thread_local uint32_t starting;
static _Thread_local hm_level level_before;

static void before_fork(void *context)
{
    (void)context;
    hm__lock(&lock);
}

static void after_fork_parent(void *context)
{
    (void)context;
    hm__unlock(&lock);
}

static void after_fork_child(void *context)
{
    (void)context;
    hm__lock_reset(&lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof fork_hooks,
                                   .rank = HM__FORK_RUNTIME,
                                   .prepare = before_fork,
                                   .parent = after_fork_parent,
                                   .child = after_fork_child};

static void enter_start(void)
{
    if (starting++ == 0) {
        level_before = hm_level_enter(HM_LEVEL_PROCESS);
    }
}

static void leave_start(void)
{
    if (--starting == 0) {
        hm_level_leave(level_before);
    }
}

static void free_text(char *text)
{
    if (text) {
        hm__memory_free(text, strlen(text) + 1);
    }
}

static hm_status refuse_null(hm_error *err, const char *what)
{
    return hm_error_set(err, HM_E_INVALID, "runtime", "%s is NULL", what);
}

/* The host to begin with, with a reference. */
static hm_status first_host(const hm_runtime_opts *opts, hm_host **out, hm_error *err)
{
    hm_host *const host = opts && HM_HAS(opts, hm_runtime_opts, host) ? opts->host : NULL;
    const char *const spec =
        opts && HM_HAS(opts, hm_runtime_opts, spec) ? opts->spec : NULL;
    if (host && spec) {
        return hm_error_set(err, HM_E_INVALID, "runtime",
                            "both a host and a spec are given, expected one of them");
    }
    if (!host) {
        return hm_host_open(spec, out, err);
    }
    const hm_status status = hm_host_validate(host, err);
    if (status == HM_OK) {
        hm_host_retain(host);
        *out = host;
    }
    return status;
}

hm_status hm_runtime_open(const hm_runtime_opts *opts, hm_runtime **out, hm_error *err)
{
    if (!out) {
        return refuse_null(err, "out");
    }
    *out = NULL;
    if (opts && opts->size < sizeof opts->size) {
        return hm_error_set(err, HM_E_INVALID, "runtime",
                            "hm_runtime_opts.size is %zu, expected %zu", opts->size,
                            sizeof *opts);
    }
    hm__at_fork_once(&fork_known, &fork_hooks);
    const char *const name = opts && HM_HAS(opts, hm_runtime_opts, name) && opts->name
                                 ? opts->name
                                 : "runtime";
    hm_status status = HM_E_NOMEM;
    enter_start(); /* the host is part of what must come up */
    hm_runtime *rt = hm__memory_alloc(sizeof *rt);
    if (!rt || !(rt->name = hm__memory_copy(name))) {
        hm_error_set(err, status, "runtime", "no private memory for a runtime");
        goto undo_runtime;
    }
    rt->opener = hm__thread_id();
    rt->joining = 1;
    rt->end = &rt->first;
    status = first_host(opts, &rt->host, err);
    if (status != HM_OK) {
        goto undo_name;
    }
    *out = rt;
    return HM_OK;

undo_name:
    free_text(rt->name);
undo_runtime:
    hm__memory_free(rt, sizeof *rt);
    leave_start();
    return status;
}

static entry *next_entry(entry *const *place)
{
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

/* The host as it is now, with a reference; NULL while closing. */
static hm_host *hold_host(hm_runtime *rt)
{
    hm__lock(&lock);
    hm_host *const host = rt->closing ? NULL : rt->host;
    if (host) {
        hm_host_retain(host);
    }
    hm__unlock(&lock);
    return host;
}

hm_status hm__runtime_join(hm_runtime *rt, hm_host **host, hm_error *err)
{
    hm__lock(&lock);
    *host = rt->closing ? NULL : rt->host;
    if (*host) {
        hm_host_retain(*host);
        rt->clients = 1;
        rt->joining++;
    }
    hm__unlock(&lock);
    return *host ? HM_OK
                 : hm_error_set(err, HM_E_CLOSED, "client",
                                "runtime \"%.60s\" is closing", rt->name);
}

/* The last one, who closes or who comes too late, takes it away. */
static void leave_runtime(hm_runtime *rt)
{
    hm__lock(&lock);
    const uint32_t left = --rt->joining;
    hm__unlock(&lock);
    if (!left) {
        free_text(rt->name);
        hm__memory_free(rt, sizeof *rt);
    }
}

hm_status hm__runtime_joined(hm_runtime *rt,
                             hm__client *c,
                             hm_client_key (*enlist)(hm__client *c, hm_runtime *rt),
                             hm_client_key *key,
                             hm_error *err)
{
    hm__lock(&lock);
    const uint32_t closing = rt->closing;
    if (c && !closing) {
        *key = enlist(c, rt);
    }
    hm__unlock(&lock);
    if (c && closing) {
        hm_error_set(err, HM_E_CLOSED, "client", "runtime \"%.60s\" is closing",
                     rt->name);
    }
    leave_runtime(rt);
    return closing ? HM_E_CLOSED : HM_OK;
}

/* 0 when it came too late: the host was replaced in the meantime, or the runtime is closing. */
static int keep(hm_runtime *rt, entry *made, const hm_host *made_by)
{
    hm_malloc_retain(made->malloc_object);
    hm__lock(&lock);
    const int kept = !rt->closing && rt->host == made_by;
    if (kept) {
        __atomic_store_n(rt->end, made, __ATOMIC_RELEASE);
        rt->end = &made->next;
    }
    hm__unlock(&lock);
    if (!kept) {
        hm_malloc_release(made->malloc_object);
        hm_malloc_release(made->malloc_object);
    }
    return kept;
}

/* Fills made->malloc_object and adds made to the runtime. */
static hm_status
create(hm_runtime *rt, const hm_malloc_opts *opts, entry *made, hm_error *err)
{
    for (;;) {
        hm_host *const host = hold_host(rt);
        if (!host) {
            return hm_error_set(err, HM_E_CLOSED, "runtime",
                                "runtime \"%.60s\" is closing", rt->name);
        }
        const hm_status status =
            hm_host_create_malloc_opts(host, opts, &made->malloc_object, err);
        const int done = status != HM_OK || keep(rt, made, host);
        hm_host_release(host);
        if (done) {
            return status;
        }
    }
}

hm_status hm_runtime_create_malloc(hm_runtime *rt,
                                   const hm_malloc_opts *opts,
                                   hm_malloc **out,
                                   hm_error *err)
{
    if (!out) {
        return refuse_null(err, "out");
    }
    *out = NULL;
    if (!rt) {
        return refuse_null(err, "runtime");
    }
    const char *const name =
        opts && HM_HAS(opts, hm_malloc_opts, name) && opts->name ? opts->name : "malloc";
    hm_status status = HM_E_NOMEM;
    entry *made = hm__memory_alloc(sizeof *made);
    if (!made || !(made->name = hm__memory_copy(name))) {
        hm_error_set(err, status, "runtime", "no private memory to keep \"%.60s\"", name);
        goto undo_entry;
    }
    status = create(rt, opts, made, err);
    if (status == HM_OK) {
        *out = made->malloc_object;
        return HM_OK;
    }
    free_text(made->name);
undo_entry:
    hm__memory_free(made, sizeof *made);
    return status;
}

hm_status hm_runtime_set_host(hm_runtime *rt, hm_host *host, hm_error *err)
{
    if (!rt) {
        return refuse_null(err, "runtime");
    }
    hm_status status = hm_host_validate(host, err);
    if (status != HM_OK) {
        return status;
    }
    hm_host_retain(host);
    hm_host *unused = host;
    hm__lock(&lock);
    const entry *const asker = rt->first;
    const int asked = asker || rt->clients;
    if (!rt->closing && !asked) {
        unused = rt->host;
        rt->host = host;
    } else {
        status = asked ? HM_E_STARTED : HM_E_CLOSED;
    }
    hm__unlock(&lock);
    hm_host_release(unused);
    if (status == HM_OK) {
        return HM_OK;
    }
    if (status == HM_E_CLOSED) {
        return hm_error_set(err, status, "runtime", "runtime \"%.40s\" is closing",
                            rt->name);
    }
    return hm_error_set(err, status, "runtime",
                        asker ? "runtime \"%.40s\": malloc \"%.60s\" was made first"
                              : "runtime \"%.40s\": a client was opened first",
                        rt->name, asker ? asker->name : "");
}

hm_host *hm_runtime_host(hm_runtime *rt)
{
    hm__lock(&lock);
    hm_host *const host = rt ? rt->host : NULL;
    hm__unlock(&lock);
    return host;
}

hm_status hm_runtime_start(hm_runtime *rt)
{
    if (!rt || rt->opener != hm__thread_id()) {
        return HM_E_INVALID;
    }
    if (rt->started) {
        return HM_E_STARTED;
    }
    rt->started = 1;
    leave_start();
    return HM_OK;
}

hm_status hm_runtime_visit(hm_runtime *rt,
                           int (*visit)(void *context, const hm_runtime_entry *entry),
                           void *context)
{
    if (!rt || !visit) {
        return HM_E_INVALID;
    }
    for (entry *e = next_entry(&rt->first); e; e = next_entry(&e->next)) {
        hm_runtime_entry shown = {
            .size = sizeof shown, .name = e->name, .malloc_object = e->malloc_object};
        shown.counted = hm_malloc_stats(e->malloc_object, &shown.stats);
        if (visit(context, &shown)) {
            break;
        }
    }
    return HM_OK;
}

static void count_leaks(const hm_runtime *rt, hm_leaks *leaks)
{
    for (const entry *e = rt->first; e; e = e->next) {
        hm_stats stats;
        if (hm_malloc_stats(e->malloc_object, &stats) != HM_OK) {
            leaks->unknown++;
        } else if (stats.live_blocks > 0) {
            leaks->mallocs++;
            leaks->blocks += stats.live_blocks;
            leaks->bytes += stats.live_bytes;
        }
    }
}

/* The caller's struct may be older and shorter, or newer and longer: what it has and we know is filled. */
static void give_leaks(hm_leaks *out, hm_leaks counted)
{
    const size_t size = out->size;
    counted.size = size;
    memcpy(out, &counted, size < sizeof counted ? size : sizeof counted);
}

hm_status hm_runtime_close(hm_runtime *rt, hm_leaks *leaks, hm_error *err)
{
    if (!rt) {
        return HM_OK;
    }
    if (leaks && leaks->size < sizeof leaks->size) {
        return hm_error_set(err, HM_E_INVALID, "runtime",
                            "hm_leaks.size is %zu, expected %zu", leaks->size,
                            sizeof *leaks);
    }
    if (!rt->started && rt->opener != hm__thread_id()) {
        return hm_error_set(err, HM_E_INVALID, "runtime",
                            "runtime \"%.40s\" was not started, expected its opening "
                            "thread %u to close it",
                            rt->name, (unsigned)rt->opener);
    }
    hm__lock(&lock);
    const uint32_t closing = rt->closing++;
    hm__unlock(&lock);
    if (closing) {
        return hm_error_set(err, HM_E_CLOSED, "runtime", "runtime \"%.60s\" is closing",
                            rt->name);
    }
    hm_leaks counted = {.size = sizeof counted};
    count_leaks(rt, &counted);
    hm__client_close_all(rt, &counted);
    for (const entry *e = rt->first; e; e = e->next) {
        hm_malloc_close(e->malloc_object);
    }
    for (entry *e = rt->first; e;) {
        entry *const next = e->next;
        hm_malloc_release(e->malloc_object);
        free_text(e->name);
        hm__memory_free(e, sizeof *e);
        e = next;
    }
    if (leaks) {
        give_leaks(leaks, counted);
    }
    if (!rt->started) {
        leave_start();
    }
    hm_host_release(rt->host);
    leave_runtime(rt);
    return HM_OK;
}
