/* SPDX-License-Identifier: MIT */
/* Stopping at the Nth block of a site. */
#include "debug_fixture.h"

#include <signal.h>
#include <sys/wait.h>

static debug_fixture f;

static void *alloc_at(const char *file, uint32_t line)
{
    return hm_debug_alloc(f.m, 8, 0, file, line);
}

static unsigned breaks(void)
{
    unsigned count = 0;
    for (const char *at = fixture_report(&f); (at = strstr(at, "BREAK at")); at++) {
        count++;
    }
    return count;
}

static void break__stops_at_the_nth_block(void **state)
{
    (void)state;
    fixture_open(&f, ",leaks=no,break=rows.c:42#3", 0);
    for (unsigned i = 1; i <= 5; i++) {
        hm_free(f.m, alloc_at("src/rows.c", 42));
        alloc_at("src/rows.c", 4);
        alloc_at("src/rows.c", 421);
        alloc_at("src/arrows.c", 42);
        assert_int_equal(breaks(), i >= 3);
    }
    assert_non_null(
        strstr(fixture_report(&f), ", #3 of src/rows.c:42, malloc \"rows\"\n"));
    assert_null(hm_alloc(f.m, SIZE_MAX));
    fixture_close(&f);
}

typedef void *make(hm_site *site);

static void *make_plain(hm_site *site)
{
    return HM_LOAD(f.m->vtbl)->debug_alloc(f.m, 8, 0, site);
}

static void *make_zeroed(hm_site *site)
{
    return HM_LOAD(f.m->vtbl)->alloc_zeroed(f.m, 1, 8, 0, site);
}

static void *make_aligned(hm_site *site)
{
    return HM_LOAD(f.m->vtbl)->alloc_aligned(f.m, 8, 64, 0, site);
}

static void *make_resized(hm_site *site)
{
    return HM_LOAD(f.m->vtbl)->realloc(f.m, hm_alloc(f.m, 8), 8, 9, 0, site);
}

static void break__sees_every_way(void **state)
{
    static make *const ways[] = {make_plain, make_zeroed, make_aligned, make_resized};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof(ways) / sizeof(ways[0]); i++) {
        fixture_open(&f, ",break=rows.c:42", i & 1 ? HM_MALLOC_THREADSAFE : 0);
        hm_site *site = hm_site_intern("rows.c", NULL, 42);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(hm_free(f.m, ways[i / 2](site)), HM_OK);
        }
        assert_int_equal(breaks(), 1);
        fixture_close(&f);
    }
}

static void break__aborts_when_asked(void **state)
{
    int status = 0;
    (void)state;
    fixture_open(&f, ",leaks=no,abort,break=rows.c:42#2", 0);
    alloc_at("rows.c", 42);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alloc_at("rows.c", 42);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_int_equal(breaks(), 1);
    fixture_close(&f);
}

static void break__costs_nothing_when_not_asked(void **state)
{
    debug_fixture with;
    (void)state;
    fixture_open(&with, ",break=x.c:1", 0);
    fixture_open(&f, "", 0);
    assert_ptr_not_equal(with.m->vtbl, f.m->vtbl);
    assert_true(with.m->vtbl->debug_alloc != f.m->vtbl->debug_alloc);
    assert_true(with.m->vtbl->debug_free == f.m->vtbl->debug_free);
    fixture_close(&f);
    fixture_close(&with);
}

static void break__refuses(void **state)
{
    static const char *const wrong[] = {"#3",
                                        "rows.c",
                                        "rows.c:#1",
                                        ":42#1",
                                        ":42",
                                        "rows.c:42#",
                                        "rows.c:42#0",
                                        "rows.c:42#x",
                                        "rows.c:42#3x",
                                        "rows.c:42#1048576",
                                        "rows.c:42#99999999999999999999"};
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char spec[128];
        hm_error err = {0};
        hm_host *host = NULL;
        snprintf(spec, sizeof(spec), "debug:break=%s", wrong[i]);
        if (hm_host_open(spec, &host, &err) != HM_E_INVALID ||
            !strstr(err.what, "expected FILE:LINE#N")) {
            fail_msg("%s: %s", wrong[i], err.what);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(break__stops_at_the_nth_block),
        cmocka_unit_test(break__sees_every_way),
        cmocka_unit_test(break__aborts_when_asked),
        cmocka_unit_test(break__costs_nothing_when_not_asked),
        cmocka_unit_test(break__refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
