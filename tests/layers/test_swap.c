/* SPDX-License-Identifier: MIT */
/* The swap layer: the host changes under a running program, and every block goes back to where it was born. */
#include "swap_check.h"

#include "memory_internal.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void swap__without_options_does_no_harm(void **state)
{
    (void)state;
    hm_host *host = open_host("swap:to=default+born");
    hm_malloc *m = create(host, HM_MALLOC_THREADSAFE, 0);
    char *block = hm_alloc(m, 100);
    memset(block, 1, 100);
    block = hm_realloc(m, block, 5000);
    assert_non_null(block);
    assert_int_equal(block[99], 1);
    assert_int_equal(hm_size_of(m, block), 5000);
    assert_int_equal(hm_free_sized(m, block, 5000), HM_OK);
    assert_int_equal(hm_free(m, NULL), HM_OK);
    assert_null(hm_alloc(m, SIZE_MAX));
    assert_null(hm_alloc(m, SIZE_MAX - 16));
    assert_int_equal(state_of(host).swaps, 0);
    give_up(m, host);
    host = open_host("default");
    assert_int_equal(hm_swap_to(host, "default", NULL), HM_E_NOT_FOUND);
    hm_host_release(host);
}

static void swap__frees_each_block_where_it_was_born(void **state)
{
    (void)state;
    hm_host *host = open_host("swap:to=default+born");
    hm_malloc *m = create(host, HM_MALLOC_THREADSAFE, 0);
    void *a = hm_alloc(m, 10);
    swap_to(host, "born");
    void *b = hm_alloc(m, 20);
    void *wide = hm_alloc_aligned(m, 20, 1024);
    assert_int_equal((uintptr_t)wide % 1024, 0);
    swap_to(host, "debug+default");
    void *c = hm_alloc(m, 30);
    assert_int_equal(born_load(&born.hosts), 2);
    assert_int_equal(born_load(&born.mallocs), 2);
    assert_int_equal(state_of(host).waiting, 2);
    assert_int_equal(hm_free(m, a), HM_OK);
    assert_int_equal(born_load(&born.mallocs), 1); /* gone with its last block */
    assert_int_equal(hm_free(m, b), HM_OK);
    assert_int_equal(born_load(&born.mallocs), 1);
    assert_int_equal(hm_free(m, wide), HM_OK);
    assert_int_equal(born_load(&born.mallocs), 0);
    assert_int_equal(born_load(&born.hosts), 1); /* the one the layer was opened over */
    assert_int_equal(state_of(host).waiting, 0);
    swap_to(host, NULL);
    assert_int_equal(state_of(host).swaps, 3);
    assert_int_equal(hm_free(m, c), HM_OK);
    give_up(m, host);
}

static void swap__without_blocks_releases_at_once(void **state)
{
    (void)state;
    hm_host *host = open_host("swap:to=default+born");
    hm_malloc *m = create(host, 0, 0);
    hm_free(m, hm_alloc(m, 1));
    for (int i = 0; i < 100; i++) {
        swap_to(host, "born");
        hm_free(m, hm_alloc(m, 1));
        assert_int_equal(born_load(&born.mallocs), 1);
        assert_int_equal(born_load(&born.hosts), 2);
    }
    give_up(m, host);
}

static void realloc__moves_to_the_present_host(void **state)
{
    static const struct {
        const char *label;
        size_t alignment, before, after;
    } rows[] = {
        {"grows", 1, 100, 5000},   {"shrinks", 1, 100, 50},    {"stays", 1, 100, 100},
        {"to nothing", 1, 100, 0}, {"aligned", 256, 100, 300},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        hm_host *host = open_host("swap:to=default+born");
        hm_malloc *m = create(host, 0, 0);
        char *block = hm_alloc_aligned(m, rows[i].before, rows[i].alignment);
        memset(block, 7, rows[i].before);
        swap_to(host, "debug+default");
        block = hm_realloc(m, block, rows[i].after);
        CHECK_ROW(rows[i].label, block && born_load(&born.mallocs) == 0);
        for (size_t at = 0; at < rows[i].before && at < rows[i].after; at++) {
            CHECK_ROW(rows[i].label, block[at] == 7);
        }
        hm_block known;
        CHECK_ROW(rows[i].label, hm_describe(m, block, &known) == HM_OK);
        CHECK_ROW(rows[i].label, known.requested == rows[i].after);
        CHECK_ROW(rows[i].label, known.address == block && known.site);
        CHECK_ROW(rows[i].label, hm_free(m, block) == HM_OK);
        give_up(m, host);
    }
}

static void realloc__that_shrinks_never_fails(void **state)
{
    (void)state;
    hm_host *host = open_host("swap:to=default+born");
    hm_malloc *m = create(host, 0, 0);
    char *block = hm_alloc(m, 1000);
    block[9] = 3;
    swap_to(host, "limit:hard=1+default");
    assert_null(hm_alloc(m, 1));
    assert_null(hm_realloc(m, block, 2000));
    block = hm_realloc(m, block, 10);
    assert_non_null(block);
    assert_int_equal(block[9], 3);
    assert_int_equal(hm_free_sized(m, block, 10), HM_OK);
    give_up(m, host);
}

static void swap__changes_all_or_none(void **state)
{
    static const char *const bad[] = {"nonesuch", "born+", "limit:hard=x+default"};
    (void)state;
    hm_host *host = open_host("swap:to=default+default");
    hm_malloc *few[3];
    for (size_t i = 0; i < COUNT(few); i++) {
        few[i] = create(host, HM_MALLOC_THREADSAFE, 0);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        hm_error err;
        CHECK_ROW(bad[i], hm_swap_to(host, bad[i], &err) == HM_E_INVALID ||
                              err.status == HM_E_NOT_FOUND);
        CHECK_ROW(bad[i], hm_swap_to(host, bad[i], NULL) != HM_OK && err.what[0]);
    }
    born.refuse = 2; /* the third is not made */
    hm_error err;
    assert_int_equal(hm_swap_to(host, "born", &err), HM_E_NOMEM);
    born.refuse = -1;
    assert_int_equal(born_load(&born.mallocs), 0);
    assert_int_equal(born_load(&born.hosts), 0);
    assert_int_equal(state_of(host).swaps, 0);
    assert_int_equal(state_of(host).refused, 2 * COUNT(bad) + 1);
    for (size_t i = 0; i < COUNT(few); i++) {
        assert_int_equal(hm_free(few[i], hm_alloc(few[i], 10)), HM_OK);
        assert_int_equal(born_load(&born.blocks), 0);
    }
    hm_malloc_release(few[1]);
    hm_malloc_release(few[2]);
    give_up(few[0], host);
}

static void misuse__is_answered(void **state)
{
    static const char *const specs[] = {"swap:to=default+born",
                                        "swap+debug:report=/dev/null+default"};
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        hm_host *host = open_host(specs[i]);
        hm_malloc *m = create(host, 0, 0);
        hm_malloc *other = create(host, 0, 0);
        char outside[64] = "";
        char *block = hm_alloc(m, 40);
        CHECK_ROW(specs[i], hm_free(m, outside + 32) == HM_E_NOT_OWNED);
        CHECK_ROW(specs[i], hm_free(m, block + 16) == HM_E_NOT_OWNED);
        CHECK_ROW(specs[i], hm_free(m, block + 1) == HM_E_NOT_OWNED);
        CHECK_ROW(specs[i], hm_free(other, block) == HM_E_NOT_OWNED);
        CHECK_ROW(specs[i], hm_free_sized(m, block, 41) == HM_E_SIZE);
        CHECK_ROW(specs[i], !hm_realloc(m, outside + 32, 10));
        CHECK_ROW(specs[i], hm_owns(m, block) == 1 && hm_owns(other, block) == 0);
        CHECK_ROW(specs[i], hm_owns(m, outside + 32) == 0 && hm_owns(m, NULL) == 0);
        CHECK_ROW(specs[i], hm_size_of(other, block) >= 40 && hm_size_of(m, NULL) == 0);
        hm_block known;
        CHECK_ROW(specs[i], hm_describe(m, block, &known) == HM_OK);
        CHECK_ROW(specs[i], known.requested == 40 && known.state == HM_BLOCK_LIVE);
        CHECK_ROW(specs[i], hm_describe(m, outside + 32, &known) == HM_E_NOT_OWNED);
        CHECK_ROW(specs[i], hm_free(m, block) == HM_OK);
        if (i == 1) { /* held back, so it can be named */
            CHECK_ROW(specs[i], hm_free(m, block) == HM_E_FREED);
        }
        hm_malloc_release(other);
        give_up(m, host);
    }
}

static void limit__holds_across_hosts(void **state)
{
    (void)state;
    hm_stats stats;
    hm_host *host = open_host("swap:to=default+born");
    hm_malloc *m = create(host, 0, 1000);
    void *a = hm_alloc(m, 600);
    swap_to(host, "born");
    assert_null(hm_alloc(m, 401));
    void *b = hm_alloc(m, 400);
    assert_non_null(b);
    assert_null(hm_realloc(m, a, 601));
    a = hm_realloc(m, a, 500);
    void *c = hm_alloc(m, 100);
    assert_true(a && c);
    assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
    assert_int_equal(stats.live_bytes, 1000);
    assert_int_equal(stats.live_blocks, 3);
    assert_int_equal(stats.peak_bytes, 1000);
    assert_int_equal(stats.denied, 2);
    hm_free(m, a);
    hm_free(m, b);
    hm_free(m, c);
    assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
    assert_int_equal(stats.live_bytes + stats.live_blocks, 0);
    give_up(m, host);
}

typedef struct seen {
    int count;
    size_t bytes;
} seen;

static int see(void *context, const hm_block *block)
{
    seen *s = context;
    s->count++;
    s->bytes += block->requested;
    return 0;
}

static void walk__spans_hosts(void **state)
{
    (void)state;
    seen s = {0, 0};
    hm_host *host = open_host("swap+debug+default");
    hm_malloc *m = create(host, HM_MALLOC_SCOPED, 0);
    (void)hm_alloc(m, 10);
    (void)hm_alloc_aligned(m, 20, 512);
    swap_to(host, "debug:quarantine=0+default");
    (void)hm_alloc(m, 300);
    assert_int_equal(hm_walk(m, see, &s), HM_OK);
    assert_int_equal(s.count, 3);
    assert_int_equal(s.bytes, 330);
    assert_int_equal(hm_malloc_reset(m), HM_OK);
    assert_int_equal(state_of(host).waiting, 0);
    s = (seen){0, 0};
    assert_int_equal(hm_walk(m, see, &s), HM_OK);
    assert_int_equal(s.count, 0);
    (void)hm_alloc(m, 10); /* the last release frees it */
    give_up(m, host);
}

static void close__drains_every_host(void **state)
{
    (void)state;
    hm_host *host = open_host("swap:to=default+born");
    hm_malloc *m = create(host, 0, 0);
    void *a = hm_alloc(m, 10);
    swap_to(host, "born");
    void *b = hm_alloc(m, 10);
    hm_malloc_close(m);
    hm_malloc_close(m);
    assert_null(hm_alloc(m, 1));
    swap_to(host, "default");
    assert_null(hm_alloc(m, 1));
    assert_int_equal(hm_free(m, a), HM_OK);
    assert_int_equal(hm_free(m, b), HM_OK);
    give_up(m, host);
}

static int heard; /* by the handler that was there before */
static void hear(int number)
{
    heard += number == SIGUSR2;
}

static void signal__swaps_to_and_fro(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = hear};
    sigaction(SIGUSR2, &action, NULL);
    hm_host *host = open_host("swap:signal=USR2,to=(debug+default)+born");
    hm_malloc *m = create(host, 0, 0);
    void *a = hm_alloc(m, 10);
    assert_int_equal(born_load(&born.blocks), 1);
    raise(SIGUSR2);
    assert_int_equal(state_of(host).swaps, 0); /* not before somebody allocates */
    void *b = hm_alloc(m, 10);
    assert_int_equal(state_of(host).swaps, 1);
    assert_int_equal(born_load(&born.blocks), 1);
    raise(SIGUSR2);
    void *c = hm_alloc(m, 10);
    assert_int_equal(state_of(host).swaps, 2);
    assert_int_equal(born_load(&born.blocks), 2);
    raise(SIGUSR2);
    raise(SIGUSR2); /* there and back */
    hm_free(m, hm_alloc(m, 10));
    assert_int_equal(state_of(host).swaps, 2);
    assert_int_equal(heard, 4);
    hm_free(m, a);
    hm_free(m, b);
    hm_free(m, c);
    give_up(m, host);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void file__swaps_to_what_it_says(void **state)
{
    static const struct {
        const char *text;
        uint64_t swaps, refused;
        int born_blocks;
    } rows[] = {
        {"", 0, 0, 1},
        {"default\n", 1, 0, 0},
        {"default\nsecond line is not read\n", 1, 0, 0},
        {"nonesuch\n", 1, 1, 0},
        {"-\n", 2, 1, 1},
    };
    char path[] = "/tmp/hm-swap-XXXXXX", spec[80];
    (void)state;
    close(mkstemp(path));
    snprintf(spec, sizeof spec, "swap:file=%s+born", path);
    hm_host *host = open_host(spec);
    hm_malloc *m = create(host, 0, 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        write_file(path, rows[i].text);
        hm_malloc_trim(m);
        void *block = hm_alloc(m, 1);
        CHECK_ROW(rows[i].text, born_load(&born.blocks) == rows[i].born_blocks);
        CHECK_ROW(rows[i].text, state_of(host).swaps == rows[i].swaps);
        CHECK_ROW(rows[i].text, state_of(host).refused == rows[i].refused);
        hm_free(m, block);
    }
    write_file(path, "default\n");
    for (int i = 0; i < 400 && state_of(host).swaps == 2; i++) {
        for (int j = 0; j < 100; j++) {
            hm_free(m, hm_alloc(m, 1));
        }
        usleep(10000);
    }
    assert_int_equal(state_of(host).swaps, 3); /* an allocation looked */
    unlink(path);
    give_up(m, host);
}

static void open__refuses(void **state)
{
    static const char *const specs[] = {
        "swap:signal=USR2+default",         "swap:signal=KILL,to=default+default",
        "swap:signal=9,to=default+default", "swap:signal=nonesuch,to=default+default",
        "swap:to=nonesuch+default",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        hm_host *host = NULL;
        hm_error err;
        CHECK_ROW(specs[i], hm_host_open(specs[i], &host, &err) != HM_OK);
        CHECK_ROW(specs[i], !host && err.what[0]);
    }
}

/* Every private allocation of opening, making, using and swapping fails once. */
static void memory__short_at_each_allocation(void **state)
{
    (void)state;
    hm_host *kept = open_host("swap:to=default+born"); /* modules are in */
    for (uint64_t nth = 1;; nth++) {
        hm_host *host = NULL;
        hm_malloc *m = NULL;
        void *a = NULL, *b = NULL;
        hm__memory_fail_from(nth);
        hm_status status = hm_host_open("swap:to=default+born", &host, NULL);
        if (status == HM_OK) {
            status = hm_host_create_malloc(host, NULL, 0, &m, NULL);
        }
        if (status == HM_OK) {
            a = hm_alloc(m, 10);
            status = hm_swap_to(host, "born", NULL);
            b = hm_alloc(m, 10);
        }
        hm__memory_fail_from(0);
        assert_true(status == HM_OK || status == HM_E_NOMEM);
        assert_true(!m || (a && b));
        if (m) {
            assert_int_equal(hm_free(m, a), HM_OK);
            assert_int_equal(hm_free(m, b), HM_OK);
        }
        hm_malloc_release(m);
        hm_host_release(host);
        assert_int_equal(born_load(&born.hosts), 1);
        assert_int_equal(born_load(&born.mallocs), 0);
        if (status == HM_OK) {
            assert_true(nth > 5);
            break;
        }
    }
    hm_host_release(kept);
}

static void fork__child_allocates_and_swaps(void **state)
{
    (void)state;
    hm_host *host = open_host("swap:to=default+born");
    hm_malloc *m = create(host, HM_MALLOC_THREADSAFE, 0);
    void *block = hm_alloc(m, 10);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const int swapped = hm_swap_to(host, "default", NULL) == HM_OK;
        void *other = hm_alloc(m, 10);
        const int good = swapped && other && hm_free(m, other) == HM_OK &&
                         hm_free(m, block) == HM_OK && born_load(&born.mallocs) == 0;
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    hm_free(m, block);
    give_up(m, host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(swap__without_options_does_no_harm),
        cmocka_unit_test(swap__frees_each_block_where_it_was_born),
        cmocka_unit_test(swap__without_blocks_releases_at_once),
        cmocka_unit_test(realloc__moves_to_the_present_host),
        cmocka_unit_test(realloc__that_shrinks_never_fails),
        cmocka_unit_test(swap__changes_all_or_none),
        cmocka_unit_test(misuse__is_answered),
        cmocka_unit_test(limit__holds_across_hosts),
        cmocka_unit_test(walk__spans_hosts),
        cmocka_unit_test(close__drains_every_host),
        cmocka_unit_test(signal__swaps_to_and_fro),
        cmocka_unit_test(file__swaps_to_what_it_says),
        cmocka_unit_test(open__refuses),
        cmocka_unit_test(memory__short_at_each_allocation),
        cmocka_unit_test(fork__child_allocates_and_swaps),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
