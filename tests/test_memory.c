/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <string.h>

#include "block_map_internal.h"
#include "check.h"
#include "lock_internal.h"
#include "memory_internal.h"
#include "os.h"

static void memory__sizes(void **state)
{
    static const size_t sizes[] = {0,   1,    15,   16,   17,     48,
                                   100, 4096, 8192, 8193, 100000, (size_t)4 << 20};
    (void)state;
    const size_t before = hm__memory_in_use();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        unsigned char *memory = hm__memory_alloc(sizes[i]);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 16, 0);
        for (size_t k = 0; k < sizes[i]; k++) {
            assert_int_equal(memory[k], 0);
        }
        memset(memory, 0xaa, sizes[i]);
        hm__memory_free(memory, sizes[i]);
    }
    hm__memory_free(NULL, 100);
    assert_int_equal(hm__memory_in_use(), before);
}

static void memory__pieces_are_apart_and_come_back_zeroed(void **state)
{
    unsigned char *pieces[200];
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT(pieces); i++) {
            pieces[i] = hm__memory_alloc(40);
            assert_int_equal(pieces[i][39], 0);
            memset(pieces[i], (int)i + 1, 40);
        }
        for (size_t i = 0; i < COUNT(pieces); i++) {
            assert_int_equal(pieces[i][0], (int)i + 1);
            assert_int_equal(pieces[i][39], (int)i + 1);
            hm__memory_free(pieces[i], 40);
        }
    }
}

static void memory__impossible_sizes_are_null(void **state)
{
    (void)state;
    assert_null(hm__memory_alloc(SIZE_MAX));
    assert_null(hm__memory_alloc(SIZE_MAX - 4096));
    assert_null(hm__pages_map((size_t)1 << 62));
    assert_null(hm__pages_map(0));
}

static void memory__shortage_hits_the_nth_and_later(void **state)
{
    (void)state;
    hm__memory_fail_from(2);
    void *first = hm__memory_alloc(16);
    assert_non_null(first);
    assert_null(hm__memory_alloc(16));
    assert_null(hm__pages_map(4096));
    assert_int_equal(hm__memory_calls(), 3);
    hm__memory_fail_from(0);
    hm__memory_free(first, 16);
    assert_non_null(first = hm__memory_alloc(16));
    hm__memory_free(first, 16);
}

static void memory__copy(void **state)
{
    (void)state;
    char *copy = hm__memory_copy("text");
    assert_string_equal(copy, "text");
    hm__memory_free(copy, 5);
    hm__memory_fail_from(1);
    assert_null(hm__memory_copy("text"));
    hm__memory_fail_from(0);
}

static int count_start(void *context, void *start, unsigned state)
{
    size_t *sums = context;
    sums[0]++;
    sums[1] += (uintptr_t)start;
    return state == 9;
}

static void block_map__states(void **state)
{
    static hm__block_map map;
    char *area = hm__pages_map(1 << 16);
    (void)state;
    assert_int_equal(hm__block_map_open(&map), 1);
    assert_int_equal(hm__block_map_open(&map), 1);
    assert_int_equal(hm__block_map_state(&map, area), 0);
    assert_int_equal(hm__block_map_grow(&map, area), 1);
    hm__block_map_set(&map, area, 1);
    hm__block_map_set(&map, area + 48, 2);
    assert_int_equal(hm__block_map_state(&map, area), 1);
    assert_int_equal(hm__block_map_state(&map, area + 48), 2);
    assert_int_equal(hm__block_map_state(&map, area + 16), 0);
    assert_int_equal(hm__block_map_state(&map, area + 32), 0);
    assert_int_equal(hm__block_map_state(&map, area + 1), 0);
    assert_int_equal(hm__block_map_claim(&map, area, 2, 3), 0);
    assert_int_equal(hm__block_map_claim(&map, area, 1, 3), 1);
    assert_int_equal(hm__block_map_claim(&map, area, 1, 3), 0);
    assert_int_equal(hm__block_map_claim(&map, area + 16, 3, 0), 0);
    assert_int_equal(hm__block_map_claim(&map, area + 8, 3, 0), 0);
    assert_int_equal(hm__block_map_state(&map, area), 3);

    unsigned found = 0;
    assert_ptr_equal(hm__block_map_before(&map, area + 47, 4096, &found), area);
    assert_int_equal(found, 3);
    assert_ptr_equal(hm__block_map_before(&map, area + 48, 4096, &found), area + 48);
    assert_int_equal(found, 2);
    assert_null(hm__block_map_before(&map, area + 40000, 16, &found));
    assert_ptr_equal(hm__block_map_before(&map, area + 40000, 40000, &found), area + 48);

    size_t sums[2] = {0, 0};
    assert_int_equal(hm__block_map_walk(&map, 1u << 2 | 1u << 3, count_start, sums), 0);
    assert_int_equal(sums[0], 2);
    assert_int_equal(sums[1], 2 * (uintptr_t)area + 48);
    sums[0] = 0;
    hm__block_map_walk(&map, 1u << 2, count_start, sums);
    assert_int_equal(sums[0], 1);

    assert_int_equal(hm__block_map_claim(&map, area, 3, 0), 1);
    assert_int_equal(hm__block_map_state(&map, area), 0);
    hm__pages_unmap(area, 1 << 16);
}

static void block_map__addresses_outside_user_space(void **state)
{
    static const uintptr_t cases[] = {
        0, 1, 16, (uintptr_t)1 << 47, UINTPTR_MAX, UINTPTR_MAX - 15};
    static hm__block_map map;
    unsigned found;
    (void)state;
    assert_null(hm__block_map_before(&map, (void *)16, 1000, &found)); /* not open yet */
    assert_int_equal(hm__block_map_open(&map), 1);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(hm__block_map_state(&map, (void *)cases[i]), 0);
        assert_int_equal(hm__block_map_claim(&map, (void *)cases[i], 1, 0), 0);
        assert_null(hm__block_map_before(&map, (void *)cases[i], SIZE_MAX, &found));
    }
    assert_int_equal(hm__block_map_grow(&map, (void *)((uintptr_t)1 << 47)), 0);
}

static void block_map__no_memory(void **state)
{
    static hm__block_map map;
    (void)state;
    const size_t before = hm__memory_in_use();
    hm__memory_fail_from(1);
    assert_int_equal(hm__block_map_open(&map), 0);
    hm__memory_fail_from(0);
    assert_int_equal(hm__memory_in_use(), before);
    assert_int_equal(hm__block_map_open(&map), 1);
    const size_t opened = hm__memory_in_use();
    for (uint64_t n = 1; n <= 2; n++) {
        hm__memory_fail_from(n);
        assert_int_equal(hm__block_map_grow(&map, (void *)0x7000000000), 0);
        hm__memory_fail_from(0);
        assert_int_equal(hm__memory_in_use(), opened);
    }
    assert_int_equal(hm__block_map_grow(&map, (void *)0x7000000000), 1);
}

static hm_lock shared_lock;
static uint64_t shared_count;

static void *count_up(void *unused)
{
    (void)unused;
    for (int i = 0; i < 20000; i++) {
        hm__lock(&shared_lock);
        shared_count++;
        hm__unlock(&shared_lock);
    }
    return NULL;
}

static void lock__keeps_others_out(void **state)
{
    pthread_t threads[4];
    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    }
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(shared_count, 80000);
    assert_int_equal(shared_lock.word, 0);
}

static void *own_number(void *number)
{
    *(uint32_t *)number = hm__thread_id();
    return NULL;
}

static void thread__numbers_are_never_given_twice(void **state)
{
    uint32_t numbers[8] = {hm__thread_id()};
    (void)state;
    for (size_t i = 1; i < COUNT(numbers); i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, own_number, &numbers[i]), 0);
        pthread_join(thread, NULL);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(numbers[i], numbers[k]);
        }
    }
    assert_int_equal(hm__thread_id(), numbers[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory__sizes),
        cmocka_unit_test(memory__pieces_are_apart_and_come_back_zeroed),
        cmocka_unit_test(memory__impossible_sizes_are_null),
        cmocka_unit_test(memory__shortage_hits_the_nth_and_later),
        cmocka_unit_test(memory__copy),
        cmocka_unit_test(block_map__states),
        cmocka_unit_test(block_map__addresses_outside_user_space),
        cmocka_unit_test(block_map__no_memory),
        cmocka_unit_test(lock__keeps_others_out),
        cmocka_unit_test(thread__numbers_are_never_given_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
