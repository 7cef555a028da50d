/* SPDX-License-Identifier: MIT */
/* The magazines of the cache layer between threads and in the child of a fork. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache_check.h"

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

static pthread_barrier_t turns;

static void *free_them_in_turns(void *argument)
{
    handed *h = argument;
    void *last = hm_alloc(h->m, 100);
    free_them(h);
    pthread_barrier_wait(&turns); /* look */
    pthread_barrier_wait(&turns); /* trimmed */
    hm_free_sized(h->m, last, 100);
    pthread_barrier_wait(&turns); /* look again */
    pthread_barrier_wait(&turns);
    return NULL;
}

static void cache__a_trim_reaches_others_at_their_next_free(void **state)
{
    (void)state;
    hm_host *host = open_host("cache+limit+default");
    handed h = {.m = create(host, HM_MALLOC_THREADSAFE)};
    pthread_t thread;
    hm_stats stats;
    for (size_t i = 0; i < COUNT(h.blocks); i++) {
        h.blocks[i] = hm_alloc(h.m, 64);
    }
    assert_int_equal(pthread_barrier_init(&turns, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, free_them_in_turns, &h), 0);
    pthread_barrier_wait(&turns);
    assert_int_equal(live_below(host), 6400 + 112);
    assert_int_equal(hm_malloc_stats(h.m, &stats), HM_OK);
    assert_int_equal(stats.live_blocks, 1);
    assert_int_equal(stats.live_bytes, 112);
    hm_malloc_trim(h.m);
    pthread_barrier_wait(&turns);
    pthread_barrier_wait(&turns);
    assert_int_equal(live_below(host), 112); /* only the last is held back */
    pthread_barrier_wait(&turns);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(live_below(host), 0);
    pthread_barrier_destroy(&turns);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache__others_free_past_the_magazines_of_one_thread),
        cmocka_unit_test(cache__a_thread_that_ends_gives_its_blocks_back),
        cmocka_unit_test(cache__a_trim_reaches_others_at_their_next_free),
        cmocka_unit_test(cache__many_threads_on_many_objects),
        cmocka_unit_test(cache__the_child_of_a_fork_allocates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
