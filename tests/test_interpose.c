/* SPDX-License-Identifier: MIT */
/* The trap: a libmimalloc that defines malloc must not become the process's malloc, whatever hosts are open. */
#include <hostmalloc/hostmalloc.h>

#include "check.h"
#include "sanitizer.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HM_TEST_MIMALLOC
#define ALL_SPECS "default", "debug", "debug+default", "mimalloc", "debug+mimalloc"
#else
#define ALL_SPECS "default", "debug", "debug+default"
#endif
static const char *const specs[] = {ALL_SPECS};

static const char *const names[] = {
    "malloc",        "free",           "calloc",   "realloc",
    "aligned_alloc", "posix_memalign", "memalign", "malloc_usable_size"};

/* Where these are found before any host is open. */
static void *before[COUNT(names)];

static hm_host *hosts[COUNT(specs)];
static hm_malloc *mallocs[COUNT(specs)];

static const char *object_of(const void *address)
{
    Dl_info found;
    return dladdr(address, &found) && found.dli_fname ? found.dli_fname : "";
}

/* libc's, or those of a sanitizer: its library, or the program that it is linked into. */
static int is_the_process_own(const char *object)
{
    char program[4096] = "";
    Dl_info self;
    if (dladdr(specs, &self) && self.dli_fname) {
        snprintf(program, sizeof program, "%s", self.dli_fname);
    }
    if (UNDER_SANITIZER) {
        return strstr(object, UNDER_ASAN ? "libasan" : "libtsan") ||
               strcmp(object, program) == 0;
    }
    return strstr(object, "/libc.so") || strstr(object, "/libc-") ||
           strstr(object, "/ld-musl");
}

static int open_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        before[i] = dlsym(RTLD_DEFAULT, names[i]);
    }
    for (size_t i = 0; i < COUNT(specs); i++) {
        hm_error err = {0};
        if (hm_host_open(specs[i], &hosts[i], &err) != HM_OK ||
            hm_host_create_malloc(hosts[i], "trap", HM_MALLOC_THREADSAFE, &mallocs[i],
                                  &err) != HM_OK) {
            hm_error_print(&err);
            return -1;
        }
        void *block = hm_alloc(mallocs[i], 100);
        if (!block || hm_free(mallocs[i], block) != HM_OK) {
            return -1;
        }
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        hm_malloc_release(mallocs[i]);
        hm_host_release(hosts[i]);
    }
    return 0;
}

static void interpose__names_resolve_as_before(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        CHECK_ROW(names[i], before[i] != NULL);
        CHECK_ROW(names[i], dlsym(RTLD_DEFAULT, names[i]) == before[i]);
        CHECK_ROW(names[i], is_the_process_own(object_of(before[i])));
    }
}

/* Volatile, so that the address is what a call would use and not a guess of the compiler's. */
static void interpose__the_programs_own_calls_go_to_libc(void **state)
{
    (void)state;
    void *(*volatile own_malloc)(size_t) = malloc;
    void (*volatile own_free)(void *) = free;
    void *addresses[2];
    void *(*m)(size_t) = own_malloc;
    void (*f)(void *) = own_free;
    memcpy(&addresses[0], &m, sizeof m);
    memcpy(&addresses[1], &f, sizeof f);
    for (size_t i = 0; i < COUNT(addresses); i++) {
        CHECK_ROW(object_of(addresses[i]), is_the_process_own(object_of(addresses[i])));
    }
    void *block = own_malloc(10);
    assert_non_null(block);
    own_free(block);
}

static void interpose__mimalloc_is_in_no_global_scope(void **state)
{
    (void)state;
    assert_null(dlsym(RTLD_DEFAULT, "mi_malloc"));
    assert_null(dlsym(RTLD_DEFAULT, "mi_free"));
    assert_null(dlsym(RTLD_DEFAULT, "hm_module_describe"));
}

static hm_malloc *malloc_of(const char *spec)
{
    for (size_t i = 0; i < COUNT(specs); i++) {
        if (strcmp(specs[i], spec) == 0) {
            return mallocs[i];
        }
    }
    return NULL;
}

/* A block that libc did not make would end the process here. */
static void interpose__blocks_of_default_are_libcs(void **state)
{
    (void)state;
    for (size_t size = 1; size < 300000; size = size * 3 + 1) {
        void *block = hm_alloc(malloc_of("default"), size);
        assert_non_null(block);
        assert_true(malloc_usable_size(block) >= size);
        assert_int_equal(hm_size_of(malloc_of("default"), block),
                         malloc_usable_size(block));
        free(block);
        block = malloc(size);
        assert_non_null(block);
        assert_int_equal(hm_free(malloc_of("default"), block), HM_OK);
    }
}

#ifdef HM_TEST_MIMALLOC
typedef _Bool is_owned_fn(const void *block); /* mi_check_owned: by this thread's heap */

#ifdef HM_TEST_MIMALLOC_BUILTIN
is_owned_fn mi_check_owned;

static is_owned_fn *find_mi_check_owned(void)
{
    return mi_check_owned;
}
#else
static is_owned_fn *find_mi_check_owned(void)
{
    char path[4096];
    const char *folder = getenv("HOSTMALLOC_PLUGIN_PATH");
    assert_non_null(folder);
    snprintf(path, sizeof path, "%s/hm_host_mimalloc.so", folder);
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    assert_non_null(module);
    void *symbol = dlsym(module, "mi_check_owned");
    assert_non_null(symbol);
    is_owned_fn *found;
    memcpy(&found, &symbol, sizeof symbol);
    assert_int_equal(dlclose(module), 0); /* the core keeps it */
    return found;
}
#endif

static void interpose__mimalloc_knows_its_own_blocks_only(void **state)
{
    (void)state;
    is_owned_fn *const is_mimallocs = find_mi_check_owned();
    static const struct {
        const char *spec;
        int want;
    } cases[] = {{"default", 0},
                 {"debug", 0},
                 {"debug+default", 0},
                 {"debug+mimalloc", 1},
                 {"mimalloc", 1}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        void *block = hm_alloc(malloc_of(cases[i].spec), 100);
        assert_non_null(block);
        CHECK_ROW(cases[i].spec, is_mimallocs(block) == cases[i].want);
        assert_int_equal(hm_free(malloc_of(cases[i].spec), block), HM_OK);
    }
    void *block = malloc(100);
    assert_false(is_mimallocs(block));
    free(block);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interpose__names_resolve_as_before),
        cmocka_unit_test(interpose__the_programs_own_calls_go_to_libc),
        cmocka_unit_test(interpose__mimalloc_is_in_no_global_scope),
        cmocka_unit_test(interpose__blocks_of_default_are_libcs),
#ifdef HM_TEST_MIMALLOC
        cmocka_unit_test(interpose__mimalloc_knows_its_own_blocks_only),
#endif
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
