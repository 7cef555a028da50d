/* SPDX-License-Identifier: MIT */
/* What the cache layer holds back: no more than it may, and nothing when memory is short. */
#include <errno.h>

#include "cache_check.h"
#include "memory_internal.h"

#define HELD_MOST 4096

static void cache__holds_no_more_than_it_may(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        hm_host *host = open_host("cache:bytes=4K+limit:hard=1G+default");
        hm_malloc *m = create(host, kinds[k].flags);
        free_many(m);
        const uint64_t held = live_below(host);
        CHECK_ROW(kinds[k].label, held > 0 && held <= HELD_MOST && held % 64 == 0);
        hm_stats stats;
        CHECK_ROW(kinds[k].label, hm_malloc_stats(m, &stats) == HM_OK);
        CHECK_ROW(kinds[k].label, stats.live_blocks == 0 && stats.live_bytes == 0);
        CHECK_ROW(kinds[k].label, stats.overhead_bytes >= held);
        void *kept = hm_alloc(m, 60);
        CHECK_ROW(kinds[k].label, live_below(host) == held); /* from the magazine */
        CHECK_ROW(kinds[k].label, hm_malloc_stats(m, &stats) == HM_OK);
        CHECK_ROW(kinds[k].label, stats.live_blocks == 1 && stats.live_bytes == 64);
        hm_malloc_trim(m);
        CHECK_ROW(kinds[k].label, live_below(host) == 64);
        hm_free_sized(m, kept, 60);
        free_many(m);
        hm_malloc_close(m);
        CHECK_ROW(kinds[k].label, live_below(host) == 0);
        hm_malloc_release(m);
        m = create(host, kinds[k].flags);
        free_many(m);
        CHECK_ROW(kinds[k].label, live_below(host) > 0);
        hm_malloc_release(m);
        CHECK_ROW(kinds[k].label, live_below(host) == 0);
        hm_host_release(host);
    }
}

/* A program that changes to other sizes is not left with a cache full of the old ones. */
static void cache__old_sizes_make_room_for_new_ones(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        hm_host *host = open_host("cache:bytes=4K+limit+default");
        hm_malloc *m = create(host, kinds[k].flags);
        free_many(m);
        CHECK_ROW(kinds[k].label, live_below(host) == HELD_MOST);
        for (int i = 0; i < 100; i++) {
            hm_free_sized(m, hm_alloc(m, 1000), 1000);
        }
        CHECK_ROW(kinds[k].label, live_below(host) == 1008);
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

static void cache__gives_way_before_an_allocation_is_refused(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        hm_host *host = open_host("cache+limit:hard=1024+default");
        hm_malloc *m = create(host, kinds[k].flags);
        hm_free_sized(m, hm_alloc(m, 800), 800);
        CHECK_ROW(kinds[k].label, live_below(host) == 800);
        void *block = hm_alloc(m, 900);
        CHECK_ROW(kinds[k].label, block);
        hm_free_sized(m, block, 900);
        block = hm_alloc_zeroed(m, 10, 70);
        CHECK_ROW(kinds[k].label, block);
        hm_free_sized(m, hm_alloc(m, 200), 200);
        block = hm_realloc_at(m, block, 700, 1000, HM_LEVEL_TASK, NULL);
        CHECK_ROW(kinds[k].label, block);
        hm_free_sized(m, block, 1000);
        CHECK_ROW(kinds[k].label, !hm_alloc(m, 2000));
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

static void cache__options(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        hm_status want;
        int cached;
    } cases[] = {{"cache+limit+default", HM_OK, 1},
                 {"cache:max=16+limit+default", HM_OK, 0},
                 {"cache:max=33+limit+default", HM_OK, 1},
                 {"cache:max=32K,bytes=1G+limit+default", HM_OK, 1},
                 {"cache:max=0+limit+default", HM_OK, 0},
                 {"cache:bytes=0+limit+default", HM_OK, 0},
                 {"cache:max=33K+limit+default", HM_E_INVALID, 0},
                 {"cache:bytes=2G+limit+default", HM_E_INVALID, 0},
                 {"cache:size=2+limit+default", HM_E_INVALID, 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_host *host = NULL;
        hm_error err;
        CHECK_ROW(cases[i].spec,
                  hm_host_open(cases[i].spec, &host, &err) == cases[i].want);
        for (size_t k = 0; host && k < COUNT(kinds); k++) {
            hm_malloc *m = create(host, kinds[k].flags);
            void *block = hm_alloc(m, 33);
            errno = 77;
            hm_free_sized(m, block, 33);
            CHECK_ROW(cases[i].spec, errno == 77);
            CHECK_ROW(cases[i].spec, (live_below(host) > 0) == cases[i].cached);
            hm_malloc_release(m);
        }
        hm_host_release(host);
    }
}

/* Private memory runs out at each allocation in turn. */
static void cache__without_private_memory(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        uint64_t nth = 1;
        for (int whole = 0; !whole; nth++) {
            hm_host *host = NULL;
            hm_malloc *m = NULL;
            hm_error err;
            hm__memory_fail_from(nth);
            hm_status status = hm_host_open("cache+default", &host, &err);
            if (status == HM_OK) {
                status = hm_host_create_malloc(host, "short", kinds[k].flags, &m, &err);
            }
            if (status == HM_OK) {
                void *block = hm_alloc(m, 100);
                CHECK_ROW(kinds[k].label, block);
                hm_free_sized(m, block, 100); /* cached or not */
                whole = hm__memory_calls() < nth;
            } else {
                CHECK_ROW(kinds[k].label, status == HM_E_NOMEM && !m && err.what[0]);
            }
            hm__memory_fail_from(0);
            hm_malloc_release(m);
            hm_host_release(host);
            CHECK_ROW(kinds[k].label, nth < 100);
        }
        CHECK_ROW(kinds[k].label, nth > 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache__holds_no_more_than_it_may),
        cmocka_unit_test(cache__old_sizes_make_room_for_new_ones),
        cmocka_unit_test(cache__gives_way_before_an_allocation_is_refused),
        cmocka_unit_test(cache__options),
        cmocka_unit_test(cache__without_private_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
