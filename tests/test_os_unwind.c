/* SPDX-License-Identifier: MIT */
/* Where code lies in its file. The system is asked for the program's own name once, however many frames are in it. */
#include "os_unwind.h"

#include "check.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned asked; /* for the program's name */

ssize_t __real_readlink(const char *path, char *text, size_t size);
ssize_t __wrap_readlink(const char *path, char *text, size_t size);
ssize_t __wrap_readlink(const char *path, char *text, size_t size)
{
    asked++;
    return __real_readlink(path, text, size);
}

static uintptr_t code_of(void (*function)(void))
{
    return (uintptr_t)function;
}

static void of_program(void)
{
}

static void code__of_the_program(void **state)
{
    char path[4096], small[4], own[4096];
    uint64_t offset = 0;
    (void)state;
    const ssize_t length = __real_readlink("/proc/self/exe", own, sizeof own - 1);
    assert_true(length > 0);
    own[length] = '\0';
    assert_int_equal(hm__os_code_place(code_of(of_program), small, sizeof small, &offset),
                     0);
    for (unsigned i = 0; i < 100000; i++) {
        assert_true(
            hm__os_code_place(code_of(of_program) + i % 2, path, sizeof path, &offset));
    }
    assert_string_equal(path, own);
    assert_true(asked <= 2); /* what was cut is not the name */
    assert_int_equal(hm__os_code_place(code_of(of_program), small, sizeof small, &offset),
                     0);
}

static void code__of_a_library(void **state)
{
    char path[4096];
    uint64_t offset = 0;
    Dl_info info;
    (void)state;
    void *const known = dlsym(RTLD_NEXT, "qsort");
    assert_non_null(known);
    assert_int_not_equal(dladdr(known, &info), 0);
    assert_true(hm__os_code_place((uintptr_t)known, path, sizeof path, &offset));
    assert_string_equal(path, info.dli_fname);
    assert_int_equal(offset, (uintptr_t)known - (uintptr_t)info.dli_fbase);
    assert_int_equal(hm__os_code_place((uintptr_t)known, path, strlen(path), &offset), 0);
}

static void code__is_nowhere_else(void **state)
{
    char path[4096];
    uint64_t offset = 7;
    void *block = malloc(16);
    const uintptr_t places[] = {0, 1, (uintptr_t)path, (uintptr_t)block, UINTPTR_MAX};
    (void)state;
    for (size_t i = 0; i < COUNT(places); i++) {
        assert_int_equal(hm__os_code_place(places[i], path, sizeof path, &offset), 0);
    }
    assert_int_equal(offset, 7);
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(code__of_the_program),
                                       cmocka_unit_test(code__of_a_library),
                                       cmocka_unit_test(code__is_nowhere_else)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
