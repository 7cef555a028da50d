/* SPDX-License-Identifier: MIT */
/* The CPython bridge: PyMemAllocatorEx and PyObjectArenaAllocator over one malloc per domain, which is their context. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/cpython.h>

#include "hook_internal.h"

/* pymalloc cuts its pools from an arena at this step and loses what comes before the first. */
#define POOL_BYTES 16384u

/* PyMemAllocatorEx */
typedef struct allocator {
    void *context;
    void *(*take)(void *context, size_t size);
    void *(*take_zeroed)(void *context, size_t count, size_t size);
    void *(*resize)(void *context, void *block, size_t size);
    void (*give_back)(void *context, void *block);
} allocator;

/* PyObjectArenaAllocator */
typedef struct arena_allocator {
    void *context;
    void *(*take)(void *context, size_t size);
    void (*give_back)(void *context, void *arena, size_t size);
} arena_allocator;

typedef void set_function(int domain, allocator *from);
typedef void get_function(int domain, allocator *to);
typedef void set_arena_function(arena_allocator *from);
typedef void get_arena_function(arena_allocator *to);
typedef int initialized_function(void);
typedef const char *name_function(void);

typedef struct domain {
    hm__hook hook;
    hm_site site;
} domain;

/* Arenas come from the place of objects. */
static domain domains[HM_CPYTHON_DOMAINS] = {
    {{.name = "python:raw", .where = "bridge:cpython"}, {"python:raw", NULL, 0, 0}},
    {{.name = "python:mem", .where = "bridge:cpython"}, {"python:mem", NULL, 0, 0}},
    {{.name = "python:obj", .where = "bridge:cpython"}, {"python:obj", NULL, 0, 0}},
};
static domain arenas = {{.name = "python:arena", .where = "bridge:cpython"},
                        {"python:arena", NULL, 0, 0}};

static get_function *get;
static get_arena_function *get_arena; /* NULL in objects mode */

static void *take(void *context, size_t size)
{
    domain *const at = context;
    return hm_alloc_at(at->hook.m, size, HM_LEVEL_CURRENT,
                       hm__hook_site(&at->hook, &at->site, HM__CALLER()));
}

static void *take_zeroed(void *context, size_t count, size_t size)
{
    domain *const at = context;
    return hm_alloc_zeroed_at(at->hook.m, count, size, HM_LEVEL_CURRENT,
                              hm__hook_site(&at->hook, &at->site, HM__CALLER()));
}

static void *resize(void *context, void *block, size_t size)
{
    domain *const at = context;
    return hm__hook_realloc(&at->hook, block, size, &at->site, HM__CALLER());
}

static void give_back(void *context, void *block)
{
    domain *const at = context;
    hm__hook_free(&at->hook, block, &at->site);
}

static void *take_arena(void *context, size_t size)
{
    domain *const at = context;
    return hm_alloc_aligned_at(at->hook.m, size, POOL_BYTES, HM_LEVEL_CURRENT,
                               hm__hook_site(&at->hook, &at->site, HM__CALLER()));
}

static void give_back_arena(void *context, void *arena, size_t size)
{
    domain *const at = context;
    hm_free_at(at->hook.m, arena, size, POOL_BYTES, &at->site);
}

/* Python's own functions have no context, debug hooks apart, and serve mem and obj alike. Its name for them is sure, but
   not part of its public interface. */
static int is_taken(const hm_bridge_opts *opts)
{
    allocator now[HM_CPYTHON_DOMAINS];
    void *const named =
        opts->lookup(opts->lookup_context, "_PyMem_GetCurrentAllocatorName");
    if (named) {
        return !HM__FUNCTION(name_function *, named)();
    }
    for (unsigned i = 0; i < HM_CPYTHON_DOMAINS; i++) {
        get((int)i, &now[i]);
        if (now[i].context) {
            return 1;
        }
    }
    return now[HM_CPYTHON_MEM].take != now[HM_CPYTHON_OBJ].take;
}

/* What both modes need before anything is changed; the raw domain's hook carries the answer. */
static hm_status begin(const hm_bridge_opts *opts, set_function **set, hm_error *err)
{
    hm__hook *const raw = &domains[HM_CPYTHON_RAW].hook;
    void *setter, *getter, *initialized;
    const hm_status status = hm__hook_begin(raw, opts, err);
    if (status != HM_OK) {
        return status;
    }
    if (!(setter = hm__hook_need(raw, opts, "PyMem_SetAllocator", err)) ||
        !(getter = hm__hook_need(raw, opts, "PyMem_GetAllocator", err)) ||
        !(initialized = hm__hook_need(raw, opts, "Py_IsInitialized", err))) {
        return HM_E_NOT_FOUND;
    }
    *set = HM__FUNCTION(set_function *, setter);
    get = HM__FUNCTION(get_function *, getter);
    if (HM__FUNCTION(initialized_function *, initialized)()) {
        return hm__hook_refuse(raw, HM_E_STARTED, err,
                               "Python is initialised already; install before "
                               "Py_Initialize");
    }
    if (!(opts->flags & HM_BRIDGE_REPLACE) && is_taken(opts)) {
        return hm__hook_refuse(raw, HM_E_NOT_OWNED, err,
                               "somebody has called PyMem_SetAllocator before");
    }
    return HM_OK;
}

static void set_domain(set_function *set, unsigned at)
{
    allocator ours = {&domains[at], take, take_zeroed, resize, give_back};
    set((int)at, &ours);
}

/* A malloc per domain, or what opts say for all of them where mallocs is NULL. */
static hm_status
install_domains(const hm_bridge_opts *opts, hm_malloc *const *mallocs, hm_error *err)
{
    set_function *set;
    hm_bridge_opts one = *opts;
    one.m = mallocs ? mallocs[HM_CPYTHON_RAW] : opts->m;
    hm_status status = begin(&one, &set, err);
    if (status != HM_OK) {
        return status;
    }
    for (unsigned i = HM_CPYTHON_MEM; i < HM_CPYTHON_DOMAINS; i++) {
        one.m = mallocs ? mallocs[i] : opts->m;
        status = hm__hook_begin(&domains[i].hook, &one, err);
        if (status != HM_OK) {
            while (i-- > 0) {
                hm__hook_refuse(&domains[i].hook, status, NULL,
                                "a malloc for another domain was refused");
            }
            return status;
        }
    }
    for (unsigned i = 0; i < HM_CPYTHON_DOMAINS; i++) {
        set_domain(set, i);
    }
    return HM_OK;
}

static int is_sized(const hm_bridge_opts *opts)
{
    return opts && HM_HAS(opts, hm_bridge_opts, flags);
}

hm_status hm_cpython_install_domains(const hm_bridge_opts *opts,
                                     hm_malloc *const mallocs[HM_CPYTHON_DOMAINS],
                                     hm_error *err)
{
    if (!is_sized(opts) || opts->m || opts->host || !mallocs) {
        return hm_error_set(err, HM_E_INVALID, "bridge:cpython",
                            "needs three mallocs, and options without one");
    }
    return install_domains(opts, mallocs, err);
}

static hm_status install_objects(const hm_bridge_opts *opts, hm_error *err)
{
    return is_sized(opts) ? install_domains(opts, NULL, err)
                          : hm__hook_begin(&domains[HM_CPYTHON_RAW].hook, opts, err);
}

static hm_status install_arenas(const hm_bridge_opts *opts, hm_error *err)
{
    hm__hook *const raw = &domains[HM_CPYTHON_RAW].hook;
    arena_allocator ours = {&arenas, take_arena, give_back_arena};
    set_function *set;
    void *setter, *getter;
    hm_status status = begin(opts, &set, err);
    if (status != HM_OK) {
        return status;
    }
    if (!(setter = hm__hook_need(raw, opts, "PyObject_SetArenaAllocator", err)) ||
        !(getter = hm__hook_need(raw, opts, "PyObject_GetArenaAllocator", err))) {
        return HM_E_NOT_FOUND;
    }
    status = hm__hook_begin(&arenas.hook, opts, err);
    if (status != HM_OK) {
        hm__hook_refuse(raw, status, NULL, "the malloc for arenas was refused");
        return status;
    }
    get_arena = HM__FUNCTION(get_arena_function *, getter);
    set_domain(set, HM_CPYTHON_RAW);
    HM__FUNCTION(set_arena_function *, setter)(&ours);
    return HM_OK;
}

static int is_ours(void)
{
    allocator now;
    arena_allocator arena;
    if (!get_arena) {
        for (unsigned i = 0; i < HM_CPYTHON_DOMAINS; i++) {
            get((int)i, &now);
            if (now.context != &domains[i]) {
                return 0;
            }
        }
        return 1;
    }
    get_arena(&arena);
    get((int)HM_CPYTHON_RAW, &now);
    return arena.context == &arenas && now.context == &domains[HM_CPYTHON_RAW];
}

hm_status hm_cpython_verify(const hm_site **first, hm_error *err)
{
    /* Python asks the raw domain first of all. */
    hm_status status = hm__hook_verify(&domains[HM_CPYTHON_RAW].hook, first, err);
    for (unsigned i = HM_CPYTHON_MEM;
         !get_arena && status == HM_OK && i < HM_CPYTHON_DOMAINS; i++) {
        status = hm__hook_verify(&domains[i].hook, NULL, err);
    }
    if (status != HM_OK || is_ours()) {
        return status;
    }
    return hm_error_set(err, HM_E_NOT_OWNED, "bridge:cpython",
                        "somebody replaced or wrapped the functions since: "
                        "PYTHONMALLOC, -X dev, tracemalloc, PyMem_SetAllocator");
}

const hm_bridge hm_cpython_bridge = {sizeof(hm_bridge), "cpython", "PyMem_SetAllocator",
                                     install_objects, hm_cpython_verify};
const hm_bridge hm_cpython_arenas_bridge = {sizeof(hm_bridge), "cpython_arenas",
                                            "PyObject_SetArenaAllocator", install_arenas,
                                            hm_cpython_verify};
