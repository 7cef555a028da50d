/* SPDX-License-Identifier: MIT */
/* A jemalloc that wants static thread-local storage cannot be opened late with glibc's usual reserve: the program looks
 * how that is told, then runs itself again with a larger one, and tests the host. */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hostmalloc/hostmalloc.h>

#include "check.h"
#include "memory_internal.h"

#define TUNABLES "glibc.rtld.optional_static_tls=4096"

static hm_host *host;

static hm_malloc *create(uint32_t flags)
{
    hm_malloc *m = NULL;
    assert_int_equal(hm_host_create_malloc(host, "je", flags, &m, NULL), HM_OK);
    return m;
}

static void jemalloc__opened_late_is_refused_in_words(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_host *late = NULL;
    const hm_status status = hm_host_open("jemalloc", &late, &err);
    if (status == HM_OK) { /* one without initial-exec storage */
        hm_host_release(late);
        return;
    }
    assert_int_equal(status, HM_E_OS);
    assert_null(late);
    assert_non_null(strstr(err.where, "jemalloc"));
    assert_non_null(strstr(err.what, "static TLS"));
    assert_non_null(strstr(err.what, "GLIBC_TUNABLES="));
    assert_int_equal(hm_host_open("debug+jemalloc", &late, &err), HM_E_OS);
    assert_int_equal(hm_host_open("default", &late, &err), HM_OK);
    hm_host_release(late);
}

static void *before_malloc, *before_free;

static int open_it(void **state)
{
    (void)state;
    hm_error err = {0};
    before_malloc = dlsym(RTLD_DEFAULT, "malloc");
    before_free = dlsym(RTLD_DEFAULT, "free");
    if (hm_host_open("jemalloc", &host, &err) != HM_OK) {
        hm_error_print(&err);
        return -1;
    }
    return 0;
}

static int close_it(void **state)
{
    (void)state;
    hm_host_release(host);
    return 0;
}

static void jemalloc__is_not_the_process_malloc(void **state)
{
    (void)state;
    hm_malloc *m = create(HM_MALLOC_THREADSAFE);
    void *block = hm_alloc(m, 100);
    assert_true(before_malloc && dlsym(RTLD_DEFAULT, "malloc") == before_malloc);
    assert_true(before_free && dlsym(RTLD_DEFAULT, "free") == before_free);
    assert_null(dlsym(RTLD_DEFAULT, "mallocx"));
    hm_host *plain_host = NULL;
    hm_malloc *plain = NULL;
    assert_int_equal(hm_host_open("default", &plain_host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(plain_host, "libc", 0, &plain, NULL), HM_OK);
    for (size_t size = 1; size < 300000; size = size * 3 + 1) {
        void *libcs = hm_alloc(
            plain, size); /* one that libc did not make would end the process here */
        assert_int_equal(hm_size_of(plain, libcs), malloc_usable_size(libcs));
        free(libcs);
    }
    hm_malloc_release(plain);
    hm_host_release(plain_host);
    hm_free(m, block);
    hm_malloc_release(m);
}

static void jemalloc__sizes(void **state)
{
    (void)state;
    hm_malloc *m = create(0);
    for (size_t size = 0; size < 300000; size += size / 16 + 1) {
        char *block = hm_alloc(m, size);
        assert_true(block && (uintptr_t)block % 16 == 0);
        assert_true(hm_size_of(m, block) >= size);
        memset(block, 1, hm_size_of(m, block));
        hm_free_sized(m, block, size);
        const size_t good = hm_good_size(m, size);
        block = hm_alloc_zeroed(m, 1, good);
        assert_true(good >= size && hm_size_of(m, block) >= good);
        assert_true(good == 0 || (block[0] == 0 && block[good - 1] == 0));
        block = hm_realloc(m, block, size / 2);
        assert_non_null(block);
        hm_free(m, block);
        block = hm_alloc_aligned(m, size, 8192);
        assert_true((uintptr_t)block % 8192 == 0);
        hm_free(m, block);
    }
    assert_null(hm_alloc(m, SIZE_MAX));
    assert_null(hm_alloc_zeroed(m, SIZE_MAX / 2, 3));
    assert_null(hm_alloc_aligned(m, SIZE_MAX - 10, 64));
    assert_null(hm_alloc_aligned(m, 10, 24));
    void *block = hm_alloc(m, 10);
    assert_null(hm_realloc(m, block, SIZE_MAX - 4));
    assert_true(hm_good_size(m, SIZE_MAX) == SIZE_MAX);
    assert_int_equal(hm_size_of(m, NULL), 0);
    errno = 9;
    hm_free(m, block);
    hm_free(m, NULL);
    hm_malloc_trim(m);
    assert_int_equal(errno, 9);
    hm_malloc_release(m);
}

static void jemalloc__siblings_know_each_others_sizes(void **state)
{
    (void)state;
    hm_malloc *plain = create(0), *exact = create(HM_MALLOC_SCOPED);
    void *a = hm_alloc(plain, 100), *b = hm_alloc(exact, 100);
    assert_int_equal(hm_size_of(exact, a), hm_size_of(plain, a));
    assert_int_equal(hm_size_of(plain, b), hm_size_of(exact, b));
    assert_true(hm_size_of(plain, b) >= 100);
    hm_free(plain, a);
    hm_malloc_close(plain);
    assert_null(hm_alloc(plain, 1));
    hm_malloc_release(plain);
    hm_malloc_release(exact);
}

static void *blocks[1000];

static void *make_them(void *m)
{
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = hm_alloc(m, i * 3);
    }
    return NULL;
}

static void jemalloc__blocks_outlive_their_thread(void **state)
{
    (void)state;
    hm_malloc *m = create(HM_MALLOC_THREADSAFE);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, make_them, m), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (size_t i = 0; i < COUNT(blocks); i++) {
        assert_non_null(blocks[i]);
        hm_free_sized(m, blocks[i], i * 3);
    }
    const pid_t child = fork();
    if (child == 0) {
        make_them(m);
        _exit(blocks[COUNT(blocks) - 1] ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    hm_malloc_release(m);
}

static void jemalloc__without_private_memory(void **state)
{
    (void)state;
    static const uint32_t flags[] = {0, HM_MALLOC_EXACT};
    for (size_t f = 0; f < COUNT(flags); f++) {
        uint64_t nth = 1;
        for (hm_status status = HM_E_NOMEM; status != HM_OK; nth++) {
            hm_host *other = NULL;
            hm_malloc *m = NULL;
            hm_error err;
            hm__memory_fail_from(nth);
            status = hm_host_open("jemalloc", &other, &err);
            if (status == HM_OK) {
                status = hm_host_create_malloc(other, "short", flags[f], &m, &err);
            }
            hm__memory_fail_from(0);
            assert_true(status == HM_OK || (status == HM_E_NOMEM && !m && err.what[0]));
            hm_malloc_release(m);
            hm_host_release(other);
            assert_true(nth < 100);
        }
        assert_true(nth > 2);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest late[] = {
        cmocka_unit_test(jemalloc__opened_late_is_refused_in_words),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jemalloc__is_not_the_process_malloc),
        cmocka_unit_test(jemalloc__sizes),
        cmocka_unit_test(jemalloc__siblings_know_each_others_sizes),
        cmocka_unit_test(jemalloc__blocks_outlive_their_thread),
        cmocka_unit_test(jemalloc__without_private_memory),
    };
    if (argc > 1) {
        return cmocka_run_group_tests(tests, open_it, close_it);
    }
    unsetenv("GLIBC_TUNABLES");
    if (cmocka_run_group_tests(late, NULL, NULL) != 0) {
        return 1;
    }
    fflush(NULL);
    setenv("GLIBC_TUNABLES", TUNABLES, 1);
    execl("/proc/self/exe", argv[0], "again", (char *)NULL);
    perror(argv[0]);
    return 1;
}
