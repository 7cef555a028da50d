/* SPDX-License-Identifier: MIT */
/* The debug host where nothing is wrong, where nothing can be had, and what it does not open with. */
#include "debug_fixture.h"

static void debug__silent_when_nothing_is_wrong(void **state)
{
    static const char *const specs[] = {"", ",fill=none", ",fill=all", ",quarantine=0",
                                        ",quarantine=5000"};
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        for (uint32_t flags = 0; flags <= HM_MALLOC_THREADSAFE; flags++) {
            debug_fixture f;
            fixture_open(&f, specs[i], flags);
            void *blocks[256] = {NULL};
            for (size_t k = 0; k < 20000; k++) {
                const size_t slot = k * 7919 % COUNT(blocks);
                CHECK_ROW(specs[i], hm_free(f.m, blocks[slot]) == HM_OK);
                const size_t size = k * k % (k % 50 ? 300 : 200000);
                blocks[slot] =
                    k % 3 ? hm_alloc(f.m, size) : hm_alloc_zeroed(f.m, 1, size);
                CHECK_ROW(specs[i], blocks[slot] != NULL);
                memset(blocks[slot], (int)k, size);
                blocks[slot] =
                    k % 5 ? blocks[slot] : hm_realloc(f.m, blocks[slot], (size + 20) * 2);
            }
            CHECK_ROW(specs[i], hm_debug_check(hm_debug_of_host(f.host), NULL) == HM_OK);
            for (size_t k = 0; k < COUNT(blocks); k++) {
                CHECK_ROW(specs[i], hm_free(f.m, blocks[k]) == HM_OK);
            }
            CHECK_ROW(specs[i], fixture_findings(&f) == 0);
            fixture_close(&f);
            assert_string_equal(f.text, "");
        }
    }
}

static void debug__free_of_null_is_nothing(void **state)
{
    debug_fixture f;
    (void)state;
    fixture_open(&f, "", 0);
    assert_int_equal(hm_free(f.m, NULL), HM_OK);
    assert_int_equal(hm_free_sized(f.m, NULL, 10), HM_OK);
    (f.m->vtbl->free)(f.m, NULL);
    f.m->vtbl->free_sized(f.m, NULL, 10);
    assert_int_equal(f.m->vtbl->debug_free(f.m, NULL, 10, 24, NULL), HM_OK);
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

/* The plain slots see the same; the verdict goes to the report alone. */
static void debug__plain_slots_report_too(void **state)
{
    debug_fixture f;
    (void)state;
    fixture_open(&f, "", 0);
    void *block = (f.m->vtbl->alloc)(f.m, 41, HM_LEVEL_TASK);
    f.m->vtbl->free_sized(f.m, block, 40);
    (f.m->vtbl->free)(f.m, block);
    (f.m->vtbl->free)(f.m, block);
    assert_int_equal(fixture_findings(&f), 2);
    fixture_close(&f);
    assert_non_null(strstr(f.text, "freed again  (unknown), thread 1"));
}

static void debug__impossible_requests(void **state)
{
    debug_fixture f;
    (void)state;
    fixture_open(&f, "", 0);
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 39, SIZE_MAX / 2,
                                   (size_t)1 << 62};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_null(hm_alloc(f.m, sizes[i]));
        assert_null(hm_alloc_aligned(f.m, sizes[i], 64));
        assert_null(hm_alloc_zeroed(f.m, 1, sizes[i]));
        void *block = hm_alloc(f.m, 10);
        assert_null(hm_realloc(f.m, block, sizes[i]));
        assert_int_equal(hm_free_sized(f.m, block, 10), HM_OK);
    }
    assert_null(hm_alloc_zeroed(f.m, SIZE_MAX / 2, 3));
    /* Sizes there is no room for are no mistakes; alignments there are none of are. */
    assert_int_equal(fixture_findings(&f), 0);
    static const size_t alignments[] = {(size_t)1 << 50, (size_t)1 << 31, 0, 3, 24,
                                        SIZE_MAX};
    for (size_t i = 0; i < COUNT(alignments); i++) {
        assert_null(hm_alloc_aligned(f.m, 10, alignments[i]));
    }
    assert_int_equal(fixture_stats(f.m).failed, 4 * COUNT(sizes) + 1 + COUNT(alignments));
    hm_request asked = {.size = sizeof(asked), .bytes = 10, .alignment = (size_t)1 << 40};
    void *block = &asked;
    assert_int_equal(hm_malloc_request(f.m, &asked, &block), HM_E_INVALID);
    assert_null(block);
    assert_int_equal(fixture_findings(&f), COUNT(alignments) + 1);
    fixture_close(&f);
    assert_non_null(
        strstr(f.text, "allocation with an alignment above 1 GiB (HM_E_INVALID)"));
    assert_non_null(strstr(f.text, "said to be   aligned to 1125899906842624"));
    assert_non_null(strstr(f.text, "said to be   aligned to 0"));
    assert_non_null(strstr(
        f.text,
        "3 more like ERROR #2 allocation with an alignment that is no power of two"));
}

static void debug__alignments(void **state)
{
    debug_fixture f;
    (void)state;
    fixture_open(&f, "", 0);
    for (size_t alignment = 1; alignment <= 1u << 20; alignment *= 2) {
        char *block = hm_alloc_aligned(f.m, 100, alignment);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % (alignment < 16 ? 16 : alignment), 0);
        assert_int_equal(hm_size_of(f.m, block), 100);
        memset(block, 1, 100);
        block = hm_realloc(f.m, block, 1000);
        assert_int_equal(block[99], 1);
        assert_int_equal(hm_free_sized(f.m, block, 1000), HM_OK);
    }
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

static void debug__no_debug_inside_debug(void **state)
{
    hm_host *host;
    hm_error err = {0};
    (void)state;
    assert_int_equal(hm_host_open("debug+debug", &host, &err), HM_E_INVALID);
    assert_null(host);
    assert_non_null(strstr(err.what, "debug host inside already"));
    assert_int_equal(hm_host_open("debug:report=/no/such/folder/x", &host, &err),
                     HM_E_OS);
    assert_non_null(strstr(err.what, "/no/such/folder/x"));
    assert_int_equal(hm_host_open("debug:quarantine=40000", &host, &err), HM_E_INVALID);
}

static void debug__report_path_names_the_process(void **state)
{
    hm_host *host;
    hm_malloc *m;
    char path[64];
    (void)state;
    assert_int_equal(hm_host_open("debug:report=/tmp/hm-%p-x.%p", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, NULL, 0, &m, NULL), HM_OK);
    hm_alloc(m, 10);
    hm_malloc_release(m);
    hm_host_release(host);
    snprintf(path, sizeof(path), "/tmp/hm-%ld-x.%ld", (long)getpid(), (long)getpid());
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    fclose(file);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debug__silent_when_nothing_is_wrong),
        cmocka_unit_test(debug__free_of_null_is_nothing),
        cmocka_unit_test(debug__plain_slots_report_too),
        cmocka_unit_test(debug__impossible_requests),
        cmocka_unit_test(debug__alignments),
        cmocka_unit_test(debug__no_debug_inside_debug),
        cmocka_unit_test(debug__report_path_names_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
