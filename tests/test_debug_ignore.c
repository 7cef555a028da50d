/* SPDX-License-Identifier: MIT */
/* Leaks that are none: by pointer, by scope, by pattern. */
#include "debug_fixture.h"

#include "memory_internal.h"

static debug_fixture f;
static hm_debug *debug;

static void *alloc_at(hm_malloc *m, size_t size, const char *file, uint32_t line)
{
    return hm_debug_alloc(m, size, 0, file, line);
}

static void expect(const char *text)
{
    if (!strstr(f.text, text)) {
        fail_msg("no \"%s\" in:\n%s", text, f.text);
    }
}

static void expect_no(const char *text)
{
    if (strstr(f.text, text)) {
        fail_msg("\"%s\" in:\n%s", text, f.text);
    }
}

static void open_with(const char *options, uint32_t flags)
{
    fixture_open(&f, options, flags);
    debug = hm_debug_of_host(f.host);
}

static void ignore__takes_blocks_out_of_the_leaks(void **state)
{
    (void)state;
    open_with("", 0);
    void *same = alloc_at(f.m, 100, "a.c", 1);
    alloc_at(f.m, 10, "a.c", 1);
    void *alone = alloc_at(f.m, 1000, "a.c", 2);
    assert_int_equal(hm_debug_ignore(debug, same), HM_OK);
    assert_int_equal(hm_debug_ignore(debug, same), HM_OK);
    assert_int_equal(hm_debug_ignore(hm_debug_of_malloc(f.m), alone), HM_OK);
    assert_int_equal(fixture_stats(f.m).live_blocks, 3);
    fixture_close(&f);
    expect("malloc \"rows\" was released with 1 block of 10 bytes live\n");
    expect("         1            10   100.0%  a.c:1\n");
    expect_no("a.c:2");
    expect(
        "SUMMARY: 0 errors, 1 block and 10 bytes leaked at 1 site, 2 blocks ignored\n");
}

static void ignore__says_so_when_nothing_else_is_left(void **state)
{
    (void)state;
    open_with("", 0);
    assert_int_equal(hm_debug_ignore(debug, hm_alloc(f.m, 8)), HM_OK);
    fixture_close(&f);
    assert_string_equal(f.text, "==hostmalloc== SUMMARY: 0 errors, 0 blocks and 0 bytes "
                                "leaked at 0 sites, 1 block ignored\n");
}

/* Under both kinds of malloc; the hot path does not know the state. */
static void ignored_block_lives_on(uint32_t flags)
{
    open_with("", flags);
    hm_block seen = {.size = sizeof(seen)};
    void *block = alloc_at(f.m, 100, "a.c", 1);
    assert_int_equal(hm_debug_ignore(debug, block), HM_OK);
    assert_int_equal(hm_size_of(f.m, block), 100);
    assert_int_equal(hm_owns(f.m, block), 1);
    assert_int_equal(hm_describe(f.m, block, &seen), HM_OK);
    assert_int_equal(seen.state, HM_BLOCK_LIVE);
    block = hm_realloc(f.m, block, 90);
    block = hm_realloc(f.m, block, 100000);
    assert_non_null(block);
    /* Ignored still, and of another place: no leak. */
    void *freed = alloc_at(f.m, 7, "a.c", 2);
    assert_int_equal(hm_debug_ignore(debug, freed), HM_OK);
    assert_int_equal(hm_free(f.m, freed), HM_OK);
    assert_int_equal(hm_free(f.m, freed), HM_E_FREED);
    void *wrong = alloc_at(f.m, 7, "a.c", 3);
    assert_int_equal(hm_debug_ignore(debug, wrong), HM_OK);
    assert_int_equal(hm_free_sized(f.m, wrong, 8), HM_E_SIZE);
    memset(wrong, 1, 8);
    uint64_t damaged = 0;
    assert_int_equal(hm_debug_check(debug, &damaged), HM_E_CORRUPT);
    assert_int_equal(damaged, 1);
    assert_int_equal(hm_free(f.m, wrong), HM_E_CORRUPT);
    assert_int_equal(fixture_stats(f.m).live_blocks, 1);
    fixture_close(&f);
    expect("0 blocks and 0 bytes leaked at 0 sites, 1 block ignored\n");
}

static void ignore__leaves_the_block_as_it_is(void **state)
{
    (void)state;
    ignored_block_lives_on(0);
    ignored_block_lives_on(HM_MALLOC_THREADSAFE);
}

static void ignore__is_forgotten_with_the_block(void **state)
{
    (void)state;
    open_with(",quarantine=0", 0);
    for (int i = 0; i < 100; i++) {
        void *block = alloc_at(f.m, 64, "a.c", 1);
        assert_int_equal(hm_debug_ignore(debug, block), HM_OK);
        assert_int_equal(hm_free(f.m, block), HM_OK);
    }
    alloc_at(f.m, 64, "a.c", 1);
    fixture_close(&f);
    expect("SUMMARY: 0 errors, 1 block and 64 bytes leaked at 1 site\n");
}

static void ignore__goes_with_a_reset(void **state)
{
    (void)state;
    open_with("", HM_MALLOC_SCOPED);
    assert_int_equal(hm_debug_ignore(debug, hm_alloc(f.m, 8)), HM_OK);
    hm_malloc_reset(f.m);
    assert_int_equal(fixture_stats(f.m).live_blocks, 0);
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

static void ignore__refuses(void **state)
{
    hm_malloc *other;
    (void)state;
    open_with(",leaks=no", 0);
    char *block = hm_alloc(f.m, 64);
    assert_int_equal(hm_host_create_malloc(f.host, "other", 0, &other, NULL), HM_OK);
    assert_int_equal(hm_debug_ignore(NULL, block), HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_ignore(debug, NULL), HM_E_INVALID);
    assert_int_equal(hm_debug_ignore(debug, block + 16), HM_E_NOT_OWNED);
    assert_int_equal(hm_debug_ignore(debug, block + 1), HM_E_NOT_OWNED);
    assert_int_equal(hm_debug_ignore(debug, &other), HM_E_NOT_OWNED);
    assert_int_equal(hm_debug_ignore(debug, (void *)UINTPTR_MAX), HM_E_NOT_OWNED);
    assert_int_equal(hm_debug_ignore(hm_debug_of_malloc(other), block), HM_E_NOT_OWNED);
    assert_int_equal(hm_free(f.m, block), HM_OK);
    assert_int_equal(hm_debug_ignore(debug, block), HM_E_NOT_OWNED);
    assert_int_equal(hm_debug_ignore_begin(NULL), HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_ignore_end(NULL), HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_ignore_end(debug), HM_E_NOT_FOUND);
    hm_malloc_release(other);
    fixture_close(&f);
}

static void ignore_scope__holds_for_what_is_made_inside(void **state)
{
    (void)state;
    open_with("", 0);
    alloc_at(f.m, 1, "a.c", 1);
    assert_int_equal(hm_debug_ignore_begin(debug), HM_OK);
    alloc_at(f.m, 2, "a.c", 1);
    hm_alloc_zeroed(f.m, 1, 2);
    hm_alloc_aligned(f.m, 2, 64);
    hm_realloc(f.m, NULL, 2);
    assert_int_equal(hm_debug_ignore_end(debug), HM_OK);
    alloc_at(f.m, 4, "a.c", 1);
    fixture_close(&f);
    expect("2 blocks and 5 bytes leaked at 1 site, 4 blocks ignored\n");
}

/* A file of patterns, and an open with it; the error is shown to the caller. */
static hm_status open_patterns(const char *patterns, size_t length, hm_error *err)
{
    char path[] = "/tmp/hm-ignore-XXXXXX";
    char spec[256];
    hm_host *host;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, patterns, length), (long)length);
    close(fd);
    snprintf(spec, sizeof(spec), ",suppressions,ignore=%s", path);
    char whole[300];
    snprintf(whole, sizeof(whole), "debug:leaks=no%s", spec);
    const hm_status status = hm_host_open(whole, &host, err);
    if (status == HM_OK) {
        hm_host_release(host);
        open_with(spec, 0);
    }
    unlink(path);
    return status;
}

typedef struct pattern_case {
    const char *pattern;
    int matches;
} pattern_case;

/* One block, at dir/file.c:12 in work_on(), of malloc "rows". */
static void patterns__match(void **state)
{
    static const pattern_case cases[] = {
        {"leak:work_on", 1},
        {"leak:work", 1},
        {"leak:^work$", 0},
        {"leak:^work_on$", 1},
        {"leak:^w*n$", 1},
        {"leak:w*k*n", 1},
        {"leak:^o*", 0},
        {"leak:*x*", 0},
        {"leak:file.c", 1},
        {"leak:file.c$", 1},
        {"leak:file.c:12$", 1},
        {"leak:file.c:1$", 0},
        {"leak:^dir/*.c$", 1},
        {"leak:^file.c", 0},
        {"leak:rows", 1},
        {"leak:^ro*s$", 1},
        {"leak:ROWS", 0},
        {"  leak: work_on  \r", 1},
        {"# leak:work_on", 0},
        {"leak:nothing\n\nleak:work_on", 1},
        {"leak:x\n#work_on\nleak:y\n", 0},
        {"", 0},
        {"\n\n", 0},
        {"leak:*", 1},
        {"leak:work_on$more", 0},
        {"leak:a*b*c*d*e*rows", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hm_error err = {0};
        if (open_patterns(cases[i].pattern, strlen(cases[i].pattern), &err) != HM_OK) {
            fail_msg("%s: %s", cases[i].pattern, err.what);
        }
        hm_site *site = hm_site_intern("dir/file.c", "work_on", 12);
        HM_LOAD(f.m->vtbl)->debug_alloc(f.m, 24, 0, site);
        fixture_close(&f);
        const char *expected =
            cases[i].matches
                ? "==hostmalloc== SUMMARY: 0 errors, 0 blocks and 0 bytes leaked at 0 "
                  "sites, 1 block suppressed\n"
                : "leaked at 1 site\n";
        if (!strstr(f.text, expected) ||
            (strstr(f.text, "lines for debug:ignore=FILE\nleak:^work_on$\n") == NULL) !=
                cases[i].matches) {
            fail_msg("%s: %s", cases[i].pattern, f.text);
        }
    }
}

static void patterns__of_a_malloc_leave_others_alone(void **state)
{
    hm_malloc *other;
    hm_error err;
    (void)state;
    assert_int_equal(open_patterns("leak:^other$", 12, &err), HM_OK);
    debug = hm_debug_of_host(f.host);
    assert_int_equal(hm_host_create_malloc(f.host, "other", 0, &other, NULL), HM_OK);
    alloc_at(f.m, 1, "a.c", 1);
    alloc_at(other, 2, "a.c", 1);
    assert_int_equal(hm_debug_ignore(debug, alloc_at(other, 4, "a.c", 1)), HM_OK);
    assert_int_equal(hm_debug_ignore(debug, alloc_at(f.m, 8, "a.c", 1)), HM_OK);
    hm_malloc_release(other);
    fixture_close(&f);
    expect_no("\"other\"");
    expect("1 block and 1 byte leaked at 1 site, 1 block ignored, 2 blocks suppressed\n");
    expect("leak:^a.c$\n");
}

typedef struct wrong_case {
    const char *text;
    const char *what; /* of the message's end */
} wrong_case;

static void patterns__refuse_what_is_none(void **state)
{
    static const wrong_case cases[] = {
        {"leak:a\n# fine\nleek:b\n", ":3: expected leak:PATTERN or # comment"},
        {"leak:", ":1: expected leak:PATTERN or # comment"},
        {"leak:  \n", ":1: expected leak:PATTERN or # comment"},
        {"work_on", ":1: expected leak:PATTERN or # comment"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hm_error err = {0};
        assert_int_equal(open_patterns(cases[i].text, strlen(cases[i].text), &err),
                         HM_E_INVALID);
        if (!strstr(err.what, cases[i].what)) {
            fail_msg("%s: %s", cases[i].text, err.what);
        }
    }
}

static void patterns__refuse_a_file_there_is_no_reading(void **state)
{
    hm_host *host;
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_host_open("debug:ignore=/nowhere/at/all", &host, &err), HM_E_OS);
    assert_non_null(strstr(err.what, "ignore: cannot read /nowhere/at/all"));
    static char large[1u << 20];
    memset(large, '#', sizeof(large));
    assert_int_equal(open_patterns(large, sizeof(large), &err), HM_E_INVALID);
    assert_non_null(strstr(err.what, "is larger than"));
    hm__memory_fail_from(1);
    const hm_status status = hm_host_open("debug:ignore=/dev/null", &host, &err);
    hm__memory_fail_from(0);
    assert_int_equal(status, HM_E_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ignore__takes_blocks_out_of_the_leaks),
        cmocka_unit_test(ignore__says_so_when_nothing_else_is_left),
        cmocka_unit_test(ignore__leaves_the_block_as_it_is),
        cmocka_unit_test(ignore__is_forgotten_with_the_block),
        cmocka_unit_test(ignore__goes_with_a_reset),
        cmocka_unit_test(ignore__refuses),
        cmocka_unit_test(ignore_scope__holds_for_what_is_made_inside),
        cmocka_unit_test(patterns__match),
        cmocka_unit_test(patterns__of_a_malloc_leave_others_alone),
        cmocka_unit_test(patterns__refuse_what_is_none),
        cmocka_unit_test(patterns__refuse_a_file_there_is_no_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
