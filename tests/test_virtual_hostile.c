/* SPDX-License-Identifier: MIT */
/* Virtual memory when the system refuses, private memory is short, threads are stopped, or a fork comes. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "memory_internal.h"
#include "pages_check.h"

static size_t status_bytes(const char *key)
{
    char text[4096];
    assert_true(hm__os_read_file("/proc/self/status", text, sizeof text) > 0);
    const char *line = strstr(text, key);
    assert_non_null(line);
    return (size_t)strtoull(line + strlen(key), NULL, 10) * 1024;
}

static struct rlimit limited(int resource, const char *key, size_t slack)
{
    struct rlimit before;
    assert_int_equal(getrlimit(resource, &before), 0);
    struct rlimit less = {status_bytes(key) + slack, before.rlim_max};
    assert_int_equal(setrlimit(resource, &less), 0);
    return before;
}

static void virtual_hostile__a_refused_commit_changes_nothing(void **state)
{
    const size_t much = (size_t)64 << 20;
    void *out = &out;
    uint32_t old = 0;
    (void)state;
    char *p = reserved(much);
    committed(p + PAGE, PAGE, HM_PAGE_READONLY);
    committed(p + 2 * PAGE, PAGE, RW);
    p[2 * PAGE] = 4;
    const struct rlimit before = limited(RLIMIT_DATA, "VmData:", (size_t)8 << 20);
    const hm_status whole = hm__virtual_alloc(p, much, COMMIT, RW, &out);
    void *fresh = &fresh;
    const hm_status both = hm__virtual_alloc(NULL, much, RESERVE | COMMIT, RW, &fresh);
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
    assert_int_equal(whole, HM_E_NOMEM);
    assert_null(out);
    assert_int_equal(both, HM_E_NOMEM);
    assert_null(fresh);
    assert_int_equal(asked(p).state, RESERVE);
    assert_int_equal(asked(p).bytes, PAGE);
    assert_false(readable(p));
    assert_true(readable(p + PAGE));
    assert_false(writable(p + PAGE));
    assert_int_equal(p[2 * PAGE], 4);
    assert_int_equal(asked(p + 3 * PAGE).bytes, much - 3 * PAGE);
    assert_int_equal(hm__virtual_alloc(p, much, COMMIT, HM_PAGE_READONLY, &out), HM_OK);
    /* Turning all of it into data is refused just so, and leaves the protections. */
    const struct rlimit again = limited(RLIMIT_DATA, "VmData:", (size_t)8 << 20);
    const hm_status protection = hm__virtual_protect(p, much, RW, &old);
    assert_int_equal(setrlimit(RLIMIT_DATA, &again), 0);
    assert_int_equal(protection, HM_E_OS);
    assert_int_equal(asked(p).bytes, much);
    assert_false(writable(p));
    assert_false(writable(p + 2 * PAGE));
    released(p);
}

static void virtual_hostile__a_refused_reservation_leaves_nothing(void **state)
{
    const size_t much = (size_t)1 << 30;
    void *out = &out;
    void *there = &there;
    (void)state;
    char *p = reserved(much);
    released(p);
    const size_t in_use = hm__memory_in_use();
    const struct rlimit before = limited(RLIMIT_AS, "VmSize:", (size_t)16 << 20);
    const hm_status anywhere = hm__virtual_alloc(NULL, much, RESERVE, RW, &out);
    const hm_status at = hm__virtual_alloc(p, much, RESERVE, RW, &there);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(anywhere, HM_E_NOMEM);
    assert_int_equal(at, HM_E_NOMEM);
    assert_null(out);
    assert_null(there);
    assert_int_equal(hm__memory_in_use(), in_use);
}

static void virtual_hostile__no_private_memory_anywhere(void **state)
{
    (void)state;
    /* Far enough from everything else that the map needs nodes of its own, near enough for sanitizers. */
    char *const base = reserved(GRANULE);
    char *const at = base - ((uintptr_t)64 << 30) + 7 * GRANULE;
    size_t after[2];
    for (int round = 0; round < 2; round++) {
        unsigned refused = 0;
        for (uint64_t nth = 1;; nth++) {
            void *out = &out;
            hm__memory_fail_from(nth);
            const hm_status status =
                hm__virtual_alloc(at, 40 << 20, RESERVE | COMMIT, RW, &out);
            hm__memory_fail_from(0);
            if (status == HM_OK) {
                released(out);
                break;
            }
            assert_int_equal(status, HM_E_NOMEM);
            assert_null(out);
            assert_int_equal(asked(at).state, HM_MEM_FREE);
            refused++;
        }
        /* The description and three chunks; the first time nodes of the map besides. */
        assert_true(refused >= (round == 0 ? 5 : 4));
        after[round] = hm__memory_in_use();
    }
    assert_int_equal(after[0], after[1]);
    released(base);
}

static void virtual_hostile__a_huge_reservation_costs_nothing_until_touched(void **state)
{
    const size_t huge = (size_t)64 << 30;
    (void)state;
    const size_t before = status_bytes("VmRSS:");
    char *p = reserved(huge);
    committed(p + huge / 2, PAGE, RW);
    assert_int_equal(asked(p).bytes, huge / 2);
    assert_int_equal(asked(p + huge / 2).bytes, PAGE);
    assert_int_equal(asked(p + huge / 2 + PAGE).bytes, huge / 2 - PAGE);
    assert_int_equal(asked(p + huge - 1).allocation_base == p, 1);
    assert_true(status_bytes("VmRSS:") < before + ((size_t)4 << 20));
    released(p);
    assert_int_equal(asked(p + huge / 2).state, HM_MEM_FREE);
}

static uint32_t stop_all; /* atomic */
static char *churned; /* atomic: where somebody's reservation is, or was a moment ago */

/* Nearly all of its time is spent under the lock. */
static void *churn(void *context)
{
    (void)context;
    while (!__atomic_load_n(&stop_all, __ATOMIC_RELAXED)) {
        void *p = NULL;
        uint32_t old;
        hm__virtual_alloc(NULL, 32 * GRANULE, RESERVE, RW, &p);
        __atomic_store_n(&churned, p, __ATOMIC_RELAXED);
        for (size_t i = 0; i < 8; i++) {
            char *at = (char *)p + i * 3 * GRANULE;
            void *out = NULL;
            hm__virtual_alloc(at, 2 * GRANULE, COMMIT, RW, &out);
            memset(at, 1, 2 * GRANULE);
            hm__virtual_protect(at, GRANULE, HM_PAGE_READONLY, &old);
        }
        hm__virtual_free(p, 0, HM_MEM_DECOMMIT);
        hm__virtual_free(p, 0, HM_MEM_RELEASE);
    }
    return NULL;
}

static uint32_t victim_stopped; /* atomic */
static uint32_t victim_may_go;  /* atomic */

static void stop_here(int signal)
{
    const struct timespec moment = {0, 200000};
    (void)signal;
    __atomic_store_n(&victim_stopped, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&victim_may_go, __ATOMIC_SEQ_CST)) {
        nanosleep(&moment, NULL);
    }
    __atomic_store_n(&victim_stopped, 0, __ATOMIC_SEQ_CST);
}

static void *try_alloc(void *context)
{
    void *p = NULL;
    (void)context;
    hm__virtual_alloc(NULL, PAGE, RESERVE, RW, &p);
    hm__virtual_free(p, 0, HM_MEM_RELEASE);
    return NULL;
}

static void wait_for(uint32_t *word, uint32_t value)
{
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value) {
        hm__os_sleep_ns(50000);
    }
}

static void virtual_hostile__query_answers_while_a_writer_is_stopped(void **state)
{
    struct sigaction action = {.sa_handler = stop_here};
    pthread_t victim;
    int found_inside = 0;
    (void)state;
    sigaction(SIGUSR1, &action, NULL);
    char *p = reserved(4 * GRANULE);
    committed(p + GRANULE, GRANULE, RW);
    __atomic_store_n(&stop_all, 0, __ATOMIC_SEQ_CST);
    assert_int_equal(pthread_create(&victim, NULL, churn, NULL), 0);
    for (int round = 0; round < 400 && found_inside < 3; round++) {
        pthread_t prober;
        struct timespec until;
        __atomic_store_n(&victim_may_go, 0, __ATOMIC_SEQ_CST);
        hm__os_sleep_ns((uint64_t)(round % 7) * 30000);
        pthread_kill(victim, SIGUSR1);
        wait_for(&victim_stopped, 1);
        assert_int_equal(asked(p).bytes, GRANULE);
        assert_int_equal(asked(p + GRANULE).state, COMMIT);
        assert_int_equal(asked(p + 4 * GRANULE - 1).state, RESERVE);
        asked(p - GRANULE);
        /* Was it inside? Then another writer has to wait. */
        assert_int_equal(pthread_create(&prober, NULL, try_alloc, NULL), 0);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += until.tv_nsec >= 960000000;
        until.tv_nsec = (until.tv_nsec + 40000000) % 1000000000;
        const int waits = pthread_timedjoin_np(prober, NULL, &until) != 0;
        found_inside += waits;
        __atomic_store_n(&victim_may_go, 1, __ATOMIC_SEQ_CST);
        wait_for(&victim_stopped, 0);
        if (waits) {
            pthread_join(prober, NULL);
        }
    }
    __atomic_store_n(&stop_all, 1, __ATOMIC_SEQ_CST);
    pthread_join(victim, NULL);
    released(p);
    assert_true(found_inside > 0);
}

static void virtual_hostile__threads(void **state)
{
    pthread_t threads[3];
    (void)state;
    const size_t in_use = hm__memory_in_use();
    __atomic_store_n(&stop_all, 0, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, NULL), 0);
    }
    const uint64_t end = hm__os_now_ns() + 300000000;
    for (size_t i = 0; hm__os_now_ns() < end; i++) {
        const hm_region r =
            asked(__atomic_load_n(&churned, __ATOMIC_RELAXED) + i % 40 * GRANULE);
        assert_true(r.bytes >= PAGE && r.bytes % PAGE == 0);
        assert_true(r.state == HM_MEM_FREE || r.state == RESERVE || r.state == COMMIT);
        assert_true((r.state == HM_MEM_FREE) == (r.allocation_base == NULL));
        assert_true(r.state != COMMIT || r.protection == RW ||
                    r.protection == HM_PAGE_READONLY);
    }
    __atomic_store_n(&stop_all, 1, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    released(reserved(GRANULE)); /* gives back what queries had held */
    assert_true(hm__memory_in_use() <= in_use + 64 * 1024);
}

static void virtual_hostile__fork_while_others_allocate(void **state)
{
    pthread_t threads[2];
    (void)state;
    char *kept = reserved(GRANULE);
    committed(kept, PAGE, RW);
    __atomic_store_n(&stop_all, 0, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, NULL), 0);
    }
    for (int i = 0; i < 40; i++) {
        int status = 0;
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            void *p = NULL;
            hm_region r = {.size = sizeof r};
            alarm(20);
            const int good = hm__virtual_query(kept, &r) == HM_OK && r.state == COMMIT &&
                             hm__virtual_alloc(NULL, GRANULE, COMMIT, RW, &p) == HM_OK &&
                             hm__virtual_free(p, 0, HM_MEM_RELEASE) == HM_OK &&
                             hm__virtual_free(kept, 0, HM_MEM_RELEASE) == HM_OK;
            _exit(good ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    __atomic_store_n(&stop_all, 1, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    released(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(virtual_hostile__a_refused_commit_changes_nothing),
        cmocka_unit_test(virtual_hostile__a_refused_reservation_leaves_nothing),
        cmocka_unit_test(virtual_hostile__no_private_memory_anywhere),
        cmocka_unit_test(virtual_hostile__a_huge_reservation_costs_nothing_until_touched),
        cmocka_unit_test(virtual_hostile__query_answers_while_a_writer_is_stopped),
        cmocka_unit_test(virtual_hostile__threads),
        cmocka_unit_test(virtual_hostile__fork_while_others_allocate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
