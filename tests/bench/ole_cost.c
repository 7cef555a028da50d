/* SPDX-License-Identifier: MIT */
/* What task memory costs over a malloc of the same host, without a spy, after one has left, and with one.
 *
 *     ole_cost [--quick] [SPEC]
 *
 * Pairs of 64 bytes and churn over 1000 live blocks. In every round each contender runs once, and its ratio to the
 * plain malloc is taken within the round; printed are the median and the quartiles. Task memory is exact on
 * every host; "an exact malloc" is what the host itself offers of that kind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COBJMACROS
#include <hostmalloc/bridges/ole.h>
#include <hostmalloc/hostmalloc.h>

#include "measure.h"

#define SLOTS       1000
#define MOST_ROUNDS 201

static hm_malloc *exact;
static hm_malloc *plain;
static IMalloc *task;
static unsigned long steps = 10000; /* short, so that most runs meet no other process */

static void *exact_get(size_t bytes)
{
    return hm_alloc(exact, bytes);
}

static void exact_put(void *block)
{
    hm_free(exact, block);
}

static void *plain_get(size_t bytes)
{
    return hm_alloc(plain, bytes);
}

static void plain_put(void *block)
{
    hm_free(plain, block);
}

static void *function_get(size_t bytes)
{
    return CoTaskMemAlloc(bytes);
}

static void function_put(void *block)
{
    CoTaskMemFree(block);
}

static void *method_get(size_t bytes)
{
    return IMalloc_Alloc(task, bytes);
}

static void method_put(void *block)
{
    IMalloc_Free(task, block);
}

typedef enum spying { NOBODY, SOMEBODY_LEFT, PASSING, COUNTING, GUARDING } spying;

static const struct contender {
    const char *name;
    void *(*get)(size_t bytes);
    void (*put)(void *block);
    spying spies;
} contenders[] = {
    {"hm_alloc", plain_get, plain_put, NOBODY},
    {"hm_alloc, an exact malloc", exact_get, exact_put, NOBODY},
    {"CoTaskMemAlloc", function_get, function_put, NOBODY},
    {"IMalloc::Alloc", method_get, method_put, NOBODY},
    {"CoTaskMemAlloc, a spy left", function_get, function_put, SOMEBODY_LEFT},
    {"CoTaskMemAlloc, passing spy", function_get, function_put, PASSING},
    {"CoTaskMemAlloc, counting spy", function_get, function_put, COUNTING},
    {"CoTaskMemAlloc, guarding spy", function_get, function_put, GUARDING},
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

static int spy_set(spying how, int on)
{
    static hm_spy forward;
    hm_spy *spy = NULL;
    IMallocSpy *object;
    if (how == NOBODY) {
        return 1;
    }
    if (!on) {
        return how == SOMEBODY_LEFT || CoRevokeMallocSpy() == S_OK;
    }
    forward.vtbl = hm_spy_forward();
    if (how == COUNTING) {
        hm_spy_count_create(&spy);
    } else if (how == GUARDING) {
        hm_spy_guard_create(NULL, NULL, &spy);
    } else {
        spy = &forward;
    }
    if (!spy || FAILED(hm_ole_spy_object(spy, &object))) {
        return 0;
    }
    hm_spy_release(spy);
    const HRESULT status = CoRegisterMallocSpy(object);
    object->lpVtbl->Release(object);
    return status == S_OK && (how != SOMEBODY_LEFT || CoRevokeMallocSpy() == S_OK);
}

static int compare(const char *name, void (*work)(const struct contender *c), int rounds)
{
    static double ns[COUNT(contenders)][MOST_ROUNDS];
    spread ratio[COUNT(contenders)];
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < COUNT(contenders); i++) {
            const size_t who = round % 2 ? COUNT(contenders) - 1 - i : i;
            if (!spy_set(contenders[who].spies, 1)) {
                return 0;
            }
            const double begin = measure_wall();
            work(&contenders[who]);
            ns[who][round] = (measure_wall() - begin) / (double)steps;
            if (!spy_set(contenders[who].spies, 0)) {
                return 0;
            }
        }
    }
    printf("%-8s%38s  median [quartiles]\n", name, "ns");
    for (size_t i = 0; i < COUNT(contenders); i++) {
        double ratios[MOST_ROUNDS];
        for (int round = 0; round < rounds; round++) {
            ratios[round] = ns[i][round] / ns[0][round];
        }
        ratio[i] = measure_spread(ratios, (size_t)rounds);
    }
    for (size_t i = 0; i < COUNT(contenders); i++) {
        printf("  %-32s %11.1f  %.2f [%.2f-%.2f]", contenders[i].name,
               measure_spread(ns[i], (size_t)rounds).median, ratio[i].median, ratio[i].q1,
               ratio[i].q3);
        measure_record(name, contenders[i].name, contenders[0].name, 0, ratio[i], 0);
        measure_row(ratio[i].median, 0);
    }
    return 1;
}

int main(int argc, char **argv)
{
    const uint32_t flags = HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT;
    const char *spec = "mimalloc";
    int rounds = MOST_ROUNDS;
    hm_host *host;
    hm_error err;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            steps = 1000;
            rounds = 3;
        } else {
            spec = argv[i];
        }
    }
    if (hm_host_open(spec, &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "bench", flags, &exact, &err) != HM_OK ||
        hm_host_create_malloc(host, "bench", HM_MALLOC_THREADSAFE, &plain, &err) !=
            HM_OK ||
        hm_ole_set_host(host, &err) != HM_OK) {
        hm_error_print(&err);
        return err.status == HM_E_NOT_FOUND ? 77 : 2;
    }
    measure_head("ole_cost", "ratios to hm_alloc, taken within each round");
    if (CoGetMalloc(MEMCTX_TASK, &task) != S_OK || !compare("pairs", pairs, rounds) ||
        !compare("churn", churn, rounds)) {
        fprintf(stderr, "ole_cost: a call failed\n");
        return 1;
    }
    hm_ole_close(NULL, NULL);
    hm_malloc_release(plain);
    hm_malloc_release(exact);
    hm_host_release(host);
    return measure_end();
}
