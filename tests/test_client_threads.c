/* SPDX-License-Identifier: MIT */
/* Clients between threads and in the child of a fork. */
#include "client_check.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fork_amid.h"

typedef struct busy {
    hm_client_key key;
    uint32_t stop;
    uint32_t rounds; /* atomic */
} busy;

static void *allocate_on(void *context)
{
    busy *b = context;
    void *p = NULL;
    uint32_t i = 0;
    while (!__atomic_load_n(&b->stop, __ATOMIC_RELAXED)) {
        hm_status status;
        p = hm_client_realloc(b->key, p, i++ % 700, NULL, &status);
        if (!p && status == HM_E_NOT_FOUND) {
            break; /* it was closed */
        }
        if (i % 3 == 0) {
            hm_client_free(b->key, p, NULL);
            p = NULL;
        }
        __atomic_fetch_add(&b->rounds, 1, __ATOMIC_RELAXED);
        fork_may_come();
    }
    return NULL;
}

static void client__reclaims_while_others_allocate(void **state)
{
    static const char *const specs[] = {"toy", "single", "default"};
    (void)state;
    for (size_t s = 0; s < COUNT(specs); s++) {
        pthread_t threads[4];
        go_to(specs[s]);
        busy b = {open_client("busy", 4096), 0, 0};
        for (size_t i = 0; i < COUNT(threads); i++) {
            assert_int_equal(0, pthread_create(&threads[i], NULL, allocate_on, &b));
        }
        for (uint32_t n = 0; n < 200; n++) {
            const uint32_t seen = __atomic_load_n(&b.rounds, __ATOMIC_RELAXED);
            assert_int_equal(HM_OK, hm_client_reclaim(b.key, NULL));
            while (__atomic_load_n(&b.rounds, __ATOMIC_RELAXED) == seen) {
                sched_yield();
            }
        }
        assert_int_equal(HM_OK, hm_client_close(b.key, NULL, NULL)); /* in the middle */
        for (size_t i = 0; i < COUNT(threads); i++) {
            pthread_join(threads[i], NULL);
        }
        go_back();
        assert_int_equal(0, single_overlaps);
    }
}

static void client__survives_fork(void **state)
{
    pthread_t thread;
    int status;
    (void)state;
    busy b = {open_client("busy", 0), 0, 0};
    const hm_client_key key = open_client("forked", 0);
    void *p = hm_client_alloc(key, 7, NULL, NULL);
    assert_int_equal(0, pthread_create(&thread, NULL, allocate_on, &b));
    for (int i = 0; i < 20; i++) {
        const pid_t child = fork_amid(1);
        if (child == 0) {
            hm_client_key own = 0;
            alarm(60);
            const int good = hm_client_alloc(b.key, 9, NULL, NULL) &&
                             hm_client_free(key, p, NULL) == HM_OK &&
                             hm_client_open(rt, NULL, &own, NULL) == HM_OK &&
                             hm_client_alloc(own, 9, NULL, NULL) &&
                             hm_client_close(own, NULL, NULL) == HM_OK &&
                             hm_client_reclaim(key, NULL) == HM_OK;
            _exit(good ? 0 : 1);
        }
        assert_true(child > 0);
        assert_int_equal(child, waitpid(child, &status, 0));
        assert_int_equal(0, status);
    }
    __atomic_store_n(&b.stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    assert_int_equal(1, live(key));
    close_client(key);
    close_client(b.key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_CASE(client__reclaims_while_others_allocate),
        CLIENT_CASE(client__survives_fork),
    };
    return cmocka_run_group_tests(tests, client_setup, NULL);
}
