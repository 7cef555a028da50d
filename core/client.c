/* SPDX-License-Identifier: MIT */
/* Clients by key: opening, finding, giving back, closing. */
#include "client_internal.h"

#include <string.h>

#include "lock_internal.h"
#include "memory_internal.h"

/* A key is how often its place was used, above the place's number. */
#define INDEX_BITS 15
#define CHUNK      32u
#define CHUNKS     ((1u << INDEX_BITS) / CHUNK)

static struct {
    hm_lock lock;        /* guards what follows */
    hm__client *free;    /* places that are nobody's */
    hm__client **chunks; /* CHUNKS; both levels atomic, written once */
    uint32_t count;      /* chunks there are; atomic */
    uint32_t fork_known; /* atomic */
} clients;

/* One more than the last place. */
static uint32_t places(void)
{
    return __atomic_load_n(&clients.count, __ATOMIC_ACQUIRE) * CHUNK;
}

static hm__client *place(uint32_t index)
{
    return &clients.chunks[index / CHUNK][index % CHUNK];
}

static void before_fork(void *context)
{
    (void)context;
    hm__lock(&clients.lock);
    for (uint32_t i = 0; i < places(); i++) {
        hm__lock(&place(i)->host_lock);
        hm__lock(&place(i)->lock);
    }
}

static void after_fork(void (*open_lock)(hm_lock *lock))
{
    for (uint32_t i = places(); i-- > 0;) {
        open_lock(&place(i)->lock);
        open_lock(&place(i)->host_lock);
    }
    open_lock(&clients.lock);
}

static void after_fork_parent(void *context)
{
    (void)context;
    after_fork(hm__unlock);
}

/* Calls and runs of other threads are none here: a client can be closed, and its place used again. */
static void after_fork_child(void *context)
{
    (void)context;
    for (uint32_t i = 0; i < places(); i++) {
        hm__client *const c = place(i);
        c->calls = 0;
        c->guard = hm__os_guard_mine(c->guard) ? c->guard : NULL;
    }
    after_fork(hm__lock_reset);
}

static hm_fork_hooks fork_hooks = {.size = sizeof fork_hooks,
                                   .rank = HM__FORK_CLIENT,
                                   .prepare = before_fork,
                                   .parent = after_fork_parent,
                                   .child = after_fork_child};

/* Under the list's lock. */
static int add_chunk(void)
{
    const uint32_t n = clients.count;
    if (n == CHUNKS) {
        return 0;
    }
    if (!clients.chunks &&
        !(clients.chunks = hm__memory_alloc(CHUNKS * sizeof *clients.chunks))) {
        return 0;
    }
    hm__client *const chunk = hm__memory_alloc(CHUNK * sizeof *chunk);
    if (!chunk) {
        return 0;
    }
    for (uint32_t i = CHUNK; i-- > 0;) {
        chunk[i].index = n * CHUNK + i;
        chunk[i].next_free = clients.free;
        clients.free = &chunk[i];
    }
    clients.chunks[n] = chunk;
    __atomic_store_n(&clients.count, n + 1, __ATOMIC_RELEASE);
    return 1;
}

static hm__client *take_place(void)
{
    hm__at_fork_once(&clients.fork_known, &fork_hooks);
    hm__lock(&clients.lock);
    hm__client *const taken = clients.free || add_chunk() ? clients.free : NULL;
    if (taken) {
        clients.free = taken->next_free;
    }
    hm__unlock(&clients.lock);
    return taken;
}

static void give_place(hm__client *c)
{
    hm__lock(&clients.lock);
    c->next_free = clients.free;
    clients.free = c;
    hm__unlock(&clients.lock);
}

hm__client *hm__client_enter(hm_client_key key)
{
    const uint32_t index = (uint32_t)(key & (((uintptr_t)1 << INDEX_BITS) - 1));
    if (!key || index >= places()) {
        return NULL;
    }
    hm__client *const c = place(index);
    hm__os_guard_hold();
    hm__lock(&c->lock);
    if (c->key != key) {
        hm__unlock(&c->lock);
        hm__os_guard_drop();
        return NULL;
    }
    c->calls++;
    return c;
}

void hm__client_leave(hm__client *c)
{
    const int last = --c->calls == 0 && c->closed;
    hm_malloc *const emptied = c->malloc_object;
    if (last) {
        hm__client_blocks_free(&c->blocks);
        memset(&c->blocks, 0, sizeof c->blocks);
        c->malloc_object = NULL;
        c->runtime = NULL;
        c->closed = 0;
    }
    hm__unlock(&c->lock);
    if (last) {
        hm_malloc_release(emptied);
        give_place(c);
    }
    hm__os_guard_drop();
}

static hm_status refuse(hm_error *err, const char *what)
{
    return hm_error_set(err, HM_E_INVALID, "client", "%s", what);
}

static hm_status
read_opts(const hm_client_opts *opts, hm_client_opts *copy, hm_error *err)
{
    static const hm_client_opts usual = {.size = sizeof usual};
    *copy = usual;
    if (!opts) {
        return HM_OK;
    }
    if (opts->size < offsetof(hm_client_opts, name) + sizeof opts->name ||
        opts->size > 4096) {
        return hm_error_set(err, HM_E_INVALID, "client",
                            "hm_client_opts.size is %zu, expected %zu", opts->size,
                            sizeof *opts);
    }
    memcpy(copy, opts, opts->size < sizeof *copy ? opts->size : sizeof *copy);
    return copy->flags || copy->reserved ? refuse(err, "hm_client_opts: unknown flags")
                                         : HM_OK;
}

static hm_status
make_malloc(hm_host *host, const char *name, hm_malloc **out, hm_error *err)
{
    const hm_status status =
        hm_host_create_malloc(host, name, HM_MALLOC_THREADSAFE, out, err);
    return status == HM_E_UNSUPPORTED ? hm_host_create_malloc(host, name, 0, out, err)
                                      : status;
}

/* Under the lock of the runtime. */
static hm_client_key enlist(hm__client *c, hm_runtime *rt)
{
    hm__lock(&c->lock);
    c->runtime = rt;
    c->uses++;
    c->key = c->uses << INDEX_BITS | c->index;
    if (c->key >> INDEX_BITS == 0) { /* it came around: 0 would be nobody */
        c->uses = 1;
        c->key = (uintptr_t)1 << INDEX_BITS | c->index;
    }
    const hm_client_key key = c->key;
    hm__unlock(&c->lock);
    return key;
}

/* A place for a client of the runtime that was joined; NULL: there is none. */
static hm__client *furnish(hm_malloc *made, const hm_client_opts *opts, const char *name)
{
    hm__client *const c = take_place();
    if (!c) {
        return NULL;
    }
    hm__lock(&c->lock);
    c->malloc_object = made;
    c->serial = !(made->flags & HM_MALLOC_THREADSAFE);
    c->stopped = 0;
    c->budget = opts->budget;
    c->held = c->moving_blocks = c->moving_bytes = 0;
    c->stats = (hm_stats){.size = sizeof c->stats};
    c->name[0] = 0;
    strncat(c->name, name, sizeof c->name - 1);
    hm__unlock(&c->lock);
    return c;
}

static hm_status open_joined(hm_runtime *rt,
                             hm_host *host,
                             const hm_client_opts *opts,
                             hm_client_key *out,
                             hm_error *err)
{
    const char *const name = opts->name ? opts->name : "client";
    hm_malloc *made = NULL;
    hm_status status = make_malloc(host, name, &made, err);
    hm__client *const c = status == HM_OK ? furnish(made, opts, name) : NULL;
    if (status == HM_OK && !c) {
        status = hm_error_set(err, HM_E_NOMEM, "client",
                              "no private memory for client \"%.60s\"", name);
    }
    const hm_status joined = hm__runtime_joined(rt, c, enlist, out, err);
    status = status == HM_OK ? joined : status;
    if (status == HM_OK) {
        return HM_OK;
    }
    if (c) {
        c->malloc_object = NULL;
        give_place(c);
    }
    if (made) {
        hm_malloc_release(made);
    }
    return status;
}

static hm_status
open_held(hm_runtime *rt, const hm_client_opts *opts, hm_client_key *out, hm_error *err)
{
    hm_client_opts read;
    hm_host *host;
    if (!out) {
        return refuse(err, "out is NULL");
    }
    *out = 0;
    if (!rt) {
        return refuse(err, "runtime is NULL");
    }
    hm_status status = read_opts(opts, &read, err);
    if (status == HM_OK) {
        status = hm__runtime_join(rt, &host, err);
    }
    if (status != HM_OK) {
        return status;
    }
    status = open_joined(rt, host, &read, out, err);
    hm_host_release(host);
    return status;
}

/* A kill waits, as for any call: others take the runtime's lock. */
hm_status hm_client_open(hm_runtime *rt,
                         const hm_client_opts *opts,
                         hm_client_key *out,
                         hm_error *err)
{
    hm__os_guard_hold();
    const hm_status status = open_held(rt, opts, out, err);
    hm__os_guard_drop();
    return status;
}

static int leaks_ok(const hm_leaks *leaks)
{
    return !leaks || leaks->size >= sizeof leaks->size;
}

static void give_leaks(hm_leaks *out, const hm_leaks *counted)
{
    if (out) {
        const size_t size = out->size;
        memcpy(out, counted, size < sizeof *counted ? size : sizeof *counted);
        out->size = size;
    }
}

/* With c locked: what it owns belongs to nobody any more. */
static hm__client_block *disown(hm__client *c, hm_leaks *counted)
{
    *counted = (hm_leaks){.size = sizeof *counted,
                          .blocks = c->stats.live_blocks,
                          .bytes = c->stats.live_bytes};
    counted->mallocs = counted->blocks != 0;
    c->stats.live_blocks = c->stats.live_bytes = 0;
    c->held -= (size_t)counted->bytes - c->moving_bytes;
    c->reclaims++;
    return hm__client_blocks_take_all(&c->blocks);
}

/* With c unlocked, its malloc held by a call. */
static void give_back(hm__client *c, hm__client_block *all)
{
    while (all) {
        hm__client_block *const next = all->older;
        if (c->serial) {
            hm__lock(&c->host_lock);
        }
        (void)hm_free_at(c->malloc_object, all->address, HM_SIZE_UNKNOWN, 0, NULL);
        if (c->serial) {
            hm__unlock(&c->host_lock);
        }
        hm__memory_free(all, sizeof *all);
        all = next;
    }
}

hm_status hm_client_reclaim(hm_client_key key, hm_leaks *leaks)
{
    hm_leaks counted;
    if (!leaks_ok(leaks)) {
        return HM_E_INVALID;
    }
    hm__client *const c = hm__client_enter(key);
    if (!c) {
        return HM_E_NOT_FOUND;
    }
    hm__client_block *const all = disown(c, &counted);
    hm__unlock(&c->lock);
    give_back(c, all);
    hm__lock(&c->lock);
    hm__client_leave(c);
    give_leaks(leaks, &counted);
    return HM_OK;
}

/* With c entered. */
static void close_entered(hm__client *c, hm_leaks *counted)
{
    hm__client_block *const all = disown(c, counted);
    c->key = 0;
    c->closed = 1;
    c->guard = NULL; /* what still runs is nobody's: its runtime closed over it */
    hm__unlock(&c->lock);
    give_back(c, all);
    hm__lock(&c->lock);
    hm__client_leave(c);
}

hm_status hm_client_close(hm_client_key key, hm_leaks *leaks, hm_error *err)
{
    hm_leaks counted;
    if (!leaks_ok(leaks)) {
        return refuse(err, "hm_leaks.size is not set");
    }
    hm__client *const c = hm__client_enter(key);
    if (!c) {
        return hm_error_set(err, HM_E_NOT_FOUND, "client", "no client has this key");
    }
    if (c->guard) {
        hm_error_set(err, HM_E_STARTED, "client", "client \"%.60s\" runs", c->name);
        hm__client_leave(c);
        return HM_E_STARTED;
    }
    close_entered(c, &counted);
    give_leaks(leaks, &counted);
    return HM_OK;
}

void hm__client_close_all(const hm_runtime *rt, hm_leaks *leaks)
{
    for (uint32_t i = 0; i < places(); i++) {
        hm_leaks counted;
        hm__client *const c = place(i);
        hm__lock(&c->lock);
        const hm_client_key key = c->runtime == rt ? c->key : 0;
        hm__unlock(&c->lock);
        if (key && hm__client_enter(key)) {
            close_entered(c, &counted);
            leaks->mallocs += counted.mallocs;
            leaks->blocks += counted.blocks;
            leaks->bytes += counted.bytes;
        }
    }
}

hm_status hm_client_stop(hm_client_key key)
{
    hm__client *const c = hm__client_enter(key);
    if (!c) {
        return HM_E_NOT_FOUND;
    }
    c->stopped = 1;
    hm__client_leave(c);
    return HM_OK;
}

hm_status hm_client_state(hm_client_key key)
{
    hm__client *const c = hm__client_enter(key);
    if (!c) {
        return HM_E_NOT_FOUND;
    }
    const hm_status status = c->stopped ? HM_E_CLOSED : HM_OK;
    hm__client_leave(c);
    return status;
}

hm_malloc *hm_client_malloc(hm_client_key key)
{
    hm__client *const c = hm__client_enter(key);
    if (!c) {
        return NULL;
    }
    hm_malloc *const m = c->malloc_object;
    hm__client_leave(c);
    return m;
}
