/* SPDX-License-Identifier: MIT */
/* The swap layer under eight threads: the host changes all the time, nothing is lost, and every block is freed where
 * it was born. A number on the command line is for how many seconds. */
#include "swap_check.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define SHARED  256
#define OWN     64

/* Eight threads, blocks that cross, and a host that changes under them. */
typedef struct crew {
    hm_malloc *m;
    uint32_t *shared[SHARED]; /* atomic */
    uint32_t stop;            /* atomic */
    uint64_t damaged;         /* atomic */
    uint64_t refused;         /* atomic */
    uint64_t calls;           /* atomic */
} crew;

/* A block holds its own number of words, in all of them. */
static uint32_t *filled(crew *c, uint32_t *block, uint32_t words)
{
    if (!block) {
        __atomic_fetch_add(&c->refused, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    for (uint32_t i = 0; i < words; i++) {
        block[i] = words;
    }
    return block;
}

static void drop(crew *c, uint32_t *block)
{
    uint64_t bad = 0;
    if (!block) {
        return;
    }
    const uint32_t words = block[0];
    for (uint32_t i = 0; i < words; i++) {
        bad += block[i] != words;
    }
    bad += hm_free_sized(c->m, block, words * sizeof *block) != HM_OK;
    if (bad) {
        __atomic_fetch_add(&c->damaged, 1, __ATOMIC_RELAXED);
    }
}

static void *churn(void *context)
{
    crew *c = context;
    uint32_t *own[OWN] = {NULL};
    uint32_t seed = (uint32_t)((uintptr_t)own >> 4);
    uint64_t calls = 0;
    while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
        seed = seed * 1664525 + 1013904223;
        uint32_t words = 1 + (seed >> 26);
        uint32_t *fresh = seed & 0x1000
                              ? hm_alloc(c->m, words * sizeof *fresh)
                              : hm_alloc_aligned(c->m, words * sizeof *fresh, 64);
        fresh = filled(c, fresh, words);
        if (fresh && seed & 0x2000) {
            words += 1 + (seed >> 27);
            fresh = filled(c, hm_realloc(c->m, fresh, words * sizeof *fresh), words);
        }
        uint32_t **mine = &own[(seed >> 16) % OWN];
        uint32_t *out = *mine;
        *mine = fresh;
        drop(c, seed & 0x4000 ? __atomic_exchange_n(&c->shared[(seed >> 8) % SHARED], out,
                                                    __ATOMIC_ACQ_REL)
                              : out);
        calls += 2;
    }
    for (int i = 0; i < OWN; i++) {
        drop(c, own[i]);
    }
    __atomic_fetch_add(&c->calls, calls, __ATOMIC_RELAXED);
    return NULL;
}

static int seconds = 2;

static void threads__lose_nothing_while_the_host_changes(void **state)
{
    static const char *const specs[] = {"debug+born", "born", "debug+born", NULL};
    (void)state;
    hm_host *host = open_host("swap:to=default+born");
    crew c = {.m = create(host, HM_MALLOC_THREADSAFE, 0)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &c), 0);
    }
    const uint64_t end = born_core->now_ns() + (uint64_t)seconds * 1000000000u;
    uint64_t swaps = 0;
    while (born_core->now_ns() < end || swaps <= 10) {
        swap_to(host, specs[swaps++ % COUNT(specs)]);
        usleep(1000);
    }
    __atomic_store_n(&c.stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < SHARED; i++) {
        drop(&c, c.shared[i]);
    }
    print_message("%llu calls, %llu swaps\n", (unsigned long long)c.calls,
                  (unsigned long long)swaps);
    assert_int_equal(c.damaged, 0);
    assert_int_equal(c.refused, 0);
    assert_int_equal(state_of(host).swaps, swaps);
    assert_int_equal(state_of(host).waiting, 0); /* every old host is gone */
    swap_to(host, NULL);
    assert_int_equal(born_load(&born.hosts), 1);
    assert_int_equal(born_load(&born.mallocs), 1);
    give_up(c.m, host);
}

static void *keep_nothing(void *context)
{
    crew *c = context;
    while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
        drop(c, filled(c, hm_alloc(c->m, sizeof(uint32_t)), 1));
    }
    return NULL;
}

/* Without blocks that stay an old host goes at once, under the feet of those who were about to ask it. */
static void threads__never_meet_a_host_that_has_gone(void **state)
{
    (void)state;
    hm_host *host = open_host("swap:to=default+born");
    crew c = {.m = create(host, HM_MALLOC_THREADSAFE, 0)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, keep_nothing, &c), 0);
    }
    const uint64_t end = born_core->now_ns() + (uint64_t)seconds * 500000000u;
    while (born_core->now_ns() < end) {
        for (int i = 0; i < 100; i++) {
            swap_to(host, i % 2 ? "born" : NULL);
        }
    }
    __atomic_store_n(&c.stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(c.damaged + c.refused, 0);
    assert_int_equal(state_of(host).waiting, 0);
    give_up(c.m, host);
}

typedef struct swapper {
    hm_host *host;
    uint32_t stop; /* atomic */
} swapper;

static void *keep_swapping(void *context)
{
    swapper *s = context;
    while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
        hm_swap_to(s->host, "debug+born", NULL);
        hm_swap_to(s->host, NULL, NULL);
    }
    return NULL;
}

static void fork__while_the_host_changes(void **state)
{
    (void)state;
    pthread_t thread;
    hm_host *host = open_host("swap:to=default+born");
    hm_malloc *m = create(host, HM_MALLOC_THREADSAFE, 0);
    swapper s = {host, 0};
    assert_int_equal(pthread_create(&thread, NULL, keep_swapping, &s), 0);
    for (int i = 0; i < 100; i++) {
        void *block = hm_alloc(m, 10);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            const int good = hm_free(m, block) == HM_OK &&
                             hm_swap_to(host, "debug+default", NULL) == HM_OK &&
                             hm_free(m, hm_alloc(m, 10)) == HM_OK;
            _exit(good ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(hm_free(m, block), HM_OK);
    }
    __atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    give_up(m, host);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads__lose_nothing_while_the_host_changes),
        cmocka_unit_test(threads__never_meet_a_host_that_has_gone),
        cmocka_unit_test(fork__while_the_host_changes),
    };
    seconds = argc > 1 ? atoi(argv[1]) : seconds;
    return cmocka_run_group_tests(tests, begin, NULL);
}
