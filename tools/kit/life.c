/* SPDX-License-Identifier: MIT */
/* References, scopes, reset and trim of a malloc object. */
#include "kit.h"

#define ROUNDS       40 /* of a MiB each: more than the kit ever holds */
#define ROUND_BLOCKS 16
#define ROUND_SIZE   65536
/* A sanitizer's own memory grows with the program's. */
#define LEAK_BYTES ((size_t)(KIT_SANITIZED ? 36 : 24) << 20)

static void release_it(void *context)
{
    hm_malloc_release(context);
}

static void retain_keeps(kit *k)
{
    hm_malloc *m = kit_sibling(k);
    void *block = kit_alloc(k, m, 40);
    kit_mark(block, 40, 6);
    hm_malloc_retain(m);
    hm_malloc_retain(m);
    hm_malloc_release(m);
    hm_malloc_release(m);
    for (int i = 0; i < 100; i++) { /* whatever was given back is used again */
        hm_malloc_release(kit_sibling(k));
    }
    KIT_EXPECT(k, kit_marked(block, 40, 6) == 40,
               "blocks of an object with a reference left", "changed bytes");
    kit_free(k, m, block);
    void *more = kit_alloc(k, m, 40);
    kit_free(k, m, more);
    hm_malloc_release(m);
}

static void released_by_any_thread(kit *k)
{
    for (int i = 0; i < 10; i++) {
        hm_malloc *m = kit_sibling(k);
        for (size_t n = 1; n < 200; n++) {
            kit_free(k, m, kit_alloc(k, m, n));
        }
        kit_on_thread(k, release_it, m);
    }
    kit_free(k, k->m, kit_alloc(k, k->m, 10));
}

static void use_a_round(kit *k, hm_malloc *m)
{
    for (size_t i = 0; i < ROUND_BLOCKS; i++) {
        memset(kit_alloc(k, m, ROUND_SIZE), 1, ROUND_SIZE);
    }
}

static void expect_given_back(kit *k, size_t before, const char *expected)
{
    const size_t now = kit_resident_bytes();
    KIT_EXPECT(k, now < before || now - before < LEAK_BYTES, expected,
               "%zu MiB more in use after %d of 1 MiB", (now - before) >> 20, ROUNDS);
}

static void scope_frees(kit *k, void (*release)(kit *k, hm_malloc *m))
{
    if (!(k->kind->flags & HM_MALLOC_SCOPED)) {
        kit_pass_over(k, "not asked of a malloc without HM_MALLOC_SCOPED");
    }
    const size_t before = kit_resident_bytes();
    for (int round = 0; round < ROUNDS; round++) {
        hm_malloc *m = kit_sibling(k);
        use_a_round(k, m);
        kit_free(k, m, hm_alloc_aligned(m, 100, 128));
        KIT_EXPECT(k, hm_alloc_aligned(m, 1000, 128), "an aligned block", "NULL");
        release(k, m);
    }
    expect_given_back(k, before,
                      "the last release of a scoped malloc to free its blocks");
}

static void release_here(kit *k, hm_malloc *m)
{
    (void)k;
    hm_malloc_release(m);
}

static void release_elsewhere(kit *k, hm_malloc *m)
{
    kit_on_thread(k, release_it, m);
}

static void scoped_frees(kit *k)
{
    scope_frees(k, release_here);
}

static void scoped_frees_elsewhere(kit *k)
{
    scope_frees(k, release_elsewhere);
}

static void reset_or_pass_over(kit *k)
{
    const hm_status status = hm_malloc_reset(k->m);
    if (status == HM_E_UNSUPPORTED) {
        kit_pass_over(k, "reset answers HM_E_UNSUPPORTED");
    }
    KIT_EXPECT(k, status == HM_OK, "HM_OK or HM_E_UNSUPPORTED", "%s",
               hm_status_name(status));
}

static int count_block(void *context, const hm_block *block)
{
    (void)block;
    ++*(size_t *)context;
    return 0;
}

static void reset_frees_all(kit *k)
{
    void *blocks[20];
    hm_stats now;
    size_t seen = 0;
    for (size_t i = 0; i < KIT_COUNT(blocks); i++) {
        blocks[i] = kit_alloc(k, k->m, 10 + i);
    }
    reset_or_pass_over(k);
    if (hm_malloc_stats(k->m, &now) == HM_OK) {
        KIT_EXPECT(k, now.live_blocks == 0 && now.live_bytes == 0,
                   "nothing live after reset", "%llu blocks",
                   (unsigned long long)now.live_blocks);
    }
    for (size_t i = 0; i < KIT_COUNT(blocks); i++) {
        KIT_EXPECT(k, hm_owns(k->m, blocks[i]) != 1, "no block owned after reset",
                   "one is");
    }
    hm_walk(k->m, count_block, &seen);
    KIT_EXPECT(k, seen == 0, "nothing to walk after reset", "%zu blocks", seen);
}

static void reset_gives_back(kit *k)
{
    use_a_round(k, k->m);
    reset_or_pass_over(k);
    const size_t before = kit_resident_bytes();
    for (int round = 0; round < ROUNDS; round++) {
        use_a_round(k, k->m);
        reset_or_pass_over(k);
    }
    expect_given_back(k, before, "reset to free every block");
}

static void reset_leaves_usable(kit *k)
{
    void *block = kit_alloc(k, k->m, 10);
    reset_or_pass_over(k);
    for (int i = 0; i < 100; i++) {
        block = kit_alloc(k, k->m, 10);
        kit_mark(block, 10, 1);
        if (i % 2) {
            kit_free(k, k->m, block);
        }
    }
    reset_or_pass_over(k);
    reset_or_pass_over(k);
}

static void reset_all_or_nothing(kit *k)
{
    void *block = kit_alloc(k, k->m, 100);
    kit_mark(block, 100, 1);
    const hm_status status = hm_malloc_reset(k->m);
    if (status == HM_OK) {
        return;
    }
    KIT_EXPECT(k, !(kit_is_exact(k) || k->kind->flags & HM_MALLOC_SCOPED),
               "reset from an object that knows its blocks", "%s",
               hm_status_name(status));
    KIT_EXPECT(k, kit_marked(block, 100, 1) == 100, "blocks untouched by a refused reset",
               "changed bytes");
    kit_free(k, k->m, block);
}

static void trim_keeps_blocks(kit *k)
{
    void *block = kit_alloc(k, k->m, 5000);
    kit_mark(block, 5000, 8);
    kit_free(k, k->m, kit_alloc(k, k->m, 500000));
    hm_malloc_trim(k->m);
    KIT_EXPECT(k, kit_marked(block, 5000, 8) == 5000, "live blocks untouched by trim",
               "changed bytes");
    kit_free(k, k->m, block);
    hm_malloc_trim(k->m);
    kit_free(k, k->m, kit_alloc(k, k->m, 100));
}

static void finds_nothing_unknown(kit *k)
{
    void *out = k;
    const hm_status status = hm_malloc_find(k->m, "no such interface", &out);
    KIT_EXPECT(k, status == HM_E_NOT_FOUND, "HM_E_NOT_FOUND for an unknown interface",
               "%s", hm_status_name(status));
    KIT_EXPECT(k, !out, "*out NULL with HM_E_NOT_FOUND", "it was left alone");
}

static const kit_clause clauses[] = {
    {"malloc.retain.keeps", "an object lives until its last reference is released",
     KIT_MUST, KIT_MALLOC, retain_keeps},
    {"malloc.release.any-thread", "any thread may release, always", KIT_MUST, KIT_MALLOC,
     released_by_any_thread},
    {"malloc.release.scoped-frees",
     "the last release of a scoped malloc frees its blocks", KIT_MUST, KIT_MALLOC,
     scoped_frees},
    {"malloc.release.scoped-frees-elsewhere", "the same from another thread", KIT_MUST,
     KIT_MALLOC, scoped_frees_elsewhere},
    {"malloc.reset.frees-all", "reset frees every block still owned", KIT_MUST,
     KIT_MALLOC, reset_frees_all},
    {"malloc.reset.gives-back", "what reset frees can be had again", KIT_SHOULD,
     KIT_MALLOC, reset_gives_back},
    {"malloc.reset.leaves-usable", "a reset object works as before", KIT_MUST, KIT_MALLOC,
     reset_leaves_usable},
    {"malloc.reset.all-or-nothing", "HM_E_UNSUPPORTED unless the object knows its blocks",
     KIT_MUST, KIT_MALLOC, reset_all_or_nothing},
    {"malloc.trim.keeps-blocks", "trim gives back what is unused only", KIT_MUST,
     KIT_MALLOC, trim_keeps_blocks},
    {"malloc.find.unknown", "an unknown interface is HM_E_NOT_FOUND and NULL", KIT_MUST,
     KIT_MALLOC, finds_nothing_unknown},
};
const kit_group kit_life = KIT_GROUP(clauses);
