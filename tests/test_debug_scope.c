/* SPDX-License-Identifier: MIT */
/* Scopes of a thread: no allocation here; attribute it to my caller. */
#include "debug_fixture.h"

#include "memory_internal.h"

#include <pthread.h>

static debug_fixture f;
static hm_debug *debug;

static int begin(void **state)
{
    (void)state;
    fixture_open(&f, ",leaks=no", HM_MALLOC_THREADSAFE);
    debug = hm_debug_of_host(f.host);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fixture_close(&f);
    return 0;
}

static hm_site *place(uint32_t line)
{
    return hm_site_intern("scope.c", NULL, line);
}

static void *alloc_at(hm_malloc *m, size_t size, uint32_t line)
{
    return hm_debug_alloc(m, size, 0, "here.c", line);
}

static void noalloc__names_both_places(void **state)
{
    (void)state;
    void *before = alloc_at(f.m, 10, 1);
    assert_int_equal(hm_debug_noalloc_begin(debug, place(5)), HM_OK);
    assert_int_equal(fixture_findings(&f), 0);
    void *inside = alloc_at(f.m, 20, 2);
    assert_non_null(inside);
    assert_int_equal(fixture_findings(&f), 1);
    assert_int_equal(hm_free(f.m, before), HM_OK);
    assert_int_equal(hm_free(f.m, inside), HM_OK);
    assert_int_equal(fixture_findings(&f), 1);
    assert_int_equal(hm_debug_noalloc_end(debug), HM_OK);
    void *after = alloc_at(f.m, 30, 3);
    assert_int_equal(fixture_findings(&f), 1);
    assert_int_equal(hm_free(f.m, after), HM_OK);
    assert_string_equal(fixture_report(&f),
                        "==hostmalloc== ERROR #1 allocation in a no-allocation scope, "
                        "malloc \"rows\"\n"
                        "  scope begins scope.c:5, thread 1\n"
                        "  allocated    here.c:2, thread 1\n");
}

typedef struct act {
    const char *name;
    size_t from;
    size_t to;
    uint64_t findings;
} act;

static void noalloc__counts_what_grows(void **state)
{
    static const act acts[] = {{"shrinks", 100, 50, 0},
                               {"stays", 100, 100, 0},
                               {"grows", 100, 101, 1},
                               {"moves", 100, 100000, 1}};
    (void)state;
    uint64_t expected = 0;
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        void *block = alloc_at(f.m, acts[i].from, 1);
        assert_int_equal(hm_debug_noalloc_begin(debug, place(6)), HM_OK);
        block = hm_realloc(f.m, block, acts[i].to);
        assert_non_null(block);
        assert_int_equal(hm_debug_noalloc_end(debug), HM_OK);
        assert_int_equal(hm_free(f.m, block), HM_OK);
        expected += acts[i].findings;
        if (fixture_findings(&f) != expected) {
            fail_msg("%s: %llu findings", acts[i].name,
                     (unsigned long long)fixture_findings(&f));
        }
    }
}

/* Every way to a new block comes by. */
static void noalloc__sees_every_allocation(void **state)
{
    void *blocks[4];
    (void)state;
    assert_int_equal(hm_debug_noalloc_begin(debug, place(7)), HM_OK);
    blocks[0] = hm_alloc(f.m, 8);
    blocks[1] = hm_alloc_zeroed(f.m, 2, 8);
    blocks[2] = hm_alloc_aligned(f.m, 8, 64);
    blocks[3] = hm_realloc(f.m, NULL, 8);
    assert_int_equal(fixture_findings(&f), 4);
    assert_int_equal(hm_debug_noalloc_end(debug), HM_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(hm_free(f.m, blocks[i]), HM_OK);
    }
}

static void noalloc__nests(void **state)
{
    (void)state;
    assert_int_equal(hm_debug_noalloc_end(debug), HM_E_NOT_FOUND);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(hm_debug_noalloc_begin(debug, place(10 + i)), HM_OK);
    }
    for (uint32_t i = 20; i; i--) {
        assert_int_equal(hm_free(f.m, alloc_at(f.m, 1, 1)), HM_OK);
        assert_int_equal(fixture_findings(&f), 21 - i);
        assert_int_equal(hm_debug_noalloc_end(debug), HM_OK);
    }
    assert_int_equal(hm_free(f.m, alloc_at(f.m, 1, 1)), HM_OK);
    assert_int_equal(fixture_findings(&f), 20);
    assert_int_equal(hm_debug_noalloc_end(debug), HM_E_NOT_FOUND);
    /* The innermost one is named. */
    assert_non_null(strstr(fixture_report(&f), "ERROR #1 allocation in a no-allocation "
                                               "scope, malloc \"rows\"\n"
                                               "  scope begins scope.c:29"));
}

static void noalloc__of_a_malloc_is_for_that_one(void **state)
{
    hm_malloc *other;
    (void)state;
    assert_int_equal(hm_host_create_malloc(f.host, "other", 0, &other, NULL), HM_OK);
    hm_debug *own = hm_debug_of_malloc(other);
    assert_int_equal(hm_debug_noalloc_begin(own, place(8)), HM_OK);
    assert_int_equal(hm_free(f.m, hm_alloc(f.m, 8)), HM_OK);
    assert_int_equal(fixture_findings(&f), 0);
    assert_int_equal(hm_free(other, hm_alloc(other, 8)), HM_OK);
    assert_int_equal(fixture_findings(&f), 1);
    assert_int_equal(hm_debug_noalloc_end(debug), HM_E_NOT_FOUND);
    assert_int_equal(hm_debug_noalloc_end(own), HM_OK);
    hm_malloc_release(other);
}

static void *allocate_elsewhere(void *context)
{
    (void)context;
    assert_int_equal(hm_free(f.m, hm_alloc(f.m, 8)), HM_OK);
    assert_int_equal(hm_debug_noalloc_end(debug), HM_E_NOT_FOUND);
    return NULL;
}

/* And leaves one open at its end. */
static void *leave_open(void *context)
{
    (void)context;
    assert_int_equal(hm_debug_noalloc_begin(debug, place(9)), HM_OK);
    assert_int_equal(hm_free(f.m, hm_alloc(f.m, 8)), HM_OK);
    return NULL;
}

static void run(void *(*body)(void *))
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, body, NULL), 0);
    pthread_join(thread, NULL);
}

static void noalloc__is_of_one_thread(void **state)
{
    (void)state;
    assert_int_equal(hm_debug_noalloc_begin(debug, place(9)), HM_OK);
    run(allocate_elsewhere);
    assert_int_equal(fixture_findings(&f), 0);
    assert_int_equal(hm_debug_noalloc_end(debug), HM_OK);
    run(leave_open);
    assert_int_equal(fixture_findings(&f), 1);
    assert_int_equal(fixture_stats(f.m).live_blocks, 0);
}

static uint32_t line_of(const void *block)
{
    hm_block seen = {.size = sizeof(seen)};
    assert_int_equal(hm_describe(f.m, block, &seen), HM_OK);
    return seen.site ? seen.site->line : 0;
}

static void site__attributes_to_the_caller(void **state)
{
    (void)state;
    void *plain = alloc_at(f.m, 8, 1);
    assert_int_equal(hm_debug_site_begin(debug, place(100)), HM_OK);
    void *outer = alloc_at(f.m, 8, 2);
    assert_int_equal(hm_debug_site_begin(debug, place(200)), HM_OK);
    void *inner = alloc_at(f.m, 8, 3);
    void *moved = hm_realloc(f.m, alloc_at(f.m, 8, 3), 5000);
    plain = hm_realloc(f.m, plain, 9);
    assert_int_equal(hm_debug_site_end(debug), HM_OK);
    void *again = alloc_at(f.m, 8, 4);
    assert_int_equal(hm_debug_site_begin(debug, NULL), HM_OK);
    void *nowhere = alloc_at(f.m, 8, 5);
    assert_int_equal(hm_debug_site_end(debug), HM_OK);
    assert_int_equal(hm_debug_site_end(debug), HM_OK);
    void *after = alloc_at(f.m, 8, 6);
    assert_int_equal(line_of(outer), 100);
    assert_int_equal(line_of(inner), 200);
    assert_int_equal(line_of(moved), 200);
    assert_int_equal(line_of(plain), 200);
    assert_int_equal(line_of(again), 100);
    assert_int_equal(line_of(nowhere), 0);
    assert_int_equal(line_of(after), 6);
    void *all[] = {plain, outer, inner, moved, again, nowhere, after};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        assert_int_equal(hm_free(f.m, all[i]), HM_OK);
    }
    assert_int_equal(fixture_stats(f.m).live_blocks, 0);
    assert_int_equal(fixture_findings(&f), 0);
}

/* Ends need not come in the order of begins. */
static void site__ends_apart_from_other_kinds(void **state)
{
    (void)state;
    assert_int_equal(hm_debug_site_begin(debug, place(100)), HM_OK);
    assert_int_equal(hm_debug_noalloc_begin(debug, place(101)), HM_OK);
    assert_int_equal(hm_debug_site_end(debug), HM_OK);
    assert_int_equal(hm_debug_site_end(debug), HM_E_NOT_FOUND);
    assert_int_equal(hm_free(f.m, alloc_at(f.m, 8, 1)), HM_OK);
    assert_int_equal(hm_debug_noalloc_end(debug), HM_OK);
    assert_non_null(strstr(fixture_report(&f), "  allocated    here.c:1,"));
}

static void site__also_names_frees(void **state)
{
    (void)state;
    void *block = alloc_at(f.m, 8, 1);
    assert_int_equal(hm_debug_site_begin(debug, place(300)), HM_OK);
    assert_int_equal(hm_free(f.m, block), HM_OK);
    assert_int_equal(hm_debug_site_end(debug), HM_OK);
    assert_int_equal(hm_free(f.m, block), HM_E_FREED);
    assert_non_null(strstr(fixture_report(&f), "  freed        scope.c:300,"));
}

static void scope__refuses(void **state)
{
    (void)state;
    assert_int_equal(hm_debug_noalloc_begin(NULL, HM_SITE), HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_noalloc_end(NULL), HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_site_begin(NULL, HM_SITE), HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_site_end(NULL), HM_E_UNSUPPORTED);
    assert_int_equal(debug->vtbl->scope_begin(debug, 0, HM_SITE), HM_E_UNSUPPORTED);
    assert_int_equal(debug->vtbl->scope_begin(debug, 99, HM_SITE), HM_E_UNSUPPORTED);
    /* A table of before. */
    hm_debug_vtbl old = *debug->vtbl;
    hm_debug before = {&old};
    old.size = offsetof(hm_debug_vtbl, scope_begin);
    assert_int_equal(hm_debug_noalloc_begin(&before, HM_SITE), HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_noalloc_end(&before), HM_E_UNSUPPORTED);
}

static void *out_of_memory(void *context)
{
    hm_status *seen = context;
    hm__memory_fail_from(1);
    seen[0] = hm_debug_noalloc_begin(debug, HM_SITE);
    hm__memory_fail_from(2);
    seen[1] = hm_debug_noalloc_begin(debug, HM_SITE);
    hm__memory_fail_from(0);
    seen[2] = hm_debug_noalloc_end(debug);
    void *block = hm_alloc(f.m, 8);
    seen[3] = hm_free(f.m, block);
    return NULL;
}

static void scope__does_without_memory(void **state)
{
    hm_status seen[4];
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, out_of_memory, seen), 0);
    pthread_join(thread, NULL);
    assert_int_equal(seen[0], HM_E_NOMEM);
    assert_int_equal(seen[1], HM_E_NOMEM);
    assert_int_equal(seen[2], HM_E_NOT_FOUND);
    assert_int_equal(seen[3], HM_OK);
    assert_int_equal(fixture_findings(&f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(noalloc__names_both_places, begin, end),
        cmocka_unit_test_setup_teardown(noalloc__counts_what_grows, begin, end),
        cmocka_unit_test_setup_teardown(noalloc__sees_every_allocation, begin, end),
        cmocka_unit_test_setup_teardown(noalloc__nests, begin, end),
        cmocka_unit_test_setup_teardown(noalloc__of_a_malloc_is_for_that_one, begin, end),
        cmocka_unit_test_setup_teardown(noalloc__is_of_one_thread, begin, end),
        cmocka_unit_test_setup_teardown(site__attributes_to_the_caller, begin, end),
        cmocka_unit_test_setup_teardown(site__ends_apart_from_other_kinds, begin, end),
        cmocka_unit_test_setup_teardown(site__also_names_frees, begin, end),
        cmocka_unit_test_setup_teardown(scope__refuses, begin, end),
        cmocka_unit_test_setup_teardown(scope__does_without_memory, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
