/* SPDX-License-Identifier: MIT */
/* Spied mallocs between threads: coming, going, forking in the middle of a pair. */
#include "check.h"

#include <hostmalloc/bridges/spy.h>
#include <hostmalloc/hostmalloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fork_amid.h"

#define THREADS 8

static hm_host *host;
static hm_malloc *inner;
static hm_malloc *spied;

/* What the allocator underneath does before it answers. */
static void (*under_way)(void);

static void *get(void *context, size_t bytes)
{
    (void)context;
    void (*now)(void) = __atomic_load_n(&under_way, __ATOMIC_RELAXED);
    if (now) {
        __atomic_store_n(&under_way, NULL, __ATOMIC_RELAXED);
        now();
    }
    return malloc(bytes);
}

static void put(void *context, void *block, size_t bytes)
{
    (void)context;
    (void)bytes;
    free(block);
}

static int setup(void **state)
{
    static const hm_allocator allocator = {.size = sizeof(hm_allocator),
                                           .alloc = get,
                                           .release = put,
                                           .flags = HM_ALLOCATOR_THREADSAFE};
    const uint32_t flags = HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT;
    (void)state;
    assert_int_equal(hm_core_table()->wrap_host(&allocator, "test", &host, NULL), HM_OK);
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

static hm_spy *counting(void)
{
    hm_spy *spy;
    assert_int_equal(hm_spy_count_create(&spy), HM_OK);
    return spy;
}

static hm_spy_counts counted(hm_spy *spy)
{
    hm_spy_counts counts = {.size = sizeof counts};
    assert_int_equal(hm_spy_count_read(spy, &counts), HM_OK);
    return counts;
}

static hm_spy *newcomer;

static void come(void)
{
    assert_int_equal(hm_spied_register(spied, newcomer), HM_OK);
}

/* The call had begun before the spy came: the spy sees none of it, and the block is not its. */
static void threads__a_spy_comes_in_the_middle(void **state)
{
    (void)state;
    newcomer = counting();
    under_way = come;
    void *p = hm_alloc(spied, 8);
    assert_int_equal(hm_spied_now(spied), 1);
    hm_spy_counts c = counted(newcomer);
    assert_int_equal(c.allocs + c.refused, 0);
    assert_int_equal(hm_spied_blocks(spied), 0);
    hm_free(spied, p);
    c = counted(newcomer);
    assert_int_equal(c.frees, 1);
    assert_int_equal(c.live, 0);
    assert_int_equal(hm_spied_revoke(spied), HM_OK);
    hm_spy_release(newcomer);
}

static uint32_t stage; /* atomic */

static void reach(uint32_t next)
{
    __atomic_store_n(&stage, next, __ATOMIC_RELEASE);
}

static void await(uint32_t wanted)
{
    while (__atomic_load_n(&stage, __ATOMIC_ACQUIRE) < wanted) {
        sched_yield();
    }
}

static void *revoke_now(void *result)
{
    await(1);
    *(hm_status *)result = hm_spied_revoke(spied);
    reach(2);
    return NULL;
}

/* The pair is under way; whoever wants to revoke waits for its end. */
static void linger(void)
{
    reach(1);
    for (int i = 0; i < 1000; i++) {
        sched_yield();
        assert_int_equal(__atomic_load_n(&stage, __ATOMIC_ACQUIRE), 1);
    }
}

static void threads__a_spy_goes_after_the_pair(void **state)
{
    pthread_t other;
    hm_status status = HM_E_INVALID;
    hm_spy *spy = counting();
    (void)state;
    stage = 0;
    assert_int_equal(hm_spied_register(spied, spy), HM_OK);
    assert_int_equal(pthread_create(&other, NULL, revoke_now, &status), 0);
    under_way = linger;
    void *p = hm_alloc(spied, 8);
    await(2);
    pthread_join(other, NULL);
    assert_int_equal(status, HM_E_STARTED); /* p was born before it */
    assert_int_equal(counted(spy).allocs, 1);
    hm_free(spied, p);
    assert_int_equal(hm_spied_now(spied), 0);
    hm_spy_release(spy);
}

static int child_status(pid_t child)
{
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* In the child: everything still works, from the thread that is left. */
static void child_uses_it(void)
{
    alarm(20);
    void *p = hm_alloc(spied, 8);
    p = hm_realloc(spied, p, 16);
    _exit(p && hm_free(spied, p) == HM_OK ? 0 : 1);
}

static pid_t forked;

static void fork_here(void)
{
    forked = fork();
    if (forked == 0) {
        child_uses_it();
    }
}

static void threads__fork_within_a_pair(void **state)
{
    hm_spy *spy = counting();
    (void)state;
    assert_int_equal(hm_spied_register(spied, spy), HM_OK);
    under_way = fork_here;
    hm_free(spied, hm_alloc(spied, 8));
    assert_true(forked > 0);
    assert_int_equal(child_status(forked), 0);
    assert_int_equal(hm_spied_revoke(spied), HM_OK);
    hm_spy_release(spy);
}

static void *churn(void *stop)
{
    unsigned seed = (unsigned)(uintptr_t)&seed;
    int i = 0;
    do {
        seed = seed * 1664525u + 1013904223u;
        void *p = hm_alloc(spied, seed % 100);
        void *moved = hm_realloc(spied, p, seed % 77 + 1);
        p = moved ? moved : p;
        (void)hm_owns(spied, p);
        hm_free(spied, p);
        fork_may_come();
    } while (stop ? !__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE) : ++i < 3000);
    return NULL;
}

static void threads__fork_beside_pairs(void **state)
{
    pthread_t other;
    int stop = 0;
    hm_spy *spy = counting();
    (void)state;
    assert_int_equal(hm_spied_register(spied, spy), HM_OK);
    assert_int_equal(pthread_create(&other, NULL, churn, &stop), 0);
    for (int i = 0; i < 20; i++) {
        const pid_t child = fork_amid(1);
        if (child == 0) {
            child_uses_it();
        }
        assert_int_equal(child_status(child), 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    pthread_join(other, NULL);
    assert_int_equal(hm_spied_revoke(spied), HM_OK);
    hm_spy_release(spy);
}

static void run_threads(int count, void *stop)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, stop), 0);
    }
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void threads__under_each_spy(void **state)
{
    hm_spy *spies[3];
    (void)state;
    assert_int_equal(hm_spy_count_create(&spies[0]), HM_OK);
    assert_int_equal(hm_spy_guard_create(NULL, NULL, &spies[1]), HM_OK);
    assert_int_equal(hm_spy_fail_create(100, 1000, &spies[2]), HM_OK);
    for (size_t i = 0; i < COUNT(spies); i++) {
        assert_int_equal(hm_spied_register(spied, spies[i]), HM_OK);
        run_threads(THREADS, NULL);
        assert_int_equal(hm_spied_blocks(spied), 0);
        assert_int_equal(hm_spied_revoke(spied), HM_OK);
    }
    assert_int_equal(counted(spies[0]).allocs, THREADS * 3000);
    assert_int_equal(counted(spies[0]).live, 0);
    assert_int_equal(hm_spy_guard_found(spies[1]), 0);
    for (size_t i = 0; i < COUNT(spies); i++) {
        hm_spy_release(spies[i]);
    }
}

static int over; /* atomic */

static void *come_and_go(void *unused)
{
    hm_spy *spy = counting();
    int stays = 0;
    for (int i = 0; i < 500; i++) {
        if (hm_spied_register(spied, spy) == HM_OK) {
            stays++;
        }
        hm_spied_revoke(spied);
    }
    while (hm_spied_revoke(spied) == HM_E_STARTED) {
        sched_yield();
    }
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    hm_spy_release(spy);
    return stays ? unused : NULL;
}

static void threads__spies_come_and_go(void **state)
{
    pthread_t spy;
    void *result = NULL;
    (void)state;
    over = 0;
    assert_int_equal(pthread_create(&spy, NULL, come_and_go, &over), 0);
    run_threads(2, &over); /* more would hardly ever let a spy go */
    pthread_join(spy, &result);
    assert_ptr_equal(result, &over);
    assert_int_equal(hm_spied_now(spied), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(threads__a_spy_comes_in_the_middle),
        CASE(threads__a_spy_goes_after_the_pair),
        CASE(threads__fork_within_a_pair),
        CASE(threads__fork_beside_pairs),
        CASE(threads__under_each_spy),
        CASE(threads__spies_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
