/* SPDX-License-Identifier: MIT */
/* The expectations of debug_test.h, met and not met. */
#include "debug_fixture.h"

#include <hostmalloc/debug_test.h>

#include "memory_internal.h"

static debug_fixture f;
static hm_debug *debug;

static int begin(void **state)
{
    (void)state;
    fixture_open(&f, ",leaks=no", 0);
    debug = hm_debug_of_host(f.host);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fixture_close(&f);
    return 0;
}

/* What one call of a run does. */
typedef struct plan {
    int calls;
    int keeps_first; /* blocks left by the first calls */
    int keeps_every; /* a block left by every n-th call; 0: none */
    size_t grows;    /* a kept block is resized by this each call */
    void *buffer;
} plan;

static void work(void *context)
{
    plan *p = context;
    p->calls++;
    hm_free(f.m, hm_debug_alloc(f.m, 100, 0, "run.c", 1));
    if (p->calls <= p->keeps_first) {
        hm_debug_alloc(f.m, 10, 0, "run.c", 2);
    }
    if (p->keeps_every && p->calls % p->keeps_every == 0) {
        hm_debug_alloc(f.m, 30, 0, "run.c", 3);
    }
    if (p->grows) {
        p->buffer = hm_realloc(f.m, p->buffer, (size_t)p->calls * p->grows);
    }
}

typedef struct growth_case {
    const char *name;
    plan run;
    uint32_t warm_up;
    uint32_t runs;
    hm_status status;
    int64_t blocks;
    int64_t bytes;
    uint32_t line; /* 0: any */
} growth_case;

static void no_growth__tells_leaks_from_caches(void **state)
{
    static const growth_case cases[] = {
        {"keeps nothing", {0}, 0, 10, HM_OK, 0, 0, 0},
        {"fills a cache", {.keeps_first = 2}, 2, 10, HM_OK, 0, 0, 0},
        {"is not warm", {.keeps_first = 2}, 1, 10, HM_E_SIZE, 1, 10, 2},
        {"leaks", {.keeps_every = 1}, 2, 10, HM_E_SIZE, 10, 300, 3},
        {"leaks seldom", {.keeps_every = 5}, 2, 10, HM_E_SIZE, 2, 60, 3},
        {"leaks too seldom to see", {.keeps_every = 50}, 2, 10, HM_OK, 0, 0, 0},
        {"grows in place", {.grows = 8}, 1, 10, HM_E_SIZE, 0, 80, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const growth_case *c = &cases[i];
        plan p = c->run;
        hm_debug_measure seen = {0};
        const hm_status status =
            hm_debug_expect_no_growth(debug, work, &p, c->warm_up, c->runs, &seen);
        if (status != c->status || seen.grown_blocks != c->blocks ||
            seen.grown_bytes != c->bytes || p.calls != (int)(c->warm_up + c->runs) ||
            (c->line && (!seen.site || seen.site->line != c->line ||
                         seen.site_blocks != (uint64_t)c->blocks)) ||
            (status == HM_OK && seen.site)) {
            fail_msg("%s: status %d, %lld blocks, %lld bytes, line %u", c->name,
                     (int)status, (long long)seen.grown_blocks,
                     (long long)seen.grown_bytes, seen.site ? seen.site->line : 0);
        }
        assert_int_equal(hm_debug_expect_no_growth(debug, work, &p, 100, 1, NULL),
                         c->run.keeps_every == 1 || c->run.grows ? HM_E_SIZE : HM_OK);
    }
}

/* Also when there is no checkpoint left to name the place with. */
static void no_growth__does_without_the_place(void **state)
{
    plan p = {.keeps_every = 1};
    hm_debug_measure seen;
    uint32_t mark;
    (void)state;
    while (hm_debug_checkpoint(debug, &mark) == HM_OK) {
    }
    assert_int_equal(hm_debug_expect_no_growth(debug, work, &p, 0, 3, &seen), HM_E_SIZE);
    assert_int_equal(seen.grown_blocks, 3);
    assert_null(seen.site);
}

static void allocations__are_exact(void **state)
{
    plan p = {.keeps_every = 1};
    hm_debug_measure seen;
    (void)state;
    assert_int_equal(hm_debug_expect_allocations(debug, work, &p, 2, &seen), HM_OK);
    assert_int_equal(seen.allocations, 2);
    assert_int_equal(seen.bytes, 130);
    assert_int_equal(seen.grown_blocks, 1);
    assert_int_equal(hm_debug_expect_allocations(debug, work, &p, 1, NULL), HM_E_SIZE);
    assert_int_equal(hm_debug_expect_allocations(debug, work, &p, 3, &seen), HM_E_SIZE);
    assert_int_equal(seen.allocations, 2);
    /* Of another malloc: none. */
    hm_malloc *other;
    assert_int_equal(hm_host_create_malloc(f.host, "other", 0, &other, NULL), HM_OK);
    assert_int_equal(
        hm_debug_expect_allocations(hm_debug_of_malloc(other), work, &p, 0, NULL), HM_OK);
    hm_malloc_release(other);
}

static void at_most__bounds_live_and_peak(void **state)
{
    plan p = {.keeps_every = 1};
    hm_debug_measure seen;
    (void)state;
    assert_int_equal(hm_debug_expect_at_most(f.m, work, &p, 30, 100, &seen), HM_OK);
    assert_int_equal(seen.peak_bytes, 100);
    assert_int_equal(seen.grown_bytes, 30);
    assert_int_equal(seen.allocations, 2);
    assert_int_equal(hm_debug_expect_at_most(f.m, work, &p, 29, 100, NULL), HM_E_SIZE);
    assert_int_equal(hm_debug_expect_at_most(f.m, work, &p, 30, 99, NULL), HM_E_SIZE);
    assert_int_equal(hm_debug_expect_at_most(f.m, work, &p, 30, 100, NULL), HM_OK);
    /* A peak of before hides it, unless even that was small enough. */
    hm_free(f.m, hm_alloc(f.m, 5000));
    assert_int_equal(hm_debug_expect_at_most(f.m, work, &p, 30, 100, NULL),
                     HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_expect_at_most(f.m, work, &p, 30, 5000, NULL), HM_OK);
    assert_int_equal(hm_debug_expect_at_most(f.m, work, &p, 30, UINT64_MAX, NULL), HM_OK);
    assert_int_equal(hm_debug_expect_at_most(f.m, work, &p, 29, UINT64_MAX, NULL),
                     HM_E_SIZE);
}

static void expect__refuses(void **state)
{
    plan p = {0};
    hm_debug_measure seen;
    (void)state;
    assert_int_equal(hm_debug_expect_no_growth(NULL, work, &p, 1, 1, &seen),
                     HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_expect_no_growth(debug, NULL, &p, 1, 1, &seen),
                     HM_E_INVALID);
    assert_int_equal(hm_debug_expect_no_growth(debug, work, &p, 1, 0, &seen),
                     HM_E_INVALID);
    assert_int_equal(hm_debug_expect_allocations(NULL, work, &p, 1, &seen),
                     HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_expect_allocations(debug, NULL, &p, 1, &seen),
                     HM_E_INVALID);
    assert_int_equal(hm_debug_expect_at_most(NULL, work, &p, 1, 1, &seen), HM_E_INVALID);
    assert_int_equal(hm_debug_expect_at_most(f.m, NULL, &p, 1, 1, &seen), HM_E_INVALID);
    assert_int_equal(p.calls, 0);
    work(&p);
    hm__memory_fail_from(1);
    const hm_status starved = hm_debug_expect_allocations(debug, work, &p, 1, &seen);
    hm__memory_fail_from(0);
    assert_int_equal(starved, HM_E_NOMEM);
    assert_int_equal(p.calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_growth__tells_leaks_from_caches, begin, end),
        cmocka_unit_test_setup_teardown(no_growth__does_without_the_place, begin, end),
        cmocka_unit_test_setup_teardown(allocations__are_exact, begin, end),
        cmocka_unit_test_setup_teardown(at_most__bounds_live_and_peak, begin, end),
        cmocka_unit_test_setup_teardown(expect__refuses, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
