/* SPDX-License-Identifier: MIT */
/* Where modules are looked for, and which files are modules by their names. */
#include "registry_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "os.h"

/* Where the library lies decides where its modules are, without a word from the user. */
static int keep_folder(void *context, const char *folder)
{
    char *kept = context;
    strcat(kept, folder);
    strcat(kept, "\n");
    return 0;
}

static void search__folders_go_from_near_to_far(void **state)
{
    char folders[20000] = "";
    char program[5000];
    char own[8192];
    (void)state;
    assert_true(hm__os_object_path(&hm__core, program, sizeof program));
    *strrchr(program, '/') = '\0';
    *strrchr(program, '/') = '\0';
    snprintf(own, sizeof own, "%s/lib/hostmalloc\n", program);
    setenv("HOSTMALLOC_PLUGIN_PATH", "/first:relative::/second", 1);
    hm__module_folders(keep_folder, folders);
    assert_int_equal(0, strncmp(folders, "/first\nrelative\n/second\n", 24));
    assert_non_null(strstr(folders, own));

    /* A folder that is listed and ours as well comes once, where it is listed. */
    snprintf(program + strlen(program), 300, "/lib/hostmalloc");
    setenv("HOSTMALLOC_PLUGIN_PATH", program, 1);
    folders[0] = '\0';
    hm__module_folders(keep_folder, folders);
    assert_int_equal(0, strncmp(folders, own, strlen(own)));
    assert_null(strstr(folders + 1, own));

    unsetenv("HOSTMALLOC_PLUGIN_PATH");
    folders[0] = '\0';
    hm__module_folders(keep_folder, folders);
    assert_null(strstr(folders, "/first"));
    assert_non_null(strstr(folders, own));
    assert_null(strstr(strstr(folders, own) + 1, own)); /* once */
}

static void search__file_names_are_read(void **state)
{
    static const struct {
        const char *path;
        const char *name; /* NULL: no module */
    } cases[] = {
        {"hm_host_x.so", "x"},
        {"/a/b/hm_layer_y_2.so", "y_2"},
        {"hm_host_.so", NULL},
        {"hm_host_X.so", NULL},
        {"hm_host_x.so.1", NULL},
        {"libhm_host_x.so", NULL},
        {"hm_bridge_x.so", NULL},
        {"/hm_host_x.so/y", NULL},
        {"", NULL},
        {"hm_host_a-b.so", NULL},
        {".so", NULL},
        {"hm_host_x", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm__text name;
        const int found = hm__module_file_name(cases[i].path, &name);
        CHECK_ROW(cases[i].path, found == (cases[i].name != NULL));
        CHECK_ROW(cases[i].path, !found || hm__text_is(name, cases[i].name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(search__folders_go_from_near_to_far),
        cmocka_unit_test(search__file_names_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
