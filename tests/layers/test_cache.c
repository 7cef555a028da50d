/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hostmalloc/hostmalloc.h>
#include <hostmalloc/limit.h>

#include "check.h"
#include "memory_internal.h"

static hm_host *open_host(const char *spec)
{
    hm_host *host = NULL;
    hm_error err;
    if (hm_host_open(spec, &host, &err) != HM_OK) {
        fail_msg("%s: %s: %s", spec, err.where, err.what);
    }
    return host;
}

static hm_malloc *create(hm_host *host, uint32_t flags)
{
    hm_malloc *m = NULL;
    hm_error err;
    if (hm_host_create_malloc(host, "cached", flags, &m, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    return m;
}

/* What the hosts below a cache see of it. */
static uint64_t live_below(hm_host *host)
{
    hm_limit_use use;
    assert_int_equal(hm_limit_read(host, NULL, &use), HM_OK);
    return use.live;
}

static void fill(void *block, size_t size, int seed)
{
    for (size_t i = 0; i < size; i++) {
        ((unsigned char *)block)[i] = (unsigned char)(i * 7 + (size_t)seed);
    }
}

static int is_filled(const void *block, size_t size, int seed)
{
    for (size_t i = 0; i < size; i++) {
        if (((const unsigned char *)block)[i] != (unsigned char)(i * 7 + (size_t)seed)) {
            return 0;
        }
    }
    return 1;
}

static const struct {
    const char *label;
    uint32_t flags;
} kinds[] = {{"plain", 0},
             {"one thread", HM_MALLOC_ONE_THREAD},
             {"thread-safe", HM_MALLOC_THREADSAFE}};

static void cache__the_block_freed_last_is_the_next_of_its_class(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        hm_host *host = open_host("cache+default");
        hm_malloc *m = create(host, kinds[k].flags);
        void *a = hm_alloc(m, 33), *b = hm_alloc(m, 48), *other = hm_alloc(m, 49);
        hm_free_sized(m, a, 33);
        hm_free_sized(m, b, 48);
        hm_free_sized(m, other, 49);
        CHECK_ROW(kinds[k].label, hm_alloc(m, 40) == b);
        CHECK_ROW(kinds[k].label, hm_alloc(m, 41) == a);
        CHECK_ROW(kinds[k].label, hm_alloc(m, 64) == other);
        void *zero = hm_alloc(m, 0);
        hm_free_sized(m, zero, 0);
        CHECK_ROW(kinds[k].label, hm_alloc(m, 16) == zero);
        hm_free_sized(m, zero, 16);
        CHECK_ROW(kinds[k].label, hm_alloc(m, 0) == zero);
        hm_free_sized(m, NULL, 40);
        hm_free(m, NULL);
        void *block[] = {a, b, other, zero};
        for (size_t i = 0; i < COUNT(block); i++) {
            hm_free(m, block[i]); /* without a size: straight through */
        }
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

static void cache__every_size_fits_and_is_told_truly(void **state)
{
    (void)state;
    static const char *const specs[] = {"cache+default", "cache+mimalloc",
                                        "cache+lock+default", "debug+cache+mimalloc"};
    for (size_t s = 0; s < COUNT(specs); s++) {
        for (size_t k = 0; k < COUNT(kinds); k++) {
            hm_host *host = open_host(specs[s]);
            hm_malloc *m = create(host, kinds[k].flags);
            for (int round = 0; round < 3; round++) {
                for (size_t n = 0; n < 1100; n++) {
                    void *block = round == 1 ? hm_alloc_aligned(m, n, 64)
                                             : hm_alloc_zeroed(m, 1, n);
                    CHECK_ROW(specs[s], block && (uintptr_t)block % 16 == 0);
                    CHECK_ROW(specs[s], round != 1 || (uintptr_t)block % 64 == 0);
                    CHECK_ROW(specs[s], hm_size_of(m, block) >= n);
                    for (size_t i = 0; round != 1 && i < n; i++) {
                        CHECK_ROW(specs[s], ((char *)block)[i] == 0);
                    }
                    memset(block, 0xA5, n);
                    hm_free_sized(m, block, n);
                    const size_t good = hm_good_size(m, n);
                    block = hm_alloc(m, good);
                    CHECK_ROW(specs[s], good >= n && hm_size_of(m, block) >= good);
                    memset(block, 0x5A, good);
                    hm_free_sized(m, block, good);
                }
            }
            CHECK_ROW(specs[s], !hm_alloc(m, SIZE_MAX) && !hm_alloc(m, SIZE_MAX - 14));
            CHECK_ROW(specs[s], !hm_alloc_zeroed(m, SIZE_MAX / 2, 3));
            CHECK_ROW(specs[s], !hm_alloc_aligned(m, 8, 3) && !hm_alloc_aligned(m, 8, 0));
            hm_malloc_release(m);
            hm_host_release(host);
        }
    }
}

static void cache__realloc_keeps_the_bytes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,   1,   15,   16,   17,   100,
                                   112, 113, 1000, 1024, 1025, 5000};
    for (size_t k = 0; k < COUNT(kinds); k++) {
        hm_host *host = open_host("cache+mimalloc");
        hm_malloc *m = create(host, kinds[k].flags);
        for (size_t i = 0; i < COUNT(sizes) * COUNT(sizes) * 2; i++) {
            const size_t from = sizes[i / 2 % COUNT(sizes)];
            const size_t to = sizes[i / 2 / COUNT(sizes)];
            hm_free_sized(m, hm_alloc(m, to), to); /* one to be had */
            void *block = hm_alloc(m, from);
            fill(block, from, 3);
            block = i % 2 ? hm_realloc(m, block, to)
                          : hm_realloc_at(m, block, from, to, HM_LEVEL_TASK, NULL);
            CHECK_ROW(kinds[k].label,
                      block && is_filled(block, from < to ? from : to, 3));
            CHECK_ROW(kinds[k].label, hm_size_of(m, block) >= to);
            fill(block, to, 5);
            hm_free_sized(m, block, to);
        }
        void *block = hm_realloc(m, NULL, 30);
        fill(block, 30, 1);
        hm_request request = {.size = sizeof request,
                              .block = block,
                              .old_bytes = 30,
                              .bytes = 600,
                              .flags = HM_REQUEST_ZEROED};
        void *moved = NULL;
        assert_int_equal(hm_malloc_request(m, &request, &moved), HM_OK);
        CHECK_ROW(kinds[k].label, is_filled(moved, 30, 1));
        for (size_t i = 30; i < 600; i++) {
            CHECK_ROW(kinds[k].label, ((char *)moved)[i] == 0);
        }
        assert_null(hm_realloc(m, moved, SIZE_MAX));
        hm_free_sized(m, moved, 600);
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

#define HELD_MOST 4096

/* 200 blocks of 64 bytes, freed. */
static void free_many(hm_malloc *m)
{
    void *blocks[200];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = hm_alloc(m, 60);
        assert_non_null(blocks[i]);
    }
    for (size_t i = 0; i < COUNT(blocks); i++) {
        hm_free_sized(m, blocks[i], 60);
    }
}

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

static void cache__is_off_where_somebody_checks(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        uint32_t flags;
        size_t limit;
    } cases[] = {{"cache+debug+default", 0, 0},
                 {"cache+default", HM_MALLOC_EXACT, 0},
                 {"cache+default", HM_MALLOC_SCOPED, 0},
                 {"cache+default", 0, 1000},
                 {"cache+mimalloc", HM_MALLOC_EXACT | HM_MALLOC_THREADSAFE, 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_host *host = open_host(cases[i].spec);
        const hm_malloc_opts opts = {sizeof opts, "exact", cases[i].flags, 0,
                                     cases[i].limit};
        hm_malloc *m = NULL;
        assert_int_equal(hm_host_create_malloc_opts(host, &opts, &m, NULL), HM_OK);
        void *block = hm_alloc(m, 33);
        hm_block seen;
        CHECK_ROW(cases[i].spec, hm_describe(m, block, &seen) == HM_OK);
        CHECK_ROW(cases[i].spec, seen.requested == 33 && hm_owns(m, block) == 1);
        CHECK_ROW(cases[i].spec, hm_free_sized(m, block, 33) == HM_OK);
        CHECK_ROW(cases[i].spec, hm_owns(m, block) == 0);
        CHECK_ROW(cases[i].spec,
                  !(m->flags & HM_MALLOC_DEBUG) || hm_free(m, block) != HM_OK);
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

static void cache__closed_frees_and_shrinks_only(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        hm_host *host = open_host("cache+default");
        hm_malloc *m = create(host, kinds[k].flags);
        void *a = hm_alloc(m, 100), *b = hm_alloc(m, 100), *c = hm_alloc(m, 2000);
        hm_free_sized(m, a, 100);
        hm_malloc_close(m);
        hm_malloc_close(m);
        hm_request request = {.size = sizeof request, .bytes = 10};
        void *out = m;
        CHECK_ROW(kinds[k].label, !hm_alloc(m, 100) && !hm_alloc(m, 0));
        CHECK_ROW(kinds[k].label, !hm_alloc_zeroed(m, 1, 100) && !hm_realloc(m, NULL, 1));
        CHECK_ROW(kinds[k].label,
                  hm_malloc_request(m, &request, &out) == HM_E_CLOSED && !out);
        CHECK_ROW(kinds[k].label, !hm_realloc_at(m, b, 100, 5000, HM_LEVEL_TASK, NULL));
        b = hm_realloc_at(m, b, 100, 20, HM_LEVEL_TASK, NULL);
        CHECK_ROW(kinds[k].label, b);
        hm_malloc_trim(m);
        hm_free_sized(m, b, 20);
        hm_free(m, c);
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

typedef struct handed {
    hm_malloc *m;
    void *blocks[100];
} handed;

static void *free_them(void *argument)
{
    handed *h = argument;
    for (size_t i = 0; i < COUNT(h->blocks); i++) {
        hm_free_sized(h->m, h->blocks[i], 64);
    }
    return NULL;
}

static void elsewhere(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, argument), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void cache__others_free_past_the_magazines_of_one_thread(void **state)
{
    (void)state;
    hm_host *host = open_host("cache+limit+default");
    handed h = {.m = create(host, HM_MALLOC_ONE_THREAD)};
    for (size_t i = 0; i < COUNT(h.blocks); i++) {
        h.blocks[i] = hm_alloc(h.m, 64);
    }
    elsewhere(free_them, &h);
    assert_int_equal(live_below(host), 0);
    hm_malloc_release(h.m);
    hm_host_release(host);
}

static void cache__a_thread_that_ends_gives_its_blocks_back(void **state)
{
    (void)state;
    hm_host *host = open_host("cache+limit+default");
    handed h = {.m = create(host, HM_MALLOC_THREADSAFE)};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT(h.blocks); i++) {
            h.blocks[i] = hm_alloc(h.m, 64);
        }
        elsewhere(free_them, &h);
        assert_int_equal(live_below(host), 0);
    }
    hm_malloc_release(h.m);
    hm_host_release(host);
}

static hm_malloc *shared[40];
static void *_Atomic letters[64];

static void *work(void *argument)
{
    uint32_t seed = (uint32_t)(uintptr_t)argument;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1664525u + 1013904223u;
        hm_malloc *m = shared[(seed >> 8) % COUNT(shared)];
        const size_t size = 8 + (seed >> 16) % 1100;
        if (i % 64 == 0) {
            hm_malloc_trim(m);
        }
        size_t *block = hm_alloc(m, size);
        if (!block) {
            return (void *)1;
        }
        block[0] = size;
        if (m == shared[0]) { /* to whoever comes next */
            block = __atomic_exchange_n((void **)&letters[seed % COUNT(letters)], block,
                                        __ATOMIC_ACQ_REL);
        }
        if (block) {
            hm_free_sized(m, block, block[0]);
        }
    }
    return NULL;
}

static void cache__many_threads_on_many_objects(void **state)
{
    (void)state;
    hm_host *host = open_host("cache:bytes=16K+limit+mimalloc");
    for (size_t i = 0; i < COUNT(shared); i++) {
        shared[i] = create(host, HM_MALLOC_THREADSAFE);
    }
    for (int round = 0; round < 3; round++) {
        pthread_t threads[6];
        for (size_t i = 0; i < COUNT(threads); i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(i + 1)), 0);
        }
        for (size_t i = 0; i < COUNT(threads); i++) {
            void *failed = NULL;
            assert_int_equal(pthread_join(threads[i], &failed), 0);
            assert_null(failed);
        }
        work((void *)99);
        /* Others come and go with the same indexes. */
        const size_t renewed = 1 + (size_t)round * 7;
        hm_malloc_release(shared[renewed]);
        shared[renewed] = create(host, HM_MALLOC_THREADSAFE);
    }
    for (size_t i = 0; i < COUNT(letters); i++) {
        size_t *block = letters[i];
        letters[i] = NULL;
        if (block) {
            hm_free_sized(shared[0], block, block[0]);
        }
    }
    for (size_t i = 0; i < COUNT(shared); i++) {
        hm_malloc_release(shared[i]);
    }
    assert_int_equal(live_below(host), 0);
    hm_host_release(host);
}

static void cache__the_child_of_a_fork_allocates(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        hm_host *host = open_host("cache+limit+default");
        hm_malloc *m = create(host, kinds[k].flags);
        free_many(m);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (int i = 0; i < 1000; i++) {
                hm_free_sized(m, hm_alloc(m, 60), 60);
            }
            hm_malloc_release(m);
            _exit(live_below(host) == 0 ? 0 : 1);
        }
        int status = 1;
        assert_int_equal(waitpid(child, &status, 0), child);
        CHECK_ROW(kinds[k].label, status == 0);
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
        cmocka_unit_test(cache__the_block_freed_last_is_the_next_of_its_class),
        cmocka_unit_test(cache__every_size_fits_and_is_told_truly),
        cmocka_unit_test(cache__realloc_keeps_the_bytes),
        cmocka_unit_test(cache__holds_no_more_than_it_may),
        cmocka_unit_test(cache__old_sizes_make_room_for_new_ones),
        cmocka_unit_test(cache__gives_way_before_an_allocation_is_refused),
        cmocka_unit_test(cache__is_off_where_somebody_checks),
        cmocka_unit_test(cache__closed_frees_and_shrinks_only),
        cmocka_unit_test(cache__others_free_past_the_magazines_of_one_thread),
        cmocka_unit_test(cache__a_thread_that_ends_gives_its_blocks_back),
        cmocka_unit_test(cache__many_threads_on_many_objects),
        cmocka_unit_test(cache__the_child_of_a_fork_allocates),
        cmocka_unit_test(cache__options),
        cmocka_unit_test(cache__without_private_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
