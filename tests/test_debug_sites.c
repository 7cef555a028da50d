/* SPDX-License-Identifier: MIT */
/* More sites than headers have numbers for: each is counted while there is room, and what is past that is told. */
#include "debug_fixture.h"

#define SITES ((1u << 20) + 1000)

static hm_site sites[SITES];
static void *blocks[SITES];

static void sites__a_million_and_more(void **state)
{
    debug_fixture f;
    char text[512] = {0};
    (void)state;
    fixture_open(&f, ",leaks=no", 0);
    for (uint32_t i = 0; i < SITES; i++) {
        sites[i] = (hm_site){.file = "rows.c", .line = i + 1};
        blocks[i] = hm_alloc_at(f.m, 8, HM_LEVEL_TASK, &sites[i]);
        assert_non_null(blocks[i]);
        if (i % 2) {
            assert_int_equal(hm_free(f.m, blocks[i]), HM_OK);
        }
    }
    const hm_stats stats = fixture_stats(f.m);
    assert_int_equal(stats.total_blocks, SITES);
    assert_int_equal(stats.live_blocks, SITES / 2);
    FILE *report = tmpfile();
    assert_non_null(report);
    assert_int_equal(hm_debug_report(hm_debug_of_host(f.host), fileno(report)), HM_OK);
    assert_int_equal(fseek(report, -300, SEEK_END), 0);
    assert_true(fread(text, 1, sizeof(text) - 1, report) > 0);
    fclose(report);
    assert_non_null(strstr(text, "(blocks of sites past the last there is room for)\n"));
    assert_non_null(strstr(text, "==hostmalloc== SUMMARY: 0 errors, 524788 blocks and "));
    for (uint32_t i = 0; i < SITES; i += 2) {
        assert_int_equal(hm_free(f.m, blocks[i]), HM_OK);
    }
    assert_int_equal(fixture_findings(&f), 0);
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sites__a_million_and_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
