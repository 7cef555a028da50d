/* SPDX-License-Identifier: MIT */
/* A closed malloc drains: frees work, allocations answer NULL. */
#include "kit.h"

static void close_it(void *context)
{
    hm_malloc_close(context);
}

static void expect_refused(kit *k, hm_malloc *m)
{
    const struct {
        const char *what;
        void *block;
    } tries[] = {{"alloc", hm_alloc(m, 1)},
                 {"the plain slot", (hm_alloc)(m, 1)},
                 {"alloc of zero bytes", hm_alloc(m, 0)},
                 {"alloc_zeroed", hm_alloc_zeroed(m, 1, 1)},
                 {"alloc_aligned", hm_alloc_aligned(m, 1, 64)},
                 {"realloc of NULL", hm_realloc(m, NULL, 1)},
                 {"debug_alloc", m->vtbl->debug_alloc(m, 1, HM_LEVEL_PROCESS, NULL)}};
    for (size_t i = 0; i < KIT_COUNT(tries); i++) {
        KIT_EXPECT(k, !tries[i].block, "NULL from a closed malloc", "a block from %s",
                   tries[i].what);
    }
}

static void refuses_allocations(kit *k)
{
    hm_malloc *m = kit_sibling(k);
    int here = 0;
    void *out = &here;
    void *block = kit_alloc(k, m, 100);
    hm_malloc_close(m);
    expect_refused(k, m);
    hm_request r;
    memset(&r, 0, sizeof r);
    r.size = sizeof r;
    r.bytes = 10;
    const hm_status status = hm_malloc_request(m, &r, &out);
    KIT_EXPECT(k, status == HM_E_CLOSED && !out, "HM_E_CLOSED and NULL from request",
               "%s", hm_status_name(status));
    KIT_EXPECT(k, !hm_realloc(m, block, 1000000), "NULL from a realloc that grows",
               "a block");
    kit_free(k, m, block);
    hm_malloc_release(m);
}

static void frees_work(kit *k)
{
    hm_malloc *m = kit_sibling(k);
    void *blocks[4];
    for (size_t i = 0; i < KIT_COUNT(blocks); i++) {
        blocks[i] = kit_alloc(k, m, 100);
        kit_mark(blocks[i], 100, (unsigned)i);
    }
    hm_malloc_close(m);
    for (size_t i = 0; i < KIT_COUNT(blocks); i++) {
        KIT_EXPECT(k, kit_marked(blocks[i], 100, (unsigned)i) == 100,
                   "blocks untouched by close", "changed bytes");
        KIT_EXPECT(k, hm_size_of(m, blocks[i]) >= 100, "size_of to work after close",
                   "%zu", hm_size_of(m, blocks[i]));
    }
    kit_free(k, m, blocks[0]);
    hm_status status = hm_free_sized(m, blocks[1], 100);
    KIT_EXPECT(k, status == HM_OK, "HM_OK from free_sized after close", "%s",
               hm_status_name(status));
    status = m->vtbl->debug_free(m, blocks[2], 100, 0, NULL);
    KIT_EXPECT(k, status == HM_OK, "HM_OK from debug_free after close", "%s",
               hm_status_name(status));
    const int owned = hm_owns(m, blocks[0]);
    KIT_EXPECT(k, owned != 1, "a block freed after close to be gone", "owns answers 1");
    hm_stats now;
    if (hm_malloc_stats(m, &now) == HM_OK) {
        KIT_EXPECT(k, now.live_blocks == 1,
                   "one block live after three of four were freed", "%llu",
                   (unsigned long long)now.live_blocks);
    }
    kit_free(k, m, blocks[3]);
    hm_malloc_release(m);
}

/* A drained object that checks sizes cannot note the new one, and may refuse. */
static void shrinks(kit *k)
{
    hm_malloc *m = kit_sibling(k);
    void *block = kit_alloc(k, m, 100);
    kit_mark(block, 100, 1);
    hm_malloc_close(m);
    void *smaller = hm_realloc_at(m, block, 100, 50, HM_LEVEL_CURRENT, NULL);
    KIT_EXPECT(k, smaller || kit_is_checked(k), "a shrink that never fails", "NULL");
    smaller = smaller ? smaller : block;
    KIT_EXPECT(k, kit_marked(smaller, 50, 1) == 50, "the bytes that are left",
               "changed bytes");
    kit_free(k, m, smaller);
    hm_malloc_release(m);
}

static void twice(kit *k)
{
    hm_malloc *m = kit_sibling(k);
    void *block = kit_alloc(k, m, 100);
    hm_malloc_close(m);
    hm_malloc_close(m);
    expect_refused(k, m);
    kit_free(k, m, block);
    hm_malloc_close(m);
    hm_malloc_release(m);
}

static void by_any_thread(kit *k)
{
    hm_malloc *m = kit_sibling(k);
    void *block = kit_alloc(k, m, 100);
    kit_on_thread(k, close_it, m);
    expect_refused(k, m);
    kit_free(k, m, block);
    hm_malloc_release(m);
}

static void siblings_go_on(kit *k)
{
    hm_malloc *m = kit_sibling(k);
    hm_malloc_close(m);
    void *block = kit_alloc(k, k->m, 100);
    kit_mark(block, 100, 1);
    kit_free(k, k->m, block);
    hm_malloc *later = kit_sibling(k);
    kit_free(k, later, kit_alloc(k, later, 100));
    hm_malloc_release(later);
    hm_malloc_release(m);
}

static const kit_clause clauses[] = {
    {"malloc.close.refuses", "after close every way to allocate answers NULL", KIT_MUST,
     KIT_MALLOC, refuses_allocations},
    {"malloc.close.frees-work", "after close frees work", KIT_MUST, KIT_MALLOC,
     frees_work},
    {"malloc.close.shrinks", "after close realloc still shrinks", KIT_SHOULD, KIT_MALLOC,
     shrinks},
    {"malloc.close.twice", "closing twice does nothing", KIT_MUST, KIT_MALLOC, twice},
    {"malloc.close.any-thread", "another thread may close", KIT_MUST, KIT_MALLOC,
     by_any_thread},
    {"malloc.close.one-object", "closing drains one object", KIT_MUST, KIT_MALLOC,
     siblings_go_on},
};
const kit_group kit_closing = KIT_GROUP(clauses);
