/* SPDX-License-Identifier: MIT */
/* The ready-made wrapping malloc, used as it should be, from one thread. */
#include "memory_internal.h"
#include "pool.h"

static void wrap__flags_are_granted_or_refused(void **state)
{
    static const struct {
        const char *label;
        uint32_t flags;
        hm_status want;
        uint32_t granted;
    } cases[] = {{"none", 0, HM_OK, 0},
                 {"thread-safe", 0x1, HM_OK, 0x1},
                 {"executable", 0x2, HM_E_UNSUPPORTED, 0},
                 {"scoped", 0x4, HM_OK, 0x4},
                 {"one thread", 0x8, HM_OK, 0x8},
                 {"exact", 0x10, HM_OK, 0x110},
                 {"all", 0x15, HM_OK, 0x115},
                 {"contradiction", 0x9, HM_E_INVALID, 0},
                 {"debug", 0x100, HM_E_INVALID, 0},
                 {"unknown", 0x80, HM_E_INVALID, 0}};
    (void)state;
    const size_t before = hm__memory_in_use();
    pool p = pool_make(0);
    p.allocator.context = &p;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm_malloc_opts opts = {.size = sizeof(opts), .flags = cases[i].flags};
        hm_malloc *m = (hm_malloc *)&p;
        hm_error err = {HM_OK, 0, "", ""};
        CHECK_ROW(cases[i].label,
                  hm__wrap_malloc(&p.allocator, NULL, &opts, &m, &err) == cases[i].want);
        CHECK_ROW(cases[i].label, err.status == cases[i].want);
        CHECK_ROW(cases[i].label, (m != NULL) == (cases[i].want == HM_OK));
        CHECK_ROW(cases[i].label, !m || m->flags == cases[i].granted);
        hm_malloc_release(m);
    }
    assert_in_range(hm__memory_in_use() - before, 0, 64 << 20); /* the map of blocks */
    assert_int_equal(hm__wrap_malloc(&p.allocator, NULL, NULL, NULL, NULL), HM_E_INVALID);
}

static void wrap__allocators_are_judged(void **state)
{
    const hm_allocator good = pool_make(0).allocator;
    const struct {
        const char *label;
        size_t size;
        int no_alloc, no_release;
        uint32_t flags, reserved;
        hm_status want;
        const char *what;
    } cases[] = {
        {"good", sizeof(good), 0, 0, 1, 0, HM_OK, ""},
        {"short", sizeof(good) - 1, 0, 0, 0, 0, HM_E_INVALID, "expected"},
        {"garbage size", SIZE_MAX, 0, 0, 0, 0, HM_E_INVALID, "expected"},
        {"no alloc", sizeof(good), 1, 0, 0, 0, HM_E_INVALID, "alloc is missing"},
        {"no release", sizeof(good), 0, 1, 0, 0, HM_E_INVALID, "release is missing"},
        {"unknown flag", sizeof(good), 0, 0, 2, 0, HM_E_INVALID, "flags 0x2"},
        {"reserved", sizeof(good), 0, 0, 0, 9, HM_E_INVALID, "reserved 0x9"}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_allocator given = good;
        given.size = cases[i].size;
        given.alloc = cases[i].no_alloc ? NULL : given.alloc;
        given.release = cases[i].no_release ? NULL : given.release;
        given.flags = cases[i].flags;
        given.reserved = cases[i].reserved;
        hm_malloc *m = NULL;
        hm_host *host = NULL;
        hm_error err = {HM_OK, 0, "", ""};
        CHECK_ROW(cases[i].label,
                  hm__wrap_malloc(&given, NULL, NULL, &m, &err) == cases[i].want);
        CHECK_ROW(cases[i].label, strstr(err.what, cases[i].what));
        CHECK_ROW(cases[i].label,
                  hm__wrap_host(&given, "x", &host, &err) == cases[i].want);
        CHECK_ROW(cases[i].label, (m != NULL) == (cases[i].want == HM_OK));
        CHECK_ROW(cases[i].label, (host != NULL) == (cases[i].want == HM_OK));
        hm_malloc_release(m);
        hm_host_release(host);
    }
    hm_malloc *m = (hm_malloc *)(uintptr_t)&good;
    hm_host *host = (hm_host *)(uintptr_t)&good;
    assert_int_equal(hm__wrap_malloc(NULL, NULL, NULL, &m, NULL), HM_E_INVALID);
    assert_null(m);
    assert_int_equal(hm__wrap_host(NULL, "x", &host, NULL), HM_E_INVALID);
    assert_null(host);
    assert_int_equal(hm__wrap_host(&good, "x", NULL, NULL), HM_E_INVALID);
}

static void wrap__blocks_of_all_sizes(void **state)
{
    static const struct {
        const char *label;
        size_t size;
        int want;
    } cases[] = {{"none", 0, 1},
                 {"none again", 0, 1},
                 {"one", 1, 1},
                 {"fifteen", 15, 1},
                 {"sixteen", 16, 1},
                 {"hundred", 100, 1},
                 {"large", 1000000, 1},
                 {"half", SIZE_MAX / 2, 0},
                 {"wraps with its header", SIZE_MAX - 40, 0},
                 {"all", SIZE_MAX, 0}};
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, 0, 0);
    unsigned char *blocks[COUNT(cases)];
    for (size_t i = 0; i < COUNT(cases); i++) {
        blocks[i] = hm_alloc(m, cases[i].size);
        CHECK_ROW(cases[i].label, (blocks[i] != NULL) == cases[i].want);
        if (blocks[i]) {
            memset(blocks[i], (int)i, cases[i].size);
            CHECK_ROW(cases[i].label, (uintptr_t)blocks[i] % 16 == 0);
            CHECK_ROW(cases[i].label, hm_size_of(m, blocks[i]) >= cases[i].size);
            CHECK_ROW(cases[i].label, hm_size_of(m, blocks[i]) > 0);
            CHECK_ROW(cases[i].label, hm_good_size(m, cases[i].size) == cases[i].size);
        }
    }
    assert_ptr_not_equal(blocks[0], blocks[1]);
    assert_int_equal(hm_size_of(m, NULL), 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t k = 0; blocks[i] && k < cases[i].size; k++) {
            assert_int_equal(blocks[i][k], i);
        }
        assert_int_equal(hm_free(m, blocks[i]), HM_OK);
    }
    hm_malloc_trim(m);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

static void wrap__alignments(void **state)
{
    static const struct {
        const char *label;
        size_t alignment;
        int want;
    } cases[] = {{"none", 0, 0},
                 {"one", 1, 1},
                 {"two", 2, 1},
                 {"three", 3, 0},
                 {"eight", 8, 1},
                 {"sixteen", 16, 1},
                 {"twenty-four", 24, 0},
                 {"thirty-two", 32, 1},
                 {"page", 4096, 1},
                 {"megabyte", (size_t)1 << 20, 1},
                 {"beyond", (size_t)1 << 40, 0},
                 {"top bit", (size_t)1 << 63, 0},
                 {"all", SIZE_MAX, 0}};
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, HM_MALLOC_EXACT, 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t size = 0; size < 200; size += 99) {
            unsigned char *block = hm_alloc_aligned(m, size, cases[i].alignment);
            CHECK_ROW(cases[i].label, (block != NULL) == cases[i].want);
            CHECK_ROW(cases[i].label,
                      !block || (uintptr_t)block % cases[i].alignment == 0);
            CHECK_ROW(cases[i].label, !block || (uintptr_t)block % 16 == 0);
            if (block) {
                memset(block, 1, hm_size_of(m, block));
            }
            CHECK_ROW(cases[i].label, hm_free(m, block) == HM_OK);
        }
    }
    assert_int_equal(stats_of(m).failed, 6 * 3);
    assert_int_equal(stats_of(m).denied, 0);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

static void wrap__zeroed_is_zero_and_checked(void **state)
{
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, 0, 0);
    unsigned char *block = hm_alloc_zeroed(m, 30, 7);
    for (size_t i = 0; i < 210; i++) {
        assert_int_equal(block[i], 0);
    }
    hm_free(m, block);
    hm_free(m, hm_alloc_zeroed(m, 0, 8));
    hm_free(m, hm_alloc_zeroed(m, 8, 0));
    assert_null(hm_alloc_zeroed(m, SIZE_MAX / 2 + 1, 2));
    assert_null(hm_alloc_zeroed(m, SIZE_MAX, SIZE_MAX));
    assert_int_equal(stats_of(m).failed, 2);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

static void wrap__realloc_keeps_what_fits(void **state)
{
    static const struct {
        const char *label;
        size_t first, second;
        int refusing; /* the allocator */
        int want;     /* 1 a block, 0 NULL */
    } cases[] = {{"grow", 10, 1000, 0, 1},
                 {"grow from nothing", 0, 1000, 0, 1},
                 {"shrink a little", 1000, 900, 0, 1},
                 {"shrink a lot", 100000, 10, 0, 1},
                 {"shrink to nothing", 1000, 0, 0, 1},
                 {"same", 500, 500, 0, 1},
                 {"grow, refused", 10, 1000, 1, 0},
                 {"shrink, refused", 100000, 10, 1, 1},
                 {"shrink to nothing, refused", 1000, 0, 1, 1},
                 {"impossible", 10, SIZE_MAX, 0, 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pool p = pool_make(0);
        hm_malloc *m = pool_malloc(&p, HM_MALLOC_EXACT, 0);
        unsigned char *old = hm_alloc(m, cases[i].first);
        for (size_t k = 0; k < cases[i].first; k++) {
            old[k] = (unsigned char)(k * 7);
        }
        p.fail_from = cases[i].refusing ? 1 : 0;
        unsigned char *block = hm_realloc(m, old, cases[i].second);
        CHECK_ROW(cases[i].label, (block != NULL) == cases[i].want);
        const size_t size = block ? cases[i].second : cases[i].first;
        unsigned char *now = block ? block : old;
        for (size_t k = 0; k < size && k < cases[i].first; k++) {
            CHECK_ROW(cases[i].label, now[k] == (unsigned char)(k * 7));
        }
        hm_block report;
        CHECK_ROW(cases[i].label, hm_describe(m, now, &report) == HM_OK);
        CHECK_ROW(cases[i].label, report.requested == size);
        const hm_stats stats = stats_of(m);
        CHECK_ROW(cases[i].label, stats.live_blocks == 1 && stats.live_bytes == size);
        CHECK_ROW(cases[i].label, stats.failed == (cases[i].want ? 0 : 1));
        CHECK_ROW(cases[i].label, stats.total_blocks == (block ? 2 : 1));
        CHECK_ROW(cases[i].label, p.live == 1);
        CHECK_ROW(cases[i].label, hm_free_sized(m, now, size) == HM_OK);
        hm_malloc_release(m);
        pool_check_empty(&p);
    }
}

static void wrap__a_shrunk_block_gives_memory_back(void **state)
{
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, 0, 0);
    void *block = hm_realloc(m, NULL, 1000000);
    block = hm_realloc(m, block, 100);
    assert_in_range(p.bytes, 100, 1000);
    const size_t usable = hm_size_of(m, block);
    void *same = hm_realloc(m, block, 60);
    assert_ptr_equal(same, block);
    assert_int_equal(hm_size_of(m, block), usable);
    assert_ptr_equal(hm_realloc(m, block, 100), block);
    hm_free(m, block);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

static void wrap__limit_is_byte_exact(void **state)
{
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, 0, 1000);
    void *a = hm_alloc(m, 600);
    void *b = hm_alloc(m, 400);
    assert_non_null(b);
    assert_null(hm_alloc(m, 1));
    void *none = hm_alloc(m, 0);
    assert_non_null(none);
    assert_null(hm_alloc(m, SIZE_MAX));
    assert_int_equal(stats_of(m).denied, 2);
    assert_int_equal(stats_of(m).failed, 2);
    assert_null(hm_realloc(m, a, 601));
    a = hm_realloc(m, a, 500);
    assert_int_equal(stats_of(m).live_bytes, 900);
    a = hm_realloc(m, a, 600); /* what counts is the result, not old and new together */
    assert_non_null(a);
    assert_null(hm_alloc(m, 1));
    hm_free(m, b);
    b = hm_alloc(m, 401);
    assert_null(b);
    b = hm_alloc_aligned(m, 400, 4096);
    assert_non_null(b);
    assert_null(hm_alloc_zeroed(m, 1, 1));
    const hm_request request = {.size = sizeof(request),
                                .block = b,
                                .old_bytes = 400,
                                .bytes = 400,
                                .alignment = 8192};
    void *moved = NULL;
    assert_int_equal(hm_malloc_request(m, &request, &moved), HM_OK);
    hm_free(m, moved);
    hm_free(m, a);
    hm_free(m, none);
    assert_int_equal(stats_of(m).peak_bytes, 1000);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

/* The allocator fails after the limit has let the request through: nothing stays set aside. */
static void wrap__a_failed_allocation_takes_nothing_from_the_limit(void **state)
{
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, 0, 1000);
    void *block = hm_alloc(m, 400);
    p.fail_from = 1;
    assert_null(hm_alloc(m, 600));
    assert_null(hm_realloc(m, block, 900));
    p.fail_from = 0;
    hm_stats stats = stats_of(m);
    assert_int_equal(stats.denied, 0);
    assert_int_equal(stats.failed, 2);
    assert_int_equal(stats.live_bytes, 400);
    assert_int_equal(stats.peak_bytes, 400);
    void *rest = hm_alloc(m, 600);
    assert_non_null(rest);
    hm_free(m, rest);
    hm_free(m, block);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

static void wrap__requests(void **state)
{
    static const struct {
        const char *label;
        size_t old_bytes, bytes, alignment;
        uint32_t flags;
        hm_status want;
    } cases[] = {{"allocate", 0, 100, 0, 0, HM_OK},
                 {"zeroed", 0, 100, 0, HM_REQUEST_ZEROED, HM_OK},
                 {"aligned, zeroed", 0, 100, 1024, HM_REQUEST_ZEROED, HM_OK},
                 {"grow", 50, 1000, 0, 0, HM_OK},
                 {"grow zeroed", 50, 1000, 0, HM_REQUEST_ZEROED, HM_OK},
                 {"grow by one, zeroed", 50, 51, 0, HM_REQUEST_ZEROED, HM_OK},
                 {"grow aligned, zeroed", 50, 1000, 1024, HM_REQUEST_ZEROED, HM_OK},
                 {"shrink, more aligned", 1000, 50, 1024, HM_REQUEST_ZEROED, HM_OK},
                 {"too large", 0, SIZE_MAX, 0, 0, HM_E_NOMEM},
                 {"grow too large", 50, SIZE_MAX, 0, 0, HM_E_NOMEM},
                 {"bad alignment", 0, 100, 24, 0, HM_E_INVALID},
                 {"bad alignment, realloc", 50, 100, 24, 0, HM_E_INVALID},
                 {"unknown flag", 0, 100, 0, 0x80, HM_E_INVALID}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pool p = pool_make(0);
        hm_malloc *m = pool_malloc(&p, 0, 0);
        unsigned char *old = cases[i].old_bytes ? hm_alloc(m, cases[i].old_bytes) : NULL;
        for (size_t k = 0; k < cases[i].old_bytes; k++) {
            old[k] = (unsigned char)(k + 1);
        }
        const hm_request request = {.size = sizeof(request),
                                    .block = old,
                                    .old_bytes = HM_SIZE_UNKNOWN,
                                    .bytes = cases[i].bytes,
                                    .alignment = cases[i].alignment,
                                    .flags = cases[i].flags,
                                    .tag = 77,
                                    .scope = 78};
        void *out = &p;
        CHECK_ROW(cases[i].label, hm_malloc_request(m, &request, &out) == cases[i].want);
        CHECK_ROW(cases[i].label, (out != NULL) == (cases[i].want == HM_OK));
        const unsigned char *now = out;
        for (size_t k = 0; out && k < cases[i].bytes; k++) {
            const int known = k < cases[i].old_bytes;
            const unsigned char fresh = cases[i].flags ? 0 : 0xa5;
            CHECK_ROW(cases[i].label, now[k] == (known ? (unsigned char)(k + 1) : fresh));
        }
        CHECK_ROW(cases[i].label, !out || !cases[i].alignment ||
                                      (uintptr_t)out % cases[i].alignment == 0);
        hm_free(m, out ? out : old);
        CHECK_ROW(cases[i].label,
                  hm_malloc_request(m, NULL, &out) == HM_E_INVALID && !out);
        CHECK_ROW(cases[i].label, hm_malloc_request(m, &request, NULL) == HM_E_INVALID);
        hm_malloc_release(m);
        pool_check_empty(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrap__flags_are_granted_or_refused),
        cmocka_unit_test(wrap__allocators_are_judged),
        cmocka_unit_test(wrap__blocks_of_all_sizes),
        cmocka_unit_test(wrap__alignments),
        cmocka_unit_test(wrap__zeroed_is_zero_and_checked),
        cmocka_unit_test(wrap__realloc_keeps_what_fits),
        cmocka_unit_test(wrap__a_shrunk_block_gives_memory_back),
        cmocka_unit_test(wrap__limit_is_byte_exact),
        cmocka_unit_test(wrap__a_failed_allocation_takes_nothing_from_the_limit),
        cmocka_unit_test(wrap__requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
