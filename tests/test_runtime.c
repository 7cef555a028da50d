/* SPDX-License-Identifier: MIT */
/* The runtime core: what it asks for, when its host may change, what it counts and drains at the end. */
#include "toy_runtime.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void runtime__takes_a_host_or_a_spec(void **state)
{
    hm_runtime *rt;
    hm_host *host;
    hm_error err;
    (void)state;
    assert_int_equal(HM_OK, hm_host_open("toy", &host, &err));

    const hm_runtime_opts with_host = {.size = sizeof with_host, .host = host};
    assert_int_equal(HM_OK, hm_runtime_open(&with_host, &rt, &err));
    assert_ptr_equal(host, hm_runtime_host(rt));
    assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, &err));

    setenv("HOSTMALLOC", "toy", 1);
    assert_int_equal(HM_OK, hm_runtime_open(NULL, &rt, &err));
    assert_ptr_equal(host->vtbl, hm_runtime_host(rt)->vtbl);
    assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, &err));
    /* A caller of an older release knows only the first members. */
    const hm_runtime_opts shorter = {.size = offsetof(hm_runtime_opts, host),
                                     .name = "old",
                                     .host = host,
                                     .spec = "nonsense"};
    assert_int_equal(HM_OK, hm_runtime_open(&shorter, &rt, &err));
    assert_ptr_not_equal(host, hm_runtime_host(rt));
    assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, &err));
    unsetenv("HOSTMALLOC");

    assert_int_equal(HM_OK, hm_runtime_open(NULL, &rt, &err)); /* default */
    assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, &err));
    hm_host_release(host);
}

static void runtime__refuses_to_open(void **state)
{
    static hm_host no_table;
    static const struct {
        const char *label;
        hm_runtime_opts opts;
        hm_status status;
        const char *what;
    } cases[] = {
        {"no size", {0, NULL, NULL, "toy"}, HM_E_INVALID, "hm_runtime_opts.size is 0"},
        {"both",
         {sizeof(hm_runtime_opts), NULL, &no_table, "toy"},
         HM_E_INVALID,
         "both a host and a spec"},
        {"bad spec",
         {sizeof(hm_runtime_opts), NULL, NULL, "toyy"},
         HM_E_NOT_FOUND,
         "did you mean \"toy\"?"},
        {"empty spec",
         {sizeof(hm_runtime_opts), NULL, NULL, ""},
         HM_E_INVALID,
         "empty spec"},
        {"bad host",
         {sizeof(hm_runtime_opts), NULL, &no_table, NULL},
         HM_E_INVALID,
         "its table is NULL"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_runtime *rt = (hm_runtime *)&no_table;
        hm_error err = {HM_OK, 0, "", ""};
        const hm_status status = hm_runtime_open(&cases[i].opts, &rt, &err);
        if (status != cases[i].status || rt || !strstr(err.what, cases[i].what)) {
            fail_msg("%s: %d %s", cases[i].label, (int)status, err.what);
        }
        CHECK_ROW(cases[i].label, hm_level_now() == HM_LEVEL_TASK);
        CHECK_ROW(cases[i].label, hm_runtime_open(&cases[i].opts, &rt, NULL) == status);
    }
    hm_error err;
    assert_int_equal(HM_E_INVALID, hm_runtime_open(NULL, NULL, &err));
    assert_string_equal("out is NULL", err.what);
}

static void runtime__refuses_nonsense(void **state)
{
    hm_malloc *m = (hm_malloc *)&memory_before;
    hm_malloc_opts opts = {.size = sizeof opts,
                           .flags = HM_MALLOC_THREADSAFE | HM_MALLOC_ONE_THREAD};
    hm_leaks no_size = {0, 0, 0, 0, 0};
    hm_error err;
    (void)state;
    hm_runtime *rt = open_toy(NULL);
    assert_int_equal(HM_E_INVALID, hm_runtime_create_malloc(NULL, NULL, &m, &err));
    assert_null(m);
    assert_int_equal(HM_E_INVALID, hm_runtime_create_malloc(rt, NULL, NULL, &err));
    assert_int_equal(HM_E_INVALID, hm_runtime_create_malloc(rt, &opts, &m, &err));
    assert_null(m);
    opts.flags = HM_MALLOC_EXECUTABLE;
    assert_int_equal(HM_E_UNSUPPORTED, hm_runtime_create_malloc(rt, &opts, &m, &err));
    assert_int_equal(HM_E_INVALID, hm_runtime_set_host(NULL, hm_runtime_host(rt), &err));
    assert_int_equal(HM_E_INVALID, hm_runtime_set_host(rt, NULL, &err));
    assert_null(hm_runtime_host(NULL));
    assert_int_equal(HM_E_INVALID, hm_runtime_start(NULL));
    assert_int_equal(HM_E_INVALID, hm_runtime_visit(rt, NULL, NULL));
    assert_int_equal(HM_E_INVALID, hm_runtime_visit(NULL, NULL, NULL));
    assert_int_equal(HM_OK, hm_runtime_close(NULL, &no_size, &err));
    assert_int_equal(HM_E_INVALID, hm_runtime_close(rt, &no_size, &err));
    assert_string_equal("hm_leaks.size is 0, expected 40", err.what);
    assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, NULL)); /* it was still open */
}

static void runtime__host_changes_before_the_first_malloc(void **state)
{
    hm_host *other;
    hm_error err;
    (void)state;
    hm_runtime *rt = open_toy("guest");
    assert_int_equal(HM_OK, hm_host_open("toy", &other, &err));
    assert_ptr_not_equal(other, hm_runtime_host(rt));
    assert_int_equal(HM_OK, hm_runtime_set_host(rt, other, &err));
    assert_ptr_equal(other, hm_runtime_host(rt));
    assert_int_equal(HM_OK, hm_runtime_set_host(rt, other, &err)); /* the same again */

    hm_malloc *first = make(rt, "script");
    hm_malloc *second = make(rt, "strings");
    assert_int_equal(HM_E_STARTED, hm_runtime_set_host(rt, other, &err));
    assert_int_equal(HM_E_STARTED, err.status);
    assert_string_equal("runtime \"guest\": malloc \"script\" was made first", err.what);
    assert_int_equal(HM_E_STARTED, hm_runtime_set_host(rt, other, NULL));
    hm_malloc_release(first);
    hm_malloc_release(second);
    assert_int_equal(HM_E_STARTED,
                     hm_runtime_set_host(rt, other, NULL)); /* the runtime remembers */
    hm_host_release(other);
    assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, &err));
}

static hm_runtime *impatient;
static hm_host *replacement;

/* Called by the first host while it makes the first malloc. */
static void change_host(void)
{
    toy_on_create = NULL;
    assert_int_equal(HM_OK, hm_runtime_set_host(impatient, replacement, NULL));
}

static void runtime__first_malloc_comes_from_the_last_host(void **state)
{
    (void)state;
    impatient = open_toy(NULL);
    assert_int_equal(HM_OK, hm_host_open("toy", &replacement, NULL));
    toy_on_create = change_host;
    hm_malloc *m = make(impatient, NULL);
    assert_ptr_equal(replacement, ((toy_malloc *)m)->host);
    hm_malloc_release(m);
    hm_host_release(replacement);
    assert_int_equal(HM_OK, hm_runtime_close(impatient, NULL, NULL));
}

static void runtime__counts_what_is_left(void **state)
{
    hm_leaks leaks = {.size = sizeof leaks};
    (void)state;
    hm_runtime *rt = open_toy("guest");
    hm_malloc *clean = make(rt, "clean");
    hm_malloc *leaky = make(rt, "leaky");
    hm_malloc *leakier = make(rt, "leakier");
    hm_free(clean, hm_alloc(clean, 10));
    void *one = hm_alloc(leaky, 100);
    void *two = hm_alloc(leakier, 7);
    void *three = hm_alloc(leakier, 0);
    assert_int_equal(HM_OK, hm_runtime_close(rt, &leaks, NULL));
    assert_int_equal(sizeof leaks, leaks.size);
    assert_int_equal(2, leaks.mallocs);
    assert_int_equal(3, leaks.blocks);
    assert_int_equal(107, leaks.bytes);
    assert_int_equal(0, leaks.unknown);
    /* Drained: frees still work, allocations fail. */
    assert_null(hm_alloc(clean, 1));
    assert_null(hm_alloc(leaky, 1));
    assert_int_equal(HM_OK, hm_free(leaky, one));
    assert_int_equal(HM_OK, hm_free(leakier, two));
    assert_int_equal(HM_OK, hm_free(leakier, three));
    hm_malloc_release(clean);
    hm_malloc_release(leaky);
    hm_malloc_release(leakier);
}

static void runtime__says_what_it_cannot_count(void **state)
{
    hm_leaks older = {.size = offsetof(hm_leaks, unknown), .unknown = 77};
    struct {
        hm_leaks leaks;
        uint64_t added_later;
    } newer = {.leaks = {.size = sizeof newer}, .added_later = 99};
    (void)state;
    for (int round = 0; round < 2; round++) {
        hm_runtime *rt = open_toy(NULL);
        hm_malloc *m = make(rt, NULL);
        hm_malloc_release(make(rt, NULL));
        hm_malloc_release(m);
        toy_counts = 0;
        assert_int_equal(HM_OK,
                         hm_runtime_close(rt, round ? &newer.leaks : &older, NULL));
        toy_counts = 1;
    }
    assert_int_equal(offsetof(hm_leaks, unknown), older.size);
    assert_int_equal(0, older.mallocs);
    assert_int_equal(77, older.unknown); /* beyond what that caller compiled */
    assert_int_equal(2, newer.leaks.unknown);
    assert_int_equal(sizeof newer, newer.leaks.size);
    assert_int_equal(99, newer.added_later);
}

typedef struct seen {
    int count;
    int stop_at;
    char names[100];
} seen;

static int see(void *context, const hm_runtime_entry *entry)
{
    seen *s = context;
    assert_int_equal(sizeof *entry, entry->size);
    assert_non_null(entry->malloc_object);
    snprintf(s->names + strlen(s->names), sizeof s->names - strlen(s->names), "%s=%d/%u ",
             entry->name, (int)entry->counted, (unsigned)entry->stats.live_bytes);
    return ++s->count == s->stop_at;
}

static void runtime__shows_its_mallocs(void **state)
{
    seen all = {0, 0, ""}, some = {0, 1, ""}, uncounted = {0, 0, ""};
    char name[] = "copied";
    (void)state;
    hm_runtime *rt = open_toy(NULL);
    hm_malloc *a = make(rt, name);
    hm_malloc *b = make(rt, NULL);
    name[0] = 'X';
    void *block = hm_alloc(a, 12);
    assert_int_equal(HM_OK, hm_runtime_visit(rt, see, &all));
    assert_string_equal("copied=0/12 malloc=0/0 ", all.names);
    assert_int_equal(HM_OK, hm_runtime_visit(rt, see, &some));
    assert_string_equal("copied=0/12 ", some.names);
    toy_counts = 0;
    assert_int_equal(HM_OK, hm_runtime_visit(rt, see, &uncounted));
    assert_string_equal("copied=-3/0 malloc=-3/0 ", uncounted.names);
    hm_free(a, block);
    hm_malloc_release(a);
    hm_malloc_release(b);
    assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, NULL));
}

static void *use_from_thread(void *context)
{
    hm_runtime *rt = context;
    hm_error err;
    assert_int_equal(HM_LEVEL_TASK,
                     hm_level_now()); /* another thread's start is not this one's */
    assert_int_equal(HM_E_INVALID, hm_runtime_start(rt));
    assert_int_equal(HM_E_INVALID, hm_runtime_close(rt, NULL, &err));
    assert_non_null(strstr(err.what, "was not started, expected its opening thread"));
    return NULL;
}

static void *close_from_thread(void *context)
{
    assert_int_equal(HM_OK, hm_runtime_close(context, NULL, NULL));
    return NULL;
}

static void runtime__starts_at_the_level_of_the_process(void **state)
{
    pthread_t thread;
    (void)state;
    hm_runtime *rt = open_toy(NULL);
    assert_int_equal(HM_LEVEL_PROCESS, hm_level_now());
    assert_int_equal(0, pthread_create(&thread, NULL, use_from_thread, rt));
    pthread_join(thread, NULL);
    assert_int_equal(HM_OK, hm_runtime_start(rt));
    assert_int_equal(HM_LEVEL_TASK, hm_level_now());
    assert_int_equal(HM_E_STARTED, hm_runtime_start(rt));
    assert_int_equal(HM_LEVEL_TASK, hm_level_now());
    /* Started, it owes this thread nothing: any other may close it. */
    assert_int_equal(0, pthread_create(&thread, NULL, close_from_thread, rt));
    pthread_join(thread, NULL);

    rt = open_toy(NULL);
    assert_int_equal(
        HM_OK,
        hm_runtime_close(rt, NULL, NULL)); /* never started: close leaves the level */
    assert_int_equal(HM_LEVEL_TASK, hm_level_now());
}

static void runtime__start_in_any_order(void **state)
{
    (void)state;
    const hm_level before = hm_level_enter(HM_LEVEL_DOMAIN);
    for (int order = 0; order < 2; order++) {
        hm_runtime *a = open_toy("a");
        hm_runtime *b = open_toy("b");
        assert_int_equal(HM_OK, hm_runtime_start(order ? a : b));
        assert_int_equal(HM_LEVEL_PROCESS, hm_level_now());
        assert_int_equal(HM_OK, hm_runtime_start(order ? b : a));
        assert_int_equal(HM_LEVEL_DOMAIN, hm_level_now());
        assert_int_equal(HM_OK, hm_runtime_close(a, NULL, NULL));
        assert_int_equal(HM_OK, hm_runtime_close(b, NULL, NULL));
    }
    hm_level_leave(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(runtime__takes_a_host_or_a_spec),
        CASE(runtime__refuses_to_open),
        CASE(runtime__refuses_nonsense),
        CASE(runtime__host_changes_before_the_first_malloc),
        CASE(runtime__first_malloc_comes_from_the_last_host),
        CASE(runtime__counts_what_is_left),
        CASE(runtime__says_what_it_cannot_count),
        CASE(runtime__shows_its_mallocs),
        CASE(runtime__starts_at_the_level_of_the_process),
        CASE(runtime__start_in_any_order),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
