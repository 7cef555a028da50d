/* SPDX-License-Identifier: MIT */
/* What a describe function may answer, and what a description must hold: answers that no sane module gives. */
#include "registry_internal.h"

#include <string.h>

#include "check.h"
#include "toy_host.h"

/* Describe functions of our own, for answers that no sane module gives. */
static const hm_host_info plain = {.size = sizeof(hm_host_info),
                                   .abi = HM_ABI,
                                   .kind = HM_KIND_HOST,
                                   .name = "plain_one",
                                   .summary = "s",
                                   .version = "v",
                                   .open = toy_open};

static hm_status
say_nothing(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    (void)core;
    (void)list;
    (void)count;
    return HM_OK;
}

static hm_status
say_too_much(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    static const hm_host_info *const all[] = {&plain};
    (void)core;
    *list = all;
    *count = 65;
    return HM_OK;
}

static hm_status
say_null(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    static const hm_host_info *const all[] = {&plain, NULL};
    (void)core;
    *list = all;
    *count = 2;
    return HM_OK;
}

static hm_status
say_no_list(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    (void)core;
    *list = NULL;
    *count = 2;
    return HM_OK;
}

static hm_status
say_twice(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    static hm_host_info again;
    static const hm_host_info *const all[] = {&plain, &again};
    (void)core;
    again = plain;
    *list = all;
    *count = 2;
    return HM_OK;
}

static hm_status
say_positive(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    (void)core;
    (void)list;
    (void)count;
    return 5;
}

static void description__answers_are_checked(void **state)
{
    static const struct {
        const char *label;
        hm_module_describe_fn *describe;
        hm_status status;
        const char *what;
    } cases[] = {
        {"nothing", say_nothing, HM_E_INVALID,
         "gave 0 descriptions at NULL, expected 1 to 64"},
        {"too much", say_too_much, HM_E_INVALID,
         "gave 65 descriptions, expected 1 to 64"},
        {"no list", say_no_list, HM_E_INVALID, "gave 2 descriptions at NULL"},
        {"a NULL", say_null, HM_E_INVALID, "a description is NULL"},
        {"a name twice", say_twice, HM_E_EXISTS,
         "name \"plain_one\" is taken: described twice here"},
        {"a positive status", say_positive, HM_E_INVALID,
         "answered HM_E_? (5), this core speaks ABI 1.0"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm__source source = {&cases[i], "test", "here"};
        hm_error err = {HM_OK, 0, "", ""};
        const hm_status status =
            hm__module_describe(&source, cases[i].describe, NULL, &err);
        if (status != cases[i].status || !strstr(err.what, cases[i].what)) {
            fail_msg("%s: %d %s", cases[i].label, (int)status, err.what);
        }
        assert_string_equal("here", err.where);
    }
    assert_null(hm__registry_names(&cases[0], NULL)); /* nothing of it was kept */
}

static void description__is_checked(void **state)
{
    static const struct {
        const char *label;
        size_t size;
        uint32_t abi;
        uint32_t kind;
        const char *name;
        const char *summary;
        const char *version;
        int no_open;
        hm_status status;
        const char *what;
    } cases[] = {
        {"good", sizeof(hm_host_info), HM_ABI, 1, "x", "s", "v", 0, HM_OK, ""},
        {"longer", sizeof(hm_host_info) + 64, HM_ABI, 2, "x", "s", "v", 0, HM_OK, ""},
        {"higher minor", sizeof(hm_host_info), HM_ABI + 9, 2, "x", "s", "v", 0, HM_OK,
         ""},
        {"no size", 0, HM_ABI, 1, "x", "s", "v", 0, HM_E_INVALID,
         "a description of 0 bytes"},
        {"small", offsetof(hm_host_info, open), HM_ABI, 1, "x", "s", "v", 0, HM_E_INVALID,
         "a description of 56 bytes, expected at least 64"},
        {"major 0", sizeof(hm_host_info), 0, 1, "x", "s", "v", 0, HM_E_ABI,
         "built for ABI 0.0, this core speaks 1.0"},
        {"other ABI before size", 16, HM_ABI + (3u << 16), 1, "x", "s", "v", 0, HM_E_ABI,
         "built for ABI 4.0"},
        {"kind 0", sizeof(hm_host_info), HM_ABI, 0, "x", "s", "v", 0, HM_E_INVALID,
         "\"x\" is of kind 0"},
        {"kind 3", sizeof(hm_host_info), HM_ABI, 3, "x", "s", "v", 0, HM_E_INVALID,
         "\"x\" is of kind 3"},
        {"no name", sizeof(hm_host_info), HM_ABI, 1, NULL, "s", "v", 0, HM_E_INVALID,
         "name \"(NULL)\""},
        {"empty name", sizeof(hm_host_info), HM_ABI, 1, "", "s", "v", 0, HM_E_INVALID,
         "name \"\""},
        {"path name", sizeof(hm_host_info), HM_ABI, 1, "../x", "s", "v", 0, HM_E_INVALID,
         "name \"../x\""},
        {"no summary", sizeof(hm_host_info), HM_ABI, 1, "x", NULL, "v", 0, HM_E_INVALID,
         "host x has no summary"},
        {"no version", sizeof(hm_host_info), HM_ABI, 2, "x", "s", NULL, 0, HM_E_INVALID,
         "layer x has no version"},
        {"no open", sizeof(hm_host_info), HM_ABI, 1, "x", "s", "v", 1, HM_E_INVALID,
         "host x has no open"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm_host_info info = {.size = cases[i].size,
                                   .abi = cases[i].abi,
                                   .kind = cases[i].kind,
                                   .name = cases[i].name,
                                   .summary = cases[i].summary,
                                   .version = cases[i].version,
                                   .open = cases[i].no_open ? NULL : toy_open};
        hm_error err = {HM_OK, 0, "", ""};
        const hm_status status = hm__module_check(&info, "module:x", &err);
        if (status != cases[i].status || !strstr(err.what, cases[i].what)) {
            fail_msg("%s: %d %s", cases[i].label, (int)status, err.what);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(description__answers_are_checked),
        cmocka_unit_test(description__is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
