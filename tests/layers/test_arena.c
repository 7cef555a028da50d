/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hostmalloc/hostmalloc.h>

#include "check.h"
#include "memory_internal.h"

static hm_host *open_host(const char *spec)
{
    hm_host *host = NULL;
    hm_error err;
    if (hm_host_open(spec, &host, &err) != HM_OK) {
        fail_msg("%s: %s: %s", spec, err.where, err.what);
    }
    return host;
}

static hm_malloc *create(hm_host *host, uint32_t flags, size_t limit)
{
    hm_malloc *m = NULL;
    const hm_malloc_opts opts = {sizeof opts, "arena", flags, 0, limit};
    assert_int_equal(hm_host_create_malloc_opts(host, &opts, &m, NULL), HM_OK);
    return m;
}

static void arena__cuts_blocks_one_behind_the_other(void **state)
{
    (void)state;
    hm_host *host = open_host("arena");
    hm_malloc *m = create(host, 0, 0);
    char *a = hm_alloc(m, 100), *b = hm_alloc(m, 0), *c = hm_alloc_aligned(m, 10, 256);
    assert_true(b == a + 112 + 16);
    assert_true(c > b && c < b + 16 + 512 && (uintptr_t)c % 256 == 0);
    assert_int_equal(hm_size_of(m, a), 112);
    assert_int_equal(hm_size_of(m, b), 16);
    hm_malloc_release(m);
    hm_host_release(host);
}

static void arena__takes_back_the_last_block_only(void **state)
{
    (void)state;
    hm_host *host = open_host("arena");
    hm_malloc *m = create(host, 0, 0);
    char *a = hm_alloc(m, 100), *b = hm_alloc(m, 100);
    hm_free(m, a);
    assert_true(hm_alloc(m, 8) > (void *)b);
    b = hm_alloc(m, 50);
    errno = 5;
    hm_free(m, b);
    assert_int_equal(errno, 5);
    assert_ptr_equal(hm_alloc(m, 500), b);
    hm_malloc_release(m);
    hm_host_release(host);
}

static void arena__resizes_the_last_block_where_it_is(void **state)
{
    (void)state;
    hm_host *host = open_host("arena:chunk=4K");
    hm_malloc *m = create(host, 0, 0);
    char *first = hm_alloc(m, 16);
    char *last = hm_alloc(m, 16);
    memset(first, 'f', 16);
    memset(last, 'l', 16);
    assert_ptr_equal(hm_realloc(m, last, 900), last);
    assert_int_equal(hm_size_of(m, last), 912);
    assert_ptr_equal(hm_realloc(m, last, 20), last);
    assert_true(hm_realloc(m, first, 16) == first);
    char *moved = hm_realloc(m, first, 200);
    assert_true(moved == last + 32 + 16 && moved[0] == 'f' && moved[15] == 'f');
    moved = hm_realloc(m, moved, 8000); /* beyond the chunk */
    assert_true(moved[0] == 'f' && moved[15] == 'f' && last[15] == 'l');
    assert_null(hm_realloc(m, moved, SIZE_MAX));
    hm_malloc_release(m);
    hm_host_release(host);
}

static uint64_t live(hm_malloc *m)
{
    hm_stats stats;
    assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
    assert_true(stats.peak_bytes >= stats.live_bytes);
    return stats.live_bytes;
}

static void arena__reset_begins_again(void **state)
{
    (void)state;
    static const uint32_t flags[] = {0, HM_MALLOC_THREADSAFE, HM_MALLOC_SCOPED};
    for (size_t f = 0; f < COUNT(flags); f++) {
        hm_host *host = open_host("arena");
        hm_malloc *m = create(host, flags[f], 0);
        char *first = hm_alloc(m, 64);
        for (int round = 0; round < 5; round++) {
            for (int i = 0; i < 3000; i++) {
                char *block = hm_alloc(m, (size_t)i * 10);
                assert_non_null(block);
                memset(block, i, (size_t)i * 10);
            }
            assert_int_equal(live(m), 64 + 2999 * 3000 / 2 * 10);
            assert_int_equal(hm_malloc_reset(m), HM_OK);
            assert_int_equal(live(m), 0);
            assert_ptr_equal(hm_alloc(m, 64), first); /* the first chunk stayed */
        }
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

static void arena__keeps_its_limit(void **state)
{
    (void)state;
    hm_host *host = open_host("arena");
    hm_malloc *m = create(host, 0, 1000);
    void *a = hm_alloc(m, 600), *b = hm_alloc(m, 400);
    assert_true(a && b);
    assert_null(hm_alloc(m, 1));
    assert_null(hm_realloc(m, b, 401));
    hm_stats stats;
    assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
    assert_true(stats.denied == 2 && stats.failed == 2 && stats.live_blocks == 2);
    hm_free(m, a);
    assert_non_null(hm_alloc(m, 600));
    assert_null(hm_alloc(m, SIZE_MAX));
    assert_int_equal(hm_malloc_reset(m), HM_OK);
    assert_non_null(hm_alloc(m, 1000));
    hm_malloc_release(m);
    hm_host_release(host);
}

static void arena__chunk_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        hm_status want;
    } cases[] = {{"arena:chunk=4096", HM_OK},     {"arena:chunk=4097", HM_OK},
                 {"arena:chunk=1G", HM_OK},       {"arena:chunk=4095", HM_E_INVALID},
                 {"arena:chunk=0", HM_E_INVALID}, {"arena:chunk=2G", HM_E_INVALID}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_host *host = NULL;
        hm_error err;
        CHECK_ROW(cases[i].spec,
                  hm_host_open(cases[i].spec, &host, &err) == cases[i].want);
        if (host) {
            hm_malloc *m = create(host, 0, 0);
            for (size_t size = 1; size < 100000; size += size / 2 + 1) {
                char *block = hm_alloc(m, size);
                CHECK_ROW(cases[i].spec, block);
                memset(block, 1, size);
            }
            hm_malloc_release(m);
        }
        hm_host_release(host);
    }
}

static void *fill(void *argument)
{
    hm_malloc *m = argument;
    for (int i = 0; i < 5000; i++) {
        char *block = hm_alloc(m, 24);
        if (!block) {
            return argument;
        }
        memset(block, i, 24);
        block = hm_realloc(m, block, 40);
        if (block[23] != (char)i) {
            return argument;
        }
        hm_free(m, i % 2 ? block : NULL);
    }
    return NULL;
}

static void arena__threads_and_fork(void **state)
{
    (void)state;
    hm_host *host = open_host("arena");
    hm_malloc *m = create(host, HM_MALLOC_THREADSAFE, 0);
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, fill, m), 0);
    }
    const pid_t child = fork();
    if (child == 0) {
        _exit(fill(m) ? 1 : 0);
    }
    void *failed = NULL;
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(live(m), 4 * 2500 * 40);
    hm_malloc_release(m);
    hm_host_release(host);
}

/* Private memory, and with it chunks, run out at each allocation in turn. */
static void arena__without_memory(void **state)
{
    (void)state;
    static const uint32_t flags[] = {0, HM_MALLOC_THREADSAFE, HM_MALLOC_EXACT};
    for (size_t f = 0; f < COUNT(flags); f++) {
        uint64_t nth = 1;
        for (int whole = 0; !whole; nth++) {
            hm_host *host = NULL;
            hm_malloc *m = NULL;
            hm_error err;
            hm__memory_fail_from(nth);
            hm_status status = hm_host_open("arena", &host, &err);
            if (status == HM_OK) {
                status = hm_host_create_malloc(host, "short", flags[f], &m, &err);
            }
            if (status == HM_OK) {
                void *block = hm_alloc(m, 100);
                whole = block != NULL;
                assert_null(whole ? NULL : hm_realloc(m, NULL, 10));
                hm_free(m, block);
            } else {
                assert_int_equal(status, HM_E_NOMEM);
            }
            hm__memory_fail_from(0);
            hm_malloc_release(m);
            hm_host_release(host);
            assert_true(nth < 100);
        }
        assert_true(nth > 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena__cuts_blocks_one_behind_the_other),
        cmocka_unit_test(arena__takes_back_the_last_block_only),
        cmocka_unit_test(arena__resizes_the_last_block_where_it_is),
        cmocka_unit_test(arena__reset_begins_again),
        cmocka_unit_test(arena__keeps_its_limit),
        cmocka_unit_test(arena__chunk_sizes),
        cmocka_unit_test(arena__threads_and_fork),
        cmocka_unit_test(arena__without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
