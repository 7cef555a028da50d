/* SPDX-License-Identifier: MIT */
/* What the debug host counts and knows: by site, by malloc, by block; limits, scopes, walks, descriptions. */
#include "debug_fixture.h"

static void debug__counts_by_malloc(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= HM_MALLOC_THREADSAFE; flags++) {
        debug_fixture f;
        fixture_open(&f, "", flags);
        void *a = hm_alloc(f.m, 100);
        void *b = hm_alloc(f.m, 50);
        hm_free(f.m, a);
        void *c = hm_alloc(f.m, 20);
        c = hm_realloc(f.m, c, 30);
        hm_stats s = fixture_stats(f.m);
        assert_int_equal(s.live_blocks, 2);
        assert_int_equal(s.live_bytes, 80);
        assert_int_equal(s.peak_bytes, 150);
        assert_int_equal(s.total_blocks, 4); /* a new size is a new block */
        assert_int_equal(s.total_bytes, 200);
        assert_int_equal(s.failed, 0);
        assert_true(s.overhead_bytes >= 2 * 24);
        hm_free(f.m, b);
        hm_free(f.m, c);
        s = fixture_stats(f.m);
        assert_int_equal(s.live_blocks, 0);
        assert_int_equal(s.live_bytes, 0);
        assert_int_equal(s.peak_bytes, 150);
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

static void debug__realloc_that_moves_counts_no_peak_of_both(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= HM_MALLOC_THREADSAFE; flags++) {
        debug_fixture f;
        fixture_open(&f, "", flags);
        void *block = hm_alloc(f.m, 1000);
        block = hm_realloc(f.m, block, 100000);
        assert_int_equal(fixture_stats(f.m).peak_bytes, 100000);
        hm_free(f.m, block);
        fixture_close(&f);
    }
}

typedef struct site_find {
    uint32_t line;
    hm_debug_site seen;
} site_find;

static int find_line(void *context, const hm_debug_site *site)
{
    site_find *find = context;
    if (site->site ? site->site->line == find->line && strstr(site->site->file, __FILE__)
                   : find->line == 0) {
        find->seen = *site;
        return 1;
    }
    return 0;
}

static hm_debug_site site_at(hm_debug *debug, uint32_t line)
{
    site_find find = {.line = line};
    assert_int_equal(hm_debug_sites(debug, find_line, &find), HM_OK);
    return find.seen;
}

static void debug__counts_by_site(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= HM_MALLOC_THREADSAFE; flags++) {
        debug_fixture f;
        fixture_open(&f, "", flags);
        void *blocks[10];
        uint32_t line = 0;
        for (size_t i = 0; i < COUNT(blocks); i++) {
            line = __LINE__ + 1;
            blocks[i] = hm_alloc(f.m, 100 + i);
        }
        for (size_t i = 5; i < COUNT(blocks); i++) {
            hm_free(f.m, blocks[i]);
        }
        hm_debug_site seen = site_at(hm_debug_of_host(f.host), line);
        assert_int_equal(seen.live_blocks, 5);
        assert_int_equal(seen.live_bytes, 510);
        assert_int_equal(seen.total_blocks, 10);
        assert_int_equal(seen.total_bytes, 1045);
        assert_int_equal(seen.peak_bytes, 1045);
        assert_string_equal(seen.site->function, __func__);
        /* Without a new site a resized block stays where it was born. */
        blocks[0] =
            hm_realloc_at(f.m, blocks[0], 100, 200, HM_LEVEL_TASK, (hm_site *)NULL);
        seen = site_at(hm_debug_of_malloc(f.m), line);
        assert_int_equal(seen.live_blocks, 5);
        assert_int_equal(seen.live_bytes, 610);
        blocks[0] = hm_realloc(f.m, blocks[0], 300);
        assert_int_equal(site_at(hm_debug_of_malloc(f.m), __LINE__ - 1).live_bytes, 300);
        assert_int_equal(site_at(hm_debug_of_malloc(f.m), line).live_blocks, 4);
        void *nowhere = (f.m->vtbl->alloc)(f.m, 33, HM_LEVEL_TASK);
        assert_int_equal(site_at(hm_debug_of_malloc(f.m), 0).live_bytes, 33);
        hm_free(f.m, nowhere);
        for (size_t i = 0; i < 5; i++) {
            assert_int_equal(hm_free(f.m, blocks[i]), HM_OK);
        }
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

static void debug__sites_known_at_run_time(void **state)
{
    debug_fixture f;
    char file[64];
    (void)state;
    fixture_open(&f, "", 0);
    for (uint32_t i = 0; i < 600; i++) {
        snprintf(file, sizeof(file), "generated-%u.c", i % 20);
        assert_non_null(hm_debug_alloc(f.m, 10, HM_LEVEL_TASK, file, 1 + i / 20));
    }
    assert_non_null(hm_debug_alloc(f.m, 7, HM_LEVEL_TASK, NULL, 0));
    hm_malloc_release(f.m);
    hm_host_release(f.host);
    assert_non_null(strstr(fixture_report(&f), "generated-19.c:30\n"));
    assert_non_null(strstr(f.text, "SUMMARY: 0 errors, 601 blocks and 6007 bytes leaked "
                                   "at 601 sites\n"));
    unlink(f.path);
}

static int count_blocks(void *context, const hm_block *block)
{
    uint64_t *bytes = context;
    assert_int_equal(block->state, HM_BLOCK_LIVE);
    assert_int_equal(block->thread, 1);
    *bytes += block->requested;
    return 0;
}

static int stop_at_once(void *context, const hm_block *block)
{
    (void)block;
    ++*(int *)context;
    return 1;
}

static void debug__walk_shows_own_live_blocks(void **state)
{
    debug_fixture f;
    hm_malloc *other;
    (void)state;
    fixture_open(&f, "", 0);
    assert_int_equal(hm_host_create_malloc(f.host, "other", 0, &other, NULL), HM_OK);
    void *a = hm_alloc(f.m, 1);
    void *b = hm_alloc_aligned(f.m, 10, 4096);
    void *c = hm_alloc(f.m, 100);
    void *d = hm_alloc(other, 1000);
    hm_free(f.m, c);
    uint64_t bytes = 0;
    assert_int_equal(hm_walk(f.m, count_blocks, &bytes), HM_OK);
    assert_int_equal(bytes, 11);
    bytes = 0;
    assert_int_equal(hm_walk(other, count_blocks, &bytes), HM_OK);
    assert_int_equal(bytes, 1000);
    int shown = 0;
    assert_int_equal(hm_walk(f.m, stop_at_once, &shown), HM_OK);
    assert_int_equal(shown, 1);
    assert_int_equal(hm_walk(f.m, NULL, NULL), HM_E_INVALID);
    assert_int_equal(hm_owns(f.m, a), 1);
    assert_int_equal(hm_owns(f.m, c), 0);
    assert_int_equal(hm_owns(f.m, d), 0);
    assert_int_equal(hm_owns(f.m, (char *)a + 1), 0);
    assert_int_equal(hm_owns(f.m, &shown), 0);
    assert_int_equal(hm_owns(f.m, NULL), 0);
    assert_int_equal(hm_size_of(other, a), 1); /* siblings answer for each other */
    assert_int_equal(hm_size_of(f.m, c), 0);
    hm_free(f.m, a);
    hm_free(f.m, b);
    hm_free(other, d);
    hm_malloc_release(other);
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

static void debug__describes_a_block(void **state)
{
    debug_fixture f;
    hm_block seen;
    (void)state;
    fixture_open(&f, "", HM_MALLOC_THREADSAFE);
    hm_free(f.m, hm_alloc(f.m, 5));
    void *block = NULL;
    for (int i = 0; i < 3; i++) {
        block = hm_alloc(f.m, 41);
    }
    const uint32_t line = __LINE__ - 2;
    assert_int_equal(hm_describe(f.m, block, &seen), HM_OK);
    assert_ptr_equal(seen.address, block);
    assert_int_equal(seen.requested, 41);
    assert_int_equal(seen.usable, 41);
    assert_int_equal(seen.site->line, line);
    assert_int_equal(seen.serial, 3);
    assert_int_equal(seen.thread, 1);
    assert_int_equal(seen.state, HM_BLOCK_LIVE);
    hm_free(f.m, block);
    assert_int_equal(hm_describe(f.m, block, &seen), HM_OK);
    assert_int_equal(seen.state, HM_BLOCK_FREED);
    block = hm_alloc(f.m, 8);
    ((char *)block)[8] = 0;
    hm_free(f.m, block);
    assert_int_equal(hm_describe(f.m, block, &seen), HM_OK);
    assert_int_equal(seen.state, HM_BLOCK_DAMAGED);
    assert_int_equal(hm_describe(f.m, &seen, &seen), HM_E_NOT_OWNED);
    assert_int_equal(hm_describe(f.m, NULL, &seen), HM_E_NOT_OWNED);
    /* A caller compiled against fewer members gets no more than these. */
    struct {
        hm_block block;
        uint32_t after;
    } old = {.block = {.size = offsetof(hm_block, site)}, .after = 77};
    old.block.serial = 99;
    block = hm_alloc(f.m, 16);
    assert_int_equal(f.m->vtbl->describe(f.m, block, &old.block), HM_OK);
    assert_int_equal(old.block.requested, 16);
    assert_int_equal(old.block.serial, 99);
    fixture_close(&f);
}

/* What the host below has no memory for never was live. */
static void debug__refused_blocks_are_no_peak(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= HM_MALLOC_THREADSAFE;
         flags += HM_MALLOC_THREADSAFE) {
        for (int limited = 0; limited < 2; limited++) {
            debug_fixture f;
            hm_malloc *m;
            fixture_open(&f, "", 0);
            const hm_malloc_opts opts = {.size = sizeof(opts),
                                         .name = "refused",
                                         .flags = flags,
                                         .limit = limited ? (uint64_t)1 << 46 : 0};
            assert_int_equal(hm_host_create_malloc_opts(f.host, &opts, &m, NULL), HM_OK);
            void *kept = hm_alloc(m, 700);
            assert_null(hm_alloc(m, (size_t)1 << 45));
            assert_int_equal(fixture_stats(m).peak_bytes, 700);
            assert_int_equal(hm_free(m, kept), HM_OK);
            hm_malloc_release(m);
            fixture_close(&f);
        }
    }
}

static void debug__limit_is_exact(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= HM_MALLOC_THREADSAFE; flags++) {
        debug_fixture f;
        hm_malloc *m;
        const hm_malloc_opts opts = {
            .size = sizeof(opts), .name = "small", .flags = flags, .limit = 1000};
        fixture_open(&f, "", 0);
        assert_int_equal(hm_host_create_malloc_opts(f.host, &opts, &m, NULL), HM_OK);
        void *a = hm_alloc(m, 600);
        void *b = hm_alloc(m, 400);
        assert_non_null(a);
        assert_non_null(b);
        assert_null(hm_alloc(m, 1));
        void *zero = hm_alloc(m, 0);
        assert_non_null(zero);
        assert_null(hm_realloc(m, b, 401));
        b = hm_realloc(m, b, 300);
        assert_non_null(b);
        b = hm_realloc(m, b, 400);
        assert_non_null(b);
        assert_int_equal(hm_free(m, a), HM_OK);
        a = hm_alloc(m, 600);
        assert_non_null(a);
        hm_stats s = fixture_stats(m);
        assert_int_equal(s.live_bytes, 1000);
        assert_int_equal(s.peak_bytes, 1000);
        assert_int_equal(s.denied, 2);
        assert_int_equal(s.failed, 2);
        assert_int_equal(hm_malloc_reset(m), HM_OK);
        assert_int_equal(fixture_stats(m).live_bytes, 0);
        a = hm_alloc(m, 1000);
        assert_non_null(a);
        hm_free(m, a);
        void *tenths[12] = {
            NULL}; /* from one line, which the host knows after the first */
        for (size_t i = 0; i < COUNT(tenths); i++) {
            tenths[i] = hm_alloc(m, 100);
            assert_int_equal(tenths[i] != NULL, i < 10);
        }
        for (size_t i = 0; i < COUNT(tenths); i++) {
            assert_int_equal(hm_free(m, tenths[i]), HM_OK);
        }
        hm_malloc_release(m);
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

static void debug__reset_and_scope_free_everything(void **state)
{
    static const char *const specs[] = {"", ",quarantine=0", ",quarantine=100"};
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(specs); i++) {
        debug_fixture f;
        fixture_open(&f, specs[i / 2], HM_MALLOC_SCOPED | (i & 1));
        for (size_t k = 0; k < 100; k++) {
            void *block = hm_alloc(f.m, k * k);
            if (k % 3 == 0) {
                hm_free(f.m, block);
            }
            hm_alloc_aligned(f.m, k, 64);
        }
        void *kept = hm_alloc(f.m, 10);
        assert_int_equal(hm_malloc_reset(f.m), HM_OK);
        assert_int_equal(fixture_stats(f.m).live_blocks, 0);
        assert_int_equal(hm_owns(f.m, kept), 0);
        assert_int_equal(hm_malloc_reset(f.m), HM_OK);
        for (size_t k = 0; k < 100; k++) {
            hm_alloc(f.m, 1000);
        }
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

/* What was overrun is reported even when nobody frees it. */
/* What a reset gives back and what comes after it were never both live. */
static void debug__reset_ends_a_rise(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= HM_MALLOC_THREADSAFE;
         flags += HM_MALLOC_THREADSAFE) {
        debug_fixture f;
        fixture_open(&f, "+default", flags);
        for (int i = 0; i < 3; i++) {
            assert_non_null(hm_alloc(f.m, 1000));
            assert_int_equal(hm_malloc_reset(f.m), HM_OK);
        }
        assert_int_equal(fixture_stats(f.m).live_bytes, 0);
        assert_int_equal(fixture_stats(f.m).peak_bytes, 1000);
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

static void debug__reset_checks_what_it_frees(void **state)
{
    debug_fixture f;
    (void)state;
    fixture_open(&f, "", HM_MALLOC_SCOPED);
    char *block = hm_alloc(f.m, 10);
    block[10] = 0;
    fixture_close(&f);
    assert_non_null(strstr(f.text, "write past the end of a block"));
    assert_non_null(strstr(f.text, "SUMMARY: 1 error, 0 blocks"));
}

static void debug__closed_is_drained(void **state)
{
    debug_fixture f;
    void *out;
    (void)state;
    fixture_open(&f, "", 0);
    void *block = hm_alloc(f.m, 100);
    hm_malloc_close(f.m);
    hm_malloc_close(f.m);
    assert_null(hm_alloc(f.m, 1));
    assert_null(hm_alloc_zeroed(f.m, 1, 1));
    const hm_request request = {.size = sizeof(request), .bytes = 10};
    assert_int_equal(hm_malloc_request(f.m, &request, &out), HM_E_CLOSED);
    assert_int_equal(fixture_stats(f.m).live_blocks, 1);
    assert_int_equal(hm_free(f.m, block), HM_OK);
    assert_int_equal(hm_free(f.m, block), HM_E_FREED);
    fixture_close(&f);
    assert_non_null(strstr(f.text, "double free"));
}

static void debug__executable_blocks_are_the_inner_hosts_affair(void **state)
{
    debug_fixture f;
    hm_malloc *m;
    (void)state;
    fixture_open(&f, "", 0);
    assert_int_equal(
        hm_host_create_malloc(f.host, "code", HM_MALLOC_EXECUTABLE, &m, NULL), HM_OK);
    assert_true(m->flags & HM_MALLOC_EXECUTABLE);
    char *code = hm_alloc(m, 100);
    memset(code, 0x90, 100);
    code = hm_realloc(m, code, 10000);
    assert_int_equal(hm_free(m, code), HM_OK);
    hm_malloc_release(m);
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

static void debug__report_lists_live_blocks_by_bytes(void **state)
{
    debug_fixture f;
    char path[] = "/tmp/hm-debug-report-XXXXXX";
    (void)state;
    fixture_open(&f, "", 0);
    void *small = hm_alloc(f.m, 10);
    void *large = hm_alloc(f.m, 1000);
    const int fd = mkstemp(path);
    assert_int_equal(hm_debug_report(hm_debug_of_host(f.host), fd), HM_OK);
    char text[4096];
    const ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
    assert_true(length > 0);
    text[length] = '\0';
    close(fd);
    unlink(path);
    const char *first = strstr(text, "1000    99.0%");
    const char *second = strstr(text, "  10     0.9%");
    assert_non_null(first);
    assert_non_null(second);
    assert_true(first < second);
    assert_non_null(strstr(text, "2 blocks and 1010 bytes live at 2 sites"));
    hm_free(f.m, small);
    hm_free(f.m, large);
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

static void debug__leaks_can_be_kept_quiet(void **state)
{
    debug_fixture f;
    (void)state;
    fixture_open(&f, ",leaks=no", 0);
    hm_alloc(f.m, 10);
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

static void debug__questions_to_another_host(void **state)
{
    hm_host *host;
    uint64_t count;
    (void)state;
    assert_int_equal(hm_host_open("default", &host, NULL), HM_OK);
    assert_null(hm_debug_of_host(host));
    assert_null(hm_debug_of_host(NULL));
    assert_null(hm_debug_of_malloc(NULL));
    assert_int_equal(hm_debug_report(NULL, 2), HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_check(NULL, NULL), HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_sites(NULL, find_line, NULL), HM_E_UNSUPPORTED);
    assert_int_equal(hm_debug_findings(NULL, &count), HM_E_UNSUPPORTED);
    hm_host_release(host);
}

/* Thousands of mallocs, one after the other: numbers and objects are used again. */
static void debug__many_mallocs(void **state)
{
    debug_fixture f;
    (void)state;
    fixture_open(&f, "", 0);
    for (int i = 0; i < 70000; i++) {
        hm_malloc *m;
        assert_int_equal(hm_host_create_malloc(f.host, "brief", i & 1, &m, NULL), HM_OK);
        if (i % 16 == 0) {
            void *block = hm_alloc(m, 100);
            assert_int_equal(hm_free(m, block), HM_OK);
        }
        hm_malloc_release(m);
    }
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debug__counts_by_malloc),
        cmocka_unit_test(debug__realloc_that_moves_counts_no_peak_of_both),
        cmocka_unit_test(debug__counts_by_site),
        cmocka_unit_test(debug__sites_known_at_run_time),
        cmocka_unit_test(debug__walk_shows_own_live_blocks),
        cmocka_unit_test(debug__describes_a_block),
        cmocka_unit_test(debug__refused_blocks_are_no_peak),
        cmocka_unit_test(debug__limit_is_exact),
        cmocka_unit_test(debug__reset_and_scope_free_everything),
        cmocka_unit_test(debug__reset_ends_a_rise),
        cmocka_unit_test(debug__reset_checks_what_it_frees),
        cmocka_unit_test(debug__closed_is_drained),
        cmocka_unit_test(debug__executable_blocks_are_the_inner_hosts_affair),
        cmocka_unit_test(debug__report_lists_live_blocks_by_bytes),
        cmocka_unit_test(debug__leaks_can_be_kept_quiet),
        cmocka_unit_test(debug__questions_to_another_host),
        cmocka_unit_test(debug__many_mallocs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
