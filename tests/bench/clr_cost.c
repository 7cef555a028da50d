/* SPDX-License-Identifier: MIT */
/* What CLR hosting costs: IHostMalloc's Alloc and Free through its table, against hm_alloc and hm_free on the same host.
 *
 *     clr_cost [--quick] [SPEC]
 *
 * Pairs of 64 bytes and churn over 1000 live blocks. In every round each contender runs once, and its ratio to the plain
 * malloc is taken within the round. IHostMalloc judges every pointer it frees, so "the malloc behind it" is the fair
 * other side: a malloc that knows its blocks, called by the interface of ours. */
#include <stdio.h>
#include <string.h>

#define COBJMACROS
#include <hostmalloc/bridges/clr.h>
#include <hostmalloc/hostmalloc.h>

#include "measure.h"

#define SLOTS       1000
#define MOST_ROUNDS 201

static hm_malloc *plain;
static hm_malloc *behind;
static hm_malloc *back;
static IHostMalloc *heap;
static unsigned long steps = 10000; /* short, so that most runs meet no other process */

static void *plain_get(size_t bytes)
{
    return hm_alloc(plain, bytes);
}

static void plain_put(void *block)
{
    hm_free(plain, block);
}

static void *behind_get(size_t bytes)
{
    return hm_alloc(behind, bytes);
}

static void behind_put(void *block)
{
    hm_free(behind, block);
}

static void *table_get(size_t bytes)
{
    void *block;
    return IHostMalloc_Alloc(heap, bytes, eTaskCritical, &block) == S_OK ? block : NULL;
}

static void table_put(void *block)
{
    (void)IHostMalloc_Free(heap, block);
}

static void *debug_get(size_t bytes)
{
    static char file[] = "clr_cost.c";
    void *block;
    return IHostMalloc_DebugAlloc(heap, bytes, eTaskCritical, file, __LINE__, &block) ==
                   S_OK
               ? block
               : NULL;
}

static void *back_get(size_t bytes)
{
    return hm_alloc(back, bytes);
}

static void back_put(void *block)
{
    hm_free(back, block);
}

static const struct contender {
    const char *name;
    void *(*get)(size_t bytes);
    void (*put)(void *block);
} contenders[] = {
    {"hm_alloc", plain_get, plain_put},
    {"hm_alloc, the malloc behind it", behind_get, behind_put},
    {"IHostMalloc::Alloc", table_get, table_put},
    {"IHostMalloc::DebugAlloc", debug_get, table_put},
    {"hm_alloc, over that manager", back_get, back_put},
};

static void pairs(const struct contender *c)
{
    for (unsigned long i = 0; i < steps; i++) {
        char *p = c->get(64);
        *(volatile char *)p = 1;
        c->put(p);
    }
}

static void churn(const struct contender *c)
{
    static void *slots[SLOTS];
    unsigned state = 1;
    for (unsigned long i = 0; i < steps; i++) {
        state = state * 1664525u + 1013904223u;
        void **slot = &slots[(state >> 8) % SLOTS];
        if (*slot) {
            c->put(*slot);
        }
        char *p = c->get(16 + (state >> 20) % 500);
        *(volatile char *)p = 1;
        *slot = p;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i]) {
            c->put(slots[i]);
        }
        slots[i] = NULL;
    }
}

static void measure(const char *name, void (*work)(const struct contender *c), int rounds)
{
    static double ns[COUNT(contenders)][MOST_ROUNDS];
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < COUNT(contenders); i++) {
            const size_t who = round % 2 ? COUNT(contenders) - 1 - i : i;
            const double begin = measure_cpu();
            work(&contenders[who]);
            ns[who][round] = (measure_cpu() - begin) / (double)steps;
        }
    }
    printf("%-8s%38s  median [quartiles]\n", name, "ns");
    for (size_t i = 0; i < COUNT(contenders); i++) {
        double ratio[MOST_ROUNDS];
        double absolute[MOST_ROUNDS];
        for (int round = 0; round < rounds; round++) {
            ratio[round] = ns[i][round] / ns[0][round];
            absolute[round] = ns[i][round];
        }
        const spread r = measure_spread(ratio, (size_t)rounds);
        printf("  %-32s %11.1f  %.2f [%.2f-%.2f]", contenders[i].name,
               measure_spread(absolute, (size_t)rounds).median, r.median, r.q1, r.q3);
        measure_record(name, contenders[i].name, contenders[0].name, 0, r, 0);
        measure_row(r.median, 0);
    }
}

static hm_status open_all(const char *spec, hm_error *err)
{
    hm_host *host;
    hm_host *over = NULL;
    IHostControl *control = NULL;
    void *manager = NULL;
    hm_status status = hm_host_open(spec, &host, err);
    if (status != HM_OK) {
        return status;
    }
    status = hm_host_create_malloc(host, "bench", HM_MALLOC_THREADSAFE, &plain, err);
    if (status == HM_OK) {
        status = hm_clr_control_create(host, &control, err);
    }
    hm_host_release(host);
    if (status != HM_OK) {
        return status;
    }
    IHostControl_GetHostManager(control, &IID_IHostMemoryManager, &manager);
    IHostControl_Release(control);
    if (IHostMemoryManager_CreateMalloc((IHostMemoryManager *)manager, MALLOC_THREADSAFE,
                                        &heap) != S_OK) {
        return hm_error_set(err, HM_E_NOMEM, "clr_cost", "no malloc");
    }
    behind = hm_clr_malloc(heap);
    status = hm_clr_host_create(manager, "over", &over, err);
    if (status == HM_OK) {
        status = hm_host_create_malloc(over, "back", HM_MALLOC_THREADSAFE, &back, err);
        hm_host_release(over);
    }
    IHostMemoryManager_Release((IHostMemoryManager *)manager);
    return status;
}

int main(int argc, char **argv)
{
    const char *spec = "mimalloc";
    int rounds = MOST_ROUNDS;
    hm_error err;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            steps = 1000;
            rounds = 3;
        } else {
            spec = argv[i];
        }
    }
    if (open_all(spec, &err) != HM_OK) {
        hm_error_print(&err);
        return err.status == HM_E_NOT_FOUND ? 77 : 2;
    }
    measure_head("clr_cost", spec);
    measure("pairs", pairs, rounds);
    measure("churn", churn, rounds);
    hm_malloc_release(back);
    hm_malloc_release(plain);
    IHostMalloc_Release(heap);
    return measure_end();
}
