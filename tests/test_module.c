/* SPDX-License-Identifier: MIT */
/* The loader: every reason to refuse a module, and modules that are as they should be. TEST_MODULE_DIR holds the
 * folders good and bad; modules stay loaded, so the order of the cases matters. */
#include "registry_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "memory_internal.h"
#include "toy_host.h"

#define GOOD TEST_MODULE_DIR "/good"
#define BAD  TEST_MODULE_DIR "/bad"

static size_t names_known;

static int count_name(void *context, const hm_host_info *info, const char *origin)
{
    size_t *known = context;
    assert_non_null(info->name);
    assert_non_null(origin);
    ++*known;
    return 0;
}

static size_t count_names(void)
{
    size_t known = 0;
    hm_registry_visit(count_name, &known);
    return known;
}

static int setup(void **state)
{
    (void)state;
    toy_begin(&hm__core);
    setenv("HOSTMALLOC_PLUGIN_PATH", "", 1);
    names_known = count_names();
    return 0;
}

/* Nothing a refused module said is kept. */
static void module__refusals_say_why(void **state)
{
    static const struct {
        const char *file;
        hm_status status;
        const char *what;
    } cases[] = {
        {"bad/hm_host_abi.so", HM_E_ABI, "built for ABI 2.7, this core speaks 1.0"},
        {"bad/hm_host_plain.so", HM_E_INVALID, "no symbol hm_module_describe"},
        {"bad/hm_host_failing.so", HM_E_UNSUPPORTED,
         "hm_module_describe answered HM_E_UNSUPPORTED (-3)"},
        {"bad/hm_host_greedy.so", HM_E_INVALID,
         "hm_module_describe answered HM_E_INVALID"},
        {"bad/hm_host_badname.so", HM_E_INVALID, "name \"Bad-Name\", expected"},
        {"bad/hm_host_half.so", HM_E_INVALID, "host wrong_half has no open"},
        {"bad/hm_host_broken.so", HM_E_OS, "not loaded: "},
        {"bad/hm_host_missing.so", HM_E_NOT_FOUND, "no such file"},
        {"bad", HM_E_NOT_FOUND, "no such file"},
        {"", HM_E_NOT_FOUND, "no such file"},
    };
    (void)state;
    setenv("HOSTMALLOC_PLUGIN_PATH", BAD, 1); /* where greedy looks */
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT(cases); i++) {
            char path[1024];
            hm_error err = {HM_OK, 0, "", ""};
            snprintf(path, sizeof path, "%s/%s", TEST_MODULE_DIR, cases[i].file);
            const hm_status status = hm_registry_load(path, &err);
            if (status != cases[i].status || err.status != status ||
                strncmp(err.where, "module:", 7) != 0 ||
                !strstr(err.what, cases[i].what)) {
                fail_msg("%s: %d %s: %s", cases[i].file, (int)status, err.where,
                         err.what);
            }
            const size_t shown = strlen(err.where) - strlen("module:...");
            const size_t tail = strlen(path) < shown ? strlen(path) : shown;
            CHECK_ROW(cases[i].file, strcmp(err.where + strlen(err.where) - tail,
                                            path + strlen(path) - tail) == 0);
            CHECK_ROW(cases[i].file, hm_registry_load(path, NULL) == status);
        }
    }
    assert_int_equal(names_known, count_names());
    hm_error err;
    assert_int_equal(HM_E_INVALID, hm_registry_load(NULL, &err));
    assert_string_equal("path is NULL", err.what);
    assert_int_equal(HM_E_NOT_FOUND, hm_registry_load("", &err));
    assert_int_equal(HM_E_NOT_FOUND,
                     hm_registry_load("libc.so.6", &err)); /* not the system's */
    assert_string_equal("module:libc.so.6", err.where);
}

static const char *origin_found;

static int find_origin(void *context, const hm_host_info *info, const char *origin)
{
    if (info == context) {
        origin_found = origin;
        return 1;
    }
    return 0;
}

static const char *origin_of(const hm_host_info *info)
{
    origin_found = NULL;
    hm_registry_visit(find_origin, (void *)(uintptr_t)info);
    return origin_found ? origin_found : "";
}

static void module__is_found_by_name(void **state)
{
    const hm_host_info *info;
    const hm_host_info *again;
    hm_error err;
    (void)state;
    setenv("HOSTMALLOC_PLUGIN_PATH", "/nowhere::" GOOD ":", 1);
    if (hm_registry_find("good", &info, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    assert_string_equal("good", info->name);
    assert_string_equal(GOOD "/hm_host_good.so", origin_of(info));
    assert_int_equal(names_known + 1, count_names());

    /* Twice adds nothing, by name, by path and by another spelling of the path. */
    assert_int_equal(HM_OK, hm_registry_find("good", &again, &err));
    assert_ptr_equal(info, again);
    assert_int_equal(HM_OK, hm_registry_load(GOOD "/hm_host_good.so", &err));
    assert_int_equal(HM_OK, hm_registry_load(BAD "/../good/./hm_host_good.so", &err));
    assert_int_equal(names_known + 1, count_names());

    assert_int_equal(HM_OK,
                     hm_registry_find("over", &info, &err)); /* hm_layer_ as well */
    assert_int_equal(HM_KIND_LAYER, info->kind);
    assert_int_equal(names_known + 2, count_names());
}

static void module__must_describe_what_it_is_named_after(void **state)
{
    const hm_host_info *info;
    hm_error err;
    (void)state;
    setenv("HOSTMALLOC_PLUGIN_PATH", BAD, 1);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(HM_E_INVALID, hm_registry_find("misnamed", &info, &err));
        assert_string_equal("describes \"other\", expected \"misnamed\" by its file name",
                            err.what);
        assert_int_equal(0, strncmp(err.where, "module:", 7));
        assert_null(info);
    }
    assert_int_equal(HM_E_NOT_FOUND, hm_registry_find("other", &info, &err));
    /* By its path any name will do; it is still not what it is named after. */
    assert_int_equal(HM_OK, hm_registry_load(BAD "/hm_host_misnamed.so", &err));
    assert_int_equal(HM_OK, hm_registry_find("other", &info, &err));
    assert_int_equal(HM_E_INVALID, hm_registry_find("misnamed", &info, &err));
    assert_string_equal("describes \"other\", expected \"misnamed\" by its file name",
                        err.what);
}

static void module__names_are_taken_once(void **state)
{
    hm_error err;
    (void)state;
    const size_t before = count_names();
    assert_int_equal(HM_E_EXISTS, hm_registry_load(BAD "/hm_host_duplicate.so", &err));
    assert_non_null(strstr(err.what, "name \"good\" is taken: " GOOD));
    assert_int_equal(before, count_names());
}

static void module__may_describe_two(void **state)
{
    const hm_host_info *info;
    hm_host *host;
    hm_error err;
    (void)state;
    setenv("HOSTMALLOC_PLUGIN_PATH", GOOD, 1);
    assert_int_equal(HM_OK, hm_registry_find("pair", &info, &err));
    assert_int_equal(HM_ABI + 1, info->abi); /* another minor is welcome */
    assert_int_equal(HM_OK, hm_registry_find("twin", &info, &err));
    assert_string_equal(GOOD "/hm_host_pair.so", origin_of(info));

    /* A path stands for what the module describes, of several for the one it is named after. */
    assert_int_equal(HM_OK, hm_registry_find(GOOD "/hm_host_pair.so", &info, &err));
    assert_string_equal("pair", info->name);
    assert_int_equal(HM_OK,
                     hm_host_open("over+" GOOD "/hm_host_good.so:size=1M", &host, &err));
    hm_host_release(host);
    assert_int_equal(HM_E_INVALID,
                     hm_host_open("over+" GOOD "/hm_host_good.so:sizes=1", &host, &err));
    assert_non_null(
        strstr(err.what, "host good has no option \"sizes\"; did you mean \"size\"?"));
    assert_int_equal(HM_E_ABI, hm_host_open("over+" BAD "/hm_host_abi.so", &host, &err));
    assert_int_equal(HM_E_NOT_FOUND, hm_host_open("./nothing.so", &host, &err));
    assert_string_equal("module:./nothing.so", err.where);
}

static void module__constructor_may_open_hosts(void **state)
{
    hm_host *host;
    hm_error err;
    (void)state;
    setenv("HOSTMALLOC_PLUGIN_PATH", GOOD, 1);
    if (hm_host_open("eager", &host, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    hm_host_release(host);
}

static void module__open_is_not_trusted(void **state)
{
    static const struct {
        const char *name;
        hm_status status;
        const char *what;
    } cases[] = {
        {"slotless", HM_E_INVALID, "slot virtual_query is missing"},
        {"stunted", HM_E_ABI, "a table of "},
        {"nothing", HM_E_INVALID, "open answered HM_OK with NULL"},
        {"silent", HM_E_OS, "open answered -14 and gave no reason"},
        {"positive", HM_E_INVALID, "open answered 7 and gave no reason"},
        {"loud", HM_E_TIMEOUT, "xxxxx"},
    };
    hm_host *host;
    hm_error err;
    (void)state;
    assert_int_equal(HM_OK, hm_registry_load(BAD "/hm_host_odd.so", &err));
    const size_t base = hm__memory_in_use();
    for (size_t i = 0; i < COUNT(cases); i++) {
        char spec[80];
        char where[80];
        host = (hm_host *)&err;
        snprintf(spec, sizeof spec, "over+over+%s", cases[i].name);
        snprintf(where, sizeof where, "host:%s", cases[i].name);
        memset(&err, 0, sizeof err);
        const hm_status status = hm_host_open(spec, &host, &err);
        if (status != cases[i].status || err.status != status || host ||
            !strstr(err.what, cases[i].what)) {
            fail_msg("%s: %d %s: %s", spec, (int)status, err.where, err.what);
        }
        if (strcmp(cases[i].name, "loud") != 0) {
            assert_string_equal(where, err.where);
        }
        assert_int_equal(0,
                         err.what[sizeof err.what - 1] | err.where[sizeof err.where - 1]);
        CHECK_ROW(spec, hm_host_open(spec, &host, NULL) == status);
        CHECK_ROW(spec, hm__memory_in_use() == base);
    }
}

typedef struct refusals {
    size_t count;
    char text[4096];
} refusals;

static void keep_refusal(void *context, const hm_error *err)
{
    refusals *kept = context;
    kept->count++;
    strncat(kept->text, err->where, sizeof kept->text - strlen(kept->text) - 1);
    strncat(kept->text, "\n", sizeof kept->text - strlen(kept->text) - 1);
}

static void module__discovery_passes_refusals_on(void **state)
{
    static const char *const refused[] = {
        "hm_host_abi.so",    "hm_host_plain.so",    "hm_host_failing.so",
        "hm_host_greedy.so", "hm_host_badname.so",  "hm_host_half.so",
        "hm_host_broken.so", "hm_host_misnamed.so", "hm_host_duplicate.so"};
    refusals kept = {0, ""};
    (void)state;
    setenv("HOSTMALLOC_PLUGIN_PATH", GOOD ":/nowhere:" GOOD, 1);
    hm_registry_discover(keep_refusal, &kept);
    if (strstr(kept.text, "tests/modules")) {
        fail_msg("%s", kept.text);
    }
    const size_t known = count_names();
    setenv("HOSTMALLOC_PLUGIN_PATH", BAD, 1);
    kept.count = 0;
    hm_registry_discover(keep_refusal, &kept);
    for (size_t i = 0; i < COUNT(refused); i++) {
        CHECK_ROW(refused[i], strstr(kept.text, refused[i]) != NULL);
    }
    assert_null(strstr(kept.text, "odd"));
    assert_int_equal(known, count_names());
    hm_registry_discover(NULL, NULL);
}

static void *load_from_thread(void *context)
{
    static const char *const files[] = {GOOD "/hm_host_good.so", GOOD "/hm_host_eager.so",
                                        BAD "/hm_host_abi.so", GOOD "/hm_layer_over.so"};
    const size_t first = *(const size_t *)context;
    for (size_t i = 0; i < 20; i++) {
        const char *file = files[(first + i) % COUNT(files)];
        hm_host *host = NULL;
        hm_registry_load(file, NULL);
        if (hm_host_open("over+good", &host, NULL) == HM_OK) {
            hm_host_release(host);
        }
    }
    return NULL;
}

static void module__loads_from_many_threads(void **state)
{
    pthread_t threads[4];
    size_t first[COUNT(threads)];
    (void)state;
    setenv("HOSTMALLOC_PLUGIN_PATH", GOOD, 1);
    for (size_t i = 0; i < COUNT(threads); i++) {
        first[i] = i;
        assert_int_equal(0,
                         pthread_create(&threads[i], NULL, load_from_thread, &first[i]));
    }
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(module__refusals_say_why),
        cmocka_unit_test(module__is_found_by_name),
        cmocka_unit_test(module__must_describe_what_it_is_named_after),
        cmocka_unit_test(module__names_are_taken_once),
        cmocka_unit_test(module__may_describe_two),
        cmocka_unit_test(module__open_is_not_trusted),
        cmocka_unit_test(module__constructor_may_open_hosts),
        cmocka_unit_test(module__discovery_passes_refusals_on),
        cmocka_unit_test(module__loads_from_many_threads),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
