/* SPDX-License-Identifier: MIT */
/* How blocks end that nobody frees one by one: with their scope, by reset, after close; and what must not change. */
#include "conformance.h"

#include <errno.h>

static void release_it(void *context)
{
    hm_malloc_release(context);
}

static void fill_and_release(subject *s, void (*release)(void (*)(void *), void *))
{
    for (int i = 0; i < 8; i++) {
        hm_malloc *m = sibling(s);
        for (size_t n = 0; n < 50; n++) {
            void *blocks[] = {hm_alloc(m, n * 100), hm_alloc_zeroed(m, n, 10),
                              hm_alloc_aligned(m, n, 128), hm_realloc(m, NULL, n)};
            for (size_t b = 0; b < COUNT(blocks); b++) {
                assert_non_null(blocks[b]);
            }
            assert_int_equal(hm_free(m, blocks[n % COUNT(blocks)]), HM_OK);
        }
        release(release_it, m);
    }
}

static void on_this_thread(void (*run)(void *), void *context)
{
    run(context);
}

/* What is not freed here is found by the address sanitizer's leak check, and by the growth of the process. */
static void scope__ends_with_its_blocks(subject *s)
{
    if (s->kind->flags & HM_MALLOC_SCOPED) {
        fill_and_release(s, on_this_thread);
        fill_and_release(s, on_another_thread);
    }
}

static void scope__gives_memory_back(subject *s)
{
    if (!(s->kind->flags & HM_MALLOC_SCOPED)) {
        return;
    }
    const long before = resident_pages();
    for (int round = 0; round < (UNDER_SANITIZER ? 5 : 100); round++) {
        hm_malloc *m = sibling(s);
        for (int i = 0; i < 16; i++) {
            void *block = hm_alloc(m, 65536);
            assert_non_null(block);
            memset(block, 1, 65536);
        }
        hm_malloc_release(m);
    }
    /* 100 MiB were used; sanitizers hold back what little they saw. */
    assert_true(resident_pages() - before < (40L << 20) / 4096);
}

static void reset__frees_all_or_nothing(subject *s)
{
    void *blocks[20];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = hm_alloc(s->m, 10 + i);
        assert_non_null(blocks[i]);
        fill(blocks[i], 10 + i, (unsigned)i);
    }
    const hm_status status = hm_malloc_reset(s->m);
    if (status == HM_E_UNSUPPORTED) {
        assert_false(is_exact(s) || s->kind->flags & HM_MALLOC_SCOPED);
        for (size_t i = 0; i < COUNT(blocks); i++) {
            assert_true(is_filled(blocks[i], 10 + i, (unsigned)i));
            assert_int_equal(hm_free(s->m, blocks[i]), HM_OK);
        }
        return;
    }
    assert_int_equal(status, HM_OK);
    hm_stats st;
    if (hm_malloc_stats(s->m, &st) == HM_OK) {
        assert_int_equal(st.live_blocks, 0);
        assert_int_equal(st.live_bytes, 0);
    }
    for (size_t i = 0; i < COUNT(blocks); i++) {
        assert_true(hm_owns(s->m, blocks[i]) != 1);
    }
    void *block = hm_alloc(s->m, 10);
    assert_non_null(block);
    assert_int_equal(hm_free(s->m, block), HM_OK);
    assert_int_equal(hm_malloc_reset(s->m), HM_OK);
}

static void close__drains(subject *s)
{
    hm_malloc *m = sibling(s);
    void *a = hm_alloc(m, 100);
    void *b = hm_alloc(m, 100);
    fill(a, 100, 1);
    fill(b, 100, 2);
    hm_malloc_close(m);
    assert_null(hm_alloc(m, 1));
    assert_null((hm_alloc)(m, 1));
    assert_null(hm_alloc(m, 0));
    assert_null(hm_alloc_zeroed(m, 1, 1));
    assert_null(hm_alloc_aligned(m, 1, 1));
    assert_null(hm_realloc(m, NULL, 1));
    assert_null(hm_debug_alloc(m, 1, HM_LEVEL_PROCESS, "a.c", 1));
    assert_null(hm_strdup(m, "text"));
    const hm_request r = {.size = sizeof r, .bytes = 10};
    void *out = s;
    assert_int_equal(hm_malloc_request(m, &r, &out), HM_E_CLOSED);
    assert_null(out);
    assert_null(hm_realloc(m, a, 1000000));
    assert_true(is_filled(a, 100, 1));
    /* A shrink never fails, but a drained object that checks sizes cannot note the new one and keeps the block. */
    void *smaller = hm_realloc(m, a, 50);
    assert_true(smaller || is_checked(s));
    a = smaller ? smaller : a;
    assert_true(is_filled(a, 50, 1));
    assert_true(hm_size_of(m, b) >= 100);
    hm_malloc_close(m);
    assert_int_equal(hm_free(m, a), HM_OK);
    assert_true(is_filled(b, 100, 2));
    assert_int_equal(hm_free_sized(m, b, 100), HM_OK);
    hm_malloc_release(m);
}

static void close_it(void *context)
{
    hm_malloc_close(context);
}

static void close__by_another_thread_drains(subject *s)
{
    hm_malloc *m = sibling(s);
    void *block = hm_alloc(m, 100);
    on_another_thread(close_it, m);
    assert_null(hm_alloc(m, 1));
    assert_int_equal(hm_free(m, block), HM_OK);
    hm_malloc_release(m);
}

static void trim__keeps_the_blocks(subject *s)
{
    void *block = hm_alloc(s->m, 5000);
    void *freed = hm_alloc(s->m, 500000);
    fill(block, 5000, 8);
    assert_int_equal(hm_free(s->m, freed), HM_OK);
    hm_malloc_trim(s->m);
    assert_true(is_filled(block, 5000, 8));
    assert_int_equal(hm_free(s->m, block), HM_OK);
    hm_malloc_trim(s->m);
}

static void errno__is_left_as_found_by_what_frees(subject *s)
{
    hm_malloc *m = sibling(s);
    static const size_t sizes[] = {0, 10, 1000, 40000, 200000, 2000000, 40000000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *blocks[] = {hm_alloc(m, sizes[i]), hm_alloc(m, sizes[i]),
                          hm_alloc(m, sizes[i]), hm_alloc(m, sizes[i])};
        errno = 4711;
        hm_free(m, blocks[0]);
        hm_free_sized(m, blocks[1], sizes[i]);
        hm_debug_free(m, blocks[2], "a.c", 1);
        blocks[3] = hm_realloc(m, blocks[3], 0);
        assert_int_equal(errno, 4711);
        hm_free(m, NULL);
        hm_free(m, blocks[3]);
        hm_malloc_trim(m);
        hm_malloc_reset(m);
        assert_int_equal(errno, 4711);
    }
    hm_malloc_close(m);
    hm_malloc_release(m);
    assert_int_equal(errno, 4711);
}

const test_case ending_cases[] = {
    CASE(scope__ends_with_its_blocks),           CASE(scope__gives_memory_back),
    CASE(reset__frees_all_or_nothing),           CASE(close__drains),
    CASE(close__by_another_thread_drains),       CASE(trim__keeps_the_blocks),
    CASE(errno__is_left_as_found_by_what_frees),
};
const size_t ending_case_count = COUNT(ending_cases);
