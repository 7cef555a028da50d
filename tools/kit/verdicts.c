/* SPDX-License-Identifier: MIT */
/* What a checking object (HM_MALLOC_DEBUG) answers to misuse. Others trust the caller, and are not tried. */
#include "kit.h"

static void checked_only(kit *k)
{
    if (!kit_is_checked(k)) {
        kit_pass_over(k, "trusts the caller: HM_MALLOC_DEBUG is not set");
    }
}

static void double_free(kit *k)
{
    checked_only(k);
    void *block = kit_alloc(k, k->m, 100);
    kit_free(k, k->m, block);
    for (int i = 0; i < 2; i++) {
        const hm_status status = hm_free(k->m, block);
        KIT_EXPECT(k, status == HM_E_FREED, "HM_E_FREED for a second free", "%s",
                   hm_status_name(status));
    }
    kit_free(k, k->m, kit_alloc(k, k->m, 100));
}

static void expect_not_owned(kit *k, void *address, const char *what)
{
    const hm_status statuses[] = {hm_free(k->m, address),
                                  hm_free_sized(k->m, address, 100)};
    for (size_t i = 0; i < KIT_COUNT(statuses); i++) {
        KIT_EXPECT(k, statuses[i] == HM_E_NOT_OWNED || statuses[i] == HM_E_FREED,
                   "HM_E_NOT_OWNED for what is not the object's block", "%s for %s",
                   hm_status_name(statuses[i]), what);
    }
    KIT_EXPECT(k, !hm_realloc(k->m, address, 200),
               "NULL from realloc of what is not its block", "a block for %s", what);
}

static void foreign(kit *k)
{
    checked_only(k);
    static char somewhere[64];
    char on_stack[64] = {0};
    expect_not_owned(k, somewhere + 16, "static data");
    expect_not_owned(k, on_stack + 16, "the stack");
    expect_not_owned(k, (void *)(uintptr_t)64, "the page at 0");
    expect_not_owned(k, (void *)(UINTPTR_MAX - 15), "the end of the address space");
    KIT_EXPECT(k, kit_is_zero(on_stack, sizeof on_stack) && kit_is_zero(somewhere, 64),
               "nothing done to foreign memory", "changed bytes");
}

static void interior(kit *k)
{
    checked_only(k);
    unsigned char *block = kit_alloc(k, k->m, 100);
    kit_mark(block, 100, 1);
    expect_not_owned(k, block + 8, "the inside of a block");
    expect_not_owned(k, block + 16, "the inside of a block");
    expect_not_owned(k, block + 99, "the last byte of a block");
    KIT_EXPECT(k, kit_marked(block, 100, 1) == 100, "nothing done to the block",
               "changed bytes");
    kit_free(k, k->m, block);
}

static void other_malloc(kit *k)
{
    checked_only(k);
    hm_malloc *other = kit_sibling(k);
    void *block = kit_alloc(k, other, 100);
    kit_mark(block, 100, 1);
    expect_not_owned(k, block, "another malloc's block");
    KIT_EXPECT(k, kit_marked(block, 100, 1) == 100, "nothing done to the block",
               "changed bytes");
    kit_free(k, other, block);
    hm_malloc_release(other);
}

static void wrong_size(kit *k)
{
    checked_only(k);
    void *block = kit_alloc(k, k->m, 100);
    const hm_status status = hm_free_sized(k->m, block, 90);
    KIT_EXPECT(k, status == HM_E_SIZE, "HM_E_SIZE for a size that is not the block's",
               "%s", hm_status_name(status));
    kit_free(k, k->m, block);
}

/* The byte behind a block, which a sanitizer would rightly not let pass. */
#if defined(__GNUC__)
__attribute__((noinline, no_sanitize("address")))
#endif
static void
write_behind(unsigned char *block, size_t size)
{
    ((volatile unsigned char *)block)[size] = 1;
}

static void overrun(kit *k)
{
    checked_only(k);
    unsigned char *block = kit_alloc(k, k->m, 100);
    memset(block, 1, 100);
    write_behind(block, 100);
    const hm_status status = hm_free(k->m, block);
    if (status == HM_OK) {
        kit_pass_over(k, "keeps no guards");
    }
    KIT_EXPECT(k, status == HM_E_CORRUPT, "HM_E_CORRUPT for a block written past its end",
               "%s", hm_status_name(status));
    kit_free(k, k->m, kit_alloc(k, k->m, 100));
}

static const kit_clause clauses[] = {
    {"malloc.verdict.double-free", "freed before: HM_E_FREED, nothing done", KIT_MUST,
     KIT_MALLOC, double_free},
    {"malloc.verdict.foreign", "foreign memory: HM_E_NOT_OWNED, nothing done", KIT_MUST,
     KIT_MALLOC, foreign},
    {"malloc.verdict.interior", "the inside of a block: HM_E_NOT_OWNED", KIT_MUST,
     KIT_MALLOC, interior},
    {"malloc.verdict.other-malloc", "another malloc's block: HM_E_NOT_OWNED", KIT_MUST,
     KIT_MALLOC, other_malloc},
    {"malloc.verdict.wrong-size", "not the block's size: HM_E_SIZE, nothing done",
     KIT_SHOULD, KIT_MALLOC, wrong_size},
    {"malloc.verdict.overrun", "an overwritten guard: HM_E_CORRUPT", KIT_SHOULD,
     KIT_MALLOC, overrun},
};
const kit_group kit_verdicts = KIT_GROUP(clauses);
