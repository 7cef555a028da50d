/* SPDX-License-Identifier: MIT */
/* Modules that are opened late, when others have used up the static thread-local storage: each one works, or is refused
 * with a sentence. */
#include <hostmalloc/hostmalloc.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

#define COPIES 30

/* A file of its own for each: the loader knows a file again. */
static void copy_file(const char *from, const char *to)
{
    char bytes[4096];
    size_t count;
    FILE *in = fopen(from, "rb");
    FILE *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    while ((count = fread(bytes, 1, sizeof bytes, in)) > 0) {
        assert_int_equal(fwrite(bytes, 1, count, out), count);
    }
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static int use_up(void)
{
    char folder[] = "/tmp/hostmalloc-tls-XXXXXX";
    char path[64];
    int opened = 0;
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < COPIES; i++) {
        snprintf(path, sizeof path, "%s/%d.so", folder, i);
        copy_file(ABI_TLS_LIBRARY, path);
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        unlink(path);
        if (!library) {
            break;
        }
        opened++;
    }
    rmdir(folder);
    return opened;
}

static int use(const char *name)
{
    hm_error err = {HM_OK, 0, "", ""};
    hm_host *host = NULL;
    hm_malloc *m = NULL;
    if (hm_host_open(name, &host, &err) != HM_OK) {
        printf("%s: %s: %s\n", name, err.where, err.what);
        CHECK_ROW(name, err.status != HM_OK && strlen(err.what) > 10 && err.where[0]);
        return 0;
    }
    assert_int_equal(hm_host_create_malloc(host, name, 0, &m, NULL), HM_OK);
    void *block = hm_alloc(m, 1000);
    assert_non_null(block);
    memset(block, 1, 1000);
    assert_int_equal(hm_free(m, block), HM_OK);
    hm_malloc_release(m);
    hm_host_release(host);
    return 1;
}

static int count_module(void *context, const hm_host_info *info, const char *origin)
{
    (void)info;
    *(int *)context += strchr(origin, '/') != NULL;
    return 0;
}

static void late__modules_work_or_say_why(void **state)
{
    static const char *const names[] = {"mimalloc", "jemalloc", "arena", "guard", "lock",
                                        "limit",    "fault",    "trace", "cache", "swap"};
    int works = 0, known = 0;
    (void)state;
    printf("%d libraries took static thread-local storage\n", use_up());
    for (size_t i = 0; i < COUNT(names); i++) {
        works += use(names[i]);
    }
    hm_registry_visit(count_module, &known);
    assert_true(works <= known); /* what was refused is not half there */
    assert_true(use("default") && use("debug"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(late__modules_work_or_say_why)};
    return cmocka_run_group_tests_name("abi_late", tests, NULL, NULL);
}
