/* SPDX-License-Identifier: MIT */
/* Changing the size of a block. */
#include "kit.h"

#include <errno.h>

static void keeps_contents(kit *k)
{
    static const size_t steps[] = {1,    7,    16,    17,     100, 101, 1000, 5000, 4999,
                                   1000, 9000, 70000, 200000, 300, 64,  15,   1};
    for (int told = 0; told < 2; told++) {
        size_t size = 5;
        void *block = kit_alloc(k, k->m, size);
        kit_mark(block, size, 7);
        for (size_t i = 0; i < KIT_COUNT(steps); i++) {
            const size_t kept = size < steps[i] ? size : steps[i];
            block = hm_realloc_at(k->m, block, told ? size : HM_SIZE_UNKNOWN, steps[i],
                                  HM_LEVEL_CURRENT, NULL);
            KIT_EXPECT(k, block, "a block from realloc where there is memory",
                       "NULL from %zu to %zu bytes", size, steps[i]);
            const size_t same = kit_marked(block, kept, 7);
            KIT_EXPECT(k, same == kept, "the bytes of the old block in the new one",
                       "byte %zu changed from %zu to %zu bytes", same, size, steps[i]);
            size = steps[i];
            kit_mark(block, size, 7);
        }
        const hm_status status = hm_free_sized(k->m, block, size);
        KIT_EXPECT(k, status == HM_OK, "HM_OK when freed with the new size", "%s",
                   hm_status_name(status));
    }
}

static void aligned_result(kit *k)
{
    static const size_t steps[] = {1, 3, 9, 15, 16, 17, 40, 100, 3, 1000, 2};
    void *block = kit_alloc(k, k->m, 2);
    for (size_t i = 0; i < KIT_COUNT(steps); i++) {
        block = hm_realloc(k->m, block, steps[i]);
        KIT_EXPECT(k, block, "a block from realloc", "NULL for %zu bytes", steps[i]);
        KIT_EXPECT(k, kit_is_aligned(block, 16), "a reallocated block aligned to 16",
                   "one of %zu bytes at ...%x", steps[i],
                   (unsigned)((uintptr_t)block & 0xff));
    }
    kit_free(k, k->m, block);
}

static void null_allocates(kit *k)
{
    void *block = hm_realloc(k->m, NULL, 50);
    KIT_EXPECT(k, block, "a block from realloc of NULL", "NULL");
    kit_mark(block, 50, 1);
    kit_free(k, k->m, block);
    block = hm_realloc_at(k->m, NULL, 0, 70, HM_LEVEL_TASK, NULL);
    KIT_EXPECT(k, block, "a block from realloc of NULL with old size 0", "NULL");
    kit_mark(block, 70, 1);
    kit_free(k, k->m, block);
    KIT_EXPECT(k, !hm_realloc(k->m, NULL, SIZE_MAX), "NULL for SIZE_MAX", "a block");
}

static void zero_gives_a_block(kit *k)
{
    static const size_t from[] = {1, 16, 100, 100000};
    for (size_t i = 0; i < KIT_COUNT(from); i++) {
        void *block = hm_realloc(k->m, kit_alloc(k, k->m, from[i]), 0);
        KIT_EXPECT(k, block, "a block of zero bytes from realloc to 0",
                   "NULL from %zu bytes", from[i]);
        block = hm_realloc(k->m, block, 50);
        KIT_EXPECT(k, block, "that block to be reallocated again", "NULL");
        kit_mark(block, 50, 3);
        kit_free(k, k->m, block);
    }
    void *block = hm_realloc(k->m, NULL, 0);
    KIT_EXPECT(k, block, "a block of zero bytes from realloc of NULL to 0", "NULL");
    kit_free(k, k->m, block);
}

static void refused_keeps_block(kit *k)
{
    static const size_t hopeless[] = {SIZE_MAX / 2, SIZE_MAX - 8, SIZE_MAX - 1, SIZE_MAX};
    void *block = kit_alloc(k, k->m, 100);
    kit_mark(block, 100, 9);
    for (size_t i = 0; i < KIT_COUNT(hopeless); i++) {
        KIT_EXPECT(k, !hm_realloc(k->m, block, hopeless[i]),
                   "NULL for more than there is", "a block of 0x%zx bytes", hopeless[i]);
        KIT_EXPECT(k,
                   !hm_realloc_at(k->m, block, 100, hopeless[i], HM_LEVEL_PROCESS, NULL),
                   "NULL for more than there is", "a block of 0x%zx bytes", hopeless[i]);
        void *others[4]; /* a block that was freed after all would be handed out again */
        for (size_t j = 0; j < KIT_COUNT(others); j++) {
            others[j] = kit_alloc(k, k->m, 100);
            KIT_EXPECT(k, others[j] != block, "the old block to stay the caller's",
                       "it was handed out again");
            memset(others[j], 0xEE, 100);
        }
        KIT_EXPECT(k, kit_marked(block, 100, 9) == 100, "the old block untouched",
                   "changed bytes");
        for (size_t j = 0; j < KIT_COUNT(others); j++) {
            kit_free(k, k->m, others[j]);
        }
    }
    const hm_status status = hm_free_sized(k->m, block, 100);
    KIT_EXPECT(k, status == HM_OK, "the old block to be freed", "%s",
               hm_status_name(status));
}

/* With its limit used up, an object can still give away what it has. */
static void shrink_never_fails(kit *k)
{
    hm_malloc *m = kit_malloc_with(k, k->kind->flags, 1000);
    void *a = kit_alloc(k, m, 600);
    void *b = kit_alloc(k, m, 400);
    kit_mark(a, 600, 2);
    for (size_t size = 600; size > 0; size /= 3) {
        void *smaller = hm_realloc(m, a, size);
        KIT_EXPECT(k, smaller, "a shrink that never fails", "NULL to %zu bytes", size);
        KIT_EXPECT(k, kit_marked(smaller, size, 2) == size, "the bytes that are left",
                   "changed bytes");
        a = smaller;
    }
    kit_free(k, m, a);
    kit_free(k, m, b);
    hm_malloc_release(m);
}

static void keeps_errno(kit *k)
{
    static const size_t steps[] = {10, 1000, 300000, 4000000, 500000, 20, 1};
    void *block = kit_alloc(k, k->m, 5);
    for (size_t i = 0; i < KIT_COUNT(steps); i++) {
        errno = 4711;
        block = hm_realloc(k->m, block, steps[i]);
        const int after = errno;
        KIT_EXPECT(k, block, "a block from realloc", "NULL for %zu bytes", steps[i]);
        KIT_EXPECT(k, after == 4711, "errno as found by realloc, which frees",
                   "%d after 4711", after);
    }
    kit_free(k, k->m, block);
}

static void takes_any_block(kit *k)
{
    void *blocks[] = {hm_alloc_zeroed(k->m, 10, 10), hm_realloc(k->m, NULL, 100),
                      k->m->vtbl->debug_alloc(k->m, 100, HM_LEVEL_TASK, HM_SITE)};
    for (size_t i = 0; i < KIT_COUNT(blocks); i++) {
        KIT_EXPECT(k, blocks[i], "a block of 100 bytes", "NULL");
        kit_mark(blocks[i], 100, (unsigned)i);
        blocks[i] = hm_realloc(k->m, blocks[i], 3000);
        KIT_EXPECT(k, blocks[i] && kit_marked(blocks[i], 100, (unsigned)i) == 100,
                   "realloc to take any block of its malloc",
                   blocks[i] ? "changed bytes" : "NULL");
        kit_free(k, k->m, blocks[i]);
    }
}

static const kit_clause clauses[] = {
    {"malloc.realloc.keeps-contents", "the bytes of the old block are in the new one",
     KIT_MUST, KIT_MALLOC, keeps_contents},
    {"malloc.realloc.aligned", "a reallocated block is aligned like any other", KIT_MUST,
     KIT_MALLOC, aligned_result},
    {"malloc.realloc.null-allocates", "block NULL allocates", KIT_MUST, KIT_MALLOC,
     null_allocates},
    {"malloc.realloc.zero-gives-a-block", "size 0 gives a zero-byte block", KIT_MUST,
     KIT_MALLOC, zero_gives_a_block},
    {"malloc.realloc.refused-keeps-block",
     "the old block of a refused realloc is untouched", KIT_MUST, KIT_MALLOC,
     refused_keeps_block},
    {"malloc.realloc.shrink-never-fails", "realloc never fails when it shrinks", KIT_MUST,
     KIT_MALLOC, shrink_never_fails},
    {"malloc.realloc.keeps-errno", "errno is left as found by every function that frees",
     KIT_MUST, KIT_MALLOC, keeps_errno},
    {"malloc.realloc.takes-any-block", "blocks of every function can be reallocated",
     KIT_MUST, KIT_MALLOC, takes_any_block},
};
const kit_group kit_reallocs = KIT_GROUP(clauses);
