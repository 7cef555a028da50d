/* SPDX-License-Identifier: MIT */
/* Usable sizes, and good ones to ask for. */
#include "kit.h"

static void at_least_requested(kit *k)
{
    for (size_t size = 1; size < 3000; size += 1 + size / 7) {
        void *block = kit_alloc(k, k->m, size);
        const size_t usable = hm_size_of(k->m, block);
        KIT_EXPECT(k, usable >= size, "usable bytes not less than requested",
                   "%zu of %zu", usable, size);
        kit_free(k, k->m, block);
    }
    void *aligned = hm_alloc_aligned(k->m, 100, 512);
    KIT_EXPECT(k, aligned && hm_size_of(k->m, aligned) >= 100,
               "usable bytes of an aligned block not less than requested",
               aligned ? "less" : "NULL");
    kit_free(k, k->m, aligned);
}

static void zero_for_null_only(kit *k)
{
    KIT_EXPECT(k, hm_size_of(k->m, NULL) == 0, "0 for NULL", "%zu",
               hm_size_of(k->m, NULL));
    void *block = hm_alloc(k->m, 0);
    KIT_EXPECT(k, !block || hm_size_of(k->m, block) > 0, "0 for NULL only",
               "0 for a block of zero bytes");
    kit_free(k, k->m, block);
}

static void constant(kit *k)
{
    for (size_t size = 1; size < 3000; size += 1 + size / 5) {
        void *block = kit_alloc(k, k->m, size);
        const size_t usable = hm_size_of(k->m, block);
        memset(block, 0xEE, size);
        void *neighbour = kit_alloc(k, k->m, size);
        memset(neighbour, 0x11, size);
        const size_t with = hm_size_of(k->m, block);
        KIT_EXPECT(k, with == usable, "usable bytes constant for the life of the block",
                   "%zu, then %zu", usable, with);
        kit_free(k, k->m, neighbour);
        const size_t after = hm_size_of(k->m, block);
        KIT_EXPECT(k, after == usable, "usable bytes constant for the life of the block",
                   "%zu, then %zu", usable, after);
        kit_free(k, k->m, block);
    }
}

/* A checking host keeps its guards behind what was asked. */
static void bytes_are_the_callers(kit *k)
{
    static const size_t sizes[] = {1, 15, 16, 100, 1000, 10000};
    if (kit_is_checked(k)) {
        kit_pass_over(k, "guards lie behind the requested bytes");
    }
    for (size_t i = 0; i < KIT_COUNT(sizes); i++) {
        void *blocks[] = {kit_alloc(k, k->m, sizes[i]), kit_alloc(k, k->m, sizes[i])};
        for (size_t b = 0; b < KIT_COUNT(blocks); b++) {
            kit_mark(blocks[b], hm_size_of(k->m, blocks[b]), (unsigned)b);
        }
        for (size_t b = 0; b < KIT_COUNT(blocks); b++) {
            const size_t usable = hm_size_of(k->m, blocks[b]);
            const size_t kept = kit_marked(blocks[b], usable, (unsigned)b);
            KIT_EXPECT(k, kept == usable, "all usable bytes for the caller",
                       "byte %zu of %zu changed", kept, usable);
        }
        kit_free(k, k->m, blocks[0]);
        kit_free(k, k->m, blocks[1]);
    }
}

static void answered_by_siblings(kit *k)
{
    hm_malloc *other = kit_sibling(k);
    for (size_t size = 1; size < 5000; size += 1 + size / 3) {
        void *block = kit_alloc(k, k->m, size);
        const size_t usable = hm_size_of(k->m, block);
        const size_t answer = hm_size_of(other, block);
        KIT_EXPECT(k, answer == usable, "a sibling's answer the same", "%zu, not %zu",
                   answer, usable);
        kit_free(k, k->m, block);
    }
    hm_malloc_release(other);
}

/* A checking object answers 0 for what it cannot judge, and an unchecked sibling's block may be that. */
static void answered_across_kinds(kit *k)
{
    if (kit_is_checked(k)) {
        kit_pass_over(k, "a checking object answers for what it can judge");
    }
    hm_malloc *plain = kit_malloc_with(k, 0, 0);
    for (size_t size = 1; size < 5000; size += 1 + size / 3) {
        void *blocks[] = {kit_alloc(k, k->m, size), kit_alloc(k, plain, size)};
        for (size_t i = 0; i < KIT_COUNT(blocks); i++) {
            const size_t own = hm_size_of(i ? plain : k->m, blocks[i]);
            const size_t answer = hm_size_of(i ? k->m : plain, blocks[i]);
            KIT_EXPECT(k, answer == own, "the same answer from mallocs of another kind",
                       "%zu, not %zu", answer, own);
            kit_free(k, i ? plain : k->m, blocks[i]);
        }
    }
    hm_malloc_release(plain);
}

static void good_size_law(kit *k)
{
    for (size_t n = 1; n < 500000; n += 1 + n / 9) {
        const size_t good = hm_good_size(k->m, n);
        KIT_EXPECT(k, good >= n, "good_size(n) >= n", "%zu for %zu", good, n);
        KIT_EXPECT(k, good <= 4 * n + 65536, "a good size near what was asked",
                   "%zu for %zu", good, n);
        void *block = kit_alloc(k, k->m, good);
        const size_t usable = hm_size_of(k->m, block);
        KIT_EXPECT(k, usable >= good, "size_of(alloc(good_size(n))) >= good_size(n)",
                   "%zu of %zu", usable, good);
        kit_free(k, k->m, block);
    }
}

static void good_size_never_wraps(kit *k)
{
    static const size_t vast[] = {SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX - 4096,
                                  SIZE_MAX - 1, SIZE_MAX};
    for (size_t i = 0; i < KIT_COUNT(vast); i++) {
        KIT_EXPECT(k, hm_good_size(k->m, vast[i]) >= vast[i], "good_size(n) >= n",
                   "0x%zx for 0x%zx", hm_good_size(k->m, vast[i]), vast[i]);
    }
}

static const kit_clause clauses[] = {
    {"malloc.size_of.at-least-requested", "usable bytes are not less than requested",
     KIT_MUST, KIT_MALLOC, at_least_requested},
    {"malloc.size_of.zero-for-null-only", "0 is for NULL only", KIT_MUST, KIT_MALLOC,
     zero_for_null_only},
    {"malloc.size_of.constant", "usable bytes are constant for the life of the block",
     KIT_MUST, KIT_MALLOC, constant},
    {"malloc.size_of.bytes-usable", "usable bytes may be used", KIT_MUST, KIT_MALLOC,
     bytes_are_the_callers},
    {"malloc.size_of.siblings", "any malloc of a host answers for its siblings' blocks",
     KIT_MUST, KIT_MALLOC, answered_by_siblings},
    {"malloc.size_of.other-kinds", "the same for siblings of another kind", KIT_MUST,
     KIT_MALLOC, answered_across_kinds},
    {"malloc.good_size.law", "size_of(alloc(good_size(n))) >= good_size(n) >= n",
     KIT_MUST, KIT_MALLOC, good_size_law},
    {"malloc.good_size.no-wrap", "good sizes never wrap", KIT_MUST, KIT_MALLOC,
     good_size_never_wraps},
};
const kit_group kit_sizes = KIT_GROUP(clauses);
