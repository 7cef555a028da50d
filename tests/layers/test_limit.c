/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <string.h>

#include <hostmalloc/hostmalloc.h>
#include <hostmalloc/limit.h>

#include "check.h"

static hm_host *open_host(const char *spec)
{
    hm_host *host = NULL;
    hm_error err;
    if (hm_host_open(spec, &host, &err) != HM_OK) {
        fail_msg("%s: %s: %s", spec, err.where, err.what);
    }
    return host;
}

static hm_malloc *create(hm_host *host, uint32_t flags, size_t limit)
{
    hm_malloc *m = NULL;
    hm_error err;
    const hm_malloc_opts opts = {sizeof opts, "limited", flags, 0, limit};
    if (hm_host_create_malloc_opts(host, &opts, &m, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    return m;
}

static hm_limit_use use_of(hm_host *host)
{
    hm_limit_use use;
    assert_int_equal(hm_limit_read(host, NULL, &use), HM_OK);
    return use;
}

/* Over hosts of each kind: unchecked, checked by the core, and the debug host. */
static const char *const below[] = {"default", "mimalloc", "debug+default"};

static void limit__stops_at_the_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(below); i++) {
        char spec[64] = "limit:hard=1000+";
        hm_host *host = open_host(strcat(spec, below[i]));
        hm_malloc *m = create(host, HM_MALLOC_THREADSAFE, 0);
        void *a = hm_alloc(m, 600);
        void *b = hm_alloc(m, 400);
        CHECK_ROW(below[i], a && b);
        CHECK_ROW(below[i], !hm_alloc(m, 1));
        void *zero = hm_alloc(m, 0);
        CHECK_ROW(below[i], zero);
        CHECK_ROW(below[i], hm_free(m, b) == HM_OK);
        CHECK_ROW(below[i], !hm_alloc(m, 401));
        b = hm_alloc(m, 400);
        CHECK_ROW(below[i], b);
        CHECK_ROW(below[i], !hm_realloc(m, a, 601));
        a = hm_realloc(m, a, 100);
        CHECK_ROW(below[i], a && use_of(host).live == 500);
        a = hm_realloc(m, a, 600);
        CHECK_ROW(below[i], a && use_of(host).live == 1000);
        CHECK_ROW(below[i], !hm_alloc(m, SIZE_MAX) && !hm_alloc(m, SIZE_MAX - 16));
        hm_free(m, a);
        hm_free_sized(m, b, 400);
        hm_free(m, zero);
        hm_free(m, NULL);
        const hm_limit_use use = use_of(host);
        CHECK_ROW(below[i], use.live == 0 && use.peak == 1000 && use.failed == 0);
        CHECK_ROW(below[i], use.denied >= 4);
        hm_stats stats;
        CHECK_ROW(below[i], hm_malloc_stats(m, &stats) == HM_OK);
        CHECK_ROW(below[i], stats.live_blocks == 0 && stats.live_bytes == 0);
        CHECK_ROW(below[i], stats.peak_bytes == 1000);
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

static void limit__levels(void **state)
{
    (void)state;
    hm_host *host = open_host("limit:soft=100,hard=200,reserve=4096+default");
    hm_malloc *m = create(host, 0, 0);
    assert_int_equal(use_of(host).reserve_ready, 1);
    void *task = hm_alloc_at(m, 100, HM_LEVEL_TASK, NULL);
    assert_non_null(task);
    assert_null(hm_alloc_at(m, 1, HM_LEVEL_TASK, NULL));
    assert_null(hm_alloc(m, 1)); /* this thread is at TASK */
    void *domain = hm_alloc_at(m, 100, HM_LEVEL_DOMAIN, NULL);
    assert_non_null(domain);
    assert_null(hm_alloc_at(m, 1, HM_LEVEL_DOMAIN, NULL));
    const hm_level previous = hm_level_enter(HM_LEVEL_PROCESS);
    void *process = hm_alloc(m, 4096);
    assert_non_null(process);
    assert_int_equal(use_of(host).reserve_ready, 0); /* its pages made room */
    assert_null(hm_alloc(m, 1));
    hm_level_leave(previous);
    hm_free(m, process);
    hm_free(m, domain);
    hm_free(m, task);
    assert_int_equal(use_of(host).reserve_ready, 1);
    hm_malloc_release(m);
    hm_host_release(host);
}

typedef struct heard {
    int low, neutral, high;
    size_t gives;
    hm_malloc *m;
    void *block;
} heard;

static size_t hear(void *context, hm_pressure pressure)
{
    heard *h = context;
    h->low += pressure == HM_PRESSURE_LOW;
    h->neutral += pressure == HM_PRESSURE_NEUTRAL;
    h->high += pressure == HM_PRESSURE_HIGH;
    if (pressure == HM_PRESSURE_LOW && h->block) {
        hm_free(h->m, h->block); /* a cache that can be dropped */
        h->block = NULL;
        return h->gives;
    }
    return 0;
}

static void limit__tells_each_edge_once(void **state)
{
    heard h = {0};
    void *blocks[10];
    (void)state;
    hm_host *host = open_host("limit:soft=800,hard=1000+default");
    hm_malloc *m = create(host, 0, 0);
    assert_int_equal(hm_host_subscribe(host, hear, &h), HM_OK);
    for (int i = 0; i < 10; i++) {
        blocks[i] = hm_alloc_at(m, 100, HM_LEVEL_DOMAIN, NULL);
    }
    assert_int_equal(h.low, 1);
    for (int i = 0; i < 5; i++) { /* to and fro at the line */
        hm_free(m, blocks[9]);
        blocks[9] = hm_alloc_at(m, 100, HM_LEVEL_DOMAIN, NULL);
    }
    assert_int_equal(h.low, 1);
    assert_int_equal(h.neutral, 0);
    for (int i = 9; i >= 0; i--) {
        hm_free(m, blocks[i]);
    }
    assert_int_equal(h.neutral, 1);
    assert_int_equal(h.high, 1);
    assert_int_equal(hm_host_unsubscribe(host, hear, &h), HM_OK);
    assert_int_equal(hm_host_unsubscribe(host, hear, &h), HM_E_NOT_FOUND);
    hm_malloc_release(m);
    hm_host_release(host);
}

static void limit__tries_once_more_when_a_subscriber_gives(void **state)
{
    (void)state;
    hm_host *host = open_host("limit:hard=1000+default");
    hm_malloc *m = create(host, 0, 0);
    heard h = {.gives = 900, .m = m, .block = hm_alloc(m, 800)};
    assert_int_equal(hm_host_subscribe(host, hear, &h), HM_OK);
    void *block = hm_alloc(m, 500);
    assert_non_null(block);
    assert_int_equal(h.low, 1);
    assert_null(hm_alloc(m, 600)); /* nothing left to give */
    hm_free(m, block);
    hm_host_unsubscribe(host, hear, &h);
    hm_malloc_release(m);
    hm_host_release(host);
}

static void limit__budgets_nest(void **state)
{
    (void)state;
    hm_host *one = open_host("limit:hard=1000,malloc=600,process=1500+default");
    hm_host *two = open_host("limit:process=1500+mimalloc");
    hm_malloc *a = create(one, HM_MALLOC_THREADSAFE, 0);
    hm_malloc *b = create(one, HM_MALLOC_THREADSAFE, 300);
    hm_malloc *c = create(two, HM_MALLOC_THREADSAFE, 0);
    void *a600 = hm_alloc(a, 600);
    assert_non_null(a600);
    assert_null(hm_alloc(a, 1)); /* the malloc's */
    void *b300 = hm_alloc(b, 300);
    assert_non_null(b300);
    assert_null(hm_alloc(b, 1)); /* its own, lower than malloc= */
    void *c600 = hm_alloc(c, 600);
    assert_non_null(c600);
    assert_null(hm_alloc(c, 1)); /* the process's */
    hm_free(a, a600);
    void *c601 = hm_alloc(c, 600);
    assert_non_null(c601);
    assert_null(hm_alloc(a, 1)); /* a charge that is refused above is not kept below */
    assert_int_equal(use_of(one).live, 300);
    hm_free(b, b300);
    hm_free(c, c600);
    hm_free(c, c601);
    hm_malloc_release(a);
    hm_malloc_release(b);
    hm_malloc_release(c);
    hm_host_release(one);
    hm_host_release(two);
}

static void limit__moves_while_running(void **state)
{
    hm_limit_lines lines;
    (void)state;
    hm_host *host = open_host("limit+default");
    hm_malloc *m = create(host, 0, 0);
    void *block = hm_alloc(m, 5000);
    assert_int_equal(hm_limit_move(host, 0, 1000, 0), HM_OK);
    assert_null(hm_alloc(m, 1));
    assert_int_equal(hm_limit_move(host, 2000, 1000, 0), HM_E_INVALID);
    assert_int_equal(hm_limit_move(host, 0, 0, 10), HM_E_INVALID);
    assert_int_equal(hm_limit_read(host, &lines, NULL), HM_OK);
    assert_int_equal(lines.hard, 1000);
    uint32_t percent;
    size_t available;
    assert_int_equal(hm_host_memory_load(host, &percent, &available), HM_OK);
    assert_int_equal(percent, 100);
    assert_int_equal(available, 0);
    hm_free(m, block);
    hm_malloc_release(m);
    hm_host_release(host);
    host = open_host("default");
    assert_int_equal(hm_limit_read(host, &lines, NULL), HM_E_NOT_FOUND);
    hm_host_release(host);
}

static void limit__refuses_lines_that_make_no_sense(void **state)
{
    static const char *const specs[] = {"limit:soft=2K,hard=1K", "limit:reserve=1K",
                                        "limit:hard=64Q"};
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        hm_host *host = NULL;
        hm_error err = {0};
        CHECK_ROW(specs[i], hm_host_open(specs[i], &host, &err) == HM_E_INVALID);
        CHECK_ROW(specs[i], !host && err.what[0]);
    }
}

static void limit__over_aligned_blocks_and_exact_objects(void **state)
{
    static const size_t alignments[] = {1, 2, 16, 32, 64, 256, 4096, 65536};
    (void)state;
    for (size_t i = 0; i < COUNT(below); i++) {
        char spec[64] = "limit:hard=1M+";
        hm_host *host = open_host(strcat(spec, below[i]));
        for (unsigned exact = 0; exact < 2; exact++) {
            hm_malloc *m =
                create(host, HM_MALLOC_THREADSAFE | (exact ? HM_MALLOC_EXACT : 0), 0);
            void *blocks[COUNT(alignments)];
            for (size_t k = 0; k < COUNT(alignments); k++) {
                blocks[k] = hm_alloc_aligned(m, 100 + k, alignments[k]);
                CHECK_ROW(spec, blocks[k]);
                CHECK_ROW(spec, (uintptr_t)blocks[k] % alignments[k] == 0);
                CHECK_ROW(spec, hm_size_of(m, blocks[k]) >= 100 + k);
                memset(blocks[k], 0xee, 100 + k);
                hm_block seen;
                if (exact) {
                    CHECK_ROW(spec, hm_owns(m, blocks[k]) == 1);
                    CHECK_ROW(spec, hm_owns(m, (char *)blocks[k] + 16) == 0);
                    CHECK_ROW(spec, hm_describe(m, blocks[k], &seen) == HM_OK);
                    CHECK_ROW(spec, seen.address == blocks[k]);
                    CHECK_ROW(spec, seen.requested == 100 + k);
                }
            }
            CHECK_ROW(spec, use_of(host).live == 8 * 100 + 28);
            blocks[5] = hm_realloc(m, blocks[5], 500);
            CHECK_ROW(spec, blocks[5] && *(unsigned char *)blocks[5] == 0xee);
            for (size_t k = 0; k < COUNT(alignments); k++) {
                CHECK_ROW(spec, hm_free(m, blocks[k]) == HM_OK);
            }
            if (exact) {
                CHECK_ROW(spec, hm_free(m, blocks[0]) != HM_OK);
                CHECK_ROW(spec, hm_free(m, &spec) == HM_E_NOT_OWNED);
            }
            CHECK_ROW(spec, use_of(host).live == 0);
            hm_malloc_release(m);
        }
        hm_host_release(host);
    }
}

static void limit__scoped_release_gives_the_budget_back(void **state)
{
    (void)state;
    hm_host *host = open_host("limit:hard=1000+default");
    hm_malloc *m = create(host, HM_MALLOC_THREADSAFE | HM_MALLOC_SCOPED, 0);
    assert_non_null(hm_alloc(m, 900));
    assert_int_equal(hm_malloc_reset(m), HM_OK);
    assert_int_equal(use_of(host).live, 0);
    assert_non_null(hm_alloc(m, 900));
    hm_malloc_release(m);
    assert_int_equal(use_of(host).live, 0);
    hm_host_release(host);
}

enum { THREADS = 4, EACH = 100, ROUNDS = 3000 };

static void *fill_and_empty(void *argument)
{
    hm_malloc *m = argument;
    size_t refused = 0;
    for (int i = 0; i < ROUNDS; i++) {
        void *block = hm_alloc(m, EACH);
        refused += !block;
        hm_free(m, block);
    }
    return (void *)refused;
}

/* Every thread has at most one block: the budget is exactly enough, so none may ever be refused. */
static void limit__threads_never_exceed_nor_miss(void **state)
{
    (void)state;
    for (int nested = 0; nested < 2; nested++) {
        hm_host *host = open_host(nested ? "limit:hard=400,malloc=400+default"
                                         : "limit:hard=400+default");
        hm_malloc *m = create(host, HM_MALLOC_THREADSAFE, 0);
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            pthread_create(&threads[i], NULL, fill_and_empty, m);
        }
        for (int i = 0; i < THREADS; i++) {
            void *refused = NULL;
            pthread_join(threads[i], &refused);
            assert_null(refused);
        }
        assert_int_equal(use_of(host).live, 0);
        assert_true(use_of(host).peak <= 400);
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

static void *crowd(void *argument)
{
    hm_malloc *m = argument;
    for (int i = 0; i < ROUNDS; i++) {
        void *a = hm_alloc(m, 150);
        void *b = hm_alloc(m, 90);
        hm_free(m, a);
        hm_free(m, b);
    }
    return NULL;
}

static void limit__threads_at_the_line(void **state)
{
    (void)state;
    hm_host *host = open_host("limit:hard=500,malloc=450+mimalloc");
    hm_malloc *mallocs[2] = {create(host, HM_MALLOC_THREADSAFE, 0),
                             create(host, HM_MALLOC_THREADSAFE, 300)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, crowd, mallocs[i % 2]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    const hm_limit_use use = use_of(host);
    assert_int_equal(use.live, 0);
    assert_true(use.peak <= 500);
    hm_malloc_release(mallocs[0]);
    hm_malloc_release(mallocs[1]);
    hm_host_release(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limit__stops_at_the_byte),
        cmocka_unit_test(limit__levels),
        cmocka_unit_test(limit__tells_each_edge_once),
        cmocka_unit_test(limit__tries_once_more_when_a_subscriber_gives),
        cmocka_unit_test(limit__budgets_nest),
        cmocka_unit_test(limit__moves_while_running),
        cmocka_unit_test(limit__refuses_lines_that_make_no_sense),
        cmocka_unit_test(limit__over_aligned_blocks_and_exact_objects),
        cmocka_unit_test(limit__scoped_release_gives_the_budget_back),
        cmocka_unit_test(limit__threads_never_exceed_nor_miss),
        cmocka_unit_test(limit__threads_at_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
