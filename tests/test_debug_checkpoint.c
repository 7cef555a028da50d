/* SPDX-License-Identifier: MIT */
#include <string.h>

#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>

#include "check.h"
#include "memory_internal.h"

typedef struct seen {
    uint64_t sites, blocks, bytes;
    uint32_t line;
} seen;

static int add(void *context, const hm_debug_site *site)
{
    seen *s = context;
    s->sites++;
    s->blocks += site->live_blocks;
    s->bytes += site->live_bytes;
    s->line = site->site ? site->site->line : 0;
    return 0;
}

static seen since(hm_debug *debug, uint32_t from, uint32_t to)
{
    seen s = {0, 0, 0, 0};
    assert_int_equal(hm_debug_since(debug, from, to, add, &s), HM_OK);
    return s;
}

static hm_host *host;
static hm_malloc *m;
static hm_debug *debug;

static int begin(void **state)
{
    (void)state;
    hm_error err;
    return hm_host_open("debug:leaks=no", &host, &err) != HM_OK ||
           hm_host_create_malloc(host, "marked", 0, &m, &err) != HM_OK ||
           !(debug = hm_debug_of_host(host));
}

static int end(void **state)
{
    (void)state;
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}

static void checkpoint__tells_what_came_after(void **state)
{
    uint32_t first, second;
    (void)state;
    void *before = hm_debug_alloc(m, 10, 0, "a.c", 1);
    assert_int_equal(hm_debug_checkpoint(debug, &first), HM_OK);
    assert_int_equal(since(debug, first, 0).blocks, 0);
    void *gone = hm_debug_alloc(m, 20, 0, "a.c", 2);
    void *kept = hm_debug_alloc(m, 30, 0, "a.c", 3);
    hm_free(m, gone);
    seen s = since(debug, first, 0);
    assert_int_equal(s.sites, 1);
    assert_int_equal(s.blocks, 1);
    assert_int_equal(s.bytes, 30);
    assert_int_equal(s.line, 3);
    assert_int_equal(hm_debug_checkpoint(debug, &second), HM_OK);
    assert_int_equal(second, first + 1);
    void *late = hm_debug_alloc(m, 40, 0, "a.c", 3);
    assert_int_equal(since(debug, first, 0).bytes, 70);
    assert_int_equal(since(debug, first, second).bytes, 30);
    assert_int_equal(since(debug, second, 0).bytes, 40);
    assert_int_equal(since(debug, 0, 0).bytes, 80);
    /* Its own malloc alone, and another's nothing. */
    hm_malloc *other;
    assert_int_equal(hm_host_create_malloc(host, "other", 0, &other, NULL), HM_OK);
    assert_int_equal(since(hm_debug_of_malloc(m), second, 0).bytes, 40);
    assert_int_equal(since(hm_debug_of_malloc(other), 0, 0).bytes, 0);
    void *others = hm_debug_alloc(other, 5, 0, "a.c", 9);
    assert_int_equal(since(hm_debug_of_malloc(other), second, 0).bytes, 5);
    hm_free(other, others);
    hm_malloc_release(other);
    hm_free(m, before);
    hm_free(m, kept);
    hm_free(m, late);
}

static void checkpoint__refuses(void **state)
{
    uint32_t mark;
    seen s = {0, 0, 0, 0};
    (void)state;
    assert_int_equal(hm_debug_checkpoint(NULL, &mark), HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_checkpoint(debug, NULL), HM_E_INVALID);
    assert_int_equal(hm_debug_since(NULL, 0, 0, add, &s), HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_since(debug, 0, 0, NULL, NULL), HM_E_INVALID);
    void *block = hm_debug_alloc(m, 1, 0, "a.c", 1);
    hm__memory_fail_from(1);
    assert_int_equal(hm_debug_since(debug, 0, 0, add, &s), HM_E_NOMEM);
    hm__memory_fail_from(0);
    assert_int_equal(s.sites, 0);
    hm_free(m, block);
}

/* Marks are numbers of lines that were drawn; 0 is the start, or now. */
static void checkpoint__refuses_marks_that_are_none(void **state)
{
    static const struct {
        uint32_t drawn, from, to;
        hm_status expected;
    } cases[] = {{0, 0, 0, HM_OK},
                 {0, 1, 0, HM_E_INVALID},
                 {0, 0, 1, HM_E_INVALID},
                 {2, 0, 2, HM_OK},
                 {2, 1, 1, HM_OK},
                 {2, 2, 0, HM_OK},
                 {2, 2, 1, HM_E_INVALID},
                 {2, 3, 0, HM_E_INVALID},
                 {2, 1, 3, HM_E_INVALID},
                 {2, 3, 3, HM_E_INVALID},
                 {2, UINT32_MAX, 0, HM_E_INVALID},
                 {2, 0, UINT32_MAX, HM_E_INVALID}};
    (void)state;
    uint32_t drawn = 0;
    void *block = hm_debug_alloc(m, 1, 0, "a.c", 1);
    hm_debug *const asked[] = {debug, hm_debug_of_malloc(m)};
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        seen s = {0, 0, 0, 0};
        while (drawn < cases[i / 2].drawn) {
            assert_int_equal(hm_debug_checkpoint(debug, &drawn), HM_OK);
        }
        assert_int_equal(
            hm_debug_since(asked[i & 1], cases[i / 2].from, cases[i / 2].to, add, &s),
            cases[i / 2].expected);
        assert_int_equal(s.sites, cases[i / 2].expected == HM_OK && !cases[i / 2].from);
    }
    hm_free(m, block);
}

static void checkpoint__says_when_there_are_no_more(void **state)
{
    uint32_t mark = 0;
    (void)state;
    for (uint32_t i = 1; i <= 255; i++) {
        assert_int_equal(hm_debug_checkpoint(debug, &mark), HM_OK);
        assert_int_equal(mark, i);
    }
    assert_int_equal(hm_debug_checkpoint(debug, &mark), HM_E_UNSUPPORTED);
    assert_int_equal(mark, 255);
    void *block = hm_debug_alloc(m, 8, 0, "a.c", 1);
    assert_int_equal(since(debug, 255, 0).bytes, 8);
    assert_int_equal(hm_free(m, block), HM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(checkpoint__tells_what_came_after, begin, end),
        cmocka_unit_test_setup_teardown(checkpoint__refuses, begin, end),
        cmocka_unit_test_setup_teardown(checkpoint__refuses_marks_that_are_none, begin,
                                        end),
        cmocka_unit_test_setup_teardown(checkpoint__says_when_there_are_no_more, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
