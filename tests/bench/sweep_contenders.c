/* SPDX-License-Identifier: MIT */
/* The contenders of sweep: libraries called directly, and malloc objects of ours. Other allocators are opened beside
 * libc's, in a scope of their own, so that one process holds them all. */
#include "sweep.h"

#include <hostmalloc/hostmalloc.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "churn.h"
#include "measure.h"
#include "umf_pool.h"

#define THREADS_MOST 16

typedef void *take_fn(size_t size);
typedef void give_fn(void *block);

static struct contender {
    const char *name;
    const char *spec;    /* of ours */
    const char *library; /* of others; NULL with no spec: libc */
    const char *take_name, *give_name;
    hm_malloc *object;
    take_fn *take;
    give_fn *give;
    int is_umf;
} contenders[SWEEP_MOST] = {
    {.name = "mimalloc called directly",
     .library = "hm_host_mimalloc.so",
     .take_name = "mi_malloc",
     .give_name = "mi_free"},
    {.name = "libc called directly"},
    {.name = "jemalloc called directly",
     .library = "libjemalloc.so.2",
     .take_name = "malloc",
     .give_name = "free"},
    {.name = "tcmalloc called directly",
     .library = "libtcmalloc_minimal.so.4",
     .take_name = "malloc",
     .give_name = "free"},
    {.name = "default", .spec = "default"},
    {.name = "mimalloc", .spec = "mimalloc"},
    {.name = "debug:mode=stats+mimalloc", .spec = "debug:mode=stats+mimalloc"},
    {.name = "debug+mimalloc", .spec = "debug+mimalloc"},
    {.name = "debug:mode=full+mimalloc", .spec = "debug:mode=full+mimalloc"},
    {.name = "cache+mimalloc", .spec = "cache+mimalloc"},
    {.name = "UMF, a pool over mimalloc", .is_umf = 1},
};
static umf_pool umf;
static char umf_why_not[256];

/* The module of the mimalloc host brought its library along, and gives its names on. */
static void *open_library(const char *name)
{
    char path[4096];
    const char *folder = getenv("HOSTMALLOC_PLUGIN_PATH");
    if (strncmp(name, "hm_", 3) != 0) {
        return dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    if (!folder) {
        return NULL;
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static void open_direct(struct contender *c)
{
    void *symbols[2] = {NULL, NULL};
    if (!c->library) {
        take_fn *volatile own_take = malloc; /* kept from becoming one with its free */
        give_fn *volatile own_give = free;
        c->take = own_take;
        c->give = own_give;
        return;
    }
    void *library = open_library(c->library);
    if (library) {
        symbols[0] = dlsym(library, c->take_name);
        symbols[1] = dlsym(library, c->give_name);
    }
    memcpy(&c->take, &symbols[0], sizeof c->take);
    memcpy(&c->give, &symbols[1], sizeof c->give);
}

size_t sweep_open(void)
{
    churn_prepare();
    for (size_t i = SWEEP_MOST; i-- > 0;) { /* ours first: they bring the libraries */
        struct contender *c = &contenders[i];
        hm_host *host = NULL;
        hm_error err;
        if (c->is_umf) {
            continue;
        }
        if (!c->spec) {
            open_direct(c);
        } else if (hm_host_open(c->spec, &host, &err) == HM_OK) {
            if (hm_host_create_malloc(host, "sweep", HM_MALLOC_THREADSAFE, &c->object,
                                      &err) != HM_OK) {
                hm_error_print(&err);
                exit(2);
            }
            hm_host_release(host);
        } else if (err.status != HM_E_NOT_FOUND) {
            hm_error_print(&err);
            exit(2);
        }
    }
    const umf_under under = {contenders[SWEEP_BASE].take, contenders[SWEEP_BASE].give,
                             NULL};
    umf_pool_open(&under, &umf, umf_why_not);
    return SWEEP_MOST;
}

int sweep_is_there(size_t who)
{
    const struct contender *c = &contenders[who];
    return c->object || (c->take && c->give) || (c->is_umf && umf.pool);
}

int sweep_is_bare(size_t who)
{
    const char *const spec = contenders[who].spec;
    return spec && strcmp(spec, "mimalloc") == 0;
}

const char *sweep_why_not(size_t who)
{
    return contenders[who].is_umf    ? umf_why_not
           : contenders[who].library ? "not installed"
                                     : "not in this build";
}

const char *sweep_name(size_t who)
{
    return contenders[who].name;
}

static uint64_t draw(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* The same steps for objects and for libraries; only how they are called differs. */
#define STEPS(TAKE, GIVE)                                              \
    for (uint64_t i = 0; i < steps; i++) {                             \
        void **slot = &slots[draw(&seed) * w->live >> 31];             \
        const size_t size = w->size ? w->size : churn_size(seed >> 8); \
        if (*slot) {                                                   \
            GIVE(*slot);                                               \
        }                                                              \
        *slot = TAKE(size);                                            \
        if (!*slot) {                                                  \
            fputs("sweep: out of memory\n", stderr);                   \
            exit(2);                                                   \
        }                                                              \
        *(volatile char *)*slot = (char)i;                             \
    }

#define OBJECT_TAKE(n) hm_alloc(m, n)
#define OBJECT_GIVE(p) hm_free(m, p)
#define UMF_TAKE(n)    umf.malloc(umf.pool, n)
#define UMF_GIVE(p)    umf.free(umf.pool, p)

static void
steps_of(const struct contender *c, const sweep_work *w, void **slots, uint64_t steps)
{
    uint64_t seed = 42 + steps;
    if (c->object) {
        hm_malloc *const m = c->object;
        STEPS(OBJECT_TAKE, OBJECT_GIVE)
    } else if (c->is_umf) {
        STEPS(UMF_TAKE, UMF_GIVE)
    } else {
        take_fn *const take = c->take;
        give_fn *const give = c->give;
        STEPS(take, give)
    }
}

static void *take_one(const struct contender *c, size_t size)
{
    return c->object   ? hm_alloc(c->object, size)
           : c->is_umf ? UMF_TAKE(size)
                       : c->take(size);
}

static void give_one(const struct contender *c, void *block)
{
    if (c->object) {
        hm_free(c->object, block);
    } else if (c->is_umf) {
        UMF_GIVE(block);
    } else {
        c->give(block);
    }
}

typedef struct runner {
    const struct contender *c;
    const sweep_work *w;
    pthread_barrier_t *start;
    double began, ended;
} runner;

static void *run_thread(void *context)
{
    runner *r = context;
    const int alone = r->w->threads == 1;
    void **slots = calloc(r->w->live, sizeof *slots);
    if (!slots) {
        fputs("sweep: out of memory\n", stderr);
        exit(2);
    }
    for (size_t i = 0; i < r->w->live; i++) {
        const size_t size = r->w->size ? r->w->size : churn_size(i * 7919);
        slots[i] = take_one(r->c, size);
    }
    steps_of(r->c, r->w, slots, r->w->steps / 4);
    pthread_barrier_wait(r->start);
    r->began = alone ? measure_cpu() : measure_wall();
    steps_of(r->c, r->w, slots, r->w->steps);
    r->ended = alone ? measure_cpu() : measure_wall();
    for (size_t i = 0; i < r->w->live; i++) {
        if (slots[i]) {
            give_one(r->c, slots[i]);
        }
    }
    free(slots);
    return NULL;
}

double sweep_run(size_t who, const sweep_work *w)
{
    runner runners[THREADS_MOST];
    pthread_t threads[THREADS_MOST];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, w->threads);
    for (unsigned i = 0; i < w->threads; i++) {
        runners[i] = (runner){&contenders[who], w, &start, 0, 0};
        if (w->threads > 1 &&
            pthread_create(&threads[i], NULL, run_thread, &runners[i]) != 0) {
            fputs("sweep: no thread\n", stderr);
            exit(2);
        }
    }
    if (w->threads == 1) {
        run_thread(&runners[0]);
    }
    double began = 0, ended = 0;
    for (unsigned i = 0; i < w->threads; i++) {
        if (w->threads > 1) {
            pthread_join(threads[i], NULL);
        }
        began = i == 0 || runners[i].began < began ? runners[i].began : began;
        ended = runners[i].ended > ended ? runners[i].ended : ended;
    }
    pthread_barrier_destroy(&start);
    return (ended - began) / (double)w->steps;
}
