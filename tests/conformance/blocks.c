/* SPDX-License-Identifier: MIT */
/* Blocks: sizes, alignment, zero bytes, zeroed and aligned ones, freeing. */
#include "conformance.h"

static const size_t sizes[] = {0,    1,    2,    3,     7,     8,     9,      15,
                               16,   17,   24,   31,    32,    33,    63,     64,
                               65,   100,  127,  128,   129,   255,   256,    257,
                               512,  1000, 1023, 1024,  1025,  2047,  2048,   4095,
                               4096, 4097, 8192, 16384, 65535, 65536, 131073, 1048576};

static const struct {
    const char *label;
    size_t size;
} hopeless[] = {
    {"half the address space", SIZE_MAX / 2},
    {"just above it", SIZE_MAX / 2 + 2},
    {"header overflow", SIZE_MAX - 8},
    {"SIZE_MAX - 1", SIZE_MAX - 1},
    {"SIZE_MAX", SIZE_MAX},
};

static void block__has_the_bytes_and_the_alignment(subject *s)
{
    void *blocks[COUNT(sizes)];
    for (size_t i = 0; i < COUNT(sizes); i++) {
        blocks[i] = hm_alloc(s->m, sizes[i]);
        assert_non_null(blocks[i]);
        assert_true(is_aligned(blocks[i], 16));
        fill(blocks[i], sizes[i], (unsigned)i);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_true(is_filled(blocks[i], sizes[i], (unsigned)i));
        for (size_t j = 0; j < i; j++) {
            assert_ptr_not_equal(blocks[i], blocks[j]);
        }
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_int_equal(hm_free(s->m, blocks[i]), HM_OK);
    }
}

static void block__is_aligned_however_many_there_are(subject *s)
{
    void *blocks[200];
    for (size_t size = 0; size <= 40; size++) {
        for (size_t i = 0; i < COUNT(blocks); i++) {
            blocks[i] = hm_alloc(s->m, size);
            assert_non_null(blocks[i]);
            assert_true(is_aligned(blocks[i], 16));
        }
        for (size_t i = 0; i < COUNT(blocks); i++) {
            assert_int_equal(hm_free_sized(s->m, blocks[i], size), HM_OK);
        }
    }
}

/* A one-thread malloc may change how it allocates once it is used enough. */
static void block__keeps_its_bytes_while_thousands_come_and_go(subject *s)
{
    enum { SLOTS = 512 };
    struct {
        void *block;
        size_t size;
        unsigned seed;
    } slots[SLOTS] = {{0}};
    unsigned draw = 12345;
    for (unsigned step = 0; step < 6000; step++) {
        draw = draw * 1103515245u + 12345u;
        const size_t i = draw >> 16 & (SLOTS - 1);
        assert_true(is_filled(slots[i].block, slots[i].size, slots[i].seed));
        assert_int_equal(hm_free(s->m, slots[i].block), HM_OK);
        slots[i].size = draw >> 8 & 511;
        slots[i].seed = step;
        slots[i].block = hm_alloc(s->m, slots[i].size);
        assert_non_null(slots[i].block);
        fill(slots[i].block, slots[i].size, step);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        assert_true(is_filled(slots[i].block, slots[i].size, slots[i].seed));
        assert_int_equal(hm_free(s->m, slots[i].block), HM_OK);
    }
}

static void block__of_a_hopeless_size_is_refused(subject *s)
{
    for (size_t i = 0; i < COUNT(hopeless); i++) {
        const size_t size = hopeless[i].size;
        CHECK_ROW(hopeless[i].label, !hm_alloc(s->m, size));
        CHECK_ROW(hopeless[i].label, !(hm_alloc)(s->m, size));
        CHECK_ROW(hopeless[i].label, !hm_alloc_at(s->m, size, HM_LEVEL_PROCESS, NULL));
        CHECK_ROW(hopeless[i].label, !hm_realloc(s->m, NULL, size));
        CHECK_ROW(hopeless[i].label, !hm_alloc_zeroed(s->m, 1, size));
        CHECK_ROW(hopeless[i].label, !hm_alloc_zeroed(s->m, size, 1));
        CHECK_ROW(hopeless[i].label, !hm_alloc_aligned(s->m, size, 1));
        CHECK_ROW(hopeless[i].label, !hm_alloc_aligned(s->m, size, 64));
        CHECK_ROW(hopeless[i].label, !hm_alloc_aligned(s->m, size, 4096));
        CHECK_ROW(hopeless[i].label,
                  !hm_debug_alloc(s->m, size, HM_LEVEL_TASK, "a.c", 1));
    }
    void *block = hm_alloc(s->m, 10);
    assert_non_null(block);
    assert_int_equal(hm_free(s->m, block), HM_OK);
}

static void block__of_zero_bytes_is_unique(subject *s)
{
    void *blocks[] = {
        hm_alloc(s->m, 0),
        (hm_alloc)(s->m, 0),
        hm_alloc(s->m, 0),
        hm_realloc(s->m, NULL, 0),
        hm_alloc_zeroed(s->m, 0, 8),
        hm_alloc_zeroed(s->m, 8, 0),
        hm_alloc_aligned(s->m, 0, 64),
        hm_debug_alloc(s->m, 0, HM_LEVEL_TASK, "a.c", 1),
    };
    for (size_t i = 0; i < COUNT(blocks); i++) {
        assert_non_null(blocks[i]);
        assert_true(is_aligned(blocks[i], 16));
        for (size_t j = 0; j < i; j++) {
            assert_ptr_not_equal(blocks[i], blocks[j]);
        }
    }
    for (size_t i = 0; i < COUNT(blocks); i++) {
        assert_int_equal(hm_free(s->m, blocks[i]), HM_OK);
    }
}

static void block__may_be_null_when_freed(subject *s)
{
    assert_int_equal(hm_free(s->m, NULL), HM_OK);
    assert_int_equal((hm_free)(s->m, NULL), HM_OK);
    assert_int_equal(hm_free_sized(s->m, NULL, 0), HM_OK);
    assert_int_equal(hm_free_sized(s->m, NULL, 10), HM_OK);
    assert_int_equal(hm_free_at(s->m, NULL, HM_SIZE_UNKNOWN, 0, NULL), HM_OK);
    assert_int_equal(hm_debug_free(s->m, NULL, "a.c", 1), HM_OK);
    s->m->vtbl->free(s->m, NULL);
    s->m->vtbl->free_sized(s->m, NULL, 0);
    assert_int_equal(s->m->vtbl->debug_free(s->m, NULL, HM_SIZE_UNKNOWN, 0, NULL), HM_OK);
}

static void block__zeroed_reads_as_zero(subject *s)
{
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *dirty = hm_alloc(s->m, sizes[i]);
        assert_non_null(dirty);
        memset(dirty, 0xA5, sizes[i]);
        assert_int_equal(hm_free(s->m, dirty), HM_OK);
        void *block = hm_alloc_zeroed(s->m, sizes[i], 1);
        assert_non_null(block);
        assert_true(is_aligned(block, 16));
        assert_true(is_zero(block, sizes[i]));
        assert_int_equal(hm_free(s->m, block), HM_OK);
    }
    void *block = hm_alloc_zeroed(s->m, 30, 40);
    assert_non_null(block);
    assert_true(is_zero(block, 1200));
    assert_int_equal(hm_free(s->m, block), HM_OK);
}

static void block__zeroed_checks_the_product(subject *s)
{
    static const struct {
        const char *label;
        size_t count, size;
    } cases[] = {
        {"wraps to 0", SIZE_MAX / 2 + 1, 2},
        {"wraps to 2", SIZE_MAX / 2 + 2, 2},
        {"wraps to 1", SIZE_MAX, SIZE_MAX},
        {"wraps to 16", ((size_t)1 << (sizeof(size_t) * 8 - 4)) + 1, 16},
        {"two of SIZE_MAX", 2, SIZE_MAX},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_ROW(cases[i].label, !hm_alloc_zeroed(s->m, cases[i].count, cases[i].size));
    }
}

static void block__has_the_alignment_asked_for(subject *s)
{
    for (size_t alignment = 1; alignment <= (size_t)1 << 20; alignment *= 2) {
        static const size_t few[] = {0, 1, 16, 17, 100, 1000, 5000};
        void *blocks[COUNT(few)];
        for (size_t i = 0; i < COUNT(few); i++) {
            blocks[i] = hm_alloc_aligned(s->m, few[i], alignment);
            assert_non_null(blocks[i]);
            assert_true(is_aligned(blocks[i], alignment));
            assert_true(is_aligned(blocks[i], 16));
            assert_true(hm_size_of(s->m, blocks[i]) >= few[i]);
            fill(blocks[i], few[i], (unsigned)i);
        }
        for (size_t i = 0; i < COUNT(few); i++) {
            assert_true(is_filled(blocks[i], few[i], (unsigned)i));
            assert_int_equal(hm_free_at(s->m, blocks[i], few[i], alignment, NULL), HM_OK);
        }
    }
}

static void block__of_a_bad_alignment_is_refused(subject *s)
{
    static const size_t bad[] = {0, 3, 5, 12, 24, 48, 4095, 4097, SIZE_MAX};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_null(hm_alloc_aligned(s->m, 100, bad[i]));
    }
    static const size_t vast[] = {(size_t)1 << 40, (size_t)1 << 47, (size_t)1 << 62,
                                  (size_t)1 << 63};
    for (size_t i = 0; i < COUNT(vast); i++) {
        void *block = hm_alloc_aligned(s->m, 100, vast[i]);
        assert_true(is_aligned(block, vast[i])); /* refused, or kept to the letter */
        assert_int_equal(hm_free(s->m, block), HM_OK);
        assert_null(hm_alloc_aligned(s->m, SIZE_MAX / 2 - 100, vast[i]));
        assert_null(hm_alloc_aligned(s->m, SIZE_MAX / 2 + 100, vast[i]));
        assert_null(hm_alloc_aligned(s->m, SIZE_MAX - vast[i] + 100, vast[i]));
    }
}

static void block__of_a_strdup_is_a_copy(subject *s)
{
    static const char text[] = "one text, and its terminator";
    assert_null(hm_strdup(s->m, NULL));
    char *copy = hm_strdup(s->m, text);
    assert_non_null(copy);
    assert_string_equal(copy, text);
    assert_int_equal(hm_free_sized(s->m, copy, sizeof text), HM_OK);
}

typedef struct parcel {
    hm_malloc *m;
    void *blocks[64];
} parcel;

static void free_all(void *context)
{
    parcel *p = context;
    for (size_t i = 0; i < COUNT(p->blocks); i++) {
        if (hm_free(p->m, p->blocks[i]) != HM_OK) {
            p->m = NULL;
            return;
        }
    }
}

static void block__may_be_freed_by_another_thread(subject *s)
{
    parcel p = {.m = s->m};
    for (int round = 0; round < 8; round++) {
        for (size_t i = 0; i < COUNT(p.blocks); i++) {
            p.blocks[i] = hm_alloc(s->m, i * 37);
            assert_non_null(p.blocks[i]);
            fill(p.blocks[i], i * 37, 1);
        }
        on_another_thread(free_all, &p);
        assert_ptr_equal(p.m, s->m);
    }
}

const test_case block_cases[] = {
    CASE(block__has_the_bytes_and_the_alignment),
    CASE(block__is_aligned_however_many_there_are),
    CASE(block__keeps_its_bytes_while_thousands_come_and_go),
    CASE(block__of_a_hopeless_size_is_refused),
    CASE(block__of_zero_bytes_is_unique),
    CASE(block__may_be_null_when_freed),
    CASE(block__zeroed_reads_as_zero),
    CASE(block__zeroed_checks_the_product),
    CASE(block__has_the_alignment_asked_for),
    CASE(block__of_a_bad_alignment_is_refused),
    CASE(block__of_a_strdup_is_a_copy),
    CASE(block__may_be_freed_by_another_thread),
};
const size_t block_case_count = COUNT(block_cases);
