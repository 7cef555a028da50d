/* SPDX-License-Identifier: MIT */
/* The default host: that its blocks are libc's, its pages the system's, and its objects live as long as they must.
   What every host promises is in conformance/. */
#include <hostmalloc/hostmalloc.h>

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "memory_internal.h"

#define EXECUTABLE HM_MALLOC_EXECUTABLE
#define KNOWING    (HM_MALLOC_SCOPED | HM_MALLOC_EXACT | HM_MALLOC_EXECUTABLE)

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

static void default__blocks_are_libcs(void **state)
{
    static const size_t sizes[] = {0, 1, 8, 15, 16, 17, 100, 4096, 200000, 3000000};
    (void)state;
    hm_malloc *m = made(0);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *blocks[] = {(hm_alloc)(m, sizes[i]), hm_alloc(m, sizes[i]),
                          hm_alloc_zeroed(m, 1, sizes[i]),
                          hm_alloc_aligned(m, sizes[i], 256),
                          hm_realloc(m, NULL, sizes[i])};
        for (size_t b = 0; b < COUNT(blocks); b++) {
            assert_non_null(blocks[b]);
            assert_int_equal((uintptr_t)blocks[b] % 16, 0);
            assert_int_equal(hm_size_of(m, blocks[b]), malloc_usable_size(blocks[b]));
            free(blocks[b]); /* what is not libc's would end the process here */
        }
        void *given = malloc(sizes[i]);
        assert_int_equal(hm_free(m, given), HM_OK);
    }
    hm_malloc_release(m);
}

static void default__zero_bytes_are_blocks_of_their_own(void **state)
{
    void *blocks[32];
    (void)state;
    hm_malloc *m = made(0);
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = i % 2 ? hm_alloc(m, 0) : hm_alloc_zeroed(m, i, 0);
        assert_non_null(blocks[i]);
        assert_true(hm_size_of(m, blocks[i]) > 0);
        for (size_t k = 0; k < i; k++) {
            assert_ptr_not_equal(blocks[k], blocks[i]);
        }
    }
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = hm_realloc(m, blocks[i], 100);
        blocks[i] = hm_realloc(m, blocks[i], 0);
        assert_non_null(blocks[i]);
        assert_int_equal(hm_free(m, blocks[i]), HM_OK);
    }
    hm_malloc_release(m);
}

/* Volatile, so that the compiler does not judge the sizes itself. */
static void default__hopeless_requests_are_null(void **state)
{
    static const volatile size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2 + 2};
    static const volatile size_t alignments[] = {0, 3, 24, SIZE_MAX, SIZE_MAX / 2 + 1};
    (void)state;
    hm_malloc *m = made(0);
    char *block = hm_alloc(m, 50);
    block[49] = 7;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_null(hm_alloc(m, sizes[i]));
        assert_null(hm_alloc_zeroed(m, 1, sizes[i]));
        assert_null(hm_alloc_zeroed(m, sizes[i], 3));
        assert_null(hm_alloc_aligned(m, sizes[i], 64));
        assert_null(hm_realloc(m, block, sizes[i]));
        assert_null(hm_realloc(m, NULL, sizes[i]));
        assert_int_equal(block[49], 7);
    }
    for (size_t i = 0; i < COUNT(alignments); i++) {
        assert_null(hm_alloc_aligned(m, 8, alignments[i]));
    }
    assert_null(hm_alloc_zeroed(m, SIZE_MAX / 2 + 1, 2));
    hm_free(m, block);
    hm_malloc_release(m);
}

/* The program is linked so that the library's realloc comes here first. */
static int realloc_refuses;
void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);

void *__wrap_realloc(void *block, size_t size)
{
    if (realloc_refuses) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_realloc(block, size);
}

static void default__a_shrink_never_fails(void **state)
{
    (void)state;
    hm_malloc *m = made(0);
    char *block = hm_alloc(m, 1000);
    block[999] = 3;
    realloc_refuses = 1;
    errno = 4711;
    assert_ptr_equal(hm_realloc(m, block, 10), block);
    assert_ptr_equal(hm_realloc(m, block, 0), block);
    assert_ptr_equal(hm_realloc(m, block, 1000), block);
    assert_null(hm_realloc(m, block, 5000));
    assert_null(hm_realloc(m, NULL, 10));
    realloc_refuses = 0;
    assert_int_equal(errno, 4711);
    assert_int_equal(block[999], 3);
    block = hm_realloc(m, block, 5000);
    assert_int_equal(block[999], 3);
    hm_free(m, block);
    hm_malloc_release(m);
}

static void default__free_keeps_errno(void **state)
{
    static const size_t sizes[] = {0, 100, 100000, 50000000};
    (void)state;
    hm_malloc *m = made(0);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *blocks[] = {hm_alloc(m, sizes[i]), hm_alloc(m, sizes[i]),
                          hm_alloc(m, sizes[i])};
        errno = 4711;
        hm_free(m, blocks[0]);
        hm_free_sized(m, blocks[1], sizes[i]);
        blocks[2] = hm_realloc(m, blocks[2], sizes[i] / 3);
        hm_free(m, blocks[2]);
        hm_free(m, NULL);
        hm_malloc_trim(m);
        assert_int_equal(errno, 4711);
    }
    hm_malloc_release(m);
}

static void default__closed_frees_and_refuses(void **state)
{
    static const uint32_t kinds[] = {0, HM_MALLOC_SCOPED, EXECUTABLE};
    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        hm_malloc *m = made(kinds[i]);
        void *first = hm_alloc(m, 100);
        void *second = hm_alloc(m, 100);
        hm_malloc_close(m);
        hm_malloc_close(m);
        assert_null(hm_alloc(m, 1));
        assert_null(hm_alloc_zeroed(m, 1, 1));
        assert_null(hm_alloc_aligned(m, 1, 64));
        assert_null(hm_realloc(m, first, 100000));
        assert_int_equal(hm_free(m, first), HM_OK);
        assert_int_equal(hm_free_sized(m, second, 100), HM_OK);
        hm_malloc_release(m);
    }
}

static void default__any_object_sizes_its_siblings_blocks(void **state)
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

static void default__blocks_outlive_their_object_and_host(void **state)
{
    (void)state;
    hm_host *own = NULL;
    hm_malloc *m = NULL;
    const size_t in_use = hm__memory_in_use();
    assert_int_equal(hm_host_open("default", &own, NULL), HM_OK);
    assert_ptr_not_equal(own, host);
    assert_int_equal(hm_host_create_malloc(own, "gone", 0, &m, NULL), HM_OK);
    char *block = hm_alloc(m, 1000);
    memset(block, 5, 1000);
    hm_host_release(own);
    assert_int_equal(hm_free(m, hm_alloc(m, 10)), HM_OK); /* which holds its host */
    hm_malloc_release(m);
    hm_malloc *other = made(0);
    assert_int_equal(block[999], 5);
    assert_int_equal(hm_free(other, block), HM_OK); /* libc's, whoever asks */
    hm_malloc_release(other);
    assert_int_equal(hm__memory_in_use(), in_use);
}

static void *retain_and_release(void *context)
{
    hm_malloc *m = context;
    for (int i = 0; i < 2000; i++) {
        hm_malloc_retain(m);
        hm_free(m, hm_alloc(m, (size_t)i));
        hm_malloc_release(m);
    }
    hm_malloc_release(m); /* the thread's own */
    return NULL;
}

static void default__references_are_counted_by_any_thread(void **state)
{
    static const uint32_t kinds[] = {HM_MALLOC_THREADSAFE,
                                     HM_MALLOC_THREADSAFE | HM_MALLOC_SCOPED,
                                     HM_MALLOC_THREADSAFE | EXECUTABLE};
    pthread_t threads[3];
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        hm_host *own = NULL;
        hm_malloc *m = NULL;
        const size_t in_use = hm__memory_in_use();
        assert_int_equal(hm_host_open("default", &own, NULL), HM_OK);
        assert_int_equal(hm_host_create_malloc(own, "shared", kinds[k], &m, NULL), HM_OK);
        for (size_t i = 0; i < COUNT(threads); i++) {
            hm_malloc_retain(m);
            assert_int_equal(pthread_create(&threads[i], NULL, retain_and_release, m), 0);
        }
        hm_malloc_release(m); /* the threads hold it now, and it the host */
        hm_host_release(own);
        for (size_t i = 0; i < COUNT(threads); i++) {
            pthread_join(threads[i], NULL);
        }
        if (k == 0) { /* maps of wrapped blocks stay */
            assert_int_equal(hm__memory_in_use(), in_use);
        }
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

static void default__several_threads_make_the_first_wrapped_object(void **state)
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

static void default__executable_blocks_have_pages_of_their_own(void **state)
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

static void default__executable_goes_with_the_other_promises(void **state)
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

static void default__executable_is_refused_where_the_system_refuses(void **state)
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

static void default__no_private_memory_anywhere(void **state)
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

static void default__pages_and_load_are_the_systems(void **state)
{
    void *pages = NULL;
    uint32_t old = 0;
    uint32_t percent = 101;
    size_t available = 0;
    hm_region region;
    (void)state;
    assert_int_equal(hm_host_virtual_alloc(host, NULL, 100, HM_MEM_COMMIT,
                                           HM_PAGE_READWRITE, HM_LEVEL_TASK, &pages),
                     HM_OK);
    memset(pages, 1, 100);
    assert_int_equal(hm_host_virtual_protect(host, pages, 100, HM_PAGE_READONLY, &old),
                     HM_OK);
    assert_int_equal(old, HM_PAGE_READWRITE);
    assert_int_equal(hm_host_virtual_query(host, pages, &region), HM_OK);
    assert_int_equal(region.protection, HM_PAGE_READONLY);
    assert_int_equal(hm_host_virtual_free(host, pages, 0, HM_MEM_RELEASE), HM_OK);
    assert_int_equal(hm_host_virtual_free(host, pages, 0, HM_MEM_RELEASE),
                     HM_E_NOT_OWNED);
    assert_int_equal(hm_host_memory_load(host, &percent, &available), HM_OK);
    assert_true(percent <= 100);
    assert_true(available > 0);
}

static size_t never_told(void *context, hm_pressure pressure)
{
    (void)context;
    (void)pressure;
    return 0;
}

static void default__subscribe_and_unsubscribe(void **state)
{
    (void)state;
    assert_int_equal(hm_host_subscribe(host, never_told, NULL), HM_OK);
    assert_int_equal(hm_host_subscribe(host, never_told, NULL), HM_E_EXISTS);
    assert_int_equal(hm_host_unsubscribe(host, never_told, NULL), HM_OK);
    assert_int_equal(hm_host_unsubscribe(host, never_told, NULL), HM_E_NOT_FOUND);
}

static void default__unknown_flags_are_refused(void **state)
{
    static const uint32_t flags[] = {0x20, 0x80, HM_MALLOC_DEBUG, 0x80000000u,
                                     HM_MALLOC_THREADSAFE | HM_MALLOC_ONE_THREAD};
    (void)state;
    for (size_t i = 0; i < COUNT(flags); i++) {
        hm_malloc *m = NULL;
        assert_int_equal(hm_host_create_malloc(host, "x", flags[i] | KNOWING, &m, NULL),
                         HM_E_INVALID);
        assert_int_equal(hm_host_create_malloc(host, "x", flags[i], &m, NULL),
                         HM_E_INVALID);
        assert_null(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default__blocks_are_libcs),
        cmocka_unit_test(default__zero_bytes_are_blocks_of_their_own),
        cmocka_unit_test(default__hopeless_requests_are_null),
        cmocka_unit_test(default__a_shrink_never_fails),
        cmocka_unit_test(default__free_keeps_errno),
        cmocka_unit_test(default__closed_frees_and_refuses),
        cmocka_unit_test(default__any_object_sizes_its_siblings_blocks),
        cmocka_unit_test(default__blocks_outlive_their_object_and_host),
        cmocka_unit_test(default__references_are_counted_by_any_thread),
        cmocka_unit_test(default__several_threads_make_the_first_wrapped_object),
        cmocka_unit_test(default__executable_blocks_have_pages_of_their_own),
        cmocka_unit_test(default__executable_goes_with_the_other_promises),
        cmocka_unit_test(default__executable_is_refused_where_the_system_refuses),
        cmocka_unit_test(default__no_private_memory_anywhere),
        cmocka_unit_test(default__pages_and_load_are_the_systems),
        cmocka_unit_test(default__subscribe_and_unsubscribe),
        cmocka_unit_test(default__unknown_flags_are_refused),
    };
    return cmocka_run_group_tests(tests, open_host, close_host);
}
