/* SPDX-License-Identifier: MIT */
/* Names to descriptions: adding, finding, showing, from many threads and across a fork. */
#include "registry_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "memory_internal.h"
#include "toy_host.h"

static const hm_option text_option = {sizeof(hm_option), "text", HM_OPTION_TEXT, 0, NULL,
                                      "a text",          NULL};
static const hm_option *const options[] = {&text_option};

#define INFO(KIND, NAME, OPEN)                                                   \
    {                                                                            \
        .size = sizeof(hm_host_info), .abi = HM_ABI, .kind = KIND, .name = NAME, \
        .summary = "for tests", .version = "1", .options = options,              \
        .option_count = COUNT(options), .open = OPEN                             \
    }
static const hm_host_info stone = INFO(HM_KIND_HOST, "stone", toy_open);
static const hm_host_info stone_again = INFO(HM_KIND_HOST, "stone", toy_open);
static const hm_host_info paper = INFO(HM_KIND_LAYER, "paper", toy_open_layer);
static const hm_host_info child_only = INFO(HM_KIND_HOST, "child_only", toy_open);

/* Before anything else, because the built-in hosts enter once. */
static void registry__starts_after_a_shortage(void **state)
{
    const hm_host_info *info;
    hm_error err;
    (void)state;
    const size_t base = hm__memory_in_use();
    hm__memory_fail_from(1);
    assert_int_equal(HM_E_NOMEM, hm_registry_find("default", &info, &err));
    assert_null(info);
    assert_int_equal(HM_E_NOMEM, hm_registry_add(&stone, &err));
    assert_string_equal("no private memory for the registry", err.what);
    hm__memory_fail_from(0);
    assert_int_equal(base, hm__memory_in_use());
    assert_int_equal(HM_OK, hm_registry_find("default", &info, &err));
    assert_string_equal("default", info->name);
}

static void registry__adds_once(void **state)
{
    const hm_host_info *info;
    hm_host_info wrong = stone;
    hm_error err;
    (void)state;
    assert_int_equal(HM_OK, hm_registry_add(&stone, &err));
    assert_int_equal(HM_OK, hm_registry_add(&stone, &err)); /* twice does nothing */
    assert_int_equal(HM_OK, hm_registry_add(&paper, &err));
    assert_int_equal(HM_E_EXISTS, hm_registry_add(&stone_again, &err));
    assert_string_equal("name \"stone\" is taken: added", err.what);
    assert_int_equal(HM_E_INVALID, hm_registry_add(NULL, &err));
    wrong.name = "Wrong";
    assert_int_equal(HM_E_INVALID, hm_registry_add(&wrong, &err));
    wrong = stone;
    wrong.abi = 2u << 16;
    assert_int_equal(HM_E_ABI, hm_registry_add(&wrong, &err));
    assert_int_equal(HM_E_ABI, hm_registry_add(&wrong, NULL));
    assert_string_equal("registry", err.where);
    assert_int_equal(HM_OK, hm_registry_find("stone", &info, &err));
    assert_ptr_equal(&stone, info);
}

static void registry__finding_names_the_nearest(void **state)
{
    static const struct {
        const char *name;
        hm_status status;
        const char *what;
    } cases[] = {
        {"stone", HM_OK, ""},
        {"ston", HM_E_NOT_FOUND, "no host or layer \"ston\"; did you mean \"stone\"?"},
        {"Stone", HM_E_NOT_FOUND, "no host or layer \"Stone\"; did you mean \"stone\"?"},
        {"defalt", HM_E_NOT_FOUND, "did you mean \"default\"?"},
        {"god", HM_E_NOT_FOUND,
         "did you mean \"good\"?"}, /* a module nobody has opened */
        {"wibble", HM_E_NOT_FOUND,
         "no host or layer \"wibble\" (no module of it in /nowhere, "},
        {"", HM_E_NOT_FOUND, "no host or layer \"\" (names are lower case letters"},
        {"a b", HM_E_NOT_FOUND, "no host or layer \"a b\" (names are lower case letters"},
        {"../../etc", HM_E_NOT_FOUND, "no such file"},
    };
    const hm_host_info *info;
    static char longest[10000];
    hm_error err;
    (void)state;
    setenv("HOSTMALLOC_PLUGIN_PATH", "/nowhere:" TEST_MODULE_DIR "/good", 1);
    for (size_t i = 0; i < COUNT(cases); i++) {
        memset(&err, 0, sizeof err);
        info = &paper;
        const hm_status status = hm_registry_find(cases[i].name, &info, &err);
        if (status != cases[i].status || !strstr(err.what, cases[i].what) ||
            (info != NULL) != (status == HM_OK)) {
            fail_msg("%s: %d %s: %s", cases[i].name, (int)status, err.where, err.what);
        }
        assert_int_equal(status, hm_registry_find(cases[i].name, &info, NULL));
    }
    memset(longest, 'x', sizeof longest - 1);
    assert_int_equal(HM_E_NOT_FOUND, hm_registry_find(longest, &info, &err));
    longest[0] = '/';
    assert_int_equal(HM_E_INVALID, hm_registry_find(longest, &info, &err));
    assert_int_equal(HM_E_INVALID, hm_registry_find(NULL, &info, &err));
    assert_int_equal(HM_E_INVALID, hm_registry_find("stone", NULL, &err));
    setenv("HOSTMALLOC_PLUGIN_PATH", "", 1);
}

static int stop_at_second(void *context, const hm_host_info *info, const char *origin)
{
    const char **seen = context;
    assert_string_equal("built in", origin); /* the first ones always are */
    assert_string_not_equal("stone", info->name);
    seen[1] = seen[0];
    seen[0] = info->name;
    return seen[1] != NULL;
}

static int find_added(void *context, const hm_host_info *info, const char *origin)
{
    int *found = context;
    *found += info == &stone && strcmp(origin, "added") == 0;
    return 0;
}

static void registry__shows_what_it_knows(void **state)
{
    const char *seen[2] = {NULL, NULL};
    int found = 0;
    (void)state;
    hm_registry_visit(stop_at_second, seen);
    assert_non_null(seen[1]);
    hm_registry_visit(find_added, &found);
    assert_int_equal(1, found);
}

/* All threads add the same and different descriptions while others look them up. */
static hm_host_info raced[4][8];
static char raced_names[8][16];

static void *add_from_thread(void *context)
{
    hm_host_info *mine = context;
    uintptr_t added = 0;
    for (size_t i = 0; i < COUNT(raced[0]); i++) {
        const hm_host_info *info;
        mine[i] = stone;
        mine[i].name = raced_names[i];
        const hm_status status = hm_registry_add(&mine[i], NULL);
        added += status == HM_OK;
        if ((status != HM_OK && status != HM_E_EXISTS) ||
            hm_registry_find(raced_names[i], &info, NULL) != HM_OK) {
            return NULL;
        }
    }
    return (void *)(added + 1);
}

static void registry__adds_from_many_threads(void **state)
{
    pthread_t threads[COUNT(raced)];
    uintptr_t added = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(raced_names); i++) {
        snprintf(raced_names[i], sizeof raced_names[i], "raced_%zu", i);
    }
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(0, pthread_create(&threads[i], NULL, add_from_thread, raced[i]));
    }
    for (size_t i = 0; i < COUNT(threads); i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_non_null(result);
        added += (uintptr_t)result - 1;
    }
    assert_int_equal(COUNT(raced_names), added);
}

static int keep_adding; /* atomic */

static hm_status
refuse_to_say(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    (void)core;
    (void)list;
    (void)count;
    return HM_E_UNSUPPORTED;
}

static const hm__source refusing = {&keep_adding, "test", "test"};

static void *add_until_told(void *context)
{
    (void)context;
    while (__atomic_load_n(&keep_adding, __ATOMIC_RELAXED)) {
        hm_registry_add(&stone_again, NULL); /* refused under the lock every time */
        hm__module_describe(&refusing, refuse_to_say, NULL, NULL);
    }
    return NULL;
}

/* A child forked while another thread holds the registry's locks can still use it. */
static void registry__works_in_a_forked_child(void **state)
{
    pthread_t thread;
    (void)state;
    __atomic_store_n(&keep_adding, 1, __ATOMIC_RELAXED);
    assert_int_equal(0, pthread_create(&thread, NULL, add_until_told, NULL));
    for (int i = 0; i < 30; i++) {
        int status;
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(20);
            const hm_status added = hm_registry_add(&child_only, NULL);
            const hm_status asked =
                hm__module_describe(&refusing, refuse_to_say, NULL, NULL);
            _exit(added == HM_OK && asked == HM_E_UNSUPPORTED ? 0 : 1);
        }
        assert_int_equal(child, waitpid(child, &status, 0));
        assert_int_equal(0, status);
    }
    __atomic_store_n(&keep_adding, 0, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
}

static int setup(void **state)
{
    (void)state;
    toy_begin(&hm__core);
    setenv("HOSTMALLOC_PLUGIN_PATH", "", 1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registry__starts_after_a_shortage),
        cmocka_unit_test(registry__adds_once),
        cmocka_unit_test(registry__finding_names_the_nearest),
        cmocka_unit_test(registry__shows_what_it_knows),
        cmocka_unit_test(registry__adds_from_many_threads),
        cmocka_unit_test(registry__works_in_a_forked_child),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
