/* SPDX-License-Identifier: MIT */
/* The ready-made spies: what they count, what they find, what they refuse. */
#include "check.h"

#include <hostmalloc/bridges/spy.h>
#include <hostmalloc/hostmalloc.h>
#include <string.h>

#include "memory_internal.h"

static hm_host *host;
static hm_malloc *inner;
static hm_malloc *spied;

static int setup(void **state)
{
    const uint32_t flags = HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT;
    (void)state;
    assert_int_equal(hm_host_open("default", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, "spied", flags, &inner, NULL), HM_OK);
    assert_int_equal(hm_spied_create(inner, NULL, &spied, NULL), HM_OK);
    return 0;
}

static int teardown(void **state)
{
    hm_stats stats;
    (void)state;
    hm_malloc_release(spied);
    assert_int_equal(hm_malloc_stats(inner, &stats), HM_OK);
    assert_int_equal(stats.live_blocks, 0);
    hm_malloc_release(inner);
    hm_host_release(host);
    return 0;
}

/* On duty, with one reference left to the caller. */
static hm_spy *on_duty(hm_spy *spy)
{
    assert_int_equal(hm_spied_register(spied, spy), HM_OK);
    return spy;
}

static void dismiss(hm_spy *spy)
{
    assert_int_equal(hm_spied_revoke(spied), HM_OK);
    hm_spy_release(spy);
}

static hm_spy_counts counted(hm_spy *spy)
{
    hm_spy_counts counts = {.size = sizeof counts};
    assert_int_equal(hm_spy_count_read(spy, &counts), HM_OK);
    return counts;
}

static void count__every_call(void **state)
{
    hm_spy *spy;
    void *old = hm_alloc(spied, 8);
    (void)state;
    assert_int_equal(hm_spy_count_create(&spy), HM_OK);
    on_duty(spy);
    void *p = hm_alloc(spied, 10);
    void *q = hm_alloc(spied, 20);
    p = hm_realloc(spied, p, 30);
    old = hm_realloc(spied, old, 16);
    assert_null(hm_alloc(spied, SIZE_MAX));
    assert_null(hm_realloc(spied, p, SIZE_MAX));
    (void)hm_spied_size(spied, p);
    (void)hm_owns(spied, p);
    hm_malloc_trim(spied);
    hm_spy_counts c = counted(spy);
    assert_int_equal(c.allocs, 2);
    assert_int_equal(c.reallocs, 2);
    assert_int_equal(c.refused, 2);
    assert_int_equal(c.sizes, 1);
    assert_int_equal(c.owns, 1);
    assert_int_equal(c.trims, 1);
    assert_int_equal(c.bytes, 10 + 20 + 30 + 16);
    assert_int_equal(c.live, 3);
    assert_int_equal(c.frees, 0);
    assert_null(hm_spied_resize(spied, p, 0, NULL));
    assert_int_equal(counted(spy).live, 2);
    hm_free(spied, q);
    hm_free(spied, old);
    c = counted(spy);
    assert_int_equal(c.live, 0);
    assert_int_equal(c.peak, 3);
    assert_int_equal(c.frees, 2);
    dismiss(spy);
}

static void count__a_block_of_before(void **state)
{
    hm_spy *spy;
    void *p = hm_alloc(spied, 8);
    void *q = hm_alloc(spied, 8);
    (void)state;
    assert_int_equal(hm_spy_count_create(&spy), HM_OK);
    on_duty(spy);
    hm_free(spied, p);
    assert_null(hm_spied_resize(spied, q, 0, NULL));
    assert_int_equal(counted(spy).live, 0);
    assert_int_equal(counted(spy).frees, 1);
    dismiss(spy);
}

typedef struct damage {
    int seen;
    const void *block;
    size_t bytes;
    int side;
} damage;

static void note_damage(void *context, const void *block, size_t bytes, int side)
{
    damage *d = context;
    d->seen++;
    d->block = block;
    d->bytes = bytes;
    d->side = side;
}

static void guard__finds_each_side(void **state)
{
    static const struct {
        const char *label;
        size_t bytes;
        ptrdiff_t at;
        int side;
    } rows[] = {
        {"one before", 24, -1, HM_SPY_BEFORE},
        {"eight before", 24, -8, HM_SPY_BEFORE},
        {"its size", 24, -16, HM_SPY_BEFORE},
        {"one after", 24, 24, HM_SPY_AFTER},
        {"one after an odd size", 7, 7, HM_SPY_AFTER},
        {"fifteen after", 24, 39, HM_SPY_AFTER},
        {"after nothing", 0, 0, HM_SPY_AFTER},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        damage d = {0, NULL, 0, 0};
        hm_spy *spy;
        assert_int_equal(hm_spy_guard_create(note_damage, &d, &spy), HM_OK);
        on_duty(spy);
        char *p = hm_alloc(spied, rows[i].bytes);
        CHECK_ROW(rows[i].label, p[-1] != 0 && p[rows[i].bytes] != 0);
        p[rows[i].at] ^= 0x40;
        hm_free(spied, p);
        CHECK_ROW(rows[i].label, d.seen == 1 && hm_spy_guard_found(spy) == 1);
        CHECK_ROW(rows[i].label, d.block == p && d.side == rows[i].side);
        CHECK_ROW(rows[i].label,
                  d.bytes == (rows[i].side == HM_SPY_AFTER ? rows[i].bytes : 0));
        dismiss(spy);
    }
}

static void guard__finds_on_every_question(void **state)
{
    hm_spy *spy;
    (void)state;
    assert_int_equal(hm_spy_guard_create(NULL, NULL, &spy), HM_OK);
    on_duty(spy);
    char *p = hm_alloc(spied, 8);
    p[8] = 1;
    assert_int_equal(hm_spied_size(spied, p), 8);
    assert_int_equal(hm_spy_guard_found(spy), 1);
    assert_int_equal(hm_owns(spied, p), 1);
    assert_int_equal(hm_spy_guard_found(spy), 2);
    p = hm_realloc(spied, p, 100); /* and is whole again */
    assert_int_equal(hm_spy_guard_found(spy), 3);
    p[-1] = 1;
    assert_int_equal(hm_spied_size(spied, p), 100); /* from what is underneath */
    hm_free(spied, p);
    dismiss(spy);
}

static void guard__adopts_a_block_of_before(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 64, 5000};
    (void)state;
    for (size_t from = 0; from < COUNT(sizes); from++) {
        for (size_t to = 0; to < COUNT(sizes); to++) {
            hm_spy *spy;
            unsigned char *p = hm_alloc(spied, sizes[from]);
            const size_t kept = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
            memset(p, 0x3c, sizes[from]);
            assert_int_equal(hm_spy_guard_create(NULL, NULL, &spy), HM_OK);
            on_duty(spy);
            p = hm_realloc(spied, p, sizes[to]);
            assert_non_null(p);
            for (size_t i = 0; i < kept; i++) {
                assert_int_equal(p[i], 0x3c);
            }
            hm_free(spied, p);
            assert_int_equal(hm_spy_guard_found(spy), 0);
            dismiss(spy);
        }
    }
}

static void guard__refuses_what_wraps(void **state)
{
    hm_spy *spy;
    (void)state;
    assert_int_equal(hm_spy_guard_create(NULL, NULL, &spy), HM_OK);
    on_duty(spy);
    for (size_t less = 0; less < 40; less++) {
        assert_null(hm_alloc(spied, SIZE_MAX - less));
        char *p = hm_alloc(spied, 8);
        assert_null(hm_realloc(spied, p, SIZE_MAX - less));
        hm_free(spied, p);
    }
    assert_int_equal(hm_spy_guard_found(spy), 0);
    dismiss(spy);
}

static void fail__by_number(void **state)
{
    static const struct {
        const char *label;
        uint64_t first, count;
        unsigned refused; /* bit n: the (n+1)th of eight */
    } rows[] = {
        {"none", 0, 0, 0},
        {"none for long", 0, UINT64_MAX, 0},
        {"the first", 1, 1, 0x01},
        {"the third", 3, 1, 0x04},
        {"three", 2, 3, 0x0e},
        {"all from the fifth", 5, UINT64_MAX, 0xf0},
        {"all", 1, UINT64_MAX, 0xff},
        {"no more", 9, 1, 0},
    };
    static const size_t sizes[] = {8, 0, 100, 8, 0, 8, 8, 0};
    hm_spy *spy;
    (void)state;
    assert_int_equal(hm_spy_fail_create(0, 0, &spy), HM_OK);
    on_duty(spy);
    for (size_t i = 0; i < COUNT(rows); i++) {
        unsigned refused = 0;
        assert_int_equal(hm_spy_fail_set(spy, rows[i].first, rows[i].count), HM_OK);
        for (unsigned n = 0; n < 8; n++) {
            void *p =
                n % 2 ? hm_alloc(spied, sizes[n]) : hm_realloc(spied, NULL, sizes[n]);
            refused |= (unsigned)!p << n;
            hm_free(spied, p);
        }
        CHECK_ROW(rows[i].label, refused == rows[i].refused);
        CHECK_ROW(rows[i].label, hm_spy_fail_seen(spy) == 8);
    }
    dismiss(spy);
}

static void fail__never_a_free(void **state)
{
    hm_spy *spy;
    (void)state;
    assert_int_equal(hm_spy_fail_create(2, UINT64_MAX, &spy), HM_OK);
    on_duty(spy);
    char *p = hm_alloc(spied, 8);
    p[0] = 9;
    assert_null(hm_realloc(spied, p, 16));
    assert_null(hm_realloc(spied, p, 4));
    assert_int_equal(p[0], 9);
    assert_int_equal(hm_spied_blocks(spied), 1);
    assert_null(hm_spied_resize(spied, p, 0, NULL));
    assert_int_equal(hm_spied_blocks(spied), 0);
    dismiss(spy);
}

static void spies__are_told_apart(void **state)
{
    hm_spy *spies[3];
    hm_spy_counts counts = {.size = sizeof counts};
    (void)state;
    assert_int_equal(hm_spy_count_create(&spies[0]), HM_OK);
    assert_int_equal(hm_spy_guard_create(NULL, NULL, &spies[1]), HM_OK);
    assert_int_equal(hm_spy_fail_create(1, 1, &spies[2]), HM_OK);
    assert_int_equal(hm_spy_count_read(spies[1], &counts), HM_E_INVALID);
    assert_int_equal(hm_spy_count_read(NULL, &counts), HM_E_INVALID);
    assert_int_equal(hm_spy_count_read(spies[0], NULL), HM_E_INVALID);
    counts.size = 4;
    assert_int_equal(hm_spy_count_read(spies[0], &counts), HM_E_INVALID);
    counts.size = sizeof(size_t) + sizeof(uint64_t);
    counts.frees = 77;
    assert_int_equal(hm_spy_count_read(spies[0], &counts), HM_OK);
    assert_int_equal(counts.frees, 77); /* an older caller's struct ends before it */
    assert_int_equal(hm_spy_guard_found(spies[0]), 0);
    assert_int_equal(hm_spy_guard_found(NULL), 0);
    assert_int_equal(hm_spy_fail_set(spies[0], 1, 1), HM_E_INVALID);
    assert_int_equal(hm_spy_fail_set(NULL, 1, 1), HM_E_INVALID);
    assert_int_equal(hm_spy_fail_seen(spies[1]), 0);
    for (size_t i = 0; i < COUNT(spies); i++) {
        hm_spy_release(spies[i]);
    }
    hm_spy_release(NULL);
}

static void spies__without_memory(void **state)
{
    hm_spy *spy = (hm_spy *)(uintptr_t)1;
    (void)state;
    assert_int_equal(hm_spy_count_create(NULL), HM_E_INVALID);
    hm__memory_fail_from(1);
    const hm_status counting = hm_spy_count_create(&spy);
    const hm_status guarding = hm_spy_guard_create(NULL, NULL, &spy);
    const hm_status failing = hm_spy_fail_create(1, 1, &spy);
    hm__memory_fail_from(0);
    assert_int_equal(counting, HM_E_NOMEM);
    assert_int_equal(guarding, HM_E_NOMEM);
    assert_int_equal(failing, HM_E_NOMEM);
    assert_null(spy);
}

/* The set of spied blocks cannot grow: then no block may be born. */
static void spied__no_room_for_a_mark(void **state)
{
    hm_spy *spy;
    void *blocks[200];
    size_t had = 0;
    (void)state;
    assert_int_equal(hm_spy_count_create(&spy), HM_OK);
    on_duty(spy);
    void *first = hm_alloc(spied, 8);
    while (had < COUNT(blocks)) {
        hm__memory_fail_from(1);
        void *p = hm_alloc(spied, 8);
        hm__memory_fail_from(0);
        if (!p) {
            break;
        }
        blocks[had++] = p;
    }
    assert_true(had > 0 && had < COUNT(blocks));
    assert_int_equal(counted(spy).refused, 1); /* post heard of it */
    assert_int_equal(hm_spied_blocks(spied), had + 1);
    while (had) {
        hm_free(spied, blocks[--had]);
    }
    hm_free(spied, first);
    dismiss(spy);
}

static void spied__created_without_memory(void **state)
{
    hm_malloc *m = spied;
    hm_error err;
    (void)state;
    hm__memory_fail_from(1);
    const hm_status status = hm_spied_create(inner, NULL, &m, &err);
    hm__memory_fail_from(0);
    assert_int_equal(status, HM_E_NOMEM);
    assert_null(m);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(count__every_call),
        CASE(count__a_block_of_before),
        CASE(guard__finds_each_side),
        CASE(guard__finds_on_every_question),
        CASE(guard__adopts_a_block_of_before),
        CASE(guard__refuses_what_wraps),
        CASE(fail__by_number),
        CASE(fail__never_a_free),
        CASE(spies__are_told_apart),
        CASE(spies__without_memory),
        CASE(spied__no_room_for_a_mark),
        CASE(spied__created_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
