/* SPDX-License-Identifier: MIT */
/* The way to oneAPI's Unified Memory Framework, tried on a library that stands in for it: test_umf_pool STAND_IN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dlfcn.h>

#include "umf_pool.h"

static const char *stand_in;
static size_t taken, given;

static void *count_take(size_t size)
{
    taken++;
    return malloc(size);
}

static void count_give(void *block)
{
    given++;
    free(block);
}

static const umf_under counting = {count_take, count_give, realloc};

/* Of the stand-in: what was made and not destroyed. */
static int objects(void)
{
    void *library = dlopen(stand_in, RTLD_NOW | RTLD_LOCAL);
    int (*ask)(void) = NULL;
    void *symbol = library ? dlsym(library, "stand_in_objects") : NULL;
    assert_non_null(symbol);
    memcpy(&ask, &symbol, sizeof ask);
    const int count = ask();
    dlclose(library);
    return count;
}

static void umf_pool__calls_the_allocator_under_it(void **state)
{
    char why[256] = "";
    umf_pool umf;
    (void)state;
    setenv("HOSTMALLOC_BENCH_UMF", stand_in, 1);
    if (!umf_pool_open(&counting, &umf, why)) {
        fail_msg("%s", why);
    }
    taken = given = 0;
    char *block = umf.malloc(umf.pool, 40);
    assert_non_null(block);
    memset(block, 7, 40);
    block = umf.realloc(umf.pool, block, 4000);
    assert_non_null(block);
    assert_int_equal(block[39], 7);
    assert_int_equal(umf.free(umf.pool, block), 0);
    assert_int_equal(taken, 1);
    assert_int_equal(given, 1);
    umf_pool_close(&umf);
    assert_null(umf.pool);
    umf_pool_close(&umf);
    assert_int_equal(objects(), 0);
}

static void umf_pool__says_why_there_is_none(void **state)
{
    static const struct {
        const char *library, *fails, *why;
    } rows[] = {
        {"/nowhere/libumf.so", "", "HOSTMALLOC_BENCH_UMF cannot be opened: /nowhere"},
        {"libc.so.6", "", "its library lacks: umfGetCurrentVersion"},
        {NULL, "version", "not version 1 of its interface"},
        {NULL, "params", "it made no memory provider"},
        {NULL, "provider", "it made no memory provider"},
        {NULL, "pool", "it made no pool"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char why[256] = "";
        umf_pool umf;
        setenv("HOSTMALLOC_BENCH_UMF", rows[i].library ? rows[i].library : stand_in, 1);
        setenv("STAND_IN", rows[i].fails, 1);
        assert_int_equal(umf_pool_open(&counting, &umf, why), 0);
        assert_null(umf.pool);
        if (strncmp(why, rows[i].why, strlen(rows[i].why)) != 0) {
            fail_msg("row %zu: %s, expected %s", i, why, rows[i].why);
        }
        umf_pool_close(&umf);
        assert_int_equal(objects(), 0);
    }
    unsetenv("STAND_IN");
}

static void umf_pool__needs_an_allocator_under_it(void **state)
{
    const umf_under none = {NULL, NULL, NULL};
    char why[256] = "";
    umf_pool umf;
    (void)state;
    assert_int_equal(umf_pool_open(&none, &umf, why), 0);
    assert_string_equal(why, "the allocator under it is not in this build");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(umf_pool__calls_the_allocator_under_it),
        cmocka_unit_test(umf_pool__says_why_there_is_none),
        cmocka_unit_test(umf_pool__needs_an_allocator_under_it),
    };
    if (argc != 2) {
        return 2;
    }
    stand_in = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
