/* SPDX-License-Identifier: MIT */
/* Changing the size of a block, and the rare requests. */
#include "conformance.h"

static void realloc__keeps_the_bytes(subject *s)
{
    static const size_t steps[] = {1,   7,    8,    9,    16,    17,      100,
                                   101, 1000, 5000, 4999, 70000, 1 << 20, 300,
                                   64,  16,   15,   2,    1};
    for (int told = 0; told < 2; told++) {
        size_t size = 5;
        unsigned char *block = hm_alloc(s->m, size);
        assert_non_null(block);
        fill(block, size, 7);
        for (size_t i = 0; i < COUNT(steps); i++) {
            block = hm_realloc_at(s->m, block, told ? size : HM_SIZE_UNKNOWN, steps[i],
                                  HM_LEVEL_CURRENT, NULL);
            assert_non_null(block);
            assert_true(is_aligned(block, 16));
            assert_true(is_filled(block, size < steps[i] ? size : steps[i], 7));
            size = steps[i];
            assert_true(hm_size_of(s->m, block) >= size);
            fill(block, size, 7);
        }
        assert_int_equal(hm_free_sized(s->m, block, size), HM_OK);
    }
}

static void realloc__of_null_allocates(subject *s)
{
    void *block = hm_realloc(s->m, NULL, 100);
    assert_non_null(block);
    fill(block, 100, 1);
    assert_int_equal(hm_free(s->m, block), HM_OK);
    block = hm_realloc_at(s->m, NULL, 0, 100, HM_LEVEL_TASK, NULL);
    assert_non_null(block);
    assert_int_equal(hm_free(s->m, block), HM_OK);
}

static void realloc__to_zero_gives_a_zero_byte_block(subject *s)
{
    static const size_t from[] = {0, 1, 16, 100, 100000};
    for (size_t i = 0; i < COUNT(from); i++) {
        void *block = hm_alloc(s->m, from[i]);
        assert_non_null(block);
        block = hm_realloc(s->m, block, 0);
        assert_non_null(block);
        assert_true(is_aligned(block, 16));
        void *other = hm_alloc(s->m, 0);
        assert_ptr_not_equal(block, other);
        block = hm_realloc(s->m, block, 50);
        assert_non_null(block);
        fill(block, 50, 3);
        assert_int_equal(hm_free_sized(s->m, block, 50), HM_OK);
        assert_int_equal(hm_free_sized(s->m, other, 0), HM_OK);
    }
}

static void realloc__refused_keeps_the_block(subject *s)
{
    static const size_t hopeless[] = {SIZE_MAX / 2, SIZE_MAX - 8, SIZE_MAX - 1, SIZE_MAX};
    void *block = hm_alloc(s->m, 100);
    assert_non_null(block);
    fill(block, 100, 9);
    const size_t usable = hm_size_of(s->m, block);
    for (size_t i = 0; i < COUNT(hopeless); i++) {
        assert_null(hm_realloc(s->m, block, hopeless[i]));
        assert_null(hm_realloc_at(s->m, block, 100, hopeless[i], HM_LEVEL_PROCESS, NULL));
        assert_true(is_filled(block, 100, 9));
        assert_int_equal(hm_size_of(s->m, block), usable);
    }
    assert_int_equal(hm_free_sized(s->m, block, 100), HM_OK);
}

static void realloc__takes_any_block_of_its_malloc(subject *s)
{
    void *blocks[] = {hm_alloc_aligned(s->m, 100, 4096), hm_alloc_zeroed(s->m, 10, 10),
                      hm_alloc_aligned(s->m, 100, 32),
                      hm_debug_alloc(s->m, 100, HM_LEVEL_TASK, "a.c", 1)};
    for (size_t i = 0; i < COUNT(blocks); i++) {
        assert_non_null(blocks[i]);
        fill(blocks[i], 100, (unsigned)i);
        blocks[i] = hm_realloc(s->m, blocks[i], 3000);
        assert_non_null(blocks[i]);
        assert_true(is_filled(blocks[i], 100, (unsigned)i));
        blocks[i] = hm_realloc(s->m, blocks[i], 20);
        assert_non_null(blocks[i]);
        assert_true(is_filled(blocks[i], 20, (unsigned)i));
        assert_int_equal(hm_free(s->m, blocks[i]), HM_OK);
    }
}

static hm_request request_of(size_t bytes)
{
    hm_request r = {0};
    r.size = sizeof r;
    r.old_bytes = HM_SIZE_UNKNOWN;
    r.bytes = bytes;
    r.level = HM_LEVEL_CURRENT;
    return r;
}

static void request__allocates_aligned_and_zeroed(subject *s)
{
    for (size_t alignment = 0; alignment <= 4096;
         alignment = alignment ? 2 * alignment : 1) {
        hm_request r = request_of(777);
        r.alignment = alignment;
        r.flags = HM_REQUEST_ZEROED;
        r.tag = 5;
        r.scope = 6;
        void *block = NULL;
        assert_int_equal(hm_malloc_request(s->m, &r, &block), HM_OK);
        assert_non_null(block);
        assert_true(is_aligned(block, alignment ? alignment : 16));
        assert_true(is_zero(block, 777));
        memset(block, 0x5A, 777);
        assert_int_equal(hm_free(s->m, block), HM_OK);
    }
}

static void request__reallocates_aligned_and_zeroes_what_is_new(subject *s)
{
    static const size_t alignments[] = {0, 16, 64, 4096};
    for (size_t i = 0; i < COUNT(alignments); i++) {
        void *block = hm_alloc(s->m, 48);
        assert_non_null(block);
        fill(block, 48, 2);
        hm_request r = request_of(5000);
        r.block = block;
        r.old_bytes = 48;
        r.alignment = alignments[i];
        r.flags = HM_REQUEST_ZEROED;
        void *moved = NULL;
        assert_int_equal(hm_malloc_request(s->m, &r, &moved), HM_OK);
        assert_non_null(moved);
        assert_true(is_aligned(moved, alignments[i] ? alignments[i] : 16));
        assert_true(is_filled(moved, 48, 2));
        assert_true(is_zero((char *)moved + 48, 5000 - 48));
        assert_int_equal(hm_free_sized(s->m, moved, 5000), HM_OK);
    }
}

static void request__refused_says_why(subject *s)
{
    void *block = hm_alloc(s->m, 64);
    assert_non_null(block);
    fill(block, 64, 4);
    const hm_request usual = request_of(100);
    hm_request small = usual, crooked = usual, unknown = usual, vast = usual,
               growing = usual;
    small.size = 8;
    crooked.alignment = 24;
    unknown.flags = 0x80;
    vast.bytes = SIZE_MAX - 8;
    growing.block = block;
    growing.old_bytes = 64;
    growing.bytes = SIZE_MAX - 8;
    const struct {
        const char *label;
        const hm_request *request;
        hm_status want;
    } cases[] = {
        {"no request", NULL, HM_E_INVALID},
        {"short struct", &small, HM_E_INVALID},
        {"alignment 24", &crooked, HM_E_INVALID},
        {"unknown flag", &unknown, HM_E_INVALID},
        {"more than there is", &vast, HM_E_NOMEM},
        {"growing beyond it", &growing, HM_E_NOMEM},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        void *out = block;
        CHECK_ROW(cases[i].label,
                  hm_malloc_request(s->m, cases[i].request, &out) == cases[i].want);
        CHECK_ROW(cases[i].label, out == NULL);
    }
    assert_int_equal(hm_malloc_request(s->m, &usual, NULL), HM_E_INVALID);
    assert_true(is_filled(block, 64, 4));
    assert_int_equal(hm_free_sized(s->m, block, 64), HM_OK);
}

const test_case realloc_cases[] = {
    CASE(realloc__keeps_the_bytes),
    CASE(realloc__of_null_allocates),
    CASE(realloc__to_zero_gives_a_zero_byte_block),
    CASE(realloc__refused_keeps_the_block),
    CASE(realloc__takes_any_block_of_its_malloc),
    CASE(request__allocates_aligned_and_zeroed),
    CASE(request__reallocates_aligned_and_zeroes_what_is_new),
    CASE(request__refused_says_why),
};
const size_t realloc_case_count = COUNT(realloc_cases);
