/* SPDX-License-Identifier: MIT */
/* Cases 65 to 75: questions, the ready-made guard, threads, and a spy that uses what it spies on. */
#include "ole_world.h"

#include <string.h>

#define UNKNOWN_SIZE ((SIZE_T)-1)

static void size_pair(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 16);
    char *p = CoTaskMemAlloc(32);
    REQUIRE(p != NULL);
    recorder_forget(&r);
    CHECK_EQ(IMalloc_GetSize(ole_task(), p), 32);
    CHECK_EQ(r.calls, 2);
    recorder_expect(&r, 0, PRE_GET_SIZE, 0, p, TRUE);
    recorder_expect(&r, 1, POST_GET_SIZE, 48, NULL, TRUE);
    CoTaskMemFree(p);
    ole_spy_off();
}

static void size_of_null(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 0);
    CHECK_EQ(IMalloc_GetSize(ole_task(), NULL), UNKNOWN_SIZE);
    CHECK_EQ(r.calls, 0);
    ole_spy_off();
}

static void asks_before_anything_is_spied(const contract *self)
{
    (void)self;
    recorder r;
    void *p = CoTaskMemAlloc(24);
    ole_spy_start(&r, 16);
    CHECK_EQ(IMalloc_GetSize(ole_task(), p), 24);
    recorder_expect(&r, 0, PRE_GET_SIZE, 0, p, FALSE);
    recorder_expect(&r, 1, POST_GET_SIZE, 24, NULL, FALSE);
    CHECK_EQ(IMalloc_DidAlloc(ole_task(), p), 1);
    recorder_expect(&r, 2, PRE_DID_ALLOC, 0, p, FALSE);
    recorder_expect(&r, 3, POST_DID_ALLOC, 0, p, FALSE);
    CoTaskMemFree(p);
    ole_spy_off();
}

static void owner_pair(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 16);
    char *p = CoTaskMemAlloc(32);
    recorder_forget(&r);
    CHECK_EQ(IMalloc_DidAlloc(ole_task(), p), 1);
    CHECK_EQ(r.calls, 2);
    recorder_expect(&r, 0, PRE_DID_ALLOC, 0, p, TRUE);
    recorder_expect(&r, 1, POST_DID_ALLOC, 0, p, TRUE);
    CHECK_EQ(r.log[1].answer, 1);

    /* The answer is about what the spy named, the question stays the caller's. */
    recorder_forget(&r);
    r.redirect = (void *)(uintptr_t)1;
    CHECK_EQ(IMalloc_DidAlloc(ole_task(), p), 0);
    recorder_expect(&r, 1, POST_DID_ALLOC, 0, p, TRUE);
    CHECK_EQ(r.log[1].answer, 0);
    r.redirect = NULL;

    /* And the spy has the last word. */
    r.force = 1;
    r.forced = 42;
    CHECK_EQ(IMalloc_DidAlloc(ole_task(), p), 42);
    r.force = 0;
    CoTaskMemFree(p);
    ole_spy_off();
}

static void owner_of_null(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 0);
    CHECK_EQ(IMalloc_DidAlloc(ole_task(), NULL), -1);
    CHECK_EQ(r.calls, 0);
    ole_spy_off();
}

static void minimize_pair(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 0);
    IMalloc_HeapMinimize(ole_task());
    CHECK_EQ(r.calls, 2);
    recorder_expect(&r, 0, PRE_HEAP_MINIMIZE, 0, NULL, FALSE);
    recorder_expect(&r, 1, POST_HEAP_MINIMIZE, 0, NULL, FALSE);
    ole_spy_off();
}

/* Every call through the function and through the method, compared. */
static void run_all(IMalloc *m, int method)
{
    void *p = method ? IMalloc_Alloc(m, 8) : CoTaskMemAlloc(8);
    p = method ? IMalloc_Realloc(m, p, 16) : CoTaskMemRealloc(p, 16);
    if (method) {
        IMalloc_Free(m, p);
    } else {
        CoTaskMemFree(p);
    }
}

static void functions_call_it_too(const contract *self)
{
    (void)self;
    static const struct {
        spy_call call;
        SIZE_T bytes;
        BOOL spied;
    } expected[] = {{PRE_ALLOC, 8, FALSE},   {POST_ALLOC, 0, FALSE},
                    {PRE_REALLOC, 16, TRUE}, {POST_REALLOC, 0, TRUE},
                    {PRE_FREE, 0, TRUE},     {POST_FREE, 0, TRUE}};
    for (int method = 0; method < 2; method++) {
        recorder r;
        ole_spy_start(&r, 0);
        run_all(ole_task(), method);
        CHECK_EQ(r.calls, COUNT(expected));
        for (size_t i = 0; i < COUNT(expected); i++) {
            CHECK_EQ(r.log[i].call, expected[i].call);
            CHECK_EQ(r.log[i].bytes, expected[i].bytes);
            CHECK_EQ(r.log[i].spied, expected[i].spied);
        }
        ole_spy_off();
    }
}

static void guard_survives(const contract *self)
{
    hm_spy *guard;
    IMallocSpy *spy;
    unsigned char *blocks[32] = {NULL};
    IMalloc *m = ole_task();
    uint32_t state = 72;
    REQUIRE(hm_spy_guard_create(NULL, NULL, &guard) == HM_OK);
    CHECK_EQ(hm_ole_spy_object(guard, &spy), S_OK);
    CHECK_EQ(CoRegisterMallocSpy(spy), S_OK);
    IMallocSpy_Release(spy);
    for (long i = 0; i < self->value; i++) {
        unsigned char **p = &blocks[contracts_random(&state) % COUNT(blocks)];
        const SIZE_T bytes = contracts_random(&state) % 200;
        if (*p && contracts_random(&state) % 3) {
            IMalloc_Free(m, *p);
            *p = NULL;
            continue;
        }
        *p = *p ? IMalloc_Realloc(m, *p, bytes + 1) : IMalloc_Alloc(m, bytes + 1);
        REQUIRE(*p != NULL);
        memset(*p, (int)i, bytes + 1);
        CHECK_EQ(IMalloc_GetSize(m, *p), bytes + 1);
    }
    for (size_t i = 0; i < COUNT(blocks); i++) {
        CoTaskMemFree(blocks[i]);
    }
    CHECK_EQ(hm_spy_guard_found(guard), 0);
    CHECK_EQ(ole_live(), 0);
    ole_spy_off();
    hm_spy_release(guard);
}

static void churn(void *context, int index)
{
    IMalloc *m = context;
    uint32_t state = (uint32_t)index + 1;
    for (int i = 0; i < 5000; i++) {
        void *p = IMalloc_Alloc(m, contracts_random(&state) % 100);
        p = CoTaskMemRealloc(p, contracts_random(&state) % 100 + 1);
        if (i % 16 == 0) {
            CHECK_EQ(IMalloc_DidAlloc(m, p), 1);
            (void)IMalloc_GetSize(m, p);
            IMalloc_HeapMinimize(m);
        }
        CoTaskMemFree(p);
    }
}

static void pairs_do_not_mix(const contract *self)
{
    recorder r;
    ole_spy_start(&r, 16);
    contracts_threads((int)self->value, churn, ole_task());
    CHECK_EQ(r.deepest, 1);
    CHECK_EQ(r.depth, 0);
    CHECK_EQ(ole_live(), 0);
    ole_spy_off();
}

typedef struct nested {
    void *blocks[12]; /* by the call that made them */
} nested;

static void allocate_within(recorder *r, spy_call call)
{
    nested *n = r->context;
    if (!n->blocks[call]) {
        n->blocks[call] = CoTaskMemAlloc(24);
        CHECK(n->blocks[call] != NULL);
        n->blocks[call] = CoTaskMemRealloc(n->blocks[call], 40);
        CHECK_EQ(IMalloc_GetSize(ole_task(), n->blocks[call]), 40);
    }
}

/* Our choice: what a spy allocates for itself is not shown to it. */
static void spy_may_allocate(const contract *self)
{
    (void)self;
    recorder r;
    nested n;
    memset(&n, 0, sizeof n);
    ole_spy_start(&r, 16);
    r.during = allocate_within;
    r.context = &n;
    IMalloc *m = ole_task();
    void *p = CoTaskMemAlloc(8);
    p = CoTaskMemRealloc(p, 32);
    CHECK_EQ(IMalloc_GetSize(m, p), 32);
    CHECK_EQ(IMalloc_DidAlloc(m, p), 1);
    IMalloc_HeapMinimize(m);
    CoTaskMemFree(p);
    CHECK_EQ(r.calls, COUNT(n.blocks));
    CHECK_EQ(r.deepest, 1);
    CHECK_EQ(ole_live(), COUNT(n.blocks));
    r.during = NULL;
    for (size_t i = 0; i < COUNT(n.blocks); i++) {
        recorder_forget(&r);
        CoTaskMemFree(n.blocks[i]);
        recorder_expect(&r, 0, PRE_FREE, 0, n.blocks[i], FALSE);
    }
    ole_spy_off();
}

typedef struct race {
    recorder spy;
    int over; /* atomic */
    int rounds;
} race;

static void come_and_go(race *all)
{
    for (int i = 0; i < all->rounds; i++) {
        CHECK_EQ(CoRegisterMallocSpy(&all->spy.base), S_OK);
        HRESULT left = CoRevokeMallocSpy();
        CHECK(left == S_OK || left == E_ACCESSDENIED);
        while (left == E_ACCESSDENIED) {
            left = CoRevokeMallocSpy();
        }
    }
    __atomic_store_n(&all->over, 1, __ATOMIC_RELEASE);
}

static void race_run(void *context, int index)
{
    race *all = context;
    if (index == 0) {
        come_and_go(all);
        return;
    }
    while (!__atomic_load_n(&all->over, __ATOMIC_ACQUIRE)) {
        CoTaskMemFree(CoTaskMemRealloc(CoTaskMemAlloc(8), 16));
    }
}

static void both_calls_or_none(const contract *self)
{
    race all;
    memset(&all, 0, sizeof all);
    recorder_init(&all.spy);
    all.spy.header = 16;
    all.rounds = (int)self->value;
    contracts_threads(3, race_run, &all);
    CHECK_EQ(all.spy.calls % 2, 0);
    CHECK_EQ(all.spy.depth, 0);
    CHECK_EQ(all.spy.deepest <= 1, 1);
    CHECK_EQ(all.spy.references, 1);
    CHECK_EQ(ole_live(), 0);
}

const contract ole_duty_cases[11] = {
    {65, "D", "GetSize behind a header", size_pair, 0},
    {66, "Wi", "GetSize(NULL) calls no spy", size_of_null, 0},
    {67, "R, x", "questions before anything is spied", asks_before_anything_is_spied, 0},
    {68, "D, x", "DidAlloc: the spy names, hears and answers", owner_pair, 0},
    {69, "Wi", "DidAlloc(NULL) calls no spy", owner_of_null, 0},
    {70, "D", "HeapMinimize: one pair", minimize_pair, 0},
    {71, "D", "functions call the spy as methods do", functions_call_it_too, 0},
    {72, "D", "headers and trailers stay whole", guard_survives, 10000},
    {73, "D", "8 threads, no pair within another", pairs_do_not_mix, 8},
    {74, "R", "a spy may allocate", spy_may_allocate, 0},
    {75, "R, x", "a spy that comes and goes sees pairs", both_calls_or_none, 2000},
};
