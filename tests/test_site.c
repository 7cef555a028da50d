/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hostmalloc/site.h>

#include "check.h"
#include "memory_internal.h"

static void site__macro_says_this_line(void **state)
{
    (void)state;
    hm_site *site = HM_SITE;
    const uint32_t line = __LINE__ - 1;
    assert_non_null(strstr(site->file, "test_site.c"));
    assert_string_equal(site->function, "site__macro_says_this_line");
    assert_int_equal(site->line, line);
}

static void site__same_place_is_one_site(void **state)
{
    char file[] = "copied.c";
    (void)state;
    hm_site *first = hm_site_intern(file, "f", 7);
    hm_site *again = hm_site_intern("copied.c", "f", 7);
    assert_non_null(first);
    assert_ptr_equal(first, again);
    assert_ptr_not_equal(first, hm_site_intern("copied.c", "f", 8));
    assert_ptr_not_equal(first, hm_site_intern("copied.c", "g", 7));
    assert_ptr_not_equal(first, hm_site_intern("copied.c", NULL, 7));
    assert_ptr_not_equal(first, hm_site_intern("copied.cc", "f", 7));
}

static void site__strings_are_copied(void **state)
{
    char file[16] = "before.c";
    (void)state;
    hm_site *site = hm_site_intern(file, NULL, 1);
    strcpy(file, "after.c");
    assert_string_equal(site->file, "before.c");
    /* The same memory now says another name: the cache must not answer the old site. */
    hm_site *other = hm_site_intern(file, NULL, 1);
    assert_ptr_not_equal(site, other);
    assert_string_equal(other->file, "after.c");
}

static void site__null_file_is_no_site(void **state)
{
    (void)state;
    assert_null(hm_site_intern(NULL, "f", 1));
    assert_int_equal(hm_site_id(NULL), 0);
    assert_null(hm_site_from_id(0));
    assert_null(hm_site_from_id(UINT32_MAX));
    assert_null(hm_site_from_id(hm_site_count() + 1));
}

static void site__static_sites_of_one_place_share_a_number(void **state)
{
    static hm_site one = {"inlined.h", "f", 3, 0};
    static hm_site two = {"inlined.h", "f", 3, 0};
    static hm_site nameless = {NULL, NULL, 3, 0};
    (void)state;
    assert_int_not_equal(hm_site_id(&one), 0);
    assert_int_equal(hm_site_id(&one), hm_site_id(&two));
    assert_int_equal(hm_site_id(&one), hm_site_intern("inlined.h", "f", 3)->id);
    const hm_site *kept = hm_site_from_id(one.id);
    assert_ptr_not_equal(kept, &one); /* printable after the code is unmapped */
    assert_string_equal(kept->file, "inlined.h");
    assert_string_equal(hm_site_from_id(hm_site_id(&nameless))->file, "?");
}

static void site__text(void **state)
{
    static const struct {
        hm_site site;
        int with_function;
        const char *want;
    } cases[] = {
        {{"a.c", "f", 12, 0}, 0, "a.c:12"},
        {{"a.c", "f", 12, 0}, 1, "a.c:12 (f)"},
        {{"a.c", NULL, 12, 0}, 1, "a.c:12"},
        {{"lua:string", NULL, 0, 0}, 1, "lua:string"},
        {{NULL, NULL, 1, 0}, 1, "?:1"},
        {{"a.cc", "int main()::<lambda()>", 1, 0}, 1, "a.cc:1 (int main())"},
        {{"a.cc", "auto main()::(anonymous class)::operator()() const", 1, 0},
         1,
         "a.cc:1 (main())"},
    };
    char text[100];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(
            hm_site_text(&cases[i].site, cases[i].with_function, text, sizeof text),
            cases[i].want);
    }
    assert_string_equal(hm_site_text(NULL, 1, text, sizeof text), "(unknown)");
    assert_string_equal(hm_site_text(&cases[0].site, 0, text, 4), "a.c");
    text[0] = 'x';
    hm_site_text(&cases[0].site, 0, text, 0);
    assert_int_equal(text[0], 'x');
}

static void site__many_are_found_again(void **state)
{
    enum { MANY = 100000 };
    (void)state;
    const uint32_t before = hm_site_count();
    for (uint32_t i = 1; i <= MANY; i++) {
        assert_non_null(hm_site_intern("many.c", NULL, i));
    }
    assert_int_equal(hm_site_count() - before, MANY);
    for (uint32_t i = 1; i <= MANY; i++) {
        const hm_site *site = hm_site_intern("many.c", NULL, i);
        assert_int_equal(site->line, i);
        assert_ptr_equal(hm_site_from_id(site->id), site);
    }
    assert_int_equal(hm_site_count() - before, MANY);
}

static void *intern_all(void *argument)
{
    hm_site **found = argument;
    for (uint32_t i = 0; i < 2000; i++) {
        found[i] = hm_site_intern("threads.c", "f", i);
    }
    return NULL;
}

static void site__threads_agree(void **state)
{
    enum { THREADS = 4 };
    static hm_site *found[THREADS][2000];
    pthread_t threads[THREADS];
    (void)state;
    for (int t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_create(&threads[t], NULL, intern_all, found[t]), 0);
    }
    for (int t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        assert_memory_equal(found[t], found[0], sizeof found[t]);
    }
}

static void site__no_memory_is_null_and_recovers(void **state)
{
    static hm_site fixed = {"starved.c", "static", 1, 0};
    (void)state;
    for (uint64_t n = 1; n <= 3; n++) {
        const uint32_t before = hm_site_count();
        hm__memory_fail_from(n);
        hm_site *site = hm_site_intern("starved.c", "function", 40);
        const uint64_t calls = hm__memory_calls();
        hm__memory_fail_from(0);
        if (site) {
            assert_true(calls < n);
            return;
        }
        assert_int_equal(hm_site_count(), before);
        hm__memory_fail_from(1);
        assert_int_equal(hm_site_id(&fixed), 0);
        hm__memory_fail_from(0);
    }
    assert_non_null(hm_site_intern("starved.c", "function", 40));
    assert_int_not_equal(hm_site_id(&fixed), 0);
}

static void site__child_of_a_fork_can_intern(void **state)
{
    (void)state;
    assert_non_null(hm_site_intern("fork.c", NULL, 1));
    const pid_t child = fork();
    if (child == 0) {
        const int good = hm_site_intern("fork.c", NULL, 2) != NULL &&
                         hm_site_intern("fork.c", NULL, 1) != NULL;
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(site__macro_says_this_line),
        cmocka_unit_test(site__same_place_is_one_site),
        cmocka_unit_test(site__strings_are_copied),
        cmocka_unit_test(site__null_file_is_no_site),
        cmocka_unit_test(site__static_sites_of_one_place_share_a_number),
        cmocka_unit_test(site__text),
        cmocka_unit_test(site__many_are_found_again),
        cmocka_unit_test(site__threads_agree),
        cmocka_unit_test(site__no_memory_is_null_and_recovers),
        cmocka_unit_test(site__child_of_a_fork_can_intern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
