/* SPDX-License-Identifier: MIT */
/* Who holds references that were never given back, and who gave back one too many. */
#include "debug_fixture.h"

#include <sys/wait.h>

static debug_fixture f;

static unsigned times(const char *text, const char *what)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, what)); at++) {
        count++;
    }
    return count;
}

/* Ends like a program that forgets: what hosts are owed is said at the exit. */
static const char *report_of_exit(void (*forget)(void), const char *spec)
{
    static char kept[65536];
    int status = 0;
    fixture_open(&f, "", 0);
    const pid_t child = fork();
    if (child == 0) {
        char whole[128];
        hm_host_release(f.host); /* the parent's */
        snprintf(whole, sizeof(whole), "debug:report=%s%s", f.path, spec);
        if (hm_host_open(whole, &f.host, NULL) != HM_OK ||
            hm_host_create_malloc(f.host, "rows", 0, &f.m, NULL) != HM_OK) {
            _exit(1);
        }
        forget();
        exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    memcpy(kept, fixture_report(&f), sizeof(kept));
    fixture_close(&f);
    return kept;
}

static void keep_two(void)
{
    for (int i = 0; i < 2; i++) {
        hm_malloc_retain(f.m);
    }
    hm_malloc_release(f.m);
    hm_host_release(f.host);
}

static void keep_host(void)
{
    hm_host_retain(f.host);
    hm_malloc_release(f.m);
    hm_host_release(f.host);
}

static void keep_nothing(void)
{
    hm_malloc_retain(f.m);
    hm_host_retain(f.host);
    hm_malloc_release(f.m);
    hm_malloc_release(f.m);
    hm_host_release(f.host);
    hm_host_release(f.host);
}

static void references__open_at_the_end_are_told(void **state)
{
    (void)state;
    const char *text = report_of_exit(keep_two, ",references");
    assert_int_equal(times(text, "malloc \"rows\" was not released\n"), 1);
    assert_int_equal(times(text, "host was not released\n"), 0);
    assert_int_equal(times(text, " taken by thread 1 at\n      #0 /"), 2);
    text = report_of_exit(keep_host, ",references");
    assert_int_equal(times(text, "malloc \"rows\" was not released\n"), 0);
    assert_int_equal(times(text, "==hostmalloc== host was not released\n"), 1);
    assert_int_equal(times(text, "  1 reference taken by thread 1 at\n"), 1);
}

static void references__given_back_are_not(void **state)
{
    (void)state;
    assert_string_equal(report_of_exit(keep_nothing, ",references"), "");
}

static void references__are_not_told_unasked(void **state)
{
    (void)state;
    assert_string_equal(report_of_exit(keep_two, ""), "");
}

static void references__extra_ones_of_a_malloc_have_a_place(void **state)
{
    (void)state;
    fixture_open(&f, ",references", 0);
    hm_malloc_retain(f.m);
    hm_malloc_release(f.m);
    hm_malloc_release(f.m);
    hm_malloc_release(f.m);
    hm_malloc_retain(f.m);
    assert_int_equal(fixture_findings(&f), 2);
    const char *text = fixture_report(&f);
    assert_non_null(strstr(text, "release of a released malloc, malloc \"rows\"\n"
                                 "  here         /"));
    assert_non_null(strstr(text, "test_debug_references+0x"));
    hm_host_release(f.host);
    unlink(f.path);
}

static void references__extra_ones_of_a_host_are_found(void **state)
{
    (void)state;
    char text[8192] = "";
    FILE *file = tmpfile();
    assert_non_null(file);
    const int kept = dup(2);
    fixture_open(&f, ",references", 0);
    hm_malloc_release(f.m);
    hm_host_release(f.host);
    unlink(f.path);
    dup2(fileno(file), 2);
    hm_host_release(f.host);
    hm_host_retain(f.host);
    hm_malloc *m = (hm_malloc *)&f;
    const hm_status status = hm_host_create_malloc(f.host, "late", 0, &m, NULL);
    dup2(kept, 2);
    close(kept);
    assert_int_equal(status, HM_E_CLOSED);
    assert_null(m);
    rewind(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    assert_non_null(strstr(text, "ERROR release of a released host 0x"));
    assert_non_null(strstr(text, "ERROR retain of a released host 0x"));
    assert_non_null(strstr(text, "ERROR malloc asked of a released host 0x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references__open_at_the_end_are_told),
        cmocka_unit_test(references__given_back_are_not),
        cmocka_unit_test(references__are_not_told_unasked),
        cmocka_unit_test(references__extra_ones_of_a_malloc_have_a_place),
        cmocka_unit_test(references__extra_ones_of_a_host_are_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
