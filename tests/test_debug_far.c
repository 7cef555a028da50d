/* SPDX-License-Identifier: MIT */
/* Writes that jump over the guard. What they meet next is another block's header, which is missed at the next check or free, and the
 * block before it is named; between the two lies what the inner host rounded up by, which nobody looks at. */
#include "debug_fixture.h"

#define BLOCKS 64u
#define HEADER 16u
#define GUARD  8u

typedef struct far_case {
    const char *label;
    int from; /* first byte written, from the victim's start */
    unsigned count;
} far_case;

static const far_case cases[] = {{"the first bytes of the header", -16, 8},
                                 {"its first byte", -16, 1},
                                 {"the whole header", -16, 16},
                                 {"through it into the block", -16, 17},
                                 {"the fields behind the size", -12, 8}};

static const size_t sizes[] = {1, 8, 16, 24, 40, 41, 100, 200, 500, 1000};
static const char *const modes[] = {"checked", "full"};

static debug_fixture f;
static char *blocks[BLOCKS]; /* by address */

static int by_address(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void open_row(const char *mode, size_t size)
{
    char spec[80];
    snprintf(spec, sizeof(spec), ",mode=%s,leaks=no+arena", mode);
    fixture_open(&f, spec, 0);
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = hm_debug_alloc(f.m, size, 0, "far.c", 7);
        assert_non_null(blocks[i]);
        memset(blocks[i], 'a', size);
    }
    qsort(blocks, BLOCKS, sizeof(blocks[0]), by_address);
}

/* A block with no other between it and the one before; at least so many bytes after the first. */
static unsigned close_pair(size_t size, size_t away)
{
    for (unsigned i = 1; i < BLOCKS; i++) {
        if ((size_t)(blocks[i] - blocks[i - 1]) < size + 128 &&
            (size_t)(blocks[i] - blocks[0]) > size + away + HEADER) {
            return i;
        }
    }
    fail_msg("no two blocks of %zu bytes are neighbours", size);
    return 0;
}

static void expect_named(const far_case *c, unsigned victim, size_t size)
{
    char block[64], before[96];
    snprintf(block, sizeof(block), "  block        %p,", (void *)blocks[victim]);
    snprintf(before, sizeof(before), "  block before %p, %zu byte%s, #",
             (void *)blocks[victim - 1], size, size == 1 ? "" : "s");
    const char *report = fixture_report(&f);
    const char *at = strstr(report, "header of a block overwritten (HM_E_CORRUPT)");
    const char *named = at ? strstr(at, block) : NULL;
    const char *culprit = named ? strstr(named, before) : NULL;
    if (!culprit || !strstr(culprit, "  allocated    far.c:7")) {
        fail_msg("%s of %zu bytes: %s", c->label, size, report);
    }
}

static void run(const far_case *c, const char *mode, size_t size, size_t away, int asked)
{
    uint64_t found = 0;
    open_row(mode, size);
    const unsigned victim = close_pair(size, away);
    memset(blocks[victim] + c->from, 'z', c->count);
    if (asked) {
        assert_int_equal(hm_debug_check(hm_debug_of_malloc(f.m), &found), HM_E_CORRUPT);
        assert_int_equal(found, 1);
        expect_named(c, victim, size);
    }
    assert_int_equal(hm_free(f.m, blocks[victim]), HM_E_CORRUPT);
    expect_named(c, victim, size);
    assert_int_equal(hm_free(f.m, blocks[victim - 1]), HM_OK);
    fixture_close(&f);
}

static void far__names_the_victim_and_the_block_before(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases) * COUNT(sizes) * COUNT(modes) * 2; i++) {
        const far_case *c = &cases[i % COUNT(cases)];
        const size_t size = sizes[i / COUNT(cases) % COUNT(sizes)];
        const size_t rest = i / COUNT(cases) / COUNT(sizes);
        run(c, modes[rest % 2], size, 0, rest < 2);
    }
}

/* The header it lands in is of a block far behind; the one named is the last before that. */
static void far__of_seven_hundred_bytes_too(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes) * COUNT(modes); i++) {
        run(&cases[2], modes[i % 2], sizes[i / 2], 700, 1);
    }
}

/* As the folder's README says: what changes here is nobody's block. */
static void far__between_guard_and_header_is_not_seen(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes) * COUNT(modes); i++) {
        const size_t size = sizes[i / 2];
        uint64_t found = 7;
        open_row(modes[i % 2], size);
        const unsigned victim = close_pair(size, 0);
        char *from = blocks[victim - 1] + size + GUARD;
        assert_true(from <= blocks[victim] - HEADER);
        memset(from, 'z', (size_t)(blocks[victim] - HEADER - from));
        assert_int_equal(hm_debug_check(hm_debug_of_malloc(f.m), &found), HM_OK);
        assert_int_equal(found, 0);
        assert_int_equal(hm_free(f.m, blocks[victim]), HM_OK);
        assert_int_equal(hm_free(f.m, blocks[victim - 1]), HM_OK);
        fixture_close(&f);
    }
}

/* The nearest byte behind that is looked at is the guard's last. */
static void far__the_last_byte_of_the_guard_is_seen(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes) * COUNT(modes); i++) {
        const size_t size = sizes[i / 2];
        open_row(modes[i % 2], size);
        blocks[3][size + GUARD - 1] ^= 1;
        assert_int_equal(hm_free(f.m, blocks[3]), HM_E_CORRUPT);
        assert_non_null(strstr(fixture_report(&f), "write past the end of a block"));
        fixture_close(&f);
    }
}

/* A block that is gone leaves its mark where it started. A newer one beside it, with its header there, is what counts. */
static void far__a_newer_header_hides_what_is_gone(void **state)
{
    (void)state;
    fixture_open(&f, "+arena", HM_MALLOC_SCOPED);
    char *gone = hm_alloc(f.m, 8);
    assert_int_equal(hm_malloc_reset(f.m), HM_OK);
    assert_int_equal(hm_free(f.m, gone), HM_E_FREED);
    char *newer = hm_alloc_aligned(f.m, 8, 32);
    assert_ptr_equal(newer, gone + 16);
    assert_int_equal(hm_free(f.m, gone), HM_E_NOT_OWNED);
    assert_int_equal(hm_free(f.m, newer), HM_OK);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(far__names_the_victim_and_the_block_before),
        cmocka_unit_test(far__of_seven_hundred_bytes_too),
        cmocka_unit_test(far__between_guard_and_header_is_not_seen),
        cmocka_unit_test(far__the_last_byte_of_the_guard_is_seen),
        cmocka_unit_test(far__a_newer_header_hides_what_is_gone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
