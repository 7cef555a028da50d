/* SPDX-License-Identifier: MIT */
/* Modules of other releases, by path and by name: they work, or are refused with a sentence. */
#include <hostmalloc/hostmalloc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static const char *path_of(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/hm_host_%s.so", ABI_MODULE_DIR, name);
    return path;
}

static void use(const char *spec)
{
    hm_error err;
    hm_host *host;
    hm_malloc *m = NULL;
    if (hm_host_open(spec, &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "abi", HM_MALLOC_THREADSAFE, &m, &err) != HM_OK) {
        fail_msg("%s: %s: %s", spec, err.where, err.what);
    }
    void *block = hm_alloc(m, 100);
    assert_non_null(block);
    memset(block, 1, 100);
    block = hm_realloc(m, block, 1000);
    assert_non_null(block);
    assert_true(hm_size_of(m, block) >= 1000);
    assert_int_equal(hm_free(m, block), HM_OK);
    hm_malloc_close(m);
    assert_null(hm_alloc(m, 1));
    hm_malloc_release(m);
    hm_host_release(host);
}

static void abi__of_the_same_major_works(void **state)
{
    static const char *const names[] = {"frozen", "newer", "shorter"};
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        setenv("HOSTMALLOC_PLUGIN_PATH", "", 1);
        use(path_of(names[i]));
        setenv("HOSTMALLOC_PLUGIN_PATH", ABI_MODULE_DIR, 1);
        use(names[i]);
    }
    use("frozen:limit=12");
    use("newer:over=frozen");
    use("debug+newer");
    use("debug+frozen");
}

static void abi__by_name_only(void **state)
{
    hm_error err;
    hm_host *host;
    (void)state;
    setenv("HOSTMALLOC_PLUGIN_PATH", "/nowhere:" ABI_MODULE_DIR, 1);
    use("lonely");
    assert_int_equal(hm_host_open("frozen:limit=13", &host, &err), HM_E_INVALID);
    assert_string_equal(err.what, "an unlucky number");
    assert_null(host);
}

static void abi__that_cannot_work_is_refused(void **state)
{
    static const struct {
        const char *name;
        hm_status status;
        const char *what;
    } cases[] = {
        {"before", HM_E_ABI, "built for ABI 0.9, this core speaks 1.0"},
        {"after", HM_E_ABI, "built for ABI 2.0, this core speaks 1.0"},
        {"typed", HM_E_INVALID,
         "option \"level\" is of type 8 with flags 0x0, not known"},
        {"choosing", HM_E_INVALID, "option \"level\" has no choices"},
        {"stunted", HM_E_INVALID, "too small a struct"},
        {"halved", HM_E_INVALID, "a description of 32 bytes, expected at least"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_error err = {HM_OK, 0, "", ""};
        hm_host *host;
        const hm_status status = hm_registry_load(path_of(cases[i].name), &err);
        if (status != cases[i].status || !strstr(err.what, cases[i].what)) {
            fail_msg("%s: %s: %s (%s)", cases[i].name, err.where, err.what,
                     hm_status_name(status));
        }
        setenv("HOSTMALLOC_PLUGIN_PATH", ABI_MODULE_DIR, 1);
        CHECK_ROW(cases[i].name, hm_host_open(cases[i].name, &host, &err) == status);
        CHECK_ROW(cases[i].name, !host && strstr(err.what, cases[i].what));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(abi__of_the_same_major_works),
        cmocka_unit_test(abi__by_name_only),
        cmocka_unit_test(abi__that_cannot_work_is_refused),
    };
    return cmocka_run_group_tests_name("abi", tests, NULL, NULL);
}
