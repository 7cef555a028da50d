/* SPDX-License-Identifier: MIT */
/* The callback per finding, and what it may do. */
#include "debug_fixture.h"

#include "memory_internal.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

static debug_fixture f;
static hm_debug *debug;

typedef struct heard {
    uint64_t count;
    hm_debug_finding last;
    char kind[80];
    char malloc_name[40];
    int busy; /* allocate, free, ask and do wrong meanwhile */
} heard;

static void hear(void *context, const hm_debug_finding *finding)
{
    heard *h = context;
    h->count++;
    h->last = *finding;
    snprintf(h->kind, sizeof(h->kind), "%s", finding->kind);
    snprintf(h->malloc_name, sizeof(h->malloc_name), "%s", finding->malloc_name);
    if (h->busy) {
        uint64_t damaged;
        for (int i = 0; i < 100; i++) {
            void *block = hm_alloc(f.m, 40);
            assert_int_equal(hm_free(f.m, block), HM_OK);
            if (i == 99) {
                assert_int_not_equal(hm_free(f.m, block), HM_OK);
            }
        }
        assert_int_equal(hm_debug_check(debug, &damaged), HM_OK);
        assert_int_equal(hm_debug_report(debug, -1), HM_E_OS);
    }
}

static void open_with(const char *options, uint32_t flags)
{
    fixture_open(&f, options, flags);
    debug = hm_debug_of_host(f.host);
}

static void tell__has_the_evidence(void **state)
{
    heard h = {0};
    (void)state;
    open_with("", HM_MALLOC_THREADSAFE);
    assert_int_equal(hm_debug_on_finding(debug, hear, &h), HM_OK);
    void *block = hm_debug_alloc(f.m, 41, 0, "a.c", 1);
    assert_int_equal(hm_debug_free(f.m, block, "a.c", 2), HM_OK);
    assert_int_equal(h.count, 0);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(hm_debug_free(f.m, block, "a.c", 3), HM_E_FREED);
        assert_int_equal(h.count, i);
        assert_int_equal(h.last.times, i);
    }
    assert_int_equal(h.last.size, sizeof(h.last));
    assert_int_equal(h.last.status, HM_E_FREED);
    assert_string_equal(h.kind, "double free");
    assert_string_equal(h.malloc_name, "rows");
    assert_ptr_equal(h.last.pointer, block);
    assert_ptr_equal(h.last.block, block);
    assert_int_equal(h.last.bytes, 41);
    assert_int_equal(h.last.serial, 1);
    assert_int_equal(h.last.allocated->line, 1);
    assert_int_equal(h.last.freed->line, 2);
    assert_int_equal(h.last.here->line, 3);
    assert_null(h.last.before);
    assert_true(h.last.here_thread && h.last.here_thread == h.last.allocated_thread);
    assert_int_equal(hm_debug_free(f.m, (char *)block + 1, "a.c", 4), HM_E_NOT_OWNED);
    assert_int_equal(h.last.times, 1);
    assert_ptr_equal(h.last.pointer, (char *)block + 1);
    /* Nobody any more, asked of a malloc. */
    assert_int_equal(hm_debug_on_finding(hm_debug_of_malloc(f.m), NULL, NULL), HM_OK);
    assert_int_equal(hm_debug_free(f.m, block, "a.c", 3), HM_E_FREED);
    assert_int_equal(h.count, 4);
    fixture_close(&f);
}

static void tell__of_a_scope(void **state)
{
    heard h = {0};
    (void)state;
    open_with("", 0);
    assert_int_equal(hm_debug_on_finding(debug, hear, &h), HM_OK);
    assert_int_equal(hm_debug_noalloc_begin(debug, hm_site_intern("a.c", NULL, 7)),
                     HM_OK);
    void *block = hm_debug_alloc(f.m, 1, 0, "a.c", 8);
    assert_int_equal(hm_debug_noalloc_end(debug), HM_OK);
    assert_int_equal(h.count, 1);
    assert_int_equal(h.last.status, HM_OK);
    assert_int_equal(h.last.before->line, 7);
    assert_int_equal(h.last.here->line, 8);
    assert_null(h.last.block);
    assert_int_equal(hm_free(f.m, block), HM_OK);
    fixture_close(&f);
}

typedef struct way {
    const char *name;
    const char *options;
    uint32_t flags;
    int large;
} way;

/* Found while freed blocks go back: told when that is over, and the callback may free on. */
static void tell__may_do_anything(void **state)
{
    static const way ways[] = {{"serial", "", 0, 0},
                               {"shared", "", HM_MALLOC_THREADSAFE, 0},
                               {"none held", ",quarantine=0", 0, 0},
                               {"one held", ",quarantine=1", HM_MALLOC_THREADSAFE, 0},
                               {"all filled", ",fill=all,quarantine=3", 0, 0},
                               {"large", ",fill=all", HM_MALLOC_THREADSAFE, 60000},
                               {"large serial", ",fill=all", 0, 60000}};
    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        heard h = {.busy = 1};
        open_with(ways[i].options, ways[i].flags);
        assert_int_equal(hm_debug_on_finding(debug, hear, &h), HM_OK);
        char *block = hm_alloc(f.m, ways[i].large ? (size_t)ways[i].large : 40);
        assert_int_equal(hm_free(f.m, block), HM_OK);
        if (strstr(ways[i].options, "quarantine=0")) {
            assert_int_equal(hm_free(f.m, block + 1), HM_E_NOT_OWNED);
        } else {
            block[0] ^= 1;
        }
        for (int k = 0; k < 200; k++) {
            assert_int_equal(hm_free(f.m, hm_alloc(f.m, 40)), HM_OK);
        }
        hm_malloc_trim(f.m);
        if (h.count != 1) {
            fail_msg("%s: told %llu times", ways[i].name, (unsigned long long)h.count);
        }
        assert_int_equal(fixture_stats(f.m).live_blocks, 0);
        fixture_close(&f);
    }
}

static void *write_and_exit(void *context)
{
    char *block = hm_alloc(f.m, 40);
    (void)context;
    assert_int_equal(hm_free(f.m, block), HM_OK);
    block[0] ^= 1;
    return NULL;
}

static void tell__at_the_end_of_a_thread(void **state)
{
    heard h = {.busy = 1};
    pthread_t thread;
    (void)state;
    open_with("", HM_MALLOC_THREADSAFE);
    assert_int_equal(hm_debug_on_finding(debug, hear, &h), HM_OK);
    assert_int_equal(pthread_create(&thread, NULL, write_and_exit, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(h.count, 1);
    assert_string_equal(h.kind, "write after free");
    assert_int_equal(fixture_stats(f.m).live_blocks, 0);
    fixture_close(&f);
}

static int stop;

static void *err_on(void *context)
{
    char *block = context;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        hm_free(f.m, block + 1);
    }
    return NULL;
}

static void hear_late(void *context, const hm_debug_finding *finding)
{
    (void)finding;
    int *open = context;
    assert_int_equal(__atomic_load_n(open, __ATOMIC_RELAXED), 1);
}

static void tell__is_over_when_it_is_taken_away(void **state)
{
    pthread_t thread;
    (void)state;
    open_with("", HM_MALLOC_THREADSAFE);
    char *block = hm_alloc(f.m, 40);
    stop = 0;
    assert_int_equal(pthread_create(&thread, NULL, err_on, block), 0);
    for (int i = 0; i < 200; i++) {
        int open = 1;
        assert_int_equal(hm_debug_on_finding(debug, hear_late, &open), HM_OK);
        assert_int_equal(hm_debug_on_finding(debug, NULL, NULL), HM_OK);
        __atomic_store_n(&open, 0, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    assert_int_equal(hm_free(f.m, block), HM_OK);
    fixture_close(&f);
}

static void hear_once(void *context, const hm_debug_finding *finding)
{
    int *calls = context;
    (void)finding;
    ++*calls;
    assert_int_equal(hm_debug_on_finding(debug, NULL, NULL), HM_OK);
}

static void tell__takes_itself_away(void **state)
{
    int calls = 0;
    (void)state;
    open_with("", 0);
    assert_int_equal(hm_debug_on_finding(debug, hear_once, &calls), HM_OK);
    char *block = hm_alloc(f.m, 40);
    hm_free(f.m, block + 1);
    hm_free(f.m, block + 1);
    assert_int_equal(calls, 1);
    assert_int_equal(hm_free(f.m, block), HM_OK);
    fixture_close(&f);
}

static int inside;

static void hear_until_told(void *context, const hm_debug_finding *finding)
{
    (void)context, (void)finding;
    __atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
}

/* The child of a fork does not wait for callbacks of threads that stayed with the parent. */
static void tell__is_over_in_a_child(void **state)
{
    pthread_t thread;
    int status = -1;
    (void)state;
    open_with("", HM_MALLOC_THREADSAFE);
    assert_int_equal(hm_debug_on_finding(debug, hear_until_told, NULL), HM_OK);
    char *block = hm_alloc(f.m, 40);
    stop = inside = 0;
    assert_int_equal(pthread_create(&thread, NULL, err_on, block), 0);
    while (!__atomic_load_n(&inside, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        _exit(hm_debug_on_finding(debug, NULL, NULL) == HM_OK ? 0 : 1);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(hm_free(f.m, block), HM_OK);
    fixture_close(&f);
}

static void tell__refuses(void **state)
{
    heard h = {0};
    (void)state;
    assert_int_equal(hm_debug_on_finding(NULL, hear, &h), HM_E_UNSUPPORTED);
    /* No memory to wait in: printed and counted, and not told. */
    open_with("", HM_MALLOC_THREADSAFE);
    assert_int_equal(hm_debug_on_finding(debug, hear, &h), HM_OK);
    char *block = hm_alloc(f.m, 40);
    hm__memory_fail_from(1);
    assert_int_equal(hm_free(f.m, block + 1), HM_E_NOT_OWNED);
    hm__memory_fail_from(0);
    assert_int_equal(h.count, 0);
    assert_int_equal(fixture_findings(&f), 1);
    assert_int_equal(hm_free(f.m, block), HM_OK);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tell__has_the_evidence),
        cmocka_unit_test(tell__of_a_scope),
        cmocka_unit_test(tell__may_do_anything),
        cmocka_unit_test(tell__at_the_end_of_a_thread),
        cmocka_unit_test(tell__is_over_when_it_is_taken_away),
        cmocka_unit_test(tell__takes_itself_away),
        cmocka_unit_test(tell__refuses),
        cmocka_unit_test(tell__is_over_in_a_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
