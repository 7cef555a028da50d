/* SPDX-License-Identifier: MIT */
/* Parts of the preloaded library, in a program where sanitizers can watch them: the start-up buffer, sites by return
 * address, symbols of loaded objects, and how `run` adds to a spec. */
#include <hostmalloc/hostmalloc.h>

#include "check.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "callers_internal.h"
#include "objects_internal.h"
#include "run_spec.h"
#include "startup_internal.h"

static void startup__blocks_are_apart_aligned_and_known(void **state)
{
    static const struct {
        const char *label;
        size_t bytes, alignment;
    } cases[] = {{"nothing", 0, 16},     {"a byte", 1, 1},        {"a header", 16, 16},
                 {"a page", 4096, 4096}, {"odd", 1000, 64},       {"large", 1 << 20, 16},
                 {"wide", 10, 1 << 16},  {"the smallest", 17, 16}};
    unsigned char *blocks[COUNT(cases)];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        blocks[i] = hm__startup_alloc(cases[i].bytes, cases[i].alignment);
        CHECK_ROW(cases[i].label, blocks[i] != NULL);
        CHECK_ROW(cases[i].label, (uintptr_t)blocks[i] % cases[i].alignment == 0);
        CHECK_ROW(cases[i].label, (uintptr_t)blocks[i] % 16 == 0);
        CHECK_ROW(cases[i].label, hm__startup_owns(blocks[i]));
        CHECK_ROW(cases[i].label, hm__startup_size(blocks[i]) >= cases[i].bytes);
        memset(blocks[i], (int)i + 1, hm__startup_size(blocks[i]));
    }
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t at = 0; at < cases[i].bytes; at++) {
            CHECK_ROW(cases[i].label, blocks[i][at] == i + 1);
        }
        hm__startup_free(blocks[i]);
        CHECK_ROW(cases[i].label,
                  hm__startup_alloc(cases[i].bytes, cases[i].alignment) == blocks[i]);
        hm__startup_free(blocks[i]);
    }
    assert_false(hm__startup_owns(state));
    assert_false(hm__startup_owns(NULL));
    assert_false(hm__startup_owns(hm__startup_buffer + HM__STARTUP_BYTES));
}

static void startup__what_does_not_fit_is_refused(void **state)
{
    void *held[64];
    size_t count = 0;
    (void)state;
    assert_null(hm__startup_alloc(SIZE_MAX, 16));
    assert_null(hm__startup_alloc(HM__STARTUP_BYTES, 16));
    assert_null(hm__startup_alloc(16, (size_t)1 << 40));
    while (count < COUNT(held) && (held[count] = hm__startup_alloc(4 << 20, 16))) {
        count++;
    }
    assert_in_range(count, 1, COUNT(held) - 1);
    assert_null(hm__startup_alloc(4 << 20, 16));
    while (count) {
        hm__startup_free(held[--count]);
    }
    void *again = hm__startup_alloc(4 << 20, 16);
    assert_non_null(again);
    hm__startup_free(again);
}

static void *startup_worker(void *context)
{
    const unsigned char mark = (unsigned char)(uintptr_t)context;
    for (int i = 0; i < 3000; i++) {
        unsigned char *block = hm__startup_alloc((size_t)(i % 300), 16);
        if (!block) {
            return block;
        }
        memset(block, mark, (size_t)(i % 300));
        if (i % 300 && block[i % 300 - 1] != mark) {
            return NULL;
        }
        hm__startup_free(block);
    }
    return context;
}

static void startup__threads_and_children_share_it(void **state)
{
    pthread_t threads[4];
    int status = -1;
    (void)state;
    hm__startup_guard_fork();
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, startup_worker, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < 10; i++) {
        const pid_t child = fork();
        if (child == 0) {
            /* Not by an exit, at which a sanitizer misses the parent's threads. */
            raise(startup_worker((void *)9) ? SIGKILL : SIGABRT);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    for (size_t i = 0; i < COUNT(threads); i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, (void *)(i + 1));
    }
}

static void callers__a_place_has_one_site(void **state)
{
    const uintptr_t here = (uintptr_t)callers__a_place_has_one_site;
    char offset[64];
    const char *path;
    uintptr_t base;
    (void)state;
    hm_site *first = hm__caller_site((void *)(here + 5));
    hm_site *second = hm__caller_site((void *)(here + 9));
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    assert_ptr_equal(hm__caller_site((void *)(here + 5)), first);
    assert_int_equal(hm__object_of(here, &path, &base), 1);
    snprintf(offset, sizeof offset, "+0x%zx", (size_t)(here + 5 - base));
    assert_int_equal(first->line, 0);
    assert_string_equal(strrchr(first->file, '+'), offset);
    assert_int_equal(strncmp(first->file, path, strlen(path)), 0);
    assert_int_equal(first->file[0], '/');
    /* The same content after objects went. */
    hm__callers_forget();
    assert_ptr_equal(hm__caller_site((void *)(here + 5)), first);
    assert_string_equal(hm__caller_site((void *)0x123456)->file, "(generated code)");
}

static void callers__the_table_is_bounded(void **state)
{
    const uint64_t before = hm__callers_dropped();
    (void)state;
    for (uintptr_t i = 1; i <= 2 * HM__CALLERS_COUNT; i++) {
        hm__caller_site((void *)(i << 20 | 1));
    }
    assert_true(hm__callers_dropped() > before);
    assert_null(hm__caller_site((void *)(((uintptr_t)5 * HM__CALLERS_COUNT) << 20 | 1)));
}

typedef struct finding {
    const char *name;
    void *found;
    size_t objects;
} finding;

static int find(void *context, const hm__object *object)
{
    finding *f = context;
    void *found = hm__object_symbol(object, f->name);
    f->objects++;
    f->found = f->found ? f->found : found;
    return 0;
}

static void objects__symbols_are_those_of_dlsym(void **state)
{
    static const char *const names[] = {"dlsym", "strtol", "environ", "getenv", "fopen"};
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        finding f = {names[i], NULL, 0};
        hm__objects_visit(find, &f);
        CHECK_ROW(names[i], f.objects > 2);
        CHECK_ROW(names[i], f.found != NULL);
        /* A sanitizer's own may stand before libc's. */
        CHECK_ROW(names[i], f.found == dlsym(RTLD_DEFAULT, names[i]) ||
                                f.found == dlsym(RTLD_NEXT, names[i]));
    }
    finding none = {"no_such_name_anywhere", NULL, 0};
    hm__objects_visit(find, &none);
    assert_null(none.found);
    uint64_t added = 0, removed = 0;
    hm__objects_changes(&added, &removed);
    assert_true(added >= none.objects);
}

static void run_spec__options_go_to_the_debug_host(void **state)
{
    static const struct {
        const char *spec, *key, *value,
            *want; /* NULL: 0 is answered and nothing changed */
    } cases[] = {
        {"debug", "leaks", "no", "debug:leaks=no"},
        {"debug+mimalloc", "leaks", "no", "debug:leaks=no+mimalloc"},
        {"debug:fill=all+mimalloc", "leaks", "no", "debug:fill=all,leaks=no+mimalloc"},
        {"limit:hard=1M+debug+mimalloc", "a", "b", "limit:hard=1M+debug:a=b+mimalloc"},
        {"debug:leaks=yes", "leaks", "no", "debug:leaks=yes"},
        {"debug:leaks+mimalloc", "leaks", "no", "debug:leaks+mimalloc"},
        {"debug:fill=all,leaks=yes+x", "leaks", "no", "debug:fill=all,leaks=yes+x"},
        {"debug:leaksome=1", "leaks", "no", "debug:leaksome=1,leaks=no"},
        {"debug", "report", "/a,b", "debug:report=(/a,b)"},
        {"debug:ignore=(a+b,c)+x", "k", "v", "debug:ignore=(a+b,c),k=v+x"},
        {"swap:to=(debug+mimalloc)", "leaks", "no", NULL},
        {"mimalloc", "leaks", "no", NULL},
        {"debugger", "leaks", "no", NULL},
        {"trace:file=debug", "leaks", "no", NULL},
        {"debug", "key", "much too long for what is left", NULL},
        {"", "leaks", "no", NULL}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char spec[40];
        snprintf(spec, sizeof spec, "%s", cases[i].spec);
        const int added = run_spec_add(spec, sizeof spec, cases[i].key, cases[i].value);
        CHECK_ROW(cases[i].spec, added == (cases[i].want != NULL));
        CHECK_ROW(cases[i].spec,
                  strcmp(spec, cases[i].want ? cases[i].want : cases[i].spec) == 0);
    }
}

static void run_spec__values_have_matching_parentheses(void **state)
{
    static const struct {
        const char *value;
        int holds;
    } cases[] = {{"", 1},  {"a", 1},  {"(a)", 1}, {"a (b(c)) d", 1}, {"(", 0},
                 {")", 0}, {")(", 0}, {"(a", 0},  {"a)b(", 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_ROW(cases[i].value, run_spec_holds(cases[i].value) == cases[i].holds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(startup__blocks_are_apart_aligned_and_known),
        cmocka_unit_test(startup__what_does_not_fit_is_refused),
        cmocka_unit_test(startup__threads_and_children_share_it),
        cmocka_unit_test(callers__a_place_has_one_site),
        cmocka_unit_test(callers__the_table_is_bounded),
        cmocka_unit_test(objects__symbols_are_those_of_dlsym),
        cmocka_unit_test(run_spec__options_go_to_the_debug_host),
        cmocka_unit_test(run_spec__values_have_matching_parentheses)};
    hm__objects_start();
    hm__callers_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
