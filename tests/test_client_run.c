/* SPDX-License-Identifier: MIT */
/* Clients that raise, end in the middle or hang: the program goes on, and what they owned is back. */
#include "toy_runtime.h"

#include <hostmalloc/client.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sanitizer.h"

static hm_runtime *rt;
static hm_client_key key;

static int run_begin(void **state)
{
    hm_error err;
    begin(state);
    rt = open_toy("guest");
    hm_runtime_start(rt);
    assert_int_equal(HM_OK, hm_client_open(rt, NULL, &key, &err));
    return 0;
}

static int run_end(void **state)
{
    assert_int_equal(HM_OK, hm_client_close(key, NULL, NULL));
    assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, NULL));
    return end(state);
}

static int run_setup(void **state)
{
    setup(state);
    run_begin(state);
    hm_client_close(key, NULL, NULL);
    return hm_runtime_close(rt, NULL, NULL);
}

static void own_some(void)
{
    for (size_t i = 0; i < 5; i++) {
        assert_non_null(hm_client_alloc(key, 10, NULL, NULL));
    }
}

static void returns(void *context)
{
    own_some();
    *(int *)context = 7;
}

static void raises(void *context)
{
    own_some();
    raise(*(int *)context);
}

static void aborts(void *context)
{
    (void)context;
    own_some();
    abort();
}

static void exits(void *context)
{
    (void)context;
    own_some();
    pthread_exit(NULL);
}

static void is_cancelled(void *context)
{
    (void)context;
    own_some();
    pthread_cancel(pthread_self());
    for (;;) {
        sleep(1);
    }
}

static void client_run__tells_how_it_ended(void **state)
{
    static const struct {
        const char *label;
        void (*run)(void *context);
        int signal;
        uint32_t how;
        uint32_t code;
    } cases[] = {{"returns", returns, 0, HM_CLIENT_RETURNED, 0},
                 {"invalid access", raises, SIGSEGV, HM_CLIENT_RAISED, SIGSEGV},
                 {"bus error", raises, SIGBUS, HM_CLIENT_RAISED, SIGBUS},
                 {"arithmetic", raises, SIGFPE, HM_CLIENT_RAISED, SIGFPE},
                 {"instruction", raises, SIGILL, HM_CLIENT_RAISED, SIGILL},
                 {"raises SIGABRT", raises, SIGABRT, HM_CLIENT_RAISED, SIGABRT},
                 {"abort()", aborts, 0, HM_CLIENT_RAISED, SIGABRT},
                 {"ends its thread", exits, 0, HM_CLIENT_ENDED, 0},
                 {"is cancelled", is_cancelled, 0, HM_CLIENT_ENDED, 0},
                 {"returns again", returns, 0, HM_CLIENT_RETURNED, 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_client_ending ending = {.size = sizeof ending};
        hm_error err;
        int value = cases[i].signal;
        const hm_status status = hm_client_run(key, cases[i].run, &value, &ending, &err);
        CHECK_ROW(cases[i].label, status == HM_OK);
        CHECK_ROW(cases[i].label, ending.how == cases[i].how);
        CHECK_ROW(cases[i].label, ending.code == cases[i].code);
        hm_stats stats;
        hm_client_stats(key, &stats);
        if (ending.how == HM_CLIENT_RETURNED) {
            CHECK_ROW(cases[i].label, value == 7 && stats.live_blocks == 5);
            CHECK_ROW(cases[i].label, ending.leaks.blocks == 0);
            hm_client_reclaim(key, NULL);
        } else {
            CHECK_ROW(cases[i].label, stats.live_blocks == 0);
            CHECK_ROW(cases[i].label,
                      ending.leaks.blocks == 5 && ending.leaks.bytes == 50);
        }
    }
}

#if !UNDER_SANITIZER
static int deeper(volatile char *above, int depth)
{
    volatile char here[4096];
    here[0] = above ? above[0] : 1;
    return depth ? deeper(here, depth + 1) + here[0] : 0;
}

static void overflows(void *context)
{
    *(int *)context = deeper(NULL, 1);
}

static void reads_nowhere(void *context)
{
    volatile uintptr_t nowhere = 16; /* or optimisers know */
    *(int *)context = *(volatile int *)nowhere;
}

static void client_run__real_faults(void **state)
{
    hm_client_ending ending = {.size = sizeof ending};
    int value = 0;
    (void)state;
    assert_int_equal(HM_OK, hm_client_run(key, overflows, &value, &ending, NULL));
    assert_int_equal(HM_CLIENT_RAISED, ending.how);
    assert_int_equal(SIGSEGV, ending.code);
    assert_int_equal(HM_OK, hm_client_run(key, reads_nowhere, &value, &ending, NULL));
    assert_int_equal(HM_CLIENT_RAISED, ending.how);
    assert_int_equal(SIGSEGV, ending.code);
}
#endif

static uint32_t hanging; /* atomic */

static void hangs(void *context)
{
    (void)context;
    own_some();
    __atomic_store_n(&hanging, 1, __ATOMIC_RELEASE);
    for (;;) {
        usleep(1000);
        hm_client_free(key, hm_client_alloc(key, 3, NULL, NULL), NULL);
    }
}

static void *run_hanging(void *context)
{
    assert_int_equal(HM_OK, hm_client_run(key, hangs, NULL, context, NULL));
    return NULL;
}

static void client_run__killed(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        hm_client_ending ending = {.size = sizeof ending};
        pthread_t thread;
        hm_error err;
        __atomic_store_n(&hanging, 0, __ATOMIC_RELEASE);
        assert_int_equal(HM_E_STARTED, hm_client_kill(key)); /* nothing runs */
        assert_int_equal(0, pthread_create(&thread, NULL, run_hanging, &ending));
        while (!__atomic_load_n(&hanging, __ATOMIC_ACQUIRE)) {
            usleep(1000);
        }
        assert_int_equal(HM_E_STARTED, hm_client_run(key, hangs, NULL, NULL, &err));
        assert_int_equal(HM_E_STARTED, hm_client_close(key, NULL, &err));
        assert_int_equal(HM_OK, hm_client_kill(key));
        const hm_status again = hm_client_kill(key);
        assert_true(again == HM_OK || again == HM_E_STARTED); /* it may be over */
        pthread_join(thread, NULL);
        assert_int_equal(HM_CLIENT_ENDED, ending.how);
        assert_true(ending.leaks.blocks >= 5);
    }
}

static hm_client_key inner_key;
static uint32_t inner_over; /* atomic */

static void lingers(void *context)
{
    (void)context;
    __atomic_store_n(&hanging, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&hanging, __ATOMIC_ACQUIRE) == 1) {
        usleep(500);
    }
    usleep(20000);
    __atomic_store_n(&inner_over, 1, __ATOMIC_RELEASE);
}

static void runs_another(void *context)
{
    hm_client_ending ending = {.size = sizeof ending};
    own_some();
    hm_client_run(inner_key, lingers, NULL, &ending, NULL);
    *(int *)context = 1; /* the kill came first */
}

typedef struct nested_run {
    hm_client_ending ending;
    int came_back;
} nested_run;

static void *run_nested(void *context)
{
    nested_run *n = context;
    assert_int_equal(HM_OK,
                     hm_client_run(key, runs_another, &n->came_back, &n->ending, NULL));
    return NULL;
}

/* What a client runs within its own run is over before the client is killed: it stands on its stack. */
static void client_run__killed_while_it_runs_another(void **state)
{
    nested_run nested = {.ending = {.size = sizeof nested.ending}};
    pthread_t thread;
    (void)state;
    assert_int_equal(HM_OK, hm_client_open(rt, NULL, &inner_key, NULL));
    __atomic_store_n(&hanging, 0, __ATOMIC_RELEASE);
    assert_int_equal(0, pthread_create(&thread, NULL, run_nested, &nested));
    while (!__atomic_load_n(&hanging, __ATOMIC_ACQUIRE)) {
        usleep(500);
    }
    assert_int_equal(HM_OK, hm_client_kill(key));
    __atomic_store_n(&hanging, 2, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_true(__atomic_load_n(&inner_over, __ATOMIC_ACQUIRE));
    assert_int_equal(HM_CLIENT_ENDED, nested.ending.how);
    assert_int_equal(5, nested.ending.leaks.blocks);
    assert_int_equal(0, nested.came_back);
    assert_int_equal(HM_OK, hm_client_close(inner_key, NULL, NULL));
}

static int raise_in_visit(void *context, const hm_block *block)
{
    (void)context, (void)block;
    raise(SIGSEGV);
    return 0;
}

static void fails_inside(void *context)
{
    (void)context;
    hm_client_walk(key, raise_in_visit, NULL);
}

/* Locks are held in there: whoever goes on would wait for them for good. */
static void client_run__does_not_catch_inside(void **state)
{
    int status;
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        hm_client_ending ending = {.size = sizeof ending};
        signal(SIGSEGV, SIG_DFL);
        assert_non_null(hm_client_alloc(key, 1, NULL, NULL));
        hm_client_run(key, fails_inside, NULL, &ending, NULL);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static uint32_t own_handler_ran;

static void own_handler(int number)
{
    (void)number;
    own_handler_ran++;
}

/* Other threads' signals go where they went, also while something is guarded, and afterwards all is as before. */
static void raise_outside(void *context)
{
    (void)context;
    __atomic_store_n(&hanging, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&hanging, __ATOMIC_ACQUIRE) == 1) {
        usleep(500);
    }
}

static void *run_outside(void *context)
{
    assert_int_equal(HM_OK, hm_client_run(key, raise_outside, NULL, context, NULL));
    return NULL;
}

static void client_run__leaves_other_threads_alone(void **state)
{
    hm_client_ending ending = {.size = sizeof ending};
    pthread_t thread;
    struct sigaction now, before, action = {.sa_handler = own_handler};
    (void)state;
    sigaction(SIGFPE, &action, &before);
    __atomic_store_n(&hanging, 0, __ATOMIC_RELEASE);
    assert_int_equal(0, pthread_create(&thread, NULL, run_outside, &ending));
    while (!__atomic_load_n(&hanging, __ATOMIC_ACQUIRE)) {
        usleep(500);
    }
    raise(SIGFPE);
    assert_int_equal(1, own_handler_ran);
    __atomic_store_n(&hanging, 2, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_int_equal(HM_CLIENT_RETURNED, ending.how);
    sigaction(SIGFPE, &before, &now);
    assert_ptr_equal((void *)(uintptr_t)own_handler, (void *)(uintptr_t)now.sa_handler);
}

/* In the child of a fork nothing runs but what forked. */
static void client_run__forked_while_it_runs(void **state)
{
    hm_client_ending ending = {.size = sizeof ending};
    pthread_t thread;
    int status;
    (void)state;
    __atomic_store_n(&hanging, 0, __ATOMIC_RELEASE);
    assert_int_equal(0, pthread_create(&thread, NULL, run_outside, &ending));
    while (!__atomic_load_n(&hanging, __ATOMIC_ACQUIRE)) {
        usleep(500);
    }
    const pid_t child = fork();
    if (child == 0) {
        hm_leaks leaks = {.size = sizeof leaks};
        alarm(60);
        int good = hm_client_alloc(key, 8, NULL, NULL) != NULL;
        good &= hm_client_kill(key) == HM_E_STARTED;
        good &= hm_client_close(key, &leaks, NULL) == HM_OK;
        _exit(good && leaks.blocks == 1 ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_int_equal(0, status);
    __atomic_store_n(&hanging, 2, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_int_equal(HM_CLIENT_RETURNED, ending.how);
}

/* A place whose client was closed over its head serves the next one. */
static void client_run__outlives_its_runtime(void **state)
{
    hm_client_ending ending = {.size = sizeof ending};
    pthread_t thread;
    int value = 0;
    (void)state;
    __atomic_store_n(&hanging, 0, __ATOMIC_RELEASE);
    assert_int_equal(0, pthread_create(&thread, NULL, run_outside, &ending));
    while (!__atomic_load_n(&hanging, __ATOMIC_ACQUIRE)) {
        usleep(500);
    }
    assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, NULL));
    assert_int_equal(HM_E_NOT_FOUND, hm_client_kill(key));
    rt = open_toy("next");
    hm_runtime_start(rt);
    hm_client_key next;
    assert_int_equal(HM_OK, hm_client_open(rt, NULL, &next, NULL));
    assert_int_equal(HM_E_STARTED, hm_client_kill(next));
    __atomic_store_n(&hanging, 2, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_int_equal(HM_CLIENT_RETURNED, ending.how);
    key = next;
    assert_int_equal(HM_OK, hm_client_run(key, returns, &value, &ending, NULL));
    assert_int_equal(HM_CLIENT_RETURNED, ending.how);
}

static void client_run__refuses(void **state)
{
    hm_client_ending unsized = {.size = 0};
    hm_error err;
    (void)state;
    assert_int_equal(HM_E_INVALID, hm_client_run(key, NULL, NULL, NULL, &err));
    assert_int_equal(HM_E_INVALID, hm_client_run(key, returns, NULL, &unsized, &err));
    hm__memory_fail_from(1);
    const hm_status status = hm_client_run(key, returns, NULL, NULL, &err);
    hm__memory_fail_from(0);
    assert_int_equal(HM_E_OS, status);
    assert_string_equal("no thread to run it on", err.what);
}

#define RUN_CASE(name) cmocka_unit_test_setup_teardown(name, run_begin, run_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_CASE(client_run__tells_how_it_ended),
#if !UNDER_SANITIZER
        RUN_CASE(client_run__real_faults),
#endif
        RUN_CASE(client_run__killed),
        RUN_CASE(client_run__killed_while_it_runs_another),
        RUN_CASE(client_run__does_not_catch_inside),
        RUN_CASE(client_run__leaves_other_threads_alone),
        RUN_CASE(client_run__outlives_its_runtime),
        RUN_CASE(client_run__forked_while_it_runs),
        RUN_CASE(client_run__refuses),
    };
    return cmocka_run_group_tests(tests, run_setup, NULL);
}
