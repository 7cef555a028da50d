/* SPDX-License-Identifier: MIT */
/* Blocks that own blocks: what goes with what, what moves, and pointers that are no blocks. */
#include <hostmalloc/tree.h>

#include "check.h"

#include <hostmalloc/hostmalloc.h>
#include <stdlib.h>
#include <string.h>

#include "bridges/fake_malloc.h"
#include "memory_internal.h"

static fake_malloc fake;
static hm_tree *tree;

static int setup(void **state)
{
    (void)state;
    fake_malloc_init(&fake, HM_MALLOC_THREADSAFE);
    assert_int_equal(hm_tree_create(&fake.base, &tree, NULL), HM_OK);
    assert_int_equal(fake.references, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hm__memory_fail_from(0);
    hm_tree_release(tree);
    tree = NULL;
    assert_int_equal(fake.live, 0);
    assert_int_equal(fake.wrong_sizes, 0);
    assert_int_equal(fake.references, 1);
    fake_malloc_fini(&fake);
    return 0;
}

static void *taken(void *owner, size_t size)
{
    void *block = hm_tree_alloc(tree, owner, size);
    assert_non_null(block);
    memset(block, 0x5a, size);
    return block;
}

static void *owner_of(const void *block)
{
    void *owner = &fake;
    assert_int_equal(hm_tree_owner(tree, block, &owner), HM_OK);
    return owner;
}

static void tree__freeing_a_root_frees_all(void **state)
{
    static const size_t children[] = {0, 1, 2, 63, 64, 65, 255, 256, 257, 1000};
    (void)state;
    for (size_t i = 0; i < COUNT(children); i++) {
        void *other = taken(NULL, 8);
        void *root = taken(NULL, 16);
        for (size_t n = 0; n < children[i]; n++) {
            void *child = taken(root, n);
            assert_ptr_equal(owner_of(child), root);
            assert_int_equal(hm_tree_size(tree, child), n);
        }
        assert_int_equal(fake.live, children[i] + 2);
        assert_int_equal(hm_tree_free(tree, root), HM_OK);
        assert_int_equal(fake.live, 1);
        assert_null(owner_of(other));
        assert_int_equal(hm_tree_free(tree, other), HM_OK);
    }
}

/* A tree of a shape that a number chooses: each block is owned by one of those before it. */
static size_t grow(void **blocks, size_t count, uint32_t seed, int shape)
{
    blocks[0] = taken(NULL, 24);
    for (size_t i = 1; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        const size_t above = shape == 0 ? i - 1 : shape == 1 ? i / 2 : (seed >> 8) % i;
        blocks[i] = taken(blocks[above], i % 40);
    }
    return count;
}

static void tree__any_shape_goes_whole(void **state)
{
    static void *blocks[100000];
    (void)state;
    for (int shape = 0; shape < 3; shape++) {
        const size_t count = grow(blocks, COUNT(blocks), 7, shape);
        assert_int_equal(fake.live, count);
        assert_int_equal(hm_tree_free(tree, blocks[0]), HM_OK);
        assert_int_equal(fake.live, 0);
        for (size_t i = 0; i < count; i += 997) {
            assert_int_equal(hm_tree_owner(tree, blocks[i], NULL), HM_E_NOT_OWNED);
        }
    }
}

static void tree__a_million_children(void **state)
{
    (void)state;
    void *root = taken(NULL, 1);
    for (int i = 0; i < 1000000; i++) {
        if (!hm_tree_alloc(tree, root, 1)) {
            fail();
        }
    }
    assert_int_equal(fake.live, 1000001);
    assert_int_equal(hm_tree_free(tree, root), HM_OK);
    assert_int_equal(fake.live, 0);
    /* What they were noted in serves again; only blocks at new places may need a leaf of the map. */
    hm__memory_fail_from(0);
    root = taken(NULL, 1);
    for (int i = 0; i < 100000; i++) {
        (void)hm_tree_alloc(tree, root, 1);
    }
    assert_true(hm__memory_calls() < 100);
}

static void tree__a_child_goes_alone(void **state)
{
    static const size_t order[] = {1, 0, 2, 3};
    void *children[4];
    (void)state;
    void *root = taken(NULL, 8);
    for (size_t i = 0; i < COUNT(children); i++) {
        children[i] = taken(root, 8);
        (void)taken(children[i], 8);
        (void)taken(taken(children[i], 8), 8);
    }
    for (size_t i = 0; i < COUNT(order); i++) {
        assert_int_equal(fake.live, 1 + 4 * (4 - i));
        assert_int_equal(hm_tree_free(tree, children[order[i]]), HM_OK);
    }
    assert_int_equal(fake.live, 1);
    (void)taken(root, 8);
    assert_int_equal(hm_tree_free(tree, root), HM_OK);
    assert_int_equal(fake.live, 0);
}

static void tree__only_roots(void **state)
{
    (void)state;
    void *root = taken(NULL, 8);
    void *child = taken(root, 8);
    void *below = taken(child, 8);
    assert_int_equal(hm_tree_free_root(tree, child), HM_E_INVALID);
    assert_int_equal(hm_tree_free_root(tree, below), HM_E_INVALID);
    assert_int_equal(hm_tree_free_root(tree, NULL), HM_OK);
    assert_int_equal(fake.live, 3);
    assert_ptr_equal(owner_of(below), child);
    assert_int_equal(hm_tree_free_root(tree, root), HM_OK);
    assert_int_equal(fake.live, 0);
    assert_int_equal(hm_tree_free_root(tree, root), HM_E_NOT_OWNED);
}

static void tree__strangers(void **state)
{
    char here[64];
    void *owner = here;
    hm_tree *other;
    (void)state;
    assert_int_equal(hm_tree_create(&fake.base, &other, NULL), HM_OK);
    char *root = taken(NULL, 64);
    char *child = taken(root, 64);
    char *gone = taken(root, 64);
    char *gone_below = taken(gone, 64);
    char *theirs = hm_tree_alloc(other, NULL, 64);
    char *bare = hm_alloc(&fake.base, 64);
    assert_int_equal(hm_tree_free(tree, gone), HM_OK);
    void *const strangers[] = {here,
                               root + 4,
                               root + 16,
                               child + 32,
                               gone,
                               gone_below,
                               theirs,
                               bare,
                               (void *)(uintptr_t)1,
                               (void *)(uintptr_t)16,
                               (void *)((uintptr_t)root | (uintptr_t)1 << 47),
                               (void *)(UINTPTR_MAX & ~(uintptr_t)15)};
    const size_t live = fake.live;
    for (size_t i = 0; i < COUNT(strangers); i++) {
        void *s = strangers[i];
        assert_null(hm_tree_alloc(tree, s, 8));
        assert_null(hm_tree_realloc(tree, s, 8));
        assert_int_equal(hm_tree_free(tree, s), HM_E_NOT_OWNED);
        assert_int_equal(hm_tree_free_root(tree, s), HM_E_NOT_OWNED);
        assert_int_equal(hm_tree_size(tree, s), HM_SIZE_UNKNOWN);
        owner = here;
        assert_int_equal(hm_tree_owner(tree, s, &owner), HM_E_NOT_OWNED);
        assert_null(owner);
        assert_int_equal(fake.live, live);
    }
    assert_int_equal(hm_tree_size(tree, NULL), HM_SIZE_UNKNOWN);
    assert_int_equal(hm_tree_owner(tree, NULL, NULL), HM_E_NOT_OWNED);
    assert_int_equal(hm_tree_free(tree, NULL), HM_OK);
    assert_int_equal(hm_tree_free(other, theirs), HM_OK);
    hm_tree_release(other);
    hm_free(&fake.base, bare);
}

static void tree__realloc_keeps(void **state)
{
    static const struct {
        size_t from;
        size_t to;
    } sizes[] = {{0, 0},       {0, 100},    {100, 0}, {16, 17},
                 {16, 100000}, {100000, 3}, {100, 60}};
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        const size_t kept = sizes[i].from < sizes[i].to ? sizes[i].from : sizes[i].to;
        char zeros[100];
        void *root = taken(NULL, 8);
        void *sibling = taken(root, 8);
        char *child = taken(root, sizes[i].from);
        void *below = taken(child, 8);
        memset(zeros, 0x5a, sizeof zeros);
        char *moved = hm_tree_realloc(tree, child, sizes[i].to);
        assert_non_null(moved);
        assert_int_equal(fake.live, 4);
        assert_memory_equal(moved, zeros, kept < sizeof zeros ? kept : sizeof zeros);
        assert_int_equal(hm_tree_size(tree, moved), sizes[i].to);
        assert_ptr_equal(owner_of(moved), root);
        assert_ptr_equal(owner_of(below), moved);
        assert_true(moved == child || hm_tree_owner(tree, child, NULL) == HM_E_NOT_OWNED);
        char *top = hm_tree_realloc(tree, root, sizes[i].to);
        assert_non_null(top);
        assert_null(owner_of(top));
        assert_ptr_equal(owner_of(moved), top);
        assert_ptr_equal(owner_of(sibling), top);
        assert_int_equal(hm_tree_free(tree, top), HM_OK);
        assert_int_equal(fake.live, 0);
    }
}

static void tree__realloc_of_nothing_is_a_root(void **state)
{
    (void)state;
    void *root = hm_tree_realloc(tree, NULL, 8);
    assert_non_null(root);
    assert_null(owner_of(root));
}

static void tree__failed_realloc_keeps(void **state)
{
    (void)state;
    void *root = taken(NULL, 100);
    void *child = taken(root, 100);
    fake.fail_from = 1;
    assert_null(hm_tree_realloc(tree, root, 1000));
    assert_null(hm_tree_realloc(tree, child, SIZE_MAX));
    assert_int_equal(hm_tree_size(tree, root), 100);
    assert_ptr_equal(owner_of(child), root);
    /* Shrinking needs no memory. */
    assert_ptr_equal(hm_tree_realloc(tree, child, 1), child);
    assert_int_equal(hm_tree_size(tree, child), 1);
    assert_ptr_equal(hm_tree_realloc(tree, child, 0), child);
    fake.fail_from = 0;
    /* And what the malloc was not told of is not told to it: wrong_sizes counts. */
    child = hm_tree_realloc(tree, child, 50);
    assert_non_null(child);
    assert_int_equal(hm_tree_free(tree, root), HM_OK);
}

/* What a tree needs besides the malloc's blocks; told which request to refuse. 1: none was. */
static int scenario(void)
{
    hm_tree *made = NULL;
    hm_malloc *m = NULL;
    int whole = hm_tree_create(&fake.base, &made, NULL) == HM_OK;
    if (!whole) {
        assert_null(made);
        return 0;
    }
    void *root = hm_tree_alloc(made, NULL, 10);
    whole = whole && root;
    void *last = root;
    for (int i = 0; root && i < 200; i++) {
        void *child = hm_tree_alloc(made, i % 2 ? root : last, 10);
        whole = whole && child;
        last = child ? child : last;
    }
    if (root) {
        void *moved = hm_tree_realloc(made, root, 100);
        whole = whole && moved;
        root = moved ? moved : root;
        assert_int_equal(hm_tree_owner(made, root, NULL), HM_OK);
        const hm_status status = hm_tree_malloc(made, root, &m, NULL);
        assert_true(status == HM_OK || (status == HM_E_NOMEM && !m));
        if (m) {
            void *mine = hm_alloc(m, 10);
            whole = whole && mine;
            hm_malloc_release(m);
        }
        whole = whole && m;
    }
    assert_int_equal(hm_tree_free(made, root), HM_OK);
    assert_int_equal(fake.live, 0);
    hm_tree_release(made);
    return whole;
}

static void tree__out_of_memory_at_every_step(void **state)
{
    (void)state;
    assert_true(scenario());
    const size_t before = hm__memory_in_use();
    for (int private_memory = 0; private_memory < 2; private_memory++) {
        uint64_t n = 0;
        int whole = 0;
        while (!whole) {
            n++;
            fake.requests = 0;
            if (private_memory) {
                hm__memory_fail_from(n);
            } else {
                fake.fail_from = n;
            }
            whole = scenario();
            hm__memory_fail_from(0);
            fake.fail_from = 0;
            assert_int_equal(hm__memory_in_use(), before);
            assert_true(n < 1000);
        }
        assert_true(n > 5);
    }
}

/* A block where none can be noted goes back at once. */
static void tree__no_place_for_it(void **state)
{
    (void)state;
    void *root = taken(NULL, 8);
    fake.high_at = fake.requests + 1;
    assert_null(hm_tree_alloc(tree, root, 8));
    fake.high_at = fake.requests + 1;
    assert_null(hm_tree_realloc(tree, root, 80));
    fake.high_at = 0;
    assert_int_equal(fake.live, 1);
}

static void tree__release_frees_the_rest(void **state)
{
    static void *blocks[1000];
    hm_tree *own = tree;
    (void)state;
    for (int shape = 0; shape < 3; shape++) {
        (void)grow(blocks, COUNT(blocks), 3, shape);
    }
    hm_tree_retain(own);
    hm_tree_release(own);
    assert_int_equal(fake.live, 3 * COUNT(blocks));
    hm_tree_release(own);
    assert_int_equal(fake.live, 0);
    hm_tree_release(NULL);
    assert_int_equal(hm_tree_create(&fake.base, &tree, NULL), HM_OK);
}

static void tree__bad_creations(void **state)
{
    hm_error err;
    hm_malloc broken = {NULL, 0, 0};
    hm_tree *out = tree;
    hm_malloc *m = &fake.base;
    char here;
    (void)state;
    assert_int_equal(hm_tree_create(&fake.base, NULL, &err), HM_E_INVALID);
    assert_int_equal(hm_tree_create(&broken, &out, &err), HM_E_INVALID);
    assert_null(out);
    out = tree;
    assert_int_equal(hm_tree_create(NULL, &out, &err), HM_E_INVALID);
    assert_null(out);
    assert_int_equal(hm_tree_malloc(tree, NULL, NULL, &err), HM_E_INVALID);
    assert_int_equal(hm_tree_malloc(tree, &here, &m, &err), HM_E_NOT_OWNED);
    assert_null(m);
    assert_string_equal(err.where, "tree");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(tree__freeing_a_root_frees_all),
        CASE(tree__any_shape_goes_whole),
        CASE(tree__a_million_children),
        CASE(tree__a_child_goes_alone),
        CASE(tree__only_roots),
        CASE(tree__strangers),
        CASE(tree__realloc_keeps),
        CASE(tree__realloc_of_nothing_is_a_root),
        CASE(tree__failed_realloc_keeps),
        CASE(tree__out_of_memory_at_every_step),
        CASE(tree__no_place_for_it),
        CASE(tree__release_frees_the_rest),
        CASE(tree__bad_creations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
