/* SPDX-License-Identifier: MIT */
/* What the wrapping malloc knows of its blocks. */
#include "pool.h"

static int count_blocks(void *context, const hm_block *block)
{
    size_t *bytes = context;
    assert_int_equal(block->size, sizeof(*block));
    assert_int_equal(block->state, HM_BLOCK_LIVE);
    bytes[0] += block->requested;
    bytes[1]++;
    return bytes[1] == bytes[2];
}

static void wrap__blocks_are_described_and_walked(void **state)
{
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, HM_MALLOC_EXACT, 0);
    assert_non_null(hm_alloc(m, 10));
    const uint32_t line = __LINE__ + 1;
    void *second = hm_alloc(m, 20);
    void *third = hm_debug_alloc(m, 30, HM_LEVEL_TASK, "a.c", 42);
    void *fourth = hm_debug_alloc(m, 40, HM_LEVEL_TASK, NULL, 42);
    hm_block block;
    assert_int_equal(hm_describe(m, second, &block), HM_OK);
    assert_ptr_equal(block.address, second);
    assert_int_equal(block.requested, 20);
    assert_int_equal(block.usable, hm_size_of(m, second));
    assert_int_equal(block.serial, 2);
    assert_int_not_equal(block.thread, 0);
    assert_int_equal(block.state, HM_BLOCK_LIVE);
    assert_int_equal(block.site->line, line);
    assert_int_equal(hm_describe(m, third, &block), HM_OK);
    assert_string_equal(block.site->file, "a.c");
    assert_int_equal(block.site->line, 42);
    assert_int_equal(hm_describe(m, fourth, &block), HM_OK);
    assert_null(block.site);

    size_t seen[3] = {0, 0, 0}; /* bytes, blocks, where to stop */
    assert_int_equal(hm_walk(m, count_blocks, seen), HM_OK);
    assert_int_equal(seen[0], 100);
    assert_int_equal(seen[1], 4);
    size_t two[3] = {0, 0, 2};
    assert_int_equal(hm_walk(m, count_blocks, two), HM_OK);
    assert_int_equal(two[1], 2);
    assert_int_equal(hm_walk(m, NULL, NULL), HM_E_INVALID);

    hm_malloc_reset(m);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

/* Callers of older releases have shorter structs, those of newer ones longer. */
static void wrap__no_further_is_filled_than_both_know(void **state)
{
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, HM_MALLOC_EXACT, 0);
    void *block = hm_alloc(m, 10);
    union {
        hm_block block;
        hm_stats stats;
        unsigned char bytes[sizeof(hm_block) + sizeof(hm_stats)];
    } got, whole;
    for (size_t size = 0; size < sizeof(got); size++) {
        const int enough = size >= sizeof(size_t);
        for (int stats = 0; stats < 2; stats++) {
            const size_t known = stats ? sizeof(hm_stats) : sizeof(hm_block);
            whole.stats.size = known;
            assert_int_equal(stats ? m->vtbl->stats(m, &whole.stats)
                                   : m->vtbl->describe(m, block, &whole.block),
                             HM_OK);
            memset(got.bytes, 0x77, sizeof(got));
            got.stats.size = size;
            assert_int_equal(stats ? m->vtbl->stats(m, &got.stats)
                                   : m->vtbl->describe(m, block, &got.block),
                             enough ? HM_OK : HM_E_INVALID);
            assert_int_equal(got.stats.size, size);
            for (size_t i = sizeof(size_t); i < sizeof(got); i++) {
                const int filled = enough && i < size && i < known;
                assert_int_equal(got.bytes[i], filled ? whole.bytes[i] : 0x77);
            }
        }
    }
    assert_int_equal(m->vtbl->stats(m, NULL), HM_E_INVALID);
    assert_int_equal(m->vtbl->describe(m, block, NULL), HM_E_INVALID);
    hm_free(m, block);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

static void wrap__realloc_without_a_site_keeps_the_birth_site(void **state)
{
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, HM_MALLOC_EXACT, 0);
    void *block = hm_debug_alloc(m, 10, HM_LEVEL_TASK, "born.c", 1);
    static const size_t sizes[] = {8, 5000, 100}; /* in place, moved, moved back */
    hm_block report;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        block = hm_realloc_at(m, block, HM_SIZE_UNKNOWN, sizes[i], HM_LEVEL_TASK, NULL);
        assert_int_equal(hm_describe(m, block, &report), HM_OK);
        assert_string_equal(report.site->file, "born.c");
        assert_int_equal(report.serial, i + 2);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        hm_site *site = hm_site_intern("again.c", NULL, (uint32_t)i);
        block = hm_realloc_at(m, block, HM_SIZE_UNKNOWN, sizes[i], HM_LEVEL_TASK, site);
        assert_int_equal(hm_describe(m, block, &report), HM_OK);
        assert_string_equal(report.site->file, "again.c");
        assert_int_equal(report.site->line, i);
    }
    hm_free(m, block);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

static void wrap__stats_are_exact_and_reset_frees_all(void **state)
{
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, 0, 0);
    void *block = NULL;
    for (size_t i = 0; i < 10; i++) {
        block = hm_alloc(m, 100);
    }
    hm_free(m, block);
    hm_stats stats = stats_of(m);
    assert_int_equal(stats.size, sizeof(stats));
    assert_int_equal(stats.live_blocks, 9);
    assert_int_equal(stats.live_bytes, 900);
    assert_int_equal(stats.peak_bytes, 1000);
    assert_int_equal(stats.total_blocks, 10);
    assert_int_equal(stats.total_bytes, 1000);
    assert_int_equal(stats.overhead_bytes, p.bytes - 900);
    assert_int_equal(hm_malloc_reset(m), HM_OK);
    pool_check_empty(&p);
    stats = stats_of(m);
    assert_int_equal(stats.live_blocks, 0);
    assert_int_equal(stats.live_bytes, 0);
    assert_int_equal(stats.overhead_bytes, 0);
    assert_int_equal(stats.total_blocks, 10);
    block = hm_alloc(m, 5);
    assert_non_null(block);
    hm_free(m, block);
    assert_int_equal(hm_malloc_reset(m), HM_OK);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrap__blocks_are_described_and_walked),
        cmocka_unit_test(wrap__no_further_is_filled_than_both_know),
        cmocka_unit_test(wrap__realloc_without_a_site_keeps_the_birth_site),
        cmocka_unit_test(wrap__stats_are_exact_and_reset_frees_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
