/* SPDX-License-Identifier: MIT */
/* What a counting malloc counts. */
#include "kit.h"

/* An object with a limit counts; others may. */
static hm_stats stats_of(kit *k)
{
    hm_stats now;
    const hm_status status = hm_malloc_stats(k->m, &now);
    if (status == HM_E_UNSUPPORTED && !k->kind->limit) {
        kit_pass_over(k, "counts nothing: stats answers HM_E_UNSUPPORTED");
    }
    KIT_EXPECT(k, status == HM_OK,
               k->kind->limit ? "HM_OK: an object with a limit counts" : "HM_OK", "%s",
               hm_status_name(status));
    return now;
}

static void expect_live(kit *k, uint64_t blocks, uint64_t bytes, const char *when)
{
    const hm_stats now = stats_of(k);
    KIT_EXPECT(k, now.live_blocks == blocks && now.live_bytes == bytes,
               "live blocks and requested bytes as they are",
               "%llu blocks, %llu bytes where there are %llu, %llu %s",
               (unsigned long long)now.live_blocks, (unsigned long long)now.live_bytes,
               (unsigned long long)blocks, (unsigned long long)bytes, when);
}

static void counts_live(kit *k)
{
    stats_of(k);
    expect_live(k, 0, 0, "at first");
    void *a = kit_alloc(k, k->m, 100);
    void *b = kit_alloc(k, k->m, 1000);
    expect_live(k, 2, 1100, "after two allocations");
    void *c = hm_alloc_aligned(k->m, 50, 256);
    void *d = hm_alloc_zeroed(k->m, 5, 10);
    expect_live(k, 4, 1200, "with an aligned and a zeroed one");
    kit_free(k, k->m, c);
    kit_free(k, k->m, d);
    a = hm_realloc(k->m, a, 300);
    expect_live(k, 2, 1300, "after a realloc");
    a = hm_realloc(k->m, a, 30);
    expect_live(k, 2, 1030, "after a shrink");
    hm_free_sized(k->m, b, 1000);
    expect_live(k, 1, 30, "after a free by size");
    kit_free(k, k->m, a);
    expect_live(k, 0, 0, "after all were freed");
}

static void counts_totals(kit *k)
{
    stats_of(k);
    void *a = kit_alloc(k, k->m, 700);
    void *b = kit_alloc(k, k->m, 300);
    kit_free(k, k->m, a);
    kit_free(k, k->m, b);
    kit_free(k, k->m, kit_alloc(k, k->m, 10));
    const hm_stats now = stats_of(k);
    KIT_EXPECT(k, now.peak_bytes == 1000, "the most bytes that were live at once",
               "%llu of 1000", (unsigned long long)now.peak_bytes);
    KIT_EXPECT(k, now.total_blocks == 3 && now.total_bytes == 1010,
               "all blocks and bytes that ever were",
               "%llu blocks, %llu bytes of 3, 1010", (unsigned long long)now.total_blocks,
               (unsigned long long)now.total_bytes);
}

static void null_counts_nowhere(kit *k)
{
    void *block = kit_alloc(k, k->m, 100);
    const hm_stats before = stats_of(k);
    for (int i = 0; i < 3; i++) {
        (k->m->vtbl->free)(k->m, NULL);
        k->m->vtbl->free_sized(k->m, NULL, 8);
        k->m->vtbl->debug_free(k->m, NULL, HM_SIZE_UNKNOWN, 0, NULL);
    }
    const hm_stats after = stats_of(k);
    KIT_EXPECT(
        k, memcmp(&before, &after, sizeof before) == 0, "freeing NULL counted nowhere",
        "other figures: %llu live blocks after %llu",
        (unsigned long long)after.live_blocks, (unsigned long long)before.live_blocks);
    kit_free(k, k->m, block);
}

static void counts_failures(kit *k)
{
    const hm_stats before = stats_of(k);
    if (hm_alloc(k->m, SIZE_MAX / 2) || hm_alloc_aligned(k->m, SIZE_MAX / 2, 4096)) {
        kit_pass_over(k, "half the address space was to be had");
    }
    const hm_stats after = stats_of(k);
    KIT_EXPECT(k, after.failed >= before.failed + 2, "refusals counted as failed",
               "%llu of 2", (unsigned long long)(after.failed - before.failed));
    KIT_EXPECT(
        k,
        after.live_blocks == before.live_blocks && after.live_bytes == before.live_bytes,
        "live figures as before a refusal", "%llu blocks, %llu bytes",
        (unsigned long long)after.live_blocks, (unsigned long long)after.live_bytes);
}

static void respects_the_struct(kit *k)
{
    struct {
        hm_stats stats;
        unsigned char beyond[24];
    } seen;
    static const size_t sizes[] = {offsetof(hm_stats, peak_bytes), sizeof(hm_stats),
                                   sizeof seen};
    stats_of(k);
    for (size_t i = 0; i < KIT_COUNT(sizes); i++) {
        const size_t reach = sizes[i] < sizeof(hm_stats) ? sizes[i] : sizeof(hm_stats);
        memset(&seen, 0x77, sizeof seen);
        seen.stats.size = sizes[i];
        k->m->vtbl->stats(k->m, &seen.stats);
        for (size_t b = reach; b < sizeof seen; b++) {
            KIT_EXPECT(k, ((unsigned char *)&seen)[b] == 0x77,
                       "a struct filled no further than its size",
                       "byte %zu written with size %zu", b, sizes[i]);
        }
    }
}

static const kit_clause clauses[] = {
    {"malloc.stats.live", "live blocks and bytes, in requested bytes", KIT_MUST,
     KIT_MALLOC, counts_live},
    {"malloc.stats.totals", "peak and totals, in requested bytes", KIT_SHOULD, KIT_MALLOC,
     counts_totals},
    {"malloc.stats.null-uncounted", "freeing NULL is counted nowhere", KIT_MUST,
     KIT_MALLOC, null_counts_nowhere},
    {"malloc.stats.failures", "what answers NULL is counted as failed", KIT_SHOULD,
     KIT_MALLOC, counts_failures},
    {"malloc.stats.struct-size", "hosts fill no further than hm_stats.size", KIT_MUST,
     KIT_MALLOC, respects_the_struct},
};
const kit_group kit_stats = KIT_GROUP(clauses);
