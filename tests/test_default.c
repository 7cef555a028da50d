/* SPDX-License-Identifier: MIT */
/* The default host: that its blocks are libc's, its pages the system's, and its objects live as long as they must.
   Objects that know their blocks are in test_default_wrapped.c, what every host promises in conformance/. */
#include <hostmalloc/hostmalloc.h>

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

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
        cmocka_unit_test(default__blocks_outlive_their_object_and_host),
        cmocka_unit_test(default__references_are_counted_by_any_thread),
        cmocka_unit_test(default__pages_and_load_are_the_systems),
        cmocka_unit_test(default__subscribe_and_unsubscribe),
        cmocka_unit_test(default__unknown_flags_are_refused),
    };
    return cmocka_run_group_tests(tests, open_host, close_host);
}
