/* SPDX-License-Identifier: MIT */
/* The same loops, once for each way to call an allocator. The loops are macros, because a call through one more
   pointer is what is being measured. */
#include "contenders.h"

#include <hostmalloc/hostmalloc.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "umf_pool.h"

/* Like the entries of a program's own table of addresses, read at each call. */
static struct {
    void *(*malloc)(size_t);
    void (*free)(void *);
    void *(*realloc)(void *, size_t);
} mimalloc, libc;

static hm_malloc *objects[CONTENDERS];
static umf_pool umf;
static char umf_why_not[256];

static inline uint64_t draw(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static inline size_t slot_of(uint64_t drawn)
{
    return (size_t)((drawn & 0xFFFFFF) * SLOTS >> 24);
}

#ifdef __x86_64__
#define MOVE_BY(bytes) __asm__ volatile(".skip " #bytes ", 0x90")
#else
#define MOVE_BY(bytes) ((void)0)
#endif

#define RUNS_AT(name, place, bytes, object, TAKE, GIVE, RESIZE)                          \
    __attribute__((noinline)) static void name##_churn##place(ground *g, uint64_t steps) \
    {                                                                                    \
        hm_malloc *const m = objects[object];                                            \
        uint64_t seed = g->seed;                                                         \
        (void)m;                                                                         \
        MOVE_BY(bytes);                                                                  \
        for (uint64_t i = steps; i > 0; i--) {                                           \
            void **slot = &g->slots[slot_of(draw(&seed))];                               \
            void *const old = *slot;                                                     \
            if (old) {                                                                   \
                GIVE(old);                                                               \
            }                                                                            \
            *slot = TAKE(g->sizes[i & (SIZE_DRAWS - 1)]);                                \
            *(volatile uint64_t *)*slot = i;                                             \
        }                                                                                \
        g->seed = seed;                                                                  \
    }                                                                                    \
    __attribute__((noinline)) static void name##_pair##place(ground *g, uint64_t steps)  \
    {                                                                                    \
        hm_malloc *const m = objects[object];                                            \
        (void)m;                                                                         \
        MOVE_BY(bytes);                                                                  \
        for (uint64_t i = steps; i > 0; i--) {                                           \
            void *block = TAKE(g->sizes[i & (SIZE_DRAWS - 1)]);                          \
            *(volatile uint64_t *)block = i;                                             \
            GIVE(block);                                                                 \
        }                                                                                \
    }                                                                                    \
    __attribute__((noinline)) static void name##_realloc##place(ground *g,               \
                                                                uint64_t steps)          \
    {                                                                                    \
        hm_malloc *const m = objects[object];                                            \
        uint64_t seed = g->seed;                                                         \
        (void)m;                                                                         \
        MOVE_BY(bytes);                                                                  \
        for (uint64_t i = steps; i > 0; i--) {                                           \
            void **slot = &g->slots[slot_of(draw(&seed))];                               \
            *slot = RESIZE(*slot, g->sizes[i & (SIZE_DRAWS - 1)]);                       \
            *(volatile uint64_t *)*slot = i;                                             \
        }                                                                                \
        g->seed = seed;                                                                  \
    }
#define RUNS(name, object, TAKE, GIVE, RESIZE)       \
    RUNS_AT(name, 0, 3, object, TAKE, GIVE, RESIZE)  \
    RUNS_AT(name, 1, 13, object, TAKE, GIVE, RESIZE) \
    RUNS_AT(name, 2, 27, object, TAKE, GIVE, RESIZE) \
    RUNS_AT(name, 3, 46, object, TAKE, GIVE, RESIZE)

#define MI_TAKE(n)      mimalloc.malloc(n)
#define MI_GIVE(p)      mimalloc.free(p)
#define MI_RESIZE(p, n) mimalloc.realloc(p, n)
RUNS(direct_mimalloc, DIRECT_MIMALLOC, MI_TAKE, MI_GIVE, MI_RESIZE)
RUNS(direct_again, DIRECT_MIMALLOC_AGAIN, MI_TAKE, MI_GIVE, MI_RESIZE)

#define LIBC_TAKE(n)      libc.malloc(n)
#define LIBC_GIVE(p)      libc.free(p)
#define LIBC_RESIZE(p, n) libc.realloc(p, n)
RUNS(direct_libc, DIRECT_LIBC, LIBC_TAKE, LIBC_GIVE, LIBC_RESIZE)

/* The plain slots, as a bridge calls them that has looked at the object's flags once. */
#define SLOT_TAKE(n) (HM_LOAD(m->vtbl)->alloc)(m, n, HM_LEVEL_TASK)
#define SLOT_GIVE(p) (HM_LOAD(m->vtbl)->free)(m, p)
#define SLOT_RESIZE(p, n) \
    (HM_LOAD(m->vtbl)->realloc)(m, p, HM_SIZE_UNKNOWN, n, HM_LEVEL_TASK, NULL)
RUNS(mimalloc_slot, MIMALLOC_SLOT, SLOT_TAKE, SLOT_GIVE, SLOT_RESIZE)
RUNS(one_thread_slot, ONE_THREAD_SLOT, SLOT_TAKE, SLOT_GIVE, SLOT_RESIZE)
RUNS(default_slot, DEFAULT_SLOT, SLOT_TAKE, SLOT_GIVE, SLOT_RESIZE)

#define MACRO_TAKE(n)      hm_alloc(m, n)
#define MACRO_GIVE(p)      hm_free(m, p)
#define MACRO_RESIZE(p, n) hm_realloc(m, p, n)
RUNS(mimalloc_macro, MIMALLOC_MACRO, MACRO_TAKE, MACRO_GIVE, MACRO_RESIZE)
RUNS(one_thread_macro, ONE_THREAD_MACRO, MACRO_TAKE, MACRO_GIVE, MACRO_RESIZE)
RUNS(debug_mimalloc, DEBUG_MIMALLOC, MACRO_TAKE, MACRO_GIVE, MACRO_RESIZE)
RUNS(default_macro, DEFAULT_MACRO, MACRO_TAKE, MACRO_GIVE, MACRO_RESIZE)
RUNS(debug_default, DEBUG_DEFAULT, MACRO_TAKE, MACRO_GIVE, MACRO_RESIZE)

#define UMF_TAKE(n)      umf.malloc(umf.pool, n)
#define UMF_GIVE(p)      umf.free(umf.pool, p)
#define UMF_RESIZE(p, n) umf.realloc(umf.pool, p, n)
RUNS(umf_mimalloc, UMF_MIMALLOC, UMF_TAKE, UMF_GIVE, UMF_RESIZE)

#define PLACES_OF(name)                    \
    {                                      \
        name##0, name##1, name##2, name##3 \
    }
#define WORK_OF(name)                                                              \
    {                                                                              \
        PLACES_OF(name##_churn), PLACES_OF(name##_pair), PLACES_OF(name##_realloc) \
    }
const contender contenders[CONTENDERS] = {
    [DIRECT_MIMALLOC] = {"mimalloc called directly", 0, WORK_OF(direct_mimalloc)},
    [DIRECT_MIMALLOC_AGAIN] = {"the same again", 0, WORK_OF(direct_again)},
    [MIMALLOC_SLOT] = {"mimalloc, thread-safe, slot", 0, WORK_OF(mimalloc_slot)},
    [MIMALLOC_MACRO] = {"mimalloc, thread-safe, hm_alloc", 0, WORK_OF(mimalloc_macro)},
    [ONE_THREAD_SLOT] = {"mimalloc, one thread, slot", 0, WORK_OF(one_thread_slot)},
    [ONE_THREAD_MACRO] = {"mimalloc, one thread, hm_alloc", 0, WORK_OF(one_thread_macro)},
    [DEBUG_MIMALLOC] = {"debug+mimalloc, hm_alloc", -1, WORK_OF(debug_mimalloc)},
    [UMF_MIMALLOC] = {"UMF, a pool over mimalloc", 0, WORK_OF(umf_mimalloc)},
    [DIRECT_LIBC] = {"libc called directly", 1, WORK_OF(direct_libc)},
    [DEFAULT_SLOT] = {"default, slot", 1, WORK_OF(default_slot)},
    [DEFAULT_MACRO] = {"default, hm_alloc", 1, WORK_OF(default_macro)},
    [DEBUG_DEFAULT] = {"debug+default, hm_alloc", -1, WORK_OF(debug_default)},
};

static const struct {
    const char *spec;
    uint32_t flags;
} wanted[CONTENDERS] = {
    [MIMALLOC_SLOT] = {"mimalloc", HM_MALLOC_THREADSAFE},
    [MIMALLOC_MACRO] = {"mimalloc", HM_MALLOC_THREADSAFE},
    [ONE_THREAD_SLOT] = {"mimalloc", HM_MALLOC_ONE_THREAD},
    [ONE_THREAD_MACRO] = {"mimalloc", HM_MALLOC_ONE_THREAD},
    [DEBUG_MIMALLOC] = {"debug+mimalloc", HM_MALLOC_THREADSAFE},
    [DEFAULT_SLOT] = {"default", HM_MALLOC_THREADSAFE},
    [DEFAULT_MACRO] = {"default", HM_MALLOC_THREADSAFE},
    [DEBUG_DEFAULT] = {"debug+default", HM_MALLOC_THREADSAFE},
};

/* The library that the module brought: the same code, and the same heap, as the host's. */
static void find_mimalloc(void)
{
    char path[4096];
    const char *folder = getenv("HOSTMALLOC_PLUGIN_PATH");
    if (!folder || !objects[MIMALLOC_SLOT]) {
        return;
    }
    snprintf(path, sizeof path, "%s/hm_host_mimalloc.so", folder);
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    void *symbols[3] = {NULL};
    if (module) {
        symbols[0] = dlsym(module, "mi_malloc");
        symbols[1] = dlsym(module, "mi_free");
        symbols[2] = dlsym(module, "mi_realloc");
    }
    memcpy(&mimalloc, symbols, sizeof mimalloc);
}

int contenders_open(void)
{
    void *(*volatile own_malloc)(size_t) = malloc;
    void (*volatile own_free)(void *) = free;
    void *(*volatile own_realloc)(void *, size_t) = realloc;
    libc.malloc = own_malloc;
    libc.free = own_free;
    libc.realloc = own_realloc;
    for (size_t i = 0; i < CONTENDERS; i++) {
        hm_error err = {0};
        hm_host *host = NULL;
        if (!wanted[i].spec) {
            continue;
        }
        if (hm_host_open(wanted[i].spec, &host, &err) != HM_OK) {
            if (err.status != HM_E_NOT_FOUND) {
                hm_error_print(&err);
                return 0;
            }
            continue; /* a module that was not built */
        }
        if (hm_host_create_malloc(host, "bench", wanted[i].flags, &objects[i], &err) !=
            HM_OK) {
            hm_error_print(&err);
            return 0;
        }
        hm_host_release(host);
    }
    find_mimalloc();
    const umf_under under = {mimalloc.malloc, mimalloc.free, mimalloc.realloc};
    umf_pool_open(&under, &umf, umf_why_not);
    return 1;
}

int contender_is_there(size_t i)
{
    if (i == DIRECT_LIBC || i == UMF_MIMALLOC) {
        return i == DIRECT_LIBC || umf.pool;
    }
    return wanted[i].spec ? objects[i] != NULL
                          : mimalloc.malloc && mimalloc.free && mimalloc.realloc;
}

const char *contender_why_not(size_t i)
{
    return i == UMF_MIMALLOC ? umf_why_not : "not in this build";
}
