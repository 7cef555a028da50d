/* SPDX-License-Identifier: MIT */
/* The wrapping malloc used as it should not be, and allocators and private memory that fail. */
#include "memory_internal.h"
#include "pool.h"

/* Every suspicious pointer there is, next to a live block of m and one of other. */
typedef struct suspect {
    const char *label;
    void *address;
    hm_status want;
} suspect;

#define SUSPECTS 11

static void gather(hm_malloc *m, hm_malloc *other, void *on_stack, suspect *out)
{
    char *live = hm_alloc(m, 64);
    void *sibling = hm_alloc(other, 64);
    char *foreign = (malloc)(64);
    char *freed = hm_alloc(m, 64); /* last: its address is not handed out again */
    assert_int_equal(hm_free(m, freed), HM_OK);
    const suspect all[SUSPECTS] = {
        {"live", live, HM_OK},
        {"live + 1", live + 1, HM_E_NOT_OWNED},
        {"live + 8", live + 8, HM_E_NOT_OWNED},
        {"live + 16", live + 16, HM_E_NOT_OWNED},
        {"live - 16", live - 16, HM_E_NOT_OWNED},
        {"freed", freed, HM_E_FREED},
        {"another malloc's", sibling, HM_E_NOT_OWNED},
        {"libc's", foreign, HM_E_NOT_OWNED},
        {"on the stack", on_stack, HM_E_NOT_OWNED},
        {"low", (void *)(uintptr_t)64, HM_E_NOT_OWNED},
        {"not an address", (void *)(UINTPTR_MAX - 15), HM_E_NOT_OWNED}};
    memcpy(out, all, sizeof(all));
}

static void drop(hm_malloc *m, hm_malloc *other, const suspect *all)
{
    hm_free(m, all[0].address);
    hm_free(other, all[6].address);
    (free)(all[7].address);
    hm_malloc_release(m);
    hm_malloc_release(other);
}

static void misuse__only_a_live_block_of_its_own_is_freed(void **state)
{
    static const uint32_t flags[] = {0, HM_MALLOC_EXACT, HM_MALLOC_THREADSAFE};
    (void)state;
    for (size_t f = 0; f < COUNT(flags); f++) {
        pool p = pool_make(0);
        hm_malloc *m = pool_malloc(&p, flags[f], 0);
        hm_malloc *other = pool_malloc(&p, flags[f], 0);
        suspect all[SUSPECTS];
        char local[64] = {0};
        gather(m, other, local, all);
        for (size_t i = 1; i < SUSPECTS; i++) {
            for (int again = 0; again < 2; again++) {
                CHECK_ROW(all[i].label,
                          m->vtbl->debug_free(m, all[i].address, HM_SIZE_UNKNOWN, 0,
                                              NULL) == all[i].want);
                CHECK_ROW(all[i].label,
                          hm_free(m, all[i].address) ==
                              (m->flags & HM_MALLOC_DEBUG ? all[i].want : HM_OK));
                (m->vtbl->free)(m, all[i].address);
                m->vtbl->free_sized(m, all[i].address, 64);
            }
            CHECK_ROW(all[i].label, stats_of(m).live_blocks == 1);
            CHECK_ROW(all[i].label, stats_of(other).live_blocks == 1);
            CHECK_ROW(all[i].label, p.live == 2);
        }
        assert_int_equal(hm_free(m, NULL), HM_OK);
        assert_int_equal(m->vtbl->debug_free(m, NULL, 5, 8, NULL), HM_OK);
        (m->vtbl->free)(m, NULL);
        m->vtbl->free_sized(m, NULL, 5);
        drop(m, other, all);
        pool_check_empty(&p);
    }
}

static void misuse__other_slots_judge_alike(void **state)
{
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, HM_MALLOC_EXACT, 0);
    hm_malloc *other = pool_malloc(&p, HM_MALLOC_EXACT, 0);
    suspect all[SUSPECTS];
    char local[64] = {0};
    gather(m, other, local, all);
    for (size_t i = 0; i < SUSPECTS; i++) {
        const char *label = all[i].label;
        const int known = i == 0 || i == 6; /* live, and the sibling's */
        hm_block block;
        void *out = &p;
        const hm_request request = {.size = sizeof(request),
                                    .block = all[i].address,
                                    .old_bytes = 64,
                                    .bytes = 100,
                                    .alignment = 64};
        CHECK_ROW(label, hm_owns(m, all[i].address) == (i == 0));
        CHECK_ROW(label, hm_size_of(m, all[i].address) == (known ? 64 : 0));
        CHECK_ROW(label, hm_describe(m, all[i].address, &block) ==
                             (i == 0 ? HM_OK : HM_E_NOT_OWNED));
        if (i > 0) {
            CHECK_ROW(label, !hm_realloc(m, all[i].address, 10));
            CHECK_ROW(label, !hm_realloc(m, all[i].address, 10000));
            CHECK_ROW(label, hm_malloc_request(m, &request, &out) == all[i].want);
            CHECK_ROW(label, !out);
        }
    }
    assert_int_equal(hm_owns(m, NULL), 0);
    assert_int_equal(stats_of(m).failed, 3 * (SUSPECTS - 1));
    drop(m, other, all);
    pool_check_empty(&p);
}

static void misuse__a_wrong_size_frees_nothing(void **state)
{
    (void)state;
    pool p = pool_make(0);
    hm_malloc *m = pool_malloc(&p, HM_MALLOC_EXACT, 0);
    void *block = hm_alloc(m, 64);
    assert_int_equal(hm_free_sized(m, block, 63), HM_E_SIZE);
    assert_int_equal(hm_free_sized(m, block, 0), HM_E_SIZE);
    assert_int_equal(hm_owns(m, block), 1);
    assert_int_equal(hm_free_sized(m, block, 64), HM_OK);
    void *none = hm_alloc(m, 0);
    assert_int_equal(hm_free_sized(m, none, 1), HM_E_SIZE);
    assert_int_equal(hm_free_sized(m, none, 0), HM_OK);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

static void misuse__an_allocator_that_does_not_align_is_refused(void **state)
{
    (void)state;
    for (size_t skew = 1; skew < 16; skew++) {
        pool p = pool_make(0);
        hm_malloc *m = pool_malloc(&p, 0, 0);
        p.skew = skew;
        assert_null(hm_alloc(m, 100));
        assert_int_equal(stats_of(m).failed, 1);
        p.skew = 0;
        void *block = hm_alloc(m, 100);
        assert_non_null(block);
        hm_free(m, block);
        hm_malloc_release(m);
        pool_check_empty(&p);
    }
}

/* An allocator that uses the malloc it is wrapped by, as another thread might in the middle of its call. */
static struct {
    hm_malloc *m; /* NULL: it does not */
    void *block;
    void *got;
    hm_status freed;
    int owned;
} meanwhile;

static void *alloc_meanwhile(void *context, size_t bytes)
{
    hm_malloc *m = meanwhile.m;
    meanwhile.m = NULL;
    if (m) {
        meanwhile.got = hm_alloc(m, 600);
        meanwhile.owned = hm_owns(m, meanwhile.block);
        meanwhile.freed = hm_free(m, meanwhile.block);
    }
    return pool_alloc(context, bytes);
}

static void misuse__what_is_under_way_counts_against_the_limit(void **state)
{
    (void)state;
    pool p = pool_make(HM_ALLOCATOR_THREADSAFE);
    p.allocator.alloc = alloc_meanwhile;
    hm_malloc *m = pool_malloc(&p, HM_MALLOC_EXACT, 1000);
    meanwhile.block = NULL;
    meanwhile.m = m;
    void *block = hm_alloc(m, 600);
    assert_non_null(block);
    assert_null(meanwhile.got);
    assert_int_equal(stats_of(m).denied, 1);
    assert_int_equal(stats_of(m).peak_bytes, 600);
    hm_free(m, block);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

static void misuse__a_block_that_is_moving_is_not_freed(void **state)
{
    (void)state;
    pool p = pool_make(HM_ALLOCATOR_THREADSAFE);
    p.allocator.alloc = alloc_meanwhile;
    hm_malloc *m = pool_malloc(&p, HM_MALLOC_EXACT, 0);
    char *block = hm_strdup(m, "moving");
    meanwhile.block = block;
    meanwhile.m = m;
    block = hm_realloc(m, block, 1000);
    assert_int_equal(meanwhile.freed, HM_E_FREED);
    assert_int_equal(meanwhile.owned, 0);
    assert_string_equal(block, "moving");
    assert_int_equal(stats_of(m).live_blocks, 2);
    assert_int_equal(hm_free(m, meanwhile.got), HM_OK);
    assert_int_equal(hm_free(m, block), HM_OK);
    hm_malloc_release(m);
    pool_check_empty(&p);
}

/* Something of everything; blocks that could not be had are left out. */
static size_t use(hm_malloc *m)
{
    size_t refused = 0;
    char *blocks[5];
    blocks[0] = hm_alloc(m, 100);
    blocks[1] = hm_alloc_zeroed(m, 10, 10);
    blocks[2] = hm_alloc_aligned(m, 100, 4096);
    blocks[3] = hm_strdup(m, "text");
    blocks[4] = hm_realloc(m, NULL, 50);
    for (size_t i = 0; i < COUNT(blocks); i++) {
        char *larger = blocks[i] ? hm_realloc(m, blocks[i], 5000) : NULL;
        refused += larger == NULL;
        blocks[i] = larger ? larger : blocks[i];
        char *smaller = blocks[i] ? hm_realloc(m, blocks[i], 4) : NULL;
        assert_int_equal(smaller != NULL, blocks[i] != NULL);
        blocks[i] = smaller;
    }
    assert_memory_equal(blocks[3] ? blocks[3] : "text", "text", 4);
    for (size_t i = 1; i < COUNT(blocks); i++) {
        assert_int_equal(hm_free(m, blocks[i]), HM_OK);
    }
    return refused; /* and blocks[0] is left for the scope */
}

static void misuse__the_allocator_fails_at_every_call(void **state)
{
    (void)state;
    size_t refused = 1;
    for (size_t nth = 1; refused; nth++) {
        pool p = pool_make(0);
        hm_malloc *m = pool_malloc(&p, HM_MALLOC_SCOPED | HM_MALLOC_EXACT, 100000);
        p.fail_from = nth;
        refused = use(m);
        assert_int_equal(refused != 0, stats_of(m).failed != 0);
        assert_in_range(stats_of(m).live_blocks, 0, 1);
        assert_int_equal(stats_of(m).live_blocks, p.live);
        hm_malloc_release(m);
        pool_check_empty(&p);
        assert_in_range(nth, 1, 50);
    }
}

/* What misuse__private_memory_fails_at_every_call repeats; HM_OK when nothing was refused. */
static hm_status live_a_life(pool *p)
{
    hm_host *host = NULL;
    hm_malloc *m = NULL;
    hm_error err;
    p->allocator.context = p;
    hm_status status = hm__wrap_host(&p->allocator, "pool", &host, &err);
    if (status == HM_OK) {
        status = hm_host_create_malloc(host, "x", HM_MALLOC_SCOPED | HM_MALLOC_EXACT, &m,
                                       &err);
    }
    if (status == HM_OK && use(m)) {
        status = HM_E_NOMEM;
    }
    assert_true(status == HM_OK || status == HM_E_NOMEM);
    if (!m && status == HM_E_NOMEM) {
        assert_int_equal(err.status, HM_E_NOMEM);
        assert_non_null(strstr(err.what, "no private memory"));
    }
    hm_malloc_release(m);
    hm_host_release(host);
    return status;
}

/* The first case: the map of blocks is made here. */
static void misuse__private_memory_fails_at_every_call(void **state)
{
    (void)state;
    size_t refusals = 0;
    int reached = 1;
    for (uint64_t nth = 1; reached; nth++) {
        pool p = pool_make(0);
        hm__memory_fail_from(nth);
        refusals += live_a_life(&p) != HM_OK;
        reached = hm__memory_calls() >= nth;
        hm__memory_fail_from(0);
        pool_check_empty(&p);
        assert_in_range(nth, 1, 100);
    }
    assert_in_range(refusals, 4, 99); /* host, malloc, map, allocator at least */
    const size_t before = hm__memory_in_use();
    for (uint64_t nth = 1; nth < 10; nth++) {
        pool p = pool_make(0);
        hm__memory_fail_from(nth);
        live_a_life(&p);
        hm__memory_fail_from(0);
        pool_check_empty(&p);
    }
    assert_int_equal(hm__memory_in_use(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(misuse__private_memory_fails_at_every_call),
        cmocka_unit_test(misuse__only_a_live_block_of_its_own_is_freed),
        cmocka_unit_test(misuse__other_slots_judge_alike),
        cmocka_unit_test(misuse__a_wrong_size_frees_nothing),
        cmocka_unit_test(misuse__an_allocator_that_does_not_align_is_refused),
        cmocka_unit_test(misuse__what_is_under_way_counts_against_the_limit),
        cmocka_unit_test(misuse__a_block_that_is_moving_is_not_freed),
        cmocka_unit_test(misuse__the_allocator_fails_at_every_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
