/* SPDX-License-Identifier: MIT */
/* Whose block is it? 1 and 0 must be true; -1, cannot tell, is for objects that promised nothing. */
#include "kit.h"

static void expect_owned(kit *k, const void *address, int want, const char *what)
{
    const int owns = hm_owns(k->m, address);
    KIT_EXPECT(k, owns == want || owns == -1,
               want ? "1, or -1: cannot tell" : "0, or -1: cannot tell", "%d for %s",
               owns, what);
}

static void own_blocks(kit *k)
{
    void *block = kit_alloc(k, k->m, 64);
    void *aligned = hm_alloc_aligned(k->m, 64, 1024);
    void *zeroed = hm_alloc_zeroed(k->m, 8, 8);
    expect_owned(k, block, 1, "a live block");
    expect_owned(k, aligned, 1, "a live aligned block");
    expect_owned(k, zeroed, 1, "a live zeroed block");
    block = hm_realloc(k->m, block, 50000);
    expect_owned(k, block, 1, "a reallocated block");
    kit_free(k, k->m, block);
    kit_free(k, k->m, aligned);
    kit_free(k, k->m, zeroed);
}

static void others_blocks(kit *k)
{
    hm_malloc *other = kit_sibling(k);
    void *block = kit_alloc(k, other, 64);
    expect_owned(k, block, 0, "a block of another malloc");
    kit_free(k, other, block);
    hm_malloc_release(other);
}

static void freed_blocks(kit *k)
{
    void *block = kit_alloc(k, k->m, 64);
    kit_free(k, k->m, block);
    KIT_EXPECT(k, hm_owns(k->m, block) != 1, "0 or -1 for a freed block", "1");
}

static void never_reads(kit *k)
{
    static char somewhere[64];
    char on_stack[64] = {0};
    unsigned char *block = kit_alloc(k, k->m, 64);
    expect_owned(k, NULL, 0, "NULL");
    expect_owned(k, somewhere + 16, 0, "static data");
    expect_owned(k, on_stack + 16, 0, "the stack");
    expect_owned(k, block + 16, 0, "the inside of a block");
    expect_owned(k, block + 1, 0, "an odd address");
    expect_owned(k, (void *)(uintptr_t)64, 0, "the page at 0");
    expect_owned(k, (void *)(UINTPTR_MAX - 15), 0, "the end of the address space");
    kit_free(k, k->m, block);
}

static int count_block(void *context, const hm_block *block)
{
    (void)block;
    ++*(size_t *)context;
    return 0;
}

static void exact_when_promised(kit *k)
{
    if (!kit_is_exact(k)) {
        kit_pass_over(k, "neither HM_MALLOC_EXACT nor HM_MALLOC_DEBUG");
    }
    hm_block seen;
    size_t count = 0;
    int here = 0;
    void *block = kit_alloc(k, k->m, 64);
    KIT_EXPECT(k, hm_owns(k->m, block) == 1, "1 from an exact malloc for its block", "%d",
               hm_owns(k->m, block));
    KIT_EXPECT(k, hm_owns(k->m, &here) == 0, "0 from an exact malloc for the stack", "%d",
               hm_owns(k->m, &here));
    const hm_status described = hm_describe(k->m, block, &seen);
    KIT_EXPECT(k, described != HM_E_UNSUPPORTED, "describe from an exact malloc",
               "HM_E_UNSUPPORTED");
    const hm_status walked = hm_walk(k->m, count_block, &count);
    KIT_EXPECT(k, walked != HM_E_UNSUPPORTED, "walk from an exact malloc",
               "HM_E_UNSUPPORTED");
    kit_free(k, k->m, block);
}

static const kit_clause clauses[] = {
    {"malloc.owns.its-block", "1 is for the object's live block", KIT_MUST, KIT_MALLOC,
     own_blocks},
    {"malloc.owns.others-block", "a sibling's block is not owned", KIT_MUST, KIT_MALLOC,
     others_blocks},
    {"malloc.owns.freed-block", "a freed block is not owned", KIT_MUST, KIT_MALLOC,
     freed_blocks},
    {"malloc.owns.never-reads", "any address may be asked about", KIT_MUST, KIT_MALLOC,
     never_reads},
    {"malloc.owns.exact", "HM_MALLOC_EXACT: owns, describe and walk are exact", KIT_MUST,
     KIT_MALLOC, exact_when_promised},
};
const kit_group kit_owners = KIT_GROUP(clauses);
