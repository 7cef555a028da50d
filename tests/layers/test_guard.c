/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
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

static hm_malloc *create(hm_host *host, uint32_t flags)
{
    hm_malloc *m = NULL;
    assert_int_equal(hm_host_create_malloc(host, "guarded", flags, &m, NULL), HM_OK);
    return m;
}

static uint64_t unguarded(hm_host *host)
{
    void *count = NULL;
    assert_int_equal(hm_host_find(host, "guard", &count), HM_OK);
    return *(uint64_t *)count;
}

/* Does touching the byte fault? A child finds out. */
static int faults(volatile char *byte, int write)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would exit instead */
        if (write) {
            *byte = 1;
        } else {
            (void)*byte;
        }
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 0);
        return 0;
    }
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    return 1;
}

static void guard__an_overrun_faults_at_once(void **state)
{
    (void)state;
    hm_host *host = open_host("guard");
    static const uint32_t flags[] = {0, HM_MALLOC_THREADSAFE, HM_MALLOC_EXACT,
                                     HM_MALLOC_SCOPED};
    static const size_t sizes[] = {0, 1, 16, 48, 4000, 4096, 100000};
    for (size_t f = 0; f < COUNT(flags); f++) {
        hm_malloc *m = create(host, flags[f]);
        for (size_t i = 0; i < COUNT(sizes); i++) {
            char *block = hm_alloc(m, sizes[i]);
            assert_non_null(block);
            memset(block, 1, sizes[i]);
            const size_t end = (sizes[i] + 15) / 16 * 16;
            assert_true(sizes[i] == 0 || !faults(block + sizes[i] - 1, 1));
            assert_true(faults(block + (end ? end : 16), 1));
            assert_true(faults(block + (end ? end : 16), 0));
            hm_free(m, block);
        }
        hm_malloc_release(m);
    }
    hm_host_release(host);
}

static void guard__a_freed_block_cannot_be_touched(void **state)
{
    (void)state;
    hm_host *host = open_host("guard");
    hm_malloc *m = create(host, 0);
    char *block = hm_alloc(m, 32), *large = hm_alloc(m, 50000);
    hm_free(m, block);
    hm_free(m, large);
    for (int i = 0; i < 500; i++) {
        void *next = hm_alloc(m, 32);
        assert_true(next != block); /* its addresses are used again late */
        hm_free(m, next);
    }
    assert_true(faults(block, 0) && faults(block + 31, 1) && faults(large + 49999, 0));
    hm_malloc_release(m);
    hm_host_release(host);
}

static void guard__a_moved_block_leaves_its_place_protected(void **state)
{
    (void)state;
    hm_host *host = open_host("guard");
    hm_malloc *m = create(host, 0);
    char *block = hm_alloc(m, 32);
    memset(block, 7, 32);
    char *moved = hm_realloc(m, block, 64);
    assert_true(moved && moved != block && moved[31] == 7);
    assert_true(faults(block, 0) && faults(moved + 64, 1) && !faults(moved + 63, 1));
    hm_free(m, moved);
    hm_malloc_release(m);
    hm_host_release(host);
}

static void guard__knows_its_blocks(void **state)
{
    (void)state;
    hm_host *host = open_host("guard");
    hm_malloc *m = create(host, HM_MALLOC_EXACT);
    char *block = hm_alloc(m, 33);
    hm_block seen;
    assert_int_equal(hm_describe(m, block, &seen), HM_OK);
    assert_int_equal(seen.requested, 33);
    assert_int_equal(hm_owns(m, block), 1);
    assert_int_equal(hm_owns(m, block + 1), 0);
    assert_int_equal(hm_free(m, block), HM_OK);
    assert_int_equal(hm_free(m, block), HM_E_FREED); /* not a fault */
    assert_int_equal(hm_free(m, &seen), HM_E_NOT_OWNED);
    hm_malloc_release(m);
    hm_host_release(host);
}

static void guard__old_addresses_come_back_oldest_first(void **state)
{
    (void)state;
    /* One slab of 1 MiB: 128 runs of two pages where a page is 4 KiB. */
    hm_host *host = open_host("guard:space=1M");
    hm_malloc *m = create(host, 0);
    char *first = hm_alloc(m, 32), *second = hm_alloc(m, 32);
    hm_free(m, first);
    hm_free(m, second);
    void *again = NULL;
    int others = 0;
    while (again != first) {
        again = hm_alloc(m, 32);
        assert_non_null(again);
        assert_true(again != second && ++others < 1000);
        hm_free(m, again);
    }
    assert_true(others > 2);
    assert_ptr_equal(hm_alloc(m, 32), second);
    assert_int_equal(unguarded(host), 0);
    hm_free(m, second);
    hm_malloc_release(m);
    hm_host_release(host);
}

static void guard__beyond_its_bounds_blocks_have_no_guard(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        uint64_t least, most; /* of 100 */
    } cases[] = {{"guard:mappings=20", 90, 90},
                 {"guard:mappings=0", 100, 100},
                 {"guard:space=0", 100, 100},
                 {"guard:space=512K", 100, 100},
                 {"guard", 0, 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_host *host = open_host(cases[i].spec);
        hm_malloc *m = create(host, 0);
        char *blocks[100];
        for (size_t k = 0; k < COUNT(blocks); k++) {
            blocks[k] = hm_alloc(m, k * 50);
            CHECK_ROW(cases[i].spec, blocks[k]);
            memset(blocks[k], (int)k, k * 50);
        }
        const uint64_t without = unguarded(host);
        CHECK_ROW(cases[i].spec, without >= cases[i].least && without <= cases[i].most);
        errno = 3;
        for (size_t k = 0; k < COUNT(blocks); k++) {
            CHECK_ROW(cases[i].spec, k == 0 || blocks[k][k * 50 - 1] == (char)k);
            hm_free(m, blocks[k]);
        }
        CHECK_ROW(cases[i].spec, errno == 3);
        for (int k = 0; k < 100; k++) { /* what is freed gives its mappings back */
            hm_free(m, hm_alloc(m, 10));
        }
        CHECK_ROW(cases[i].spec, unguarded(host) == (without == 100 ? 200 : without));
        CHECK_ROW(cases[i].spec, !hm_alloc(m, SIZE_MAX) && !hm_alloc(m, SIZE_MAX / 3));
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

static void *churn(void *argument)
{
    hm_malloc *m = argument;
    for (int i = 0; i < 500; i++) {
        char *block = hm_alloc(m, (size_t)(i * 37 % 9000));
        if (!block) {
            return argument;
        }
        block[0] = 1;
        hm_free(m, block);
    }
    return NULL;
}

static void guard__threads_and_fork(void **state)
{
    (void)state;
    hm_host *host = open_host("guard");
    hm_malloc *m = create(host, HM_MALLOC_THREADSAFE);
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, m), 0);
    }
    const pid_t child = fork();
    if (child == 0) {
        _exit(churn(m) ? 1 : 0);
    }
    void *failed = NULL;
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    hm_malloc_release(m);
    hm_host_release(host);
}

/* Private memory runs out at each allocation in turn; a run that cannot be noted stays protected. */
static void guard__without_private_memory(void **state)
{
    (void)state;
    uint64_t nth = 1;
    for (int whole = 0; !whole; nth++) {
        hm_host *host = NULL;
        hm_malloc *m = NULL;
        hm_error err;
        hm__memory_fail_from(nth);
        hm_status status = hm_host_open("guard", &host, &err);
        if (status == HM_OK) {
            status = hm_host_create_malloc(host, "short", 0, &m, &err);
        }
        if (status == HM_OK) {
            void *block = hm_alloc(m, 100);
            hm_free(m, block);
            whole = block && hm__memory_calls() < nth;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guard__an_overrun_faults_at_once),
        cmocka_unit_test(guard__a_freed_block_cannot_be_touched),
        cmocka_unit_test(guard__a_moved_block_leaves_its_place_protected),
        cmocka_unit_test(guard__knows_its_blocks),
        cmocka_unit_test(guard__old_addresses_come_back_oldest_first),
        cmocka_unit_test(guard__beyond_its_bounds_blocks_have_no_guard),
        cmocka_unit_test(guard__threads_and_fork),
        cmocka_unit_test(guard__without_private_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
