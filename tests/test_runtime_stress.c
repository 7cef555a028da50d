/* SPDX-License-Identifier: MIT */
/* The runtime core under stress: shortages, threads, fork, and a host that calls back while it closes. */
#include "toy_runtime.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static hm_runtime *closing;

/* Called by the host while the runtime closes. */
static void interfere(void)
{
    hm_malloc *m = (hm_malloc *)&closing;
    hm_error err;
    assert_int_equal(HM_E_CLOSED, hm_runtime_create_malloc(closing, NULL, &m, &err));
    assert_string_equal("runtime \"guest\" is closing", err.what);
    assert_null(m);
    assert_int_equal(HM_E_CLOSED, hm_runtime_close(closing, NULL, &err));
    assert_int_equal(HM_E_STARTED,
                     hm_runtime_set_host(closing, hm_runtime_host(closing), &err));
}

static void runtime__closing_refuses_newcomers(void **state)
{
    (void)state;
    closing = open_toy("guest");
    hm_malloc_release(make(closing, NULL));
    toy_on_stats = interfere;
    assert_int_equal(HM_OK, hm_runtime_close(closing, NULL, NULL));
    toy_on_stats = NULL;
}

static void runtime__survives_a_shortage_anywhere(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        const hm_runtime_opts opts = {
            .size = sizeof opts, .name = "guest", .spec = "toy"};
        hm_runtime *rt = NULL;
        hm_malloc *m = NULL;
        hm_error err = {HM_OK, 0, "", ""};
        assert_true(nth < 100);
        hm__memory_fail_from(nth);
        hm_status status = hm_runtime_open(&opts, &rt, &err);
        if (status == HM_OK) {
            status = hm_runtime_create_malloc(rt, NULL, &m, &err);
            if (status == HM_OK) {
                hm_malloc_release(m);
            }
        }
        assert_int_equal(HM_OK,
                         hm_runtime_close(rt, NULL, NULL)); /* works in a shortage */
        hm__memory_fail_from(0);
        if (status == HM_OK) {
            assert_true(nth > 7);
            return;
        }
        assert_int_equal(HM_E_NOMEM, status);
        assert_int_equal(HM_E_NOMEM, err.status);
        assert_true(err.what[0] && err.where[0]);
        assert_null(m);
        end(state);
    }
}

static hm_runtime *shared;

static int see_three(void *context, const hm_runtime_entry *entry)
{
    int *seen = context;
    return !entry->malloc_object || ++*seen == 3;
}

static void *create_from_thread(void *context)
{
    (void)context;
    for (int i = 0; i < 200; i++) {
        hm_malloc *m = make(shared, "t");
        void *block = hm_alloc(m, 16);
        int seen = 0;
        hm_runtime_visit(shared, see_three, &seen);
        hm_free(m, block);
        hm_malloc_release(m);
    }
    return NULL;
}

static void *change_host_from_thread(void *context)
{
    (void)context;
    for (int i = 0; i < 200; i++) {
        hm_host *host;
        assert_int_equal(HM_OK, hm_host_open("toy", &host, NULL));
        const hm_status status = hm_runtime_set_host(shared, host, NULL);
        assert_true(status == HM_OK || status == HM_E_STARTED);
        assert_non_null(hm_runtime_host(shared));
        hm_host_release(host);
    }
    return NULL;
}

static void runtime__is_shared_by_threads(void **state)
{
    pthread_t threads[4];
    hm_leaks leaks = {.size = sizeof leaks};
    (void)state;
    shared = open_toy("shared");
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(
            0, pthread_create(&threads[i], NULL,
                              i ? create_from_thread : change_host_from_thread, NULL));
    }
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(HM_OK, hm_runtime_close(shared, &leaks, NULL));
    assert_int_equal(0, leaks.blocks);
}

static int keep_going; /* atomic */

static void *create_until_told(void *context)
{
    (void)context;
    while (__atomic_load_n(&keep_going, __ATOMIC_RELAXED)) {
        hm_runtime *rt = open_toy("busy");
        hm_malloc_release(make(rt, "x"));
        assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, NULL));
    }
    return NULL;
}

static void runtime__works_in_a_forked_child(void **state)
{
    pthread_t thread;
    (void)state;
    __atomic_store_n(&keep_going, 1, __ATOMIC_RELAXED);
    assert_int_equal(0, pthread_create(&thread, NULL, create_until_told, NULL));
    for (int i = 0; i < 30; i++) {
        int status;
        hm_runtime *rt = open_toy("forked");
        hm_malloc *m = make(rt, "x");
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(20);
            hm_malloc *another = make(rt, "y");
            hm_free(another, hm_alloc(another, 10));
            hm_malloc_release(another);
            hm_malloc_release(m);
            _exit(hm_runtime_close(rt, NULL, NULL) == HM_OK ? 0 : 1);
        }
        assert_int_equal(child, waitpid(child, &status, 0));
        assert_int_equal(0, status);
        hm_malloc_release(m);
        assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, NULL));
    }
    __atomic_store_n(&keep_going, 0, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(runtime__closing_refuses_newcomers),
        CASE(runtime__survives_a_shortage_anywhere),
        CASE(runtime__is_shared_by_threads),
        CASE(runtime__works_in_a_forked_child),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
