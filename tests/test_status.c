/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <hostmalloc/status.h>

#include "check.h"

static void status__names(void **state)
{
    static const struct {
        hm_status status;
        const char *name;
    } cases[] = {{HM_OK, "HM_OK"},
                 {HM_E_NOMEM, "HM_E_NOMEM"},
                 {HM_E_INVALID, "HM_E_INVALID"},
                 {HM_E_UNSUPPORTED, "HM_E_UNSUPPORTED"},
                 {HM_E_NOT_OWNED, "HM_E_NOT_OWNED"},
                 {HM_E_FREED, "HM_E_FREED"},
                 {HM_E_CORRUPT, "HM_E_CORRUPT"},
                 {HM_E_SIZE, "HM_E_SIZE"},
                 {HM_E_STARTED, "HM_E_STARTED"},
                 {HM_E_CLOSED, "HM_E_CLOSED"},
                 {HM_E_EXISTS, "HM_E_EXISTS"},
                 {HM_E_NOT_FOUND, "HM_E_NOT_FOUND"},
                 {HM_E_TIMEOUT, "HM_E_TIMEOUT"},
                 {HM_E_ABI, "HM_E_ABI"},
                 {HM_E_OS, "HM_E_OS"},
                 {-15, "HM_E_?"},
                 {1, "HM_E_?"},
                 {INT32_MIN, "HM_E_?"},
                 {INT32_MAX, "HM_E_?"}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(hm_status_name(cases[i].status), cases[i].name);
    }
}

static void status__set_fills_and_returns(void **state)
{
    hm_error err;
    (void)state;
    memset(&err, 0x5a, sizeof err);
    assert_int_equal(hm_error_set(&err, HM_E_INVALID, "spec:7", "found %d", 3),
                     HM_E_INVALID);
    assert_int_equal(err.status, HM_E_INVALID);
    assert_int_equal(err.os_code, 0);
    assert_string_equal(err.where, "spec:7");
    assert_string_equal(err.what, "found 3");
}

static void status__set_makes_one_line(void **state)
{
    hm_error err;
    (void)state;
    hm_error_set(&err, HM_E_INVALID, "module:/a\nb", "found \"%s\"", "x\n\t\x1b[1my");
    assert_string_equal(err.where, "module:/a?b");
    assert_string_equal(err.what, "found \"x???[1my\"");
}

static void status__set_keeps_to_its_buffers(void **state)
{
    char text[400];
    hm_error err;
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    hm_error_set(&err, HM_E_INVALID, text, "%s", text);
    assert_int_equal(strlen(err.where), sizeof err.where - 1);
    assert_int_equal(strlen(err.what), sizeof err.what - 1);
}

static void status__set_takes_null(void **state)
{
    hm_error err;
    (void)state;
    assert_int_equal(hm_error_set(NULL, HM_E_NOMEM, "x", "y"), HM_E_NOMEM);
    assert_int_equal(hm_error_set(&err, HM_E_NOMEM, NULL, "y"), HM_E_NOMEM);
    assert_string_equal(err.where, "");
}

static void status__os_code_is_recorded(void **state)
{
    hm_error err;
    (void)state;
    errno = ENOENT;
    hm_error_set(&err, HM_E_OS, "x", "y");
    assert_int_equal(err.os_code, ENOENT);
}

/* Standard error goes to a pipe for one call. */
static void printed(const hm_error *err, char *text, size_t size)
{
    int ends[2];
    const int kept = dup(2);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], 2);
    close(ends[1]);
    hm_error_print(err);
    dup2(kept, 2);
    close(kept);
    const ssize_t got = read(ends[0], text, size - 1);
    close(ends[0]);
    text[got > 0 ? got : 0] = '\0';
}

static void status__print(void **state)
{
    char text[512];
    hm_error err;
    (void)state;
    hm_error_set(&err, HM_E_INVALID, "spec:7", "found x, expected y");
    printed(&err, text, sizeof text);
    assert_string_equal(text, "hostmalloc: spec:7: found x, expected y (HM_E_INVALID)\n");
    errno = ENOENT;
    hm_error_set(&err, HM_E_OS, NULL, "no such file");
    printed(&err, text, sizeof text);
    assert_string_equal(text, "hostmalloc: no such file (HM_E_OS, system code 2)\n");
    hm_error_set(&err, HM_OK, NULL, "nothing");
    printed(&err, text, sizeof text);
    assert_string_equal(text, "");
    printed(NULL, text, sizeof text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status__names),
        cmocka_unit_test(status__set_fills_and_returns),
        cmocka_unit_test(status__set_makes_one_line),
        cmocka_unit_test(status__set_keeps_to_its_buffers),
        cmocka_unit_test(status__set_takes_null),
        cmocka_unit_test(status__os_code_is_recorded),
        cmocka_unit_test(status__print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
