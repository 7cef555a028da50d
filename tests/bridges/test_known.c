/* SPDX-License-Identifier: MIT */
/* The malloc that knows its blocks over one that does not. */
#include "known_internal.h"

#include "check.h"

#include <hostmalloc/hostmalloc.h>
#include <pthread.h>
#include <string.h>

#include "fake_malloc.h"
#include "memory_internal.h"

static fake_malloc under;
static hm_malloc *known;

static int setup(void **state)
{
    (void)state;
    fake_malloc_init(&under, 0); /* not thread-safe, knows nothing */
    assert_int_equal(hm__known_create(&under.base, &known), HM_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(under.live, 0);
    hm_malloc_release(known);
    assert_int_equal(under.references, 1);
    fake_malloc_fini(&under);
    return 0;
}

static void known__sizes_are_exact(void **state)
{
    (void)state;
    assert_int_equal(known->flags, HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT);
    assert_int_equal(hm_malloc_validate(known, NULL), HM_OK);
    for (size_t bytes = 0; bytes < 5000; bytes = bytes * 2 + 1) {
        hm_block seen;
        void *p = hm_alloc(known, bytes);
        assert_int_equal(hm_describe(known, p, &seen), HM_OK);
        assert_int_equal(seen.requested, bytes);
        assert_int_equal(seen.state, HM_BLOCK_LIVE);
        assert_ptr_equal(seen.address, p);
        assert_true(seen.usable >= bytes);
        assert_true(hm_size_of(known, p) >= bytes);
        assert_int_equal(hm_owns(known, p), 1);
        assert_int_equal(hm_free(known, p), HM_OK);
    }
}

static void known__strangers(void **state)
{
    char here[64];
    hm_block seen;
    char *p = hm_alloc(known, 64);
    char *freed = hm_alloc(known, 64);
    (void)state;
    hm_free(known, freed);
    const struct {
        const char *label;
        void *pointer;
    } rows[] = {
        {"stack", here},
        {"interior", p + 4},
        {"interior, aligned", p + 16},
        {"freed", freed},
        {"one", (void *)(uintptr_t)1},
        {"sixteen", (void *)(uintptr_t)16},
        {"top", (void *)(UINTPTR_MAX & ~(uintptr_t)15)},
        {"code", (void *)(uintptr_t)&setup},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CHECK_ROW(rows[i].label, hm_owns(known, rows[i].pointer) == 0);
        CHECK_ROW(rows[i].label,
                  hm_describe(known, rows[i].pointer, &seen) == HM_E_NOT_OWNED);
        hm_free(known, rows[i].pointer);
        CHECK_ROW(rows[i].label,
                  HM_LOAD(known->vtbl)
                          ->debug_free(known, rows[i].pointer, HM_SIZE_UNKNOWN, 0,
                                       NULL) == HM_E_NOT_OWNED);
        CHECK_ROW(rows[i].label, hm_realloc(known, rows[i].pointer, 8) == NULL);
        CHECK_ROW(rows[i].label, under.live == 1);
    }
    assert_int_equal(hm_owns(known, NULL), 0);
    assert_int_equal(hm_size_of(known, NULL), 0);
    assert_int_equal(hm_free(known, NULL), HM_OK);
    assert_int_equal(hm_free(known, p), HM_OK);
    assert_int_equal(HM_LOAD(known->vtbl)->debug_free(known, p, HM_SIZE_UNKNOWN, 0, NULL),
                     HM_E_NOT_OWNED);
}

static void known__realloc_keeps(void **state)
{
    static const size_t sizes[] = {0, 1, 31, 32, 64, 1000, 70000};
    (void)state;
    for (size_t from = 0; from < COUNT(sizes); from++) {
        for (size_t to = 0; to < COUNT(sizes); to++) {
            hm_block seen;
            unsigned char *p = hm_alloc(known, sizes[from]);
            memset(p, 0x42, sizes[from]);
            p = hm_realloc(known, p, sizes[to]);
            assert_non_null(p);
            for (size_t i = 0; i < sizes[from] && i < sizes[to]; i++) {
                assert_int_equal(p[i], 0x42);
            }
            assert_int_equal(hm_describe(known, p, &seen), HM_OK);
            assert_int_equal(seen.requested, sizes[to]);
            assert_int_equal(under.live, 1);
            hm_free(known, p);
        }
    }
}

static void known__refusals_change_nothing(void **state)
{
    hm_block seen;
    char *p = hm_alloc(known, 1000);
    (void)state;
    p[999] = 7;
    under.fail_from = under.requests + 1;
    assert_null(hm_alloc(known, 8));
    assert_null(hm_realloc(known, p, 2000));
    assert_int_equal(p[999], 7);
    assert_ptr_equal(hm_realloc(known, p, 10), p); /* shrinking never fails */
    assert_int_equal(hm_describe(known, p, &seen), HM_OK);
    assert_int_equal(seen.requested, 10);
    under.fail_from = 0;
    assert_int_equal(hm_free(known, p), HM_OK);
    assert_null(hm_alloc_zeroed(known, SIZE_MAX, 2));
}

static void known__the_other_slots(void **state)
{
    hm_block seen = {.size = 8};
    hm_request request = {.size = sizeof(request), .bytes = 8};
    void *q;
    (void)state;
    char *p = hm_alloc_zeroed(known, 10, 10);
    assert_int_equal(p[99], 0);
    hm_free_sized(known, p, 100);
    p = hm_alloc_aligned(known, 8, 16);
    assert_non_null(p);
    hm_free(known, p);
    assert_null(hm_alloc_aligned(known, 8, 0));
    assert_int_equal(hm_malloc_request(known, &request, &q), HM_OK);
    assert_int_equal(HM_LOAD(known->vtbl)->describe(known, q, &seen), HM_E_INVALID);
    assert_int_equal(HM_LOAD(known->vtbl)->describe(known, q, NULL), HM_E_INVALID);
    (HM_LOAD(known->vtbl)->free)(known, q);
    assert_true(hm_good_size(known, 33) >= 33);
    hm_malloc_trim(known);
    assert_int_equal(hm_walk(known, NULL, NULL), HM_E_INVALID);
}

typedef struct walked {
    size_t blocks, bytes, stop_after;
} walked;

static int walk_one(void *context, const hm_block *block)
{
    walked *w = context;
    w->blocks++;
    w->bytes += block->requested;
    return w->blocks == w->stop_after;
}

static void known__walk_shows_each_once(void **state)
{
    void *blocks[100];
    walked w = {0, 0, 0};
    (void)state;
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = hm_alloc(known, i);
    }
    assert_int_equal(hm_walk(known, walk_one, &w), HM_OK);
    assert_int_equal(w.blocks, COUNT(blocks));
    assert_int_equal(w.bytes, 99 * 100 / 2);
    w = (walked){0, 0, 3};
    assert_int_equal(hm_walk(known, walk_one, &w), HM_OK);
    assert_int_equal(w.blocks, 3);
    for (size_t i = 0; i < COUNT(blocks); i++) {
        assert_int_equal(hm_free(known, blocks[i]), HM_OK);
    }
}

/* Each step of private memory in turn: nothing half done, nothing left. */
static void known__without_private_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        hm_malloc *m = known;
        hm__memory_fail_from(n);
        const hm_status status = hm__known_create(&under.base, &m);
        void *p = status == HM_OK ? hm_alloc(m, 8) : NULL;
        hm__memory_fail_from(0);
        if (status != HM_OK) {
            assert_int_equal(status, HM_E_NOMEM);
            assert_null(m);
            continue;
        }
        const int done = p != NULL;
        assert_int_equal(under.live, done);
        hm_free(m, p);
        hm_malloc_release(m);
        if (done) {
            assert_true(n > 3);
            break;
        }
    }
}

#define THREADS 4

static void *churn(void *unused)
{
    void *slots[16] = {NULL};
    unsigned seed = (unsigned)(uintptr_t)&slots;
    for (int i = 0; i < 20000; i++) {
        void **slot = &slots[(seed = seed * 1664525u + 1013904223u) >> 28];
        hm_block seen;
        if (*slot && hm_describe(known, *slot, &seen) != HM_OK) {
            return unused;
        }
        if (i % 3) {
            hm_free(known, *slot);
            *slot = hm_alloc(known, seed % 100);
        } else {
            *slot = hm_realloc(known, *slot, seed % 200);
        }
    }
    for (size_t i = 0; i < COUNT(slots); i++) {
        hm_free(known, slots[i]);
    }
    return NULL;
}

static void *walk_often(void *stop)
{
    walked w = {0, 0, 0};
    for (int i = 0; i < 10 && !__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE); i++) {
        hm_walk(known, walk_one, &w);
    }
    return NULL;
}

static void known__threads_over_an_unsafe_malloc(void **state)
{
    pthread_t threads[THREADS];
    pthread_t walker;
    int stop = 0;
    void *failed = NULL;
    (void)state;
    assert_int_equal(pthread_create(&walker, NULL, walk_often, &stop), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &stop), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        failed = failed ? failed : result;
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    pthread_join(walker, NULL);
    assert_null(failed);
}

/* Two threads free the same blocks: each is freed once. */
static void *contested[2000];
static uint32_t freed; /* atomic */

static void *free_all(void *unused)
{
    for (size_t i = 0; i < COUNT(contested); i++) {
        if (HM_LOAD(known->vtbl)
                ->debug_free(known, contested[i], HM_SIZE_UNKNOWN, 0, NULL) == HM_OK) {
            __atomic_fetch_add(&freed, 1, __ATOMIC_RELAXED);
        }
    }
    return unused;
}

static void known__one_of_two_frees(void **state)
{
    pthread_t threads[2];
    (void)state;
    freed = 0;
    for (size_t i = 0; i < COUNT(contested); i++) {
        contested[i] = hm_alloc(known, 8);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, free_all, NULL), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(freed, COUNT(contested));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(known__sizes_are_exact),        CASE(known__strangers),
        CASE(known__realloc_keeps),          CASE(known__refusals_change_nothing),
        CASE(known__the_other_slots),        CASE(known__walk_shows_each_once),
        CASE(known__without_private_memory), CASE(known__threads_over_an_unsafe_malloc),
        CASE(known__one_of_two_frees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
