/* SPDX-License-Identifier: MIT */
/* Blocks on pages of their own: which, where they fault, and that they are judged like all others. */
#include "debug_fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

static debug_fixture f;
static sigjmp_buf back;
static void *volatile fault_at;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    fault_at = info->si_addr;
    siglongjmp(back, 1);
}

/* 1: reading or writing there faults, at that address. */
static int is_fault(char *at, int write)
{
    const struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct sigaction before;
    volatile int faulted = 1;
    sigaction(SIGSEGV, &action, &before);
    if (sigsetjmp(back, 1) == 0) {
        volatile char *place = at;
        if (write) {
            *place = 7;
        } else {
            (void)*place;
        }
        faulted = 0;
    }
    sigaction(SIGSEGV, &before, NULL);
    return faulted && fault_at == (void *)at;
}

static char *make(size_t size, uint32_t line)
{
    char *block = hm_debug_alloc(f.m, size, 0, "src/guard.c", line);
    assert_non_null(block);
    return block;
}

static int is_guarded(char *block, size_t size)
{
    return is_fault(block + ((size + 15) & ~(size_t)15), 0);
}

static void guard__faults_past_the_end_and_after_the_free(void **state)
{
    static const size_t sizes[] = {0, 1, 16, 41, 100, 4096, 5000, 100000};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        const size_t size = sizes[i / 2];
        fixture_open(&f, ",guard=all", i & 1 ? HM_MALLOC_THREADSAFE : 0);
        char *block = make(size, 10);
        assert_int_equal((uintptr_t)block & 15, 0);
        memset(block, 'x', size);
        char *end = block + ((size + 15) & ~(size_t)15);
        assert_true(is_fault(end, 0));
        assert_true(is_fault(end, 1));
        assert_non_null(
            strstr(fixture_explained(&f, end, HM_OK), "past the end of a block\n"));
        assert_int_equal(hm_debug_free(f.m, block, "src/guard.c", 11), HM_OK);
        if (size) {
            assert_true(is_fault(block, 0));
            assert_true(is_fault(block + size - 1, 1));
            const char *text = fixture_explained(&f, block, HM_OK);
            assert_non_null(strstr(text, "0 bytes inside a freed block\n"));
            assert_non_null(strstr(text, "allocated    src/guard.c:10, thread"));
            assert_non_null(strstr(text, "freed        src/guard.c:11, thread"));
        }
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

static void guard__faults_before_the_start_when_aligned_left(void **state)
{
    (void)state;
    fixture_open(&f, ",guard=all,guard_align=left", 0);
    char *block = make(41, 10);
    assert_true(is_fault(block - 1, 0));
    assert_non_null(strstr(fixture_explained(&f, block - 1, HM_OK),
                           " is 1 byte before the start of a block\n"));
    block[41] = 0;
    assert_int_equal(hm_free(f.m, block), HM_E_CORRUPT);
    assert_non_null(strstr(fixture_report(&f), "write past the end of a block"));
    fixture_close(&f);
}

/* As for blocks without a page of their own, but for the fault. */
static void guard__judges_as_always(void **state)
{
    static const char *const specs[] = {",leaks=no", ",leaks=no,guard=all"};
    static char texts[2][65536];
    (void)state;
    for (int i = 0; i < 2; i++) {
        fixture_open(&f, specs[i], HM_MALLOC_THREADSAFE);
        hm_malloc *other;
        assert_int_equal(hm_host_create_malloc(f.host, "other", 0, &other, NULL), HM_OK);
        char *block = make(41, 1);
        assert_int_equal(hm_debug_free(f.m, block + 16, "f.c", 1), HM_E_NOT_OWNED);
        assert_int_equal(hm_debug_free(f.m, block + 3, "f.c", 2), HM_E_NOT_OWNED);
        assert_int_equal(hm_debug_free(other, block, "f.c", 3), HM_E_NOT_OWNED);
        assert_int_equal(HM_LOAD(f.m->vtbl)->debug_free(f.m, block, 40, 0,
                                                        hm_site_intern("f.c", NULL, 4)),
                         HM_E_SIZE);
        assert_int_equal(HM_LOAD(f.m->vtbl)->debug_free(f.m, block, 41, 64,
                                                        hm_site_intern("f.c", NULL, 5)),
                         HM_E_SIZE);
        assert_int_equal(hm_debug_free(f.m, block, "f.c", 6), HM_OK);
        assert_int_equal(hm_debug_free(f.m, block, "f.c", 7), HM_E_FREED);
        assert_null(HM_LOAD(f.m->vtbl)->realloc(f.m, block, 41, 50, 0,
                                                hm_site_intern("f.c", NULL, 8)));
        assert_int_equal(hm_debug_free(f.m, block + 16, "f.c", 9), HM_E_NOT_OWNED);
        block = make(41, 2);
        memset(block, 'b', 41);
        block[41] = 0;
        assert_int_equal(hm_debug_check(hm_debug_of_host(f.host), NULL), HM_E_CORRUPT);
        assert_int_equal(hm_debug_free(f.m, block, "f.c", 10), HM_E_CORRUPT);
        assert_int_equal(hm_debug_free(f.m, block, "f.c", 11), HM_E_FREED);
        assert_int_equal(fixture_stats(f.m).live_blocks, 0);
        hm_malloc_release(other);
        fixture_close(&f);
        /* Addresses differ, and nothing else may. */
        char *to = texts[i];
        for (const char *from = f.text; *from; from++) {
            if (strncmp(from, "0x", 2) == 0) {
                from += 2 + strspn(from + 2, "0123456789abcdef");
            }
            *to++ = *from;
        }
        *to = '\0';
    }
    assert_string_equal(texts[0], texts[1]);
}

static void guard__chooses_by_size_and_site(void **state)
{
    fixture_open(&f, ",leaks=no,guard=size:41", 0);
    assert_true(is_guarded(make(41, 1), 41));
    assert_non_null(strstr(fixture_explained(&f, state, HM_E_NOT_FOUND), "in no block"));
    fixture_close(&f);
    fixture_open(&f, ",leaks=no,guard=site:guard.c:42", 0);
    unsigned others = 0;
    for (int i = 0; i < 10; i++) {
        assert_true(is_guarded(make(100, 42), 100));
        others += (uintptr_t)(make(100, 43) + 112) % 4096 == 0;
    }
    assert_true(others < 10); /* all of them by chance: never */
    fixture_close(&f);
}

/* Every site has its first blocks in a sample, however rare it is. */
static void guard__samples_each_site(void **state)
{
    (void)state;
    fixture_open(&f, ",leaks=no,guard=1/1000000,guard_align=right", 0);
    for (uint32_t line = 1; line <= 20; line++) {
        for (int i = 0; i < 4; i++) {
            assert_true(is_guarded(make(64, line), 64));
        }
    }
    unsigned guarded = 0;
    for (int i = 4; i < 1024; i++) {
        guarded += (uintptr_t)(make(64, 1) + 64) % 4096 == 0;
    }
    assert_true(guarded >= 8); /* 4, 8, ... 512; others may end at a page by chance */
    fixture_close(&f);
}

static void guard__uses_the_oldest_freed_slot_again(void **state)
{
    (void)state;
    fixture_open(&f, ",guard=all,guard_slots=4", 0);
    char *blocks[5];
    for (int i = 0; i < 4; i++) {
        blocks[i] = make(16, (uint32_t)i + 1);
    }
    blocks[4] = make(16, 5); /* no slot: not guarded, but there */
    blocks[4][16] = 1;
    assert_int_equal(hm_free(f.m, blocks[4]), HM_E_CORRUPT);
    for (int i = 0; i < 4; i++) {
        hm_free(f.m, blocks[i]);
    }
    assert_int_equal(hm_free(f.m, blocks[0]), HM_E_FREED);
    make(16, 6); /* takes the slot of the first */
    assert_non_null(
        strstr(fixture_explained(&f, blocks[1], HM_OK), "inside a freed block"));
    fixture_close(&f);
    assert_non_null(strstr(f.text, "1 block found no slot of guard_slots="));
}

static void guard__reallocs_move(void **state)
{
    (void)state;
    fixture_open(&f, ",guard=all", 0);
    char *block = hm_realloc(f.m, NULL, 10);
    memcpy(block, "123456789", 10);
    for (size_t size = 11; size < 9000; size = size * 3 / 2) {
        char *moved = hm_realloc(f.m, block, size);
        assert_non_null(moved);
        assert_string_equal(moved, "123456789");
        assert_true(is_fault(block, 0));
        assert_true(is_guarded(moved, size));
        block = moved;
    }
    char *zeroed = hm_alloc_zeroed(f.m, 10, 10);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(zeroed[i], 0);
    }
    char *aligned = hm_alloc_aligned(f.m, 100, 256);
    assert_int_equal((uintptr_t)aligned & 255, 0);
    assert_int_equal(hm_free(f.m, aligned), HM_OK);
    assert_int_equal(hm_free(f.m, zeroed), HM_OK);
    assert_int_equal(hm_free(f.m, block), HM_OK);
    assert_int_equal(fixture_stats(f.m).live_bytes, 0);
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

static void guard__counts_leaks_and_ignores(void **state)
{
    (void)state;
    fixture_open(&f, ",guard=all", 0);
    make(10, 1);
    hm_debug_ignore(hm_debug_of_host(f.host), make(20, 2));
    fixture_close(&f);
    assert_non_null(
        strstr(f.text, "1 block and 10 bytes leaked at 1 site, 1 block ignored"));
}

static void guard__keeps_limits_and_resets(void **state)
{
    static const uint32_t flags[] = {0, HM_MALLOC_THREADSAFE};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        fixture_open(&f, ",guard=all", 0);
        const hm_malloc_opts opts = {
            .size = sizeof(opts), .name = "limited", .flags = flags[i], .limit = 100};
        hm_malloc *m;
        assert_int_equal(f.host->vtbl->create_malloc(f.host, &opts, &m, NULL), HM_OK);
        void *block = hm_alloc(m, 60);
        assert_null(hm_alloc(m, 60));
        block = hm_realloc(m, block, 100);
        assert_non_null(block);
        assert_null(hm_realloc(m, block, 101));
        assert_int_equal(hm_free(m, block), HM_OK);
        block = hm_alloc(m, 100);
        assert_non_null(block);
        assert_int_equal(fixture_stats(m).denied, 2);
        assert_int_equal(hm_malloc_reset(m), HM_OK);
        assert_int_equal(fixture_stats(m).live_blocks, 0);
        assert_non_null(hm_alloc(m, 100));
        assert_int_equal(hm_malloc_reset(m), HM_OK);
        hm_malloc_release(m);
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

static void *churn(void *argument)
{
    hm_malloc *m = argument;
    for (int i = 0; i < 200; i++) {
        char *block = hm_alloc(m, 100);
        memset(block, i, 100);
        block = hm_realloc(m, block, 200);
        hm_free(m, block);
    }
    return NULL;
}

static void guard__serves_many_threads(void **state)
{
    pthread_t threads[4];
    (void)state;
    fixture_open(&f, ",guard=all,guard_slots=64", HM_MALLOC_THREADSAFE);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, f.m), 0);
    }
    for (int i = 0; i < 4; i++) {
        hm_debug_check(hm_debug_of_host(f.host), NULL);
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(fixture_stats(f.m).live_blocks, 0);
    fixture_close(&f);
    assert_null(strstr(f.text, "ERROR"));
}

static void guard__refuses_what_it_does_not_understand(void **state)
{
    static const char *const specs[] = {"debug:guard=most",
                                        "debug:guard=size:",
                                        "debug:guard=size:4x",
                                        "debug:guard=1/0",
                                        "debug:guard=1/4k",
                                        "debug:guard=site:",
                                        "debug:guard=all,guard_slots=0",
                                        "debug:guard=all,guard_slots=100000"};
    (void)state;
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        hm_host *host = NULL;
        hm_error err;
        assert_int_equal(hm_host_open(specs[i], &host, &err), HM_E_INVALID);
        assert_null(host);
        assert_non_null(strstr(err.what, "guard"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guard__faults_past_the_end_and_after_the_free),
        cmocka_unit_test(guard__faults_before_the_start_when_aligned_left),
        cmocka_unit_test(guard__judges_as_always),
        cmocka_unit_test(guard__chooses_by_size_and_site),
        cmocka_unit_test(guard__samples_each_site),
        cmocka_unit_test(guard__uses_the_oldest_freed_slot_again),
        cmocka_unit_test(guard__reallocs_move),
        cmocka_unit_test(guard__counts_leaks_and_ignores),
        cmocka_unit_test(guard__keeps_limits_and_resets),
        cmocka_unit_test(guard__serves_many_threads),
        cmocka_unit_test(guard__refuses_what_it_does_not_understand)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
