/* SPDX-License-Identifier: MIT */
/* What a malloc answers about its blocks: sizes for all, ownership and records where they are promised. */
#include "conformance.h"

static void size_of__is_at_least_what_was_asked(subject *s)
{
    for (size_t size = 0; size < 3000; size += 1 + size / 7) {
        void *block = hm_alloc(s->m, size);
        assert_non_null(block);
        const size_t usable = hm_size_of(s->m, block);
        assert_true(usable >= size);
        assert_true(usable > 0); /* 0 is for NULL only */
        memset(block, 0xEE, size);
        void *neighbour = hm_alloc(s->m, size);
        memset(neighbour, 0x11, size);
        assert_int_equal(hm_size_of(s->m, block), usable);
        assert_int_equal(hm_free(s->m, neighbour), HM_OK);
        assert_int_equal(hm_size_of(s->m, block), usable);
        assert_int_equal(hm_free_sized(s->m, block, size), HM_OK);
    }
    assert_int_equal(hm_size_of(s->m, NULL), 0);
}

/* An unchecked block may be written as far as size_of says; a checked one keeps guards behind what was asked. */
static void size_of__bytes_are_the_callers(subject *s)
{
    static const size_t sizes[] = {0, 1, 15, 16, 100, 1000, 10000};
    if (is_checked(s)) {
        return;
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *blocks[] = {hm_alloc(s->m, sizes[i]), hm_alloc(s->m, sizes[i]),
                          hm_alloc_aligned(s->m, sizes[i], 256)};
        for (size_t b = 0; b < COUNT(blocks); b++) {
            assert_non_null(blocks[b]);
            fill(blocks[b], hm_size_of(s->m, blocks[b]), (unsigned)b);
        }
        for (size_t b = 0; b < COUNT(blocks); b++) {
            assert_true(is_filled(blocks[b], hm_size_of(s->m, blocks[b]), (unsigned)b));
            assert_int_equal(hm_free(s->m, blocks[b]), HM_OK);
        }
    }
}

static void size_of__is_answered_by_a_sibling(subject *s)
{
    hm_malloc *other = sibling(s);
    for (size_t size = 0; size < 5000; size += 1 + size / 3) {
        void *block = hm_alloc(s->m, size);
        assert_non_null(block);
        assert_int_equal(hm_size_of(other, block), hm_size_of(s->m, block));
        assert_int_equal(hm_free(s->m, block), HM_OK);
    }
    hm_malloc_release(other);
}

/* Whatever kind they are; but a checking object is not made to look at what it does not know. */
static void size_of__is_answered_by_any_kind(subject *s)
{
    static const uint32_t flags[] = {0, HM_MALLOC_ONE_THREAD, HM_MALLOC_SCOPED,
                                     HM_MALLOC_EXACT};
    void *block = hm_alloc(s->m, 200);
    const size_t usable = hm_size_of(s->m, block);
    for (size_t i = 0; i < COUNT(flags); i++) {
        hm_malloc *other = malloc_with(s, flags[i], 0);
        const int is_judge = (other->flags & HM_MALLOC_DEBUG) != 0;
        const size_t seen = hm_size_of(other, block);
        assert_true(seen == usable || (is_judge && seen == 0));
        void *others = hm_alloc(other, 300);
        const size_t theirs = hm_size_of(s->m, others);
        assert_true(theirs == hm_size_of(other, others) ||
                    (is_checked(s) && theirs == 0));
        assert_int_equal(hm_free(other, others), HM_OK);
        hm_malloc_release(other);
    }
    assert_int_equal(hm_free(s->m, block), HM_OK);
}

static void good_size__is_had(subject *s)
{
    size_t before = 0;
    for (size_t n = 0; n < 2000000; n += 1 + n / 9) {
        const size_t good = hm_good_size(s->m, n);
        assert_true(good >= n);
        assert_true(good >= before);
        before = good;
        void *block = hm_alloc(s->m, good);
        assert_non_null(block);
        assert_true(hm_size_of(s->m, block) >= good);
        assert_int_equal(hm_free_sized(s->m, block, good), HM_OK);
    }
}

static void good_size__never_wraps(subject *s)
{
    static const size_t vast[] = {SIZE_MAX / 2 - 1, SIZE_MAX / 2, SIZE_MAX / 2 + 1,
                                  SIZE_MAX - 4096,  SIZE_MAX - 1, SIZE_MAX};
    for (size_t i = 0; i < COUNT(vast); i++) {
        assert_true(hm_good_size(s->m, vast[i]) >= vast[i]);
    }
}

static void owns__is_right_or_cannot_tell(subject *s)
{
    static char somewhere[64];
    char on_stack[64] = {0};
    hm_malloc *other = sibling(s);
    unsigned char *block = hm_alloc(s->m, 64);
    void *others = hm_alloc(other, 64);
    assert_non_null(block);
    assert_non_null(others);
    const struct {
        const char *label;
        const void *address;
        int want;
    } cases[] = {
        {"its block", block, 1},
        {"the other's", others, 0},
        {"NULL", NULL, 0},
        {"static", somewhere + 16, 0},
        {"stack", on_stack + 16, 0},
        {"inside a block", block + 16, 0},
        {"odd", block + 1, 0},
        {"page 0", (void *)(uintptr_t)64, 0},
        {"the end", (void *)(UINTPTR_MAX - 15), 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const int owns = hm_owns(s->m, cases[i].address);
        CHECK_ROW(cases[i].label, owns == cases[i].want || (owns == -1 && !is_exact(s)));
    }
    assert_int_equal(hm_free(other, others), HM_OK);
    assert_int_equal(hm_free(s->m, block), HM_OK);
    assert_true(hm_owns(s->m, block) == 0 || !is_exact(s));
    hm_malloc_release(other);
}

static void describe__knows_a_block(subject *s)
{
    void *block = hm_alloc(s->m, 123);
    void *later = hm_alloc(s->m, 0);
    hm_block seen, next;
    const hm_status status = hm_describe(s->m, block, &seen);
    if (!is_exact(s) && status == HM_E_UNSUPPORTED) {
        assert_int_equal(hm_free(s->m, block), HM_OK);
        assert_int_equal(hm_free(s->m, later), HM_OK);
        return;
    }
    assert_int_equal(status, HM_OK);
    assert_ptr_equal(seen.address, block);
    assert_int_equal(seen.requested, 123);
    assert_int_equal(seen.usable, hm_size_of(s->m, block));
    assert_int_equal(seen.state, HM_BLOCK_LIVE);
    assert_int_equal(hm_describe(s->m, later, &next), HM_OK);
    assert_int_equal(next.requested, 0);
    int local = 0;
    assert_int_equal(hm_describe(s->m, &local, &seen), HM_E_NOT_OWNED);
    assert_int_equal(hm_describe(s->m, (char *)block + 16, &seen), HM_E_NOT_OWNED);
    assert_int_equal(hm_describe(s->m, NULL, &seen), HM_E_NOT_OWNED);
    assert_int_equal(hm_free(s->m, block), HM_OK);
    assert_int_equal(hm_free(s->m, later), HM_OK);
}

/* A short struct is refused and left alone; of a newer caller's only what this release knows is filled. */
static void describe__respects_the_size_of_the_struct(subject *s)
{
    struct {
        hm_block block;
        unsigned char beyond[24];
    } seen;
    static const size_t sizes[] = {offsetof(hm_block, usable), sizeof(hm_block),
                                   sizeof seen};
    void *block = hm_alloc(s->m, 10);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        memset(&seen, 0x77, sizeof seen);
        seen.block.size = sizes[i];
        const hm_status status = s->m->vtbl->describe(s->m, block, &seen.block);
        assert_true(status == HM_OK || !is_exact(s) || sizes[i] < sizeof(hm_block));
        for (size_t b = sizes[i] < sizeof(hm_block) ? sizes[i] : sizeof(hm_block);
             b < sizeof seen; b++) {
            assert_int_equal(((unsigned char *)&seen)[b], 0x77);
        }
    }
    assert_int_equal(hm_free(s->m, block), HM_OK);
}

typedef struct census {
    void *const *blocks;
    size_t count, seen, strangers, stop_after;
    size_t bytes;
} census;

static int census_take(void *context, const hm_block *block)
{
    census *c = context;
    size_t i = 0;
    while (i < c->count && c->blocks[i] != block->address) {
        i++;
    }
    c->seen += i < c->count;
    c->strangers += i == c->count;
    c->bytes += block->requested;
    return c->stop_after && c->seen >= c->stop_after;
}

static void walk__shows_every_live_block_once(subject *s)
{
    void *blocks[40];
    size_t bytes = 0;
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = hm_alloc(s->m, i * 11);
        assert_non_null(blocks[i]);
        bytes += i % 4 ? i * 11 : 0;
    }
    for (size_t i = 0; i < COUNT(blocks); i += 4) {
        assert_int_equal(hm_free(s->m, blocks[i]), HM_OK);
        blocks[i] = NULL;
    }
    census c = {.blocks = blocks, .count = COUNT(blocks)};
    const hm_status status = hm_walk(s->m, census_take, &c);
    if (status == HM_E_UNSUPPORTED && !is_exact(s)) {
        assert_int_equal(c.seen + c.strangers, 0);
    } else {
        assert_int_equal(status, HM_OK);
        assert_int_equal(c.seen, 30);
        assert_int_equal(c.strangers, 0);
        assert_int_equal(c.bytes, bytes);
        census few = {.blocks = blocks, .count = COUNT(blocks), .stop_after = 5};
        hm_walk(s->m, census_take, &few);
        assert_int_equal(few.seen, 5);
    }
    for (size_t i = 0; i < COUNT(blocks); i++) {
        assert_int_equal(hm_free(s->m, blocks[i]), HM_OK);
    }
}

static void stats__count_requested_bytes(subject *s)
{
    hm_stats st;
    const hm_status status = hm_malloc_stats(s->m, &st);
    if (status == HM_E_UNSUPPORTED && !is_checked(s) && !s->kind->limit) {
        return;
    }
    assert_int_equal(status, HM_OK);
    assert_int_equal(st.live_blocks, 0);
    assert_int_equal(st.live_bytes, 0);
    void *a = hm_alloc(s->m, 100);
    void *b = hm_alloc(s->m, 1000);
    void *c = hm_alloc(s->m, 0);
    assert_int_equal(hm_malloc_stats(s->m, &st), HM_OK);
    assert_int_equal(st.live_blocks, 3);
    assert_int_equal(st.live_bytes, 1100);
    assert_int_equal(hm_free(s->m, b), HM_OK);
    a = hm_realloc(s->m, a, 300);
    assert_int_equal(hm_malloc_stats(s->m, &st), HM_OK);
    assert_int_equal(st.live_blocks, 2);
    assert_int_equal(st.live_bytes, 300);
    assert_true(st.peak_bytes >= 1100 && st.peak_bytes <= 1500);
    assert_true(st.total_blocks >= 3);
    assert_true(st.total_bytes >= 1100);
    assert_null(hm_alloc(s->m, SIZE_MAX / 2));
    assert_int_equal(hm_malloc_stats(s->m, &st), HM_OK);
    assert_true(st.failed >= 1);
    assert_int_equal(st.live_bytes, 300);
    assert_int_equal(hm_free(s->m, a), HM_OK);
    assert_int_equal(hm_free(s->m, c), HM_OK);
    assert_int_equal(hm_malloc_stats(s->m, &st), HM_OK);
    assert_int_equal(st.live_blocks, 0);
    assert_int_equal(st.live_bytes, 0);
}

static void find__of_an_unknown_name_finds_nothing(subject *s)
{
    void *out = s;
    assert_int_equal(hm_malloc_find(s->m, "no such interface", &out), HM_E_NOT_FOUND);
    assert_null(out);
}

const test_case query_cases[] = {
    CASE(size_of__is_at_least_what_was_asked),
    CASE(size_of__bytes_are_the_callers),
    CASE(size_of__is_answered_by_a_sibling),
    CASE(size_of__is_answered_by_any_kind),
    CASE(good_size__is_had),
    CASE(good_size__never_wraps),
    CASE(owns__is_right_or_cannot_tell),
    CASE(describe__knows_a_block),
    CASE(describe__respects_the_size_of_the_struct),
    CASE(walk__shows_every_live_block_once),
    CASE(stats__count_requested_bytes),
    CASE(find__of_an_unknown_name_finds_nothing),
};
const size_t query_case_count = COUNT(query_cases);
