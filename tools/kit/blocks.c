/* SPDX-License-Identifier: MIT */
/* Blocks: sizes, alignment, zero bytes, zeroed and aligned ones, and freeing them. */
#include "kit.h"

#include <errno.h>

static const size_t sizes[] = {
    1,   2,   3,   7,   8,   9,    15,   16,   17,   24,   32,   33,    48,    64,    65,
    100, 128, 256, 257, 512, 1000, 1024, 2048, 4095, 4096, 4097, 16384, 65536, 131073};

static const size_t hopeless[] = {SIZE_MAX / 2, SIZE_MAX / 2 + 2, SIZE_MAX - 4096,
                                  SIZE_MAX - 8, SIZE_MAX - 1,     SIZE_MAX};

static void alloc_gives_blocks(kit *k)
{
    void *blocks[KIT_COUNT(sizes)];
    for (size_t i = 0; i < KIT_COUNT(sizes); i++) {
        blocks[i] = kit_alloc(k, k->m, sizes[i]);
        kit_mark(blocks[i], sizes[i], (unsigned)i);
    }
    for (size_t i = 0; i < KIT_COUNT(sizes); i++) {
        const size_t kept = kit_marked(blocks[i], sizes[i], (unsigned)i);
        KIT_EXPECT(k, kept == sizes[i],
                   "blocks that keep what is written while others are used",
                   "byte %zu of a block of %zu changed", kept, sizes[i]);
        kit_free(k, k->m, blocks[i]);
    }
}

static void alloc_aligned_at_every_size(kit *k)
{
    void *blocks[24];
    for (size_t i = 0; i < 60; i++) {
        const size_t size = i < 32 ? i + 1 : sizes[i % KIT_COUNT(sizes)];
        for (size_t b = 0; b < KIT_COUNT(blocks); b++) {
            blocks[b] = kit_alloc(k, k->m, size);
            KIT_EXPECT(k, kit_is_aligned(blocks[b], 16),
                       "every block aligned to alignof(max_align_t), 16",
                       "one of %zu bytes at ...%x", size,
                       (unsigned)((uintptr_t)blocks[b] & 0xff));
        }
        for (size_t b = 0; b < KIT_COUNT(blocks); b++) {
            kit_free(k, k->m, blocks[b]);
        }
    }
}

static void alloc_zero_is_unique(kit *k)
{
    void *blocks[16];
    for (size_t i = 0; i < KIT_COUNT(blocks); i++) {
        blocks[i] = i % 2 ? hm_alloc(k->m, 0) : (hm_alloc)(k->m, 0);
        KIT_EXPECT(k, blocks[i], "a block of zero bytes", "NULL");
        KIT_EXPECT(k, kit_is_aligned(blocks[i], 16), "an aligned block of zero bytes",
                   "one at ...%x", (unsigned)((uintptr_t)blocks[i] & 0xff));
        for (size_t j = 0; j < i; j++) {
            KIT_EXPECT(k, blocks[i] != blocks[j], "blocks of zero bytes that are unique",
                       "the same address twice");
        }
    }
    for (size_t i = 0; i < KIT_COUNT(blocks); i++) {
        kit_free(k, k->m, blocks[i]);
    }
}

static void alloc_huge_refused(kit *k)
{
    for (size_t i = 0; i < KIT_COUNT(hopeless); i++) {
        KIT_EXPECT(k, !hm_alloc(k->m, hopeless[i]), "NULL for more than there is",
                   "a block of 0x%zx bytes", hopeless[i]);
        KIT_EXPECT(k, !(hm_alloc)(k->m, hopeless[i]), "NULL for more than there is",
                   "a block of 0x%zx bytes from the plain slot", hopeless[i]);
    }
    kit_free(k, k->m, kit_alloc(k, k->m, 100));
}

static void alloc_at_any_level(kit *k)
{
    static const hm_level levels[] = {HM_LEVEL_CURRENT, HM_LEVEL_TASK, HM_LEVEL_DOMAIN,
                                      HM_LEVEL_PROCESS};
    for (size_t i = 0; i < KIT_COUNT(levels); i++) {
        void *block = hm_alloc_at(k->m, 100, levels[i], NULL);
        KIT_EXPECT(k, block, "a block at every level", "NULL at level %d",
                   (int)levels[i]);
        kit_free(k, k->m, block);
    }
}

static void debug_alloc_gives_blocks(kit *k)
{
    hm_site *const places[] = {NULL, HM_SITE, hm_site_intern("kit.c", "kit", 7)};
    for (size_t i = 0; i < KIT_COUNT(places); i++) {
        void *block = k->m->vtbl->debug_alloc(k->m, 50, HM_LEVEL_CURRENT, places[i]);
        KIT_EXPECT(k, block, "a block from debug_alloc, whatever the object's flags",
                   "NULL");
        kit_mark(block, 50, 3);
        const hm_status status =
            k->m->vtbl->debug_free(k->m, block, HM_SIZE_UNKNOWN, 0, places[i]);
        KIT_EXPECT(k, status == HM_OK, "HM_OK from debug_free of a live block", "%s",
                   hm_status_name(status));
    }
}

static void zeroed_reads_zero(kit *k)
{
    for (size_t i = 0; i < KIT_COUNT(sizes); i++) {
        void *dirty = kit_alloc(k, k->m, sizes[i]);
        memset(dirty, 0xA5, sizes[i]);
        kit_free(k, k->m, dirty);
        void *block = hm_alloc_zeroed(k->m, 1, sizes[i]);
        KIT_EXPECT(k, block, "a zeroed block", "NULL for %zu bytes", sizes[i]);
        KIT_EXPECT(k, kit_is_zero(block, sizes[i]), "bytes that read as zero",
                   "others in a block of %zu", sizes[i]);
        memset(block, 0x5A, sizes[i]);
        kit_free(k, k->m, block);
    }
    void *block = hm_alloc_zeroed(k->m, 30, 40);
    KIT_EXPECT(k, block && kit_is_zero(block, 1200), "1200 zeros", "NULL or others");
    kit_free(k, k->m, block);
}

static void zeroed_checks_the_product(kit *k)
{
    static const size_t pairs[][2] = {{SIZE_MAX / 2 + 1, 2},
                                      {SIZE_MAX / 2 + 2, 2},
                                      {SIZE_MAX, SIZE_MAX},
                                      {SIZE_MAX / 16 + 2, 16},
                                      {2, SIZE_MAX}};
    for (size_t i = 0; i < KIT_COUNT(pairs); i++) {
        KIT_EXPECT(k, !hm_alloc_zeroed(k->m, pairs[i][0], pairs[i][1]),
                   "NULL where count times size does not fit",
                   "a block for 0x%zx times 0x%zx", pairs[i][0], pairs[i][1]);
    }
}

static void zeroed_zero_is_a_block(kit *k)
{
    void *blocks[] = {hm_alloc_zeroed(k->m, 0, 8), hm_alloc_zeroed(k->m, 8, 0),
                      hm_alloc_zeroed(k->m, 0, SIZE_MAX)};
    for (size_t i = 0; i < KIT_COUNT(blocks); i++) {
        KIT_EXPECT(k, blocks[i], "a block of zero bytes from alloc_zeroed", "NULL");
        kit_free(k, k->m, blocks[i]);
    }
}

static void aligned_as_asked(kit *k)
{
    static const size_t few[] = {1, 17, 100, 5000};
    for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
        void *blocks[KIT_COUNT(few)];
        for (size_t i = 0; i < KIT_COUNT(few); i++) {
            blocks[i] = hm_alloc_aligned(k->m, few[i], alignment);
            KIT_EXPECT(k, blocks[i], "a block for every power of two, 1 and 2 included",
                       "NULL for %zu bytes at %zu", few[i], alignment);
            KIT_EXPECT(k, kit_is_aligned(blocks[i], alignment), "the alignment asked for",
                       "%zu bytes at ...%x for alignment %zu", few[i],
                       (unsigned)((uintptr_t)blocks[i] & 0xfffff), alignment);
            kit_mark(blocks[i], few[i], (unsigned)i);
        }
        for (size_t i = 0; i < KIT_COUNT(few); i++) {
            KIT_EXPECT(k, kit_marked(blocks[i], few[i], (unsigned)i) == few[i],
                       "aligned blocks that do not overlap", "changed bytes");
            const hm_status status = hm_free_at(k->m, blocks[i], few[i], alignment, NULL);
            KIT_EXPECT(k, status == HM_OK, "HM_OK with the right size and alignment",
                       "%s", hm_status_name(status));
        }
    }
}

static void aligned_bad_refused(kit *k)
{
    static const size_t bad[] = {0, 3, 5, 12, 24, 48, 4097, SIZE_MAX};
    for (size_t i = 0; i < KIT_COUNT(bad); i++) {
        KIT_EXPECT(k, !hm_alloc_aligned(k->m, 100, bad[i]),
                   "NULL for an alignment that is no power of two", "a block for 0x%zx",
                   bad[i]);
    }
}

static void aligned_vast_kept_or_refused(kit *k)
{
    for (unsigned bit = 40; bit < sizeof(size_t) * 8; bit++) {
        const size_t alignment = (size_t)1 << bit;
        void *block = hm_alloc_aligned(k->m, 100, alignment);
        KIT_EXPECT(k, kit_is_aligned(block, alignment), "2^40 and more refused or kept",
                   "a block that is not aligned to 2^%u", bit);
        kit_free(k, k->m, block);
    }
    for (size_t i = 0; i < KIT_COUNT(hopeless); i++) {
        KIT_EXPECT(k, !hm_alloc_aligned(k->m, hopeless[i], 4096),
                   "NULL for more than there is", "a block of 0x%zx bytes", hopeless[i]);
    }
}

static void aligned_freed_like_any(kit *k)
{
    void *blocks[3];
    for (size_t i = 0; i < KIT_COUNT(blocks); i++) {
        blocks[i] = hm_alloc_aligned(k->m, 100, 256);
        KIT_EXPECT(k, blocks[i], "a block aligned to 256", "NULL");
        kit_mark(blocks[i], 100, (unsigned)i);
    }
    kit_free(k, k->m, blocks[0]);
    const hm_status status = hm_free_sized(k->m, blocks[1], 100);
    KIT_EXPECT(k, status == HM_OK, "HM_OK when freed by size", "%s",
               hm_status_name(status));
    void *moved = hm_realloc(k->m, blocks[2], 3000);
    KIT_EXPECT(k, moved && kit_marked(moved, 100, 2) == 100,
               "an aligned block that realloc takes", moved ? "changed bytes" : "NULL");
    kit_free(k, k->m, moved);
}

static void free_null_does_nothing(kit *k)
{
    const hm_malloc_vtbl *table = k->m->vtbl;
    (table->free)(k->m, NULL);
    table->free_sized(k->m, NULL, 0);
    table->free_sized(k->m, NULL, 10);
    const hm_status status = table->debug_free(k->m, NULL, HM_SIZE_UNKNOWN, 0, NULL);
    KIT_EXPECT(k, status == HM_OK, "HM_OK when NULL is freed", "%s",
               hm_status_name(status));
}

/* Sizes from the smallest to those that go back to the system at once. */
static void free_keeps_errno(kit *k)
{
    static const size_t some[] = {10, 1000, 40000, 300000, 4000000};
    for (size_t i = 0; i < KIT_COUNT(some); i++) {
        void *a = kit_alloc(k, k->m, some[i]);
        void *b = kit_alloc(k, k->m, some[i]);
        void *c = kit_alloc(k, k->m, some[i]);
        errno = 4711;
        (k->m->vtbl->free)(k->m, a);
        KIT_EXPECT(k, errno == 4711, "errno as found by free", "%d after 4711", errno);
        k->m->vtbl->free_sized(k->m, b, some[i]);
        KIT_EXPECT(k, errno == 4711, "errno as found by free_sized", "%d after 4711",
                   errno);
        k->m->vtbl->debug_free(k->m, c, some[i], 0, NULL);
        KIT_EXPECT(k, errno == 4711, "errno as found by debug_free", "%d after 4711",
                   errno);
        kit_free(k, k->m, NULL);
        hm_malloc_trim(k->m);
        KIT_EXPECT(k, errno == 4711, "errno as found by trim", "%d after 4711", errno);
    }
}

static void free_sized_frees(kit *k)
{
    for (unsigned round = 0; round < 200; round++) {
        const size_t size = 1 + round * 7;
        void *other = kit_alloc(k, k->m, size);
        void *block = kit_alloc(k, k->m, size);
        kit_mark(other, size, round);
        const hm_status status = hm_free_sized(k->m, block, size);
        KIT_EXPECT(k, status == HM_OK, "HM_OK when a block is freed with its size", "%s",
                   hm_status_name(status));
        KIT_EXPECT(k, kit_marked(other, size, round) == size,
                   "free_sized to leave other blocks alone", "bytes of another changed");
        KIT_EXPECT(k, hm_owns(k->m, block) != 1, "a block freed by size to be gone",
                   "owns answered 1 for it");
        kit_free(k, k->m, other);
    }
}

static const kit_clause clauses[] = {
    {"malloc.alloc.gives-blocks", "each block has the bytes asked for, its own", KIT_MUST,
     KIT_MALLOC, alloc_gives_blocks},
    {"malloc.alloc.aligned", "blocks are aligned to alignof(max_align_t) at every size",
     KIT_MUST, KIT_MALLOC, alloc_aligned_at_every_size},
    {"malloc.alloc.zero-is-unique", "zero bytes give a unique block", KIT_MUST,
     KIT_MALLOC, alloc_zero_is_unique},
    {"malloc.alloc.huge-refused", "sizes up to SIZE_MAX are refused, never wrapped",
     KIT_MUST, KIT_MALLOC, alloc_huge_refused},
    {"malloc.alloc.any-level", "every level is served", KIT_MUST, KIT_MALLOC,
     alloc_at_any_level},
    {"malloc.debug_alloc.gives-blocks", "the debug pair works with and without a site",
     KIT_MUST, KIT_MALLOC, debug_alloc_gives_blocks},
    {"malloc.alloc_zeroed.reads-zero", "alloc_zeroed gives bytes of zero", KIT_MUST,
     KIT_MALLOC, zeroed_reads_zero},
    {"malloc.alloc_zeroed.product-checked", "count * size is checked", KIT_MUST,
     KIT_MALLOC, zeroed_checks_the_product},
    {"malloc.alloc_zeroed.zero-is-a-block", "zero bytes give a block", KIT_MUST,
     KIT_MALLOC, zeroed_zero_is_a_block},
    {"malloc.alloc_aligned.as-asked", "every power of two up to 64 KiB is kept", KIT_MUST,
     KIT_MALLOC, aligned_as_asked},
    {"malloc.alloc_aligned.bad-refused",
     "alignments that are no power of two answer NULL", KIT_MUST, KIT_MALLOC,
     aligned_bad_refused},
    {"malloc.alloc_aligned.vast", "an alignment beyond memory is refused or kept",
     KIT_MUST, KIT_MALLOC, aligned_vast_kept_or_refused},
    {"malloc.alloc_aligned.freed-like-any", "aligned blocks are freed like any other",
     KIT_MUST, KIT_MALLOC, aligned_freed_like_any},
    {"malloc.free.null", "freeing NULL does nothing", KIT_MUST, KIT_MALLOC,
     free_null_does_nothing},
    {"malloc.free.keeps-errno", "errno is left as found by every function that frees",
     KIT_MUST, KIT_MALLOC, free_keeps_errno},
    {"malloc.free_sized.frees", "free_sized frees the block and no other", KIT_MUST,
     KIT_MALLOC, free_sized_frees},
};
const kit_group kit_blocks = KIT_GROUP(clauses);
