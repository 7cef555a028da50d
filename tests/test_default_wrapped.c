/* SPDX-License-Identifier: MIT */
/* Objects of the default host that know their blocks, and the ones whose blocks may hold code. */
#include <hostmalloc/hostmalloc.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "memory_internal.h"

#define EXECUTABLE HM_MALLOC_EXECUTABLE

static hm_host *host;

static int open_host(void **state)
{
    (void)state;
    return hm_host_open("default", &host, NULL);
}

static int close_host(void **state)
{
    (void)state;
    hm_host_release(host);
    return 0;
}

static hm_malloc *made(uint32_t flags)
{
    hm_malloc *m = NULL;
    hm_error err;
    if (hm_host_create_malloc(host, "test", flags, &m, &err) != HM_OK) {
        hm_error_print(&err);
    }
    assert_non_null(m);
    return m;
}

static void default_wrapped__any_object_sizes_its_siblings_blocks(void **state)
{
    static const uint32_t kinds[] = {0, HM_MALLOC_SCOPED, EXECUTABLE};
    hm_malloc *mallocs[COUNT(kinds)];
    void *blocks[COUNT(kinds)];
    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        mallocs[i] = made(kinds[i]);
        blocks[i] = hm_alloc(mallocs[i], 1000);
    }
    for (size_t i = 0; i < COUNT(kinds); i++) {
        for (size_t k = 0; k < COUNT(kinds); k++) {
            assert_int_equal(hm_size_of(mallocs[k], blocks[i]),
                             hm_size_of(mallocs[i], blocks[i]));
        }
        assert_true(hm_size_of(mallocs[i], blocks[i]) >= 1000);
        assert_true(hm_size_of(mallocs[i], blocks[i]) < 1100);
        assert_int_equal(hm_size_of(mallocs[i], NULL), 0);
    }
    /* A checking one judges: it is told nothing that would make it read through the pointer. */
    hm_malloc *exact = made(HM_MALLOC_EXACT);
    assert_int_equal(hm_size_of(exact, blocks[1]), hm_size_of(mallocs[1], blocks[1]));
    assert_int_equal(hm_size_of(exact, (void *)(uintptr_t)64), 0);
    assert_int_equal(hm_size_of(exact, (void *)(UINTPTR_MAX - 15)), 0);
    hm_malloc_release(exact);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        hm_free(mallocs[i], blocks[i]);
        hm_malloc_release(mallocs[i]);
    }
}

static void *create_one_of_each(void *context)
{
    hm_host *shared = context;
    uintptr_t wrong = 0;
    for (uint32_t i = 0; i < 200; i++) {
        static const uint32_t kinds[] = {0, HM_MALLOC_SCOPED, HM_MALLOC_EXACT,
                                         EXECUTABLE};
        hm_malloc *m = NULL;
        wrong += hm_host_create_malloc(shared, "one", kinds[i % COUNT(kinds)], &m,
                                       NULL) != HM_OK;
        void *block = hm_alloc(m, i);
        wrong += hm_size_of(m, block) < i;
        hm_free(m, block);
        hm_malloc_release(m);
    }
    return (void *)wrong;
}

static void default_wrapped__several_threads_make_the_first_wrapped_object(void **state)
{
    pthread_t threads[3];
    (void)state;
    for (int round = 0; round < 5; round++) {
        hm_host *own = NULL;
        assert_int_equal(hm_host_open("default", &own, NULL), HM_OK);
        for (size_t i = 0; i < COUNT(threads); i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, create_one_of_each, own),
                             0);
        }
        for (size_t i = 0; i < COUNT(threads); i++) {
            void *wrong = NULL;
            pthread_join(threads[i], &wrong);
            assert_null(wrong);
        }
        hm_host_release(own);
    }
}

static void default_wrapped__executable_blocks_have_pages_of_their_own(void **state)
{
    hm_region regions[2];
    (void)state;
    hm_malloc *m = made(EXECUTABLE);
    assert_int_equal(m->flags, EXECUTABLE);
    char *blocks[] = {hm_alloc(m, 10), hm_alloc(m, 10)};
    for (size_t i = 0; i < COUNT(blocks); i++) {
        assert_non_null(blocks[i]);
        assert_int_equal(hm_host_virtual_query(host, blocks[i], &regions[i]), HM_OK);
        assert_int_equal(regions[i].state, HM_MEM_COMMIT);
        assert_int_equal(regions[i].protection, HM_PAGE_EXECUTE_READWRITE);
    }
    assert_ptr_not_equal(regions[0].allocation_base, regions[1].allocation_base);
    assert_int_equal(hm_owns(m, blocks[0]), 1);
    assert_int_equal(hm_owns(m, blocks[0] + 16), 0);
    hm_free(m, blocks[0]);
    assert_int_equal(hm_host_virtual_query(host, blocks[0], &regions[0]), HM_OK);
    assert_int_equal(regions[0].state, HM_MEM_FREE);
    hm_free(m, blocks[1]);
    hm_malloc_release(m);
}

static void default_wrapped__executable_goes_with_the_other_promises(void **state)
{
    static const uint32_t others[] = {HM_MALLOC_SCOPED, HM_MALLOC_EXACT,
                                      HM_MALLOC_THREADSAFE | HM_MALLOC_SCOPED,
                                      HM_MALLOC_ONE_THREAD};
    (void)state;
    for (size_t i = 0; i < COUNT(others); i++) {
        hm_region region;
        const hm_malloc_opts opts = {sizeof opts, "code", EXECUTABLE | others[i], 0,
                                     5000};
        hm_malloc *m = NULL;
        assert_int_equal(hm_host_create_malloc_opts(host, &opts, &m, NULL), HM_OK);
        assert_int_equal(m->flags & (EXECUTABLE | others[i]), EXECUTABLE | others[i]);
        void *block = hm_alloc(m, 4000);
        assert_non_null(block);
        assert_null(hm_alloc(m, 2000));
        if (!(others[i] & HM_MALLOC_SCOPED)) {
            assert_int_equal(hm_free(m, block), HM_OK);
        }
        hm_malloc_release(m);
        assert_int_equal(hm_host_virtual_query(host, block, &region), HM_OK);
        assert_int_equal(region.state, HM_MEM_FREE);
    }
}

#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static void default_wrapped__executable_is_refused_where_the_system_refuses(void **state)
{
    int status = -1;
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        hm_error err = {0};
        hm_malloc *m = NULL;
        if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0L, 0L, 0L) != 0) {
            _exit(77);
        }
        const hm_status code = hm_host_create_malloc(host, "code", EXECUTABLE, &m, &err);
        const int good = code == HM_E_UNSUPPORTED && m == NULL && err.os_code == EACCES &&
                         strstr(err.what, "refuses pages") != NULL &&
                         hm_host_create_malloc(host, "code", EXECUTABLE, &m, NULL) ==
                             HM_E_UNSUPPORTED &&
                         hm_host_create_malloc(host, "data", 0, &m, NULL) == HM_OK;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("needs PR_SET_MDWE (Linux 6.3)\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void default_wrapped__no_private_memory_anywhere(void **state)
{
    static const struct {
        const char *label;
        uint32_t flags;
        size_t limit;
    } kinds[] = {{"plain", 0, 0},
                 {"scoped", HM_MALLOC_SCOPED, 0},
                 {"exact", HM_MALLOC_EXACT, 0},
                 {"limited", 0, 100},
                 {"executable", EXECUTABLE, 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        const hm_malloc_opts opts = {sizeof opts, "x", kinds[i].flags, 0, kinds[i].limit};
        size_t in_use = 0;
        /* The second time the tables that stay are there already. */
        for (int round = 0; round < 2; round++) {
            unsigned refused = 0;
            in_use = hm__memory_in_use();
            for (uint64_t nth = 1;; nth++) {
                hm_host *own = NULL;
                hm_malloc *m = NULL;
                hm_error err = {0};
                hm__memory_fail_from(nth);
                hm_status status = hm_host_open("default", &own, &err);
                if (status == HM_OK) {
                    status = hm_host_create_malloc_opts(own, &opts, &m, &err);
                }
                hm__memory_fail_from(0);
                CHECK_ROW(kinds[i].label, status == HM_OK || status == HM_E_NOMEM);
                CHECK_ROW(kinds[i].label, err.status == status);
                CHECK_ROW(kinds[i].label, (m != NULL) == (status == HM_OK));
                hm_malloc_release(m);
                hm_host_release(own);
                if (status == HM_OK) {
                    break;
                }
                refused++;
            }
            CHECK_ROW(kinds[i].label, refused >= 2);
        }
        CHECK_ROW(kinds[i].label, hm__memory_in_use() == in_use);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_wrapped__any_object_sizes_its_siblings_blocks),
        cmocka_unit_test(default_wrapped__several_threads_make_the_first_wrapped_object),
        cmocka_unit_test(default_wrapped__executable_blocks_have_pages_of_their_own),
        cmocka_unit_test(default_wrapped__executable_goes_with_the_other_promises),
        cmocka_unit_test(default_wrapped__executable_is_refused_where_the_system_refuses),
        cmocka_unit_test(default_wrapped__no_private_memory_anywhere),
    };
    return cmocka_run_group_tests(tests, open_host, close_host);
}
