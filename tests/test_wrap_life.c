/* SPDX-License-Identifier: MIT */
/* The wrapping malloc and its host from their making to their end, and what happens to blocks then. */
#include <errno.h>

#include "memory_internal.h"
#include "pool.h"

static void wrap__a_closed_malloc_is_drained(void **state)
{
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, HM_MALLOC_EXACT, 0);
    void *block = hm_alloc(m, 1000);
    hm_malloc_close(m);
    hm_malloc_close(m);
    assert_null(hm_alloc(m, 1));
    assert_null((hm_alloc)(m, 0));
    assert_null(hm_alloc_zeroed(m, 1, 1));
    assert_null(hm_alloc_aligned(m, 1, 64));
    assert_null(hm_realloc(m, NULL, 1));
    assert_null(hm_realloc(m, block, 1001));
    assert_ptr_equal(hm_realloc(m, block, 10), block);
    assert_null(hm_realloc(m, block, 11));
    const hm_request requests[] = {
        {.size = sizeof(hm_request), .bytes = 1},
        {.size = sizeof(hm_request), .block = block, .bytes = 2000},
        {.size = sizeof(hm_request), .block = block, .bytes = 5, .alignment = 1 << 20}};
    for (size_t i = 0; i < COUNT(requests); i++) {
        void *out = &p;
        assert_int_equal(hm_malloc_request(m, &requests[i], &out), HM_E_CLOSED);
        assert_null(out);
    }
    assert_int_equal(hm_owns(m, block), 1);
    assert_int_equal(stats_of(m).live_bytes, 10);
    assert_int_equal(hm_free_sized(m, block, 10), HM_OK);
    assert_int_equal(hm_free(m, block), HM_E_FREED);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

static void wrap__a_scoped_malloc_takes_its_blocks_along(void **state)
{
    (void)state;
    size_t before = 0;
    for (int round = 0; round < 2; round++) { /* the first gives sites their numbers */
        before = hm__memory_in_use();
        pool p = pool_make(0);
        hm_malloc *m = pool_malloc(&p, HM_MALLOC_SCOPED, 0);
        for (size_t i = 0; i < 100; i++) {
            assert_non_null(i % 2 ? hm_alloc(m, i) : hm_alloc_aligned(m, i, 256));
        }
        hm_malloc_retain(m);
        hm_malloc_release(m);
        assert_int_equal(p.live, 100);
        hm_malloc_release(m);
        pool_check_empty(&p);
    }
    assert_int_equal(hm__memory_in_use(), before);
}

static void wrap__blocks_outlive_a_released_malloc(void **state)
{
    (void)state;
    size_t before = 0;
    for (int round = 0; round < 2; round++) {
        before = hm__memory_in_use();
        pool p = pool_make(0);
        hm_malloc *m = pool_malloc(&p, HM_MALLOC_EXACT, 0);
        hm_malloc *sibling = pool_malloc(&p, HM_MALLOC_EXACT, 0);
        char *first = hm_alloc(m, 10);
        char *second = hm_alloc(m, 10);
        hm_malloc_release(m);
        memset(first, 1, 10);
        assert_int_equal(hm_size_of(sibling, first), 10);
        assert_int_equal(hm_free(sibling, first), HM_E_NOT_OWNED);
        assert_null(hm_alloc(m, 1)); /* drained */
        assert_int_equal(hm_free(m, first), HM_OK);
        assert_int_equal(hm_free(m, second), HM_OK);
        hm_malloc_release(sibling);
        pool_check_empty(&p);
    }
    assert_int_equal(hm__memory_in_use(), before);
}

static void wrap__freeing_keeps_errno(void **state)
{
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, 0, 0);
    void *block = hm_alloc(m, 10);
    errno = 1234;
    hm_free(m, block);
    hm_free(m, NULL);
    hm_free(m, &p);
    assert_int_equal(errno, 1234);
    block = hm_alloc(m, 100000);
    p.fail_from = 1; /* and sets errno */
    errno = 1234;
    block = hm_realloc(m, block, 10);
    assert_non_null(block);
    assert_int_equal(errno, 1234);
    p.fail_from = 0;
    block = hm_realloc(m, block, 100000);
    assert_int_equal(errno, 1234);
    hm_free(m, block);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

static int extra_host_references;

static void count_retain(hm_host *self)
{
    (void)self;
    extra_host_references++;
}

static void count_release(hm_host *self)
{
    (void)self;
    extra_host_references--;
}

static void wrap__the_host_is_held_until_the_last_block(void **state)
{
    (void)state;
    hm_host_vtbl table = hm__host_basics;
    table.retain = count_retain;
    table.release = count_release;
    hm_host host = {&table};
    pool p = pool_make(0);
    hm_malloc *m = NULL;
    p.allocator.context = &p;
    assert_int_equal(hm__wrap_malloc(&p.allocator, &host, NULL, &m, NULL), HM_OK);
    assert_int_equal(extra_host_references, 1);
    void *block = hm_alloc(m, 10);
    hm_malloc_release(m);
    assert_int_equal(extra_host_references, 1);
    hm_free(m, block);
    assert_int_equal(extra_host_references, 0);
    assert_int_equal(hm__wrap_malloc(NULL, &host, NULL, &m, NULL), HM_E_INVALID);
    assert_int_equal(extra_host_references, 0);
    pool_check_empty(&p);
}

static void wrap__a_wrapped_host_makes_mallocs(void **state)
{
    (void)state;
    const size_t before = hm__memory_in_use();
    pool p = pool_make(HM_ALLOCATOR_THREADSAFE);
    p.allocator.context = &p;
    hm_host *host = NULL;
    hm_malloc *m = NULL;
    hm_error err;
    assert_int_equal(hm__wrap_host(&p.allocator, "pool", &host, &err), HM_OK);
    assert_int_equal(hm_host_validate(host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, "code", HM_MALLOC_EXECUTABLE, &m, &err),
                     HM_E_UNSUPPORTED);
    assert_null(m);
    assert_string_equal(err.where, "host:pool");
    assert_non_null(strstr(err.what, "flag 0x2"));
    const hm_malloc_opts opts = {
        .size = sizeof(opts), .flags = HM_MALLOC_THREADSAFE, .limit = 100};
    assert_int_equal(hm_host_create_malloc_opts(host, &opts, &m, &err), HM_OK);
    hm_host_retain(host);
    hm_host_release(host);
    hm_host_release(host); /* the malloc holds it */
    void *block = hm_alloc(m, 100);
    assert_non_null(block);
    assert_null(hm_alloc(m, 1));
    hm_free(m, block);
    hm_malloc_release(m);
    pool_check_empty(&p);
    assert_int_equal(hm__memory_in_use(), before);
}

static void wrap__a_host_of_any_name(void **state)
{
    char long_name[200];
    (void)state;
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = 0;
    const struct {
        const char *label, *name, *want;
        size_t length;
    } cases[] = {{"none", NULL, "host:wrapped", 12},
                 {"empty", "", "host:", 5},
                 {"long", long_name, "host:nnnn", 63}};
    pool p = pool_make(0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_host *host;
        hm_malloc *m;
        hm_error err;
        CHECK_ROW(cases[i].label,
                  hm__wrap_host(&p.allocator, cases[i].name, &host, &err) == HM_OK);
        CHECK_ROW(cases[i].label,
                  hm_host_create_malloc(host, "x", 0x80, &m, &err) == HM_E_INVALID);
        CHECK_ROW(cases[i].label, strstr(err.where, cases[i].want) == err.where);
        CHECK_ROW(cases[i].label, strlen(err.where) == cases[i].length);
        hm_host_release(host);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrap__a_closed_malloc_is_drained),
        cmocka_unit_test(wrap__a_scoped_malloc_takes_its_blocks_along),
        cmocka_unit_test(wrap__blocks_outlive_a_released_malloc),
        cmocka_unit_test(wrap__freeing_keeps_errno),
        cmocka_unit_test(wrap__the_host_is_held_until_the_last_block),
        cmocka_unit_test(wrap__a_wrapped_host_makes_mallocs),
        cmocka_unit_test(wrap__a_host_of_any_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
