/* SPDX-License-Identifier: MIT */
/* What hm_debug_explain says of addresses in no block: the block before them, and how far that is. */
#include "debug_fixture.h"

#include <fcntl.h>
#include <sys/mman.h>

#define GUARD 8u

static debug_fixture f;

static void expect_start(const char *text, const char *start)
{
    if (strncmp(text, start, strlen(start)) != 0) {
        fail_msg("%s\nis not\n%s", text, start);
    }
}

/* Behind a guard there are at least the 16 bytes of the next block's header. */
static void explain__names_the_block_before(void **state)
{
    static const size_t sizes[] = {1, 41, 100, 5000, (size_t)4 << 20};
    static const size_t beyond[] = {GUARD, GUARD + 1, GUARD + 7};
    char expected[512];
    (void)state;
    fixture_open(&f, ",leaks=no,quarantine=16", 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *block = hm_debug_alloc(f.m, sizes[i], 0, "explain.c", 10 + (uint32_t)i);
        assert_non_null(block);
        snprintf(expected, sizeof(expected), " is %u bytes past the end of a block\n",
                 GUARD - 1);
        assert_non_null(
            strstr(fixture_explained(&f, block + sizes[i] + GUARD - 1, HM_OK), expected));
        for (size_t k = 0; k < sizeof(beyond) / sizeof(beyond[0]); k++) {
            char *address = block + sizes[i] + beyond[k];
            snprintf(expected, sizeof(expected),
                     "==hostmalloc== address %p is in no block that is known, %zu bytes "
                     "past the end of a block\n"
                     "  block before %p, %zu byte%s, #1 of its site, malloc \"rows\"\n"
                     "  allocated    explain.c:%zu, thread ",
                     (void *)address, beyond[k], (void *)block, sizes[i],
                     sizes[i] == 1 ? "" : "s", 10 + i);
            expect_start(fixture_explained(&f, address, HM_E_NOT_FOUND), expected);
        }
        assert_int_equal(hm_debug_free(f.m, block, "explain.c", 30), HM_OK);
        if (sizes[i] < 1000) { /* larger ones are not all held back */
            const char *text =
                fixture_explained(&f, block + sizes[i] + GUARD, HM_E_NOT_FOUND);
            assert_non_null(strstr(text, ", 8 bytes past the end of a freed block\n"));
            assert_non_null(strstr(text, "\n  freed        explain.c:30, thread "));
        }
    }
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

/* Too far away to have anything to do with it. */
static void explain__names_none_that_is_far(void **state)
{
    const size_t bytes = (size_t)8 << 20;
    (void)state;
    fixture_open(&f, ",leaks=no", 0);
    char *empty = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(empty != MAP_FAILED);
    void *block = hm_alloc(f.m, bytes); /* mapped just below, mostly */
    const void *const far[] = {empty + bytes / 2, NULL, (void *)UINTPTR_MAX};
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        const char *text = fixture_explained(&f, far[i], HM_E_NOT_FOUND);
        assert_non_null(strstr(text, " is in no block that is known\n"));
        assert_null(strstr(text, "block before"));
    }
    munmap(empty, bytes);
    assert_int_equal(hm_free(f.m, block), HM_OK);
    fixture_close(&f);
}

static void explain__names_a_block_whose_header_is_lost(void **state)
{
    char expected[256];
    (void)state;
    fixture_open(&f, ",leaks=no,annotate=no", 0);
    char *block = hm_alloc(f.m, 100);
    for (int i = 1; i <= 16; i++) {
        block[-i] = 'z';
    }
    for (int i = 0; i <= 50; i += 50) {
        snprintf(expected, sizeof(expected),
                 "==hostmalloc== address %p is in no block that is known\n"
                 "  block%s %p, size and site are overwritten\n",
                 (void *)(block + i), i ? " before" : "       ", (void *)block);
        assert_string_equal(fixture_explained(&f, block + i, HM_E_NOT_FOUND), expected);
    }
    assert_int_equal(hm_free(f.m, block), HM_E_CORRUPT);
    fixture_close(&f);
}

static void explain__refuses(void **state)
{
    const int full = open("/dev/full", O_WRONLY);
    const int fds[] = {full, -1};
    (void)state;
    fixture_open(&f, ",leaks=no", 0);
    hm_debug *const asked[] = {hm_debug_of_host(f.host), hm_debug_of_malloc(f.m)};
    char *block = hm_alloc(f.m, 100);
    for (size_t i = 0; i < 4; i++) {
        hm_debug *debug = asked[i & 1];
        assert_int_equal(hm_debug_explain(debug, block, fds[i / 2]), HM_E_OS);
        assert_int_equal(hm_debug_explain(debug, block + 100 + GUARD, fds[i / 2]),
                         HM_E_NOT_FOUND);
    }
    assert_int_equal(hm_debug_explain(NULL, block, 2), HM_E_UNSUPPORTED);
    assert_int_equal(hm_free(f.m, block), HM_OK);
    fixture_close(&f);
    close(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(explain__names_the_block_before),
        cmocka_unit_test(explain__names_none_that_is_far),
        cmocka_unit_test(explain__names_a_block_whose_header_is_lost),
        cmocka_unit_test(explain__refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
