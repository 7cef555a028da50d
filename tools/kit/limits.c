/* SPDX-License-Identifier: MIT */
/* hm_malloc_opts.limit: requested bytes that may be live, to the byte. */
#include "kit.h"

static void exact(kit *k)
{
    hm_malloc *m = kit_malloc_with(k, k->kind->flags, 1000);
    KIT_EXPECT(k, !hm_alloc(m, 1001), "NULL for more than the limit",
               "1001 bytes of 1000");
    void *a = hm_alloc(m, 600);
    void *b = hm_alloc(m, 400);
    KIT_EXPECT(k, a && b, "the whole limit, in requested bytes",
               "NULL for 600 and 400 bytes of 1000");
    KIT_EXPECT(k, !hm_alloc(m, 1), "NULL beyond the limit", "1001 bytes of 1000");
    kit_free(k, m, a);
    a = hm_alloc(m, 600);
    KIT_EXPECT(k, a, "freed bytes to be had again", "NULL");
    kit_free(k, m, a);
    kit_free(k, m, b);
    a = hm_alloc(m, 1000);
    KIT_EXPECT(k, a, "freed bytes to be had again", "NULL for all 1000");
    kit_free(k, m, a);
    hm_malloc_release(m);
}

/* Small blocks, where usable bytes are many more than requested ones. */
static void requested_bytes(kit *k)
{
    hm_malloc *m = kit_malloc_with(k, k->kind->flags, 64);
    void *blocks[64];
    for (size_t i = 0; i < KIT_COUNT(blocks); i++) {
        blocks[i] = hm_alloc(m, 1);
        KIT_EXPECT(k, blocks[i], "64 blocks of one byte within a limit of 64",
                   "NULL after %zu", i);
    }
    for (size_t i = 0; i < KIT_COUNT(blocks); i++) {
        kit_free(k, m, blocks[i]);
    }
    hm_malloc_release(m);
}

static void every_way(kit *k)
{
    hm_malloc *m = kit_malloc_with(k, k->kind->flags, 1000);
    void *block = kit_alloc(k, m, 800);
    kit_mark(block, 800, 1);
    hm_request r;
    void *out = NULL;
    memset(&r, 0, sizeof r);
    r.size = sizeof r;
    r.bytes = 201;
    const struct {
        const char *what;
        int had;
    } tries[] = {
        {"alloc_zeroed", hm_alloc_zeroed(m, 3, 67) != NULL},
        {"alloc_aligned", hm_alloc_aligned(m, 201, 64) != NULL},
        {"realloc of NULL", hm_realloc(m, NULL, 201) != NULL},
        {"realloc that grows", hm_realloc(m, block, 1001) != NULL},
        {"debug_alloc", m->vtbl->debug_alloc(m, 201, HM_LEVEL_PROCESS, NULL) != NULL},
        {"request", hm_malloc_request(m, &r, &out) == HM_OK}};
    for (size_t i = 0; i < KIT_COUNT(tries); i++) {
        KIT_EXPECT(k, !tries[i].had, "every way to allocate within the limit",
                   "%s went beyond it", tries[i].what);
    }
    KIT_EXPECT(k, kit_marked(block, 800, 1) == 800, "the block of a refused realloc",
               "changed bytes");
    block = hm_realloc(m, block, 1000);
    KIT_EXPECT(k, block, "a realloc up to the limit", "NULL");
    kit_free(k, m, block);
    hm_malloc_release(m);
}

static void counts_denied(kit *k)
{
    hm_malloc *m = kit_malloc_with(k, k->kind->flags, 1000);
    hm_stats now;
    void *block = kit_alloc(k, m, 1000);
    const int had = hm_alloc(m, 1) || hm_alloc(m, 50);
    const hm_status status = hm_malloc_stats(m, &now);
    KIT_EXPECT(k, status == HM_OK, "HM_OK: an object with a limit counts", "%s",
               hm_status_name(status));
    KIT_EXPECT(k, now.live_bytes == 1000 && now.live_blocks == 1,
               "one block of 1000 bytes", "%llu bytes in %llu blocks",
               (unsigned long long)now.live_bytes, (unsigned long long)now.live_blocks);
    KIT_EXPECT(k, !had && now.denied == 2 && now.failed >= 2,
               "two refusals counted as denied, and as failed",
               "%llu denied, %llu failed", (unsigned long long)now.denied,
               (unsigned long long)now.failed);
    kit_free(k, m, block);
    hm_malloc_release(m);
}

static void of_one_object(kit *k)
{
    hm_malloc *m = kit_malloc_with(k, k->kind->flags, 1000);
    hm_malloc *other = kit_malloc_with(k, k->kind->flags, 1000);
    void *a = kit_alloc(k, m, 1000);
    void *b = hm_alloc(other, 1000);
    KIT_EXPECT(k, b, "a limit for each object", "NULL while another's was used up");
    kit_free(k, m, a);
    kit_free(k, other, b);
    hm_malloc_release(other);
    hm_malloc_release(m);
}

static const kit_clause clauses[] = {
    {"malloc.limit.exact", "hm_malloc_opts.limit bytes may be live, and none more",
     KIT_MUST, KIT_MALLOC, exact},
    {"malloc.limit.requested-bytes", "a limit is of requested bytes", KIT_MUST,
     KIT_MALLOC, requested_bytes},
    {"malloc.limit.every-way", "no way to allocate passes the limit", KIT_MUST,
     KIT_MALLOC, every_way},
    {"malloc.limit.counted", "an object with a limit counts, denied apart", KIT_MUST,
     KIT_MALLOC, counts_denied},
    {"malloc.limit.one-object", "a limit is of one object", KIT_MUST, KIT_MALLOC,
     of_one_object},
};
const kit_group kit_limits = KIT_GROUP(clauses);
