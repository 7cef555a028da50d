/* SPDX-License-Identifier: MIT */
/* The loops that layer_bench times: see layer_bench.c. */
#include "layer_loop.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "churn.h"
#include "measure.h"

#define LIVE_MOST 10000

typedef struct slot {
    void *block;
    size_t size;
} slot;

typedef struct ground {
    slot slots[LIVE_MOST];
    size_t live;
} ground;

typedef void loop_fn(hm_malloc *m, ground *g, uint64_t steps);

/* Of the library that the module brought: the same code, and the same heap, as the host's. */
static struct {
    void *(*malloc)(size_t);
    void (*free)(void *);
} mimalloc;

static inline uint64_t draw(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 32;
}

static inline void step(hm_malloc *m, slot *s, size_t size, uint64_t i, int calls)
{
    if (calls == CALLS_PLAIN) {
        hm_free_at(m, s->block, HM_SIZE_UNKNOWN, 0, NULL);
        s->block = hm_alloc_at(m, size, HM_LEVEL_TASK, NULL);
    } else if (calls == CALLS_SIZED) {
        hm_free_sized_at(m, s->block, s->size, NULL);
        s->block = hm_alloc_at(m, size, HM_LEVEL_TASK, NULL);
    } else if (calls == CALLS_DIRECT) {
        mimalloc.free(s->block);
        s->block = mimalloc.malloc(size);
    }
    if (calls != CALLS_NONE) { /* the size is that of the block */
        s->size = size;
    }
    *(volatile uint64_t *)s->block = i;
}

#define LOOP(name, calls)                                                               \
    __attribute__((noinline)) static void name(hm_malloc *m, ground *g, uint64_t steps) \
    {                                                                                   \
        const size_t live = g->live;                                                    \
        uint64_t seed = 1;                                                              \
        for (uint64_t i = steps; i > 0; i--) {                                          \
            step(m, &g->slots[draw(&seed) * live >> 32], churn_size(i), i, calls);      \
        }                                                                               \
    }
LOOP(plain_loop, CALLS_PLAIN)
LOOP(sized_loop, CALLS_SIZED)
LOOP(direct_loop, CALLS_DIRECT)
LOOP(empty_loop, CALLS_NONE)
static loop_fn *const loops[] = {plain_loop, sized_loop, direct_loop, empty_loop};

static void *take(hm_malloc *m, size_t size, int calls)
{
    void *block = calls == CALLS_DIRECT ? mimalloc.malloc(size)
                                        : hm_alloc_at(m, size, HM_LEVEL_TASK, NULL);
    if (!block) {
        fprintf(stderr, "layer_bench: an allocation was refused\n");
        exit(2);
    }
    return block;
}

static void begin(hm_malloc *m, ground *g, size_t live, int calls)
{
    churn_prepare();
    g->live = live;
    for (size_t i = 0; i < g->live; i++) {
        g->slots[i].size = churn_size(i);
        g->slots[i].block = take(m, g->slots[i].size, calls);
    }
    loops[calls](m, g, 8 * live);
}

static void end(hm_malloc *m, ground *g, int calls)
{
    for (size_t i = 0; i < g->live; i++) {
        if (calls == CALLS_DIRECT) {
            mimalloc.free(g->slots[i].block);
        } else {
            hm_free_sized_at(m, g->slots[i].block, g->slots[i].size, NULL);
        }
    }
}

double layer_time(hm_malloc *m, int calls, size_t live, uint64_t steps)
{
    static ground g;
    begin(m, &g, live, calls);
    const double start = measure_cpu();
    loops[calls](m, &g, steps);
    const double time = (measure_cpu() - start) / (double)steps;
    end(m, &g, calls);
    return time;
}

hm_malloc *layer_open(const char *spec, int calls)
{
    hm_error err = {0};
    hm_host *host = NULL;
    hm_malloc *m = NULL;
    if (hm_host_open(spec, &host, &err) == HM_OK) {
        hm_host_create_malloc(host, "bench",
                              calls == CALLS_PLAIN ? HM_MALLOC_THREADSAFE : 0, &m, &err);
        hm_host_release(host);
    }
    if (!m && err.status != HM_E_NOT_FOUND) {
        hm_error_print(&err);
        exit(2);
    }
    return m;
}

static int find_in(void *context, const hm_host_info *info, const char *origin)
{
    (void)context;
    if (strcmp(info->name, "mimalloc") != 0) {
        return 0;
    }
    void *module = dlopen(origin, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    void *symbols[2] = {NULL, NULL};
    if (module) {
        symbols[0] = dlsym(module, "mi_malloc");
        symbols[1] = dlsym(module, "mi_free");
    }
    memcpy(&mimalloc, symbols, sizeof mimalloc);
    return 1;
}

int layer_find_direct(void)
{
    hm_registry_visit(find_in, NULL);
    return mimalloc.malloc && mimalloc.free;
}

/* Counting starts and stops here. A name of its own, so that callgrind finds it; and not a jump to the loop. */
__attribute__((noinline)) void
layer_counted(loop_fn *loop, hm_malloc *m, ground *g, uint64_t steps);
__attribute__((noinline)) void
layer_counted(loop_fn *loop, hm_malloc *m, ground *g, uint64_t steps)
{
    loop(m, g, steps);
    __asm__ volatile("" ::: "memory");
}

int layer_loop(const char *spec, int calls, uint64_t steps)
{
    static ground g;
    hm_malloc *m = layer_open(spec, calls);
    if (!m) {
        return 1;
    }
    if (calls == CALLS_DIRECT && !layer_find_direct()) {
        return 1;
    }
    begin(m, &g, LIVE_COUNTED, calls);
    layer_counted(loops[calls], m, &g, steps);
    end(m, &g, calls);
    hm_malloc_release(m);
    return 0;
}

double layer_count(const char *spec, int calls, uint64_t steps)
{
    char arguments[2048];
    snprintf(arguments, sizeof arguments, "--loop '%s' %d %llu", spec, calls,
             (unsigned long long)steps);
    return measure_instructions("layer_counted", arguments, NULL) / (double)steps;
}
