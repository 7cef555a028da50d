/* SPDX-License-Identifier: MIT */
/* Blocks that own blocks, from several threads: one root, roots of their own, frees that race, and fork. */
#include <hostmalloc/tree.h>

#include "check.h"

#include <hostmalloc/hostmalloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fork_amid.h"

#define THREADS 8
#define LINKS   5000

static hm_host *host;
static hm_malloc *m;
static hm_tree *tree;
static void *root;
static int stop; /* atomic */

static int setup(void **state)
{
    const uint32_t flags = HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT;
    (void)state;
    assert_int_equal(hm_host_open("default", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, "tree", flags, &m, NULL), HM_OK);
    assert_int_equal(hm_tree_create(m, &tree, NULL), HM_OK);
    root = hm_tree_alloc(tree, NULL, 64);
    assert_non_null(root);
    stop = 0;
    return 0;
}

static int count_one(void *context, const hm_block *block)
{
    (void)block;
    (*(size_t *)context)++;
    return 0;
}

static size_t live(void)
{
    size_t count = 0;
    assert_int_equal(hm_walk(m, count_one, &count), HM_OK);
    return count;
}

static int teardown(void **state)
{
    (void)state;
    hm_tree_release(tree);
    assert_int_equal(live(), 0);
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}

static void run(void *(*work)(void *index))
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *failed = &stop;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
}

/* A worker's answer is NULL when all went well. */
static void *const FAILED = &stop;

static void *link_many(void *index)
{
    void *below = root;
    for (size_t i = 0; i < LINKS; i++) {
        char *child = hm_tree_alloc(tree, i % 3 ? root : below, 16);
        if (!child) {
            return FAILED;
        }
        memset(child, (int)(uintptr_t)index, 16);
        below = child;
    }
    return NULL;
}

static void tree__eight_threads_link_to_one_root(void **state)
{
    (void)state;
    run(link_many);
    assert_int_equal(live(), THREADS * LINKS + 1);
    assert_int_equal(hm_tree_free(tree, root), HM_OK);
    assert_int_equal(live(), 0);
}

static void *use_own_root(void *index)
{
    uint32_t seed = (uint32_t)(uintptr_t)index + 1;
    for (int round = 0; round < 50; round++) {
        void *blocks[64];
        blocks[0] = hm_tree_alloc(tree, NULL, 8);
        for (size_t i = 1; i < COUNT(blocks); i++) {
            seed = seed * 1664525u + 1013904223u;
            blocks[i] = hm_tree_alloc(tree, blocks[(seed >> 8) % i], seed % 100);
        }
        blocks[0] = hm_tree_realloc(tree, blocks[0], 300);
        void *owner = FAILED;
        if (!blocks[0] || hm_tree_owner(tree, blocks[1], &owner) != HM_OK ||
            owner != blocks[0] || hm_tree_free(tree, blocks[0]) != HM_OK) {
            return FAILED;
        }
    }
    return NULL;
}

static void tree__roots_of_their_own(void **state)
{
    (void)state;
    run(use_own_root);
    assert_int_equal(live(), 1);
}

/* Blocks of one root come, move and go beside each other. */
static void *churn_below_root(void *index)
{
    uint32_t seed = (uint32_t)(uintptr_t)index + 1;
    void *slots[32] = {NULL};
    for (size_t i = 0; i < 4 * LINKS; i++) {
        seed = seed * 1664525u + 1013904223u;
        void **slot = &slots[(seed >> 8) % COUNT(slots)];
        if (!*slot) {
            *slot = hm_tree_alloc(tree, root, seed % 64);
        } else if (seed & 1) {
            *slot = hm_tree_realloc(tree, *slot, seed % 200);
        } else {
            if (hm_tree_free(tree, *slot) != HM_OK) {
                return FAILED;
            }
            *slot = NULL;
            continue;
        }
        if (!*slot || hm_tree_size(tree, *slot) == HM_SIZE_UNKNOWN) {
            return FAILED;
        }
    }
    return NULL;
}

static void tree__churn_below_one_root(void **state)
{
    (void)state;
    run(churn_below_root);
    assert_int_equal(hm_tree_free(tree, root), HM_OK);
    assert_int_equal(live(), 0);
}

/* Everybody frees everything: each block goes once. Nobody allocates meanwhile, so no address comes back. */
static void *shared[4096];
static uint32_t freed; /* atomic */

static void *free_all(void *index)
{
    const size_t from = (uintptr_t)index * COUNT(shared) / THREADS;
    for (size_t i = 0; i < COUNT(shared); i++) {
        void *block = shared[(from + i) % COUNT(shared)];
        const hm_status status = hm_tree_free(tree, block);
        if (status == HM_OK) {
            __atomic_fetch_add(&freed, 1, __ATOMIC_RELAXED);
        } else if (status != HM_E_NOT_OWNED && status != HM_E_FREED) {
            return FAILED;
        }
    }
    return NULL;
}

static void tree__frees_that_race(void **state)
{
    (void)state;
    for (int shape = 0; shape < 3; shape++) {
        for (size_t i = 0; i < COUNT(shared); i++) {
            void *above = shape == 0 || i == 0 ? root
                          : shape == 1         ? shared[i / 2]
                                               : shared[i - 1];
            shared[i] = hm_tree_alloc(tree, above, 8);
            assert_non_null(shared[i]);
        }
        freed = 0;
        run(free_all);
        assert_true(freed >= 1);
        assert_true(shape != 0 || freed == COUNT(shared));
        assert_int_equal(live(), 1);
    }
}

/* An owner that goes while others link to it: what they get is either gone with it or was refused. */
static void *link_until_refused(void *index)
{
    (void)index;
    for (int i = 0; i < 200000 && hm_tree_alloc(tree, root, 8); i++) {
    }
    return NULL;
}

static void *free_root_soon(void *index)
{
    (void)index;
    for (int i = 0; i < 2000; i++) {
        (void)hm_tree_size(tree, root);
    }
    return hm_tree_free(tree, root) == HM_OK ? NULL : FAILED;
}

static void *link_or_free(void *index)
{
    return index ? link_until_refused(index) : free_root_soon(index);
}

static void tree__an_owner_goes_while_others_link(void **state)
{
    (void)state;
    run(link_or_free);
    assert_int_equal(live(), 0);
}

static void *churn_until_stopped(void *unused)
{
    (void)unused;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        void *own = hm_tree_alloc(tree, NULL, 8);
        (void)hm_tree_alloc(tree, own, 8);
        (void)hm_tree_alloc(tree, root, 8);
        (void)hm_tree_free(tree, own);
        fork_may_come();
    }
    return NULL;
}

static void tree__fork_beside_threads(void **state)
{
    pthread_t threads[2];
    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn_until_stopped, NULL), 0);
    }
    for (int i = 0; i < 20; i++) {
        int status = -1;
        const pid_t child = fork_amid(COUNT(threads));
        if (child == 0) {
            alarm(20);
            void *own = hm_tree_alloc(tree, NULL, 8);
            void *below = hm_tree_alloc(tree, own, 8);
            const int linked = hm_tree_alloc(tree, root, 8) != NULL;
            _exit(below && linked && hm_tree_free(tree, own) == HM_OK ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(tree__eight_threads_link_to_one_root),
        CASE(tree__roots_of_their_own),
        CASE(tree__churn_below_one_root),
        CASE(tree__frees_that_race),
        CASE(tree__an_owner_goes_while_others_link),
        CASE(tree__fork_beside_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
