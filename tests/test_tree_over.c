/* SPDX-License-Identifier: MIT */
/* Blocks that own blocks, as a malloc of their own, and over mallocs that have something to say. */
#include <hostmalloc/tree.h>

#include "check.h"

#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bridges/fake_malloc.h"

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

/* Freed on the malloc, not on the tree: nothing is known of it until its place is taken again. */
static void tree__freed_around(void **state)
{
    hm_host *host;
    hm_malloc *m;
    hm_tree *over;
    (void)state;
    /* An arena of one block after the other would not give a place twice; a malloc mostly does at once. */
    assert_int_equal(hm_host_open("default", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, "tree", HM_MALLOC_EXACT, &m, NULL),
                     HM_OK);
    assert_int_equal(hm_tree_create(m, &over, NULL), HM_OK);
    void *root = hm_tree_alloc(over, NULL, 40);
    void *child = hm_tree_alloc(over, root, 40);
    hm_free(m, child);
    void *again = hm_tree_alloc(over, NULL, 40);
    if (again == child) {
        assert_int_equal(hm_tree_owner(over, again, &child), HM_OK);
        assert_null(child);
    }
    /* The exact malloc refuses what is not its block any more. */
    (void)hm_tree_free(over, root);
    assert_int_equal(hm_owns(m, again), 1);
    assert_int_equal(hm_tree_free(over, again), HM_OK);
    hm_tree_release(over);
    hm_malloc_release(m);
    hm_host_release(host);
}

static void tree__as_a_malloc(void **state)
{
    hm_malloc *m;
    hm_malloc *roots;
    (void)state;
    void *root = taken(NULL, 8);
    assert_int_equal(hm_tree_malloc(tree, root, &m, NULL), HM_OK);
    assert_int_equal(hm_tree_malloc(tree, NULL, &roots, NULL), HM_OK);
    assert_int_equal(hm_malloc_validate(m, NULL), HM_OK);
    char *p = hm_alloc(m, 24);
    char *q = hm_strdup(m, "owned");
    char *r = hm_realloc(m, NULL, 8);
    char *s = hm_alloc_zeroed(m, 3, 8);
    assert_ptr_equal(owner_of(p), root);
    assert_ptr_equal(owner_of(q), root);
    assert_ptr_equal(owner_of(r), root);
    assert_ptr_equal(owner_of(s), root);
    assert_int_equal(hm_owns(m, p), 1);
    assert_int_equal(hm_owns(m, p + 16), 0);
    assert_true(hm_size_of(m, p) >= 24);
    q = hm_realloc(m, q, 1000);
    assert_string_equal(q, "owned");
    assert_ptr_equal(owner_of(q), root);
    assert_int_equal(hm_free(m, r), HM_OK);
    assert_int_equal(hm_free_sized(m, s, 24), HM_OK);
    assert_int_equal(fake.live, 3);
    void *own = hm_alloc(roots, 8);
    assert_null(owner_of(own));
    assert_int_equal(hm_tree_free(tree, root), HM_OK);
    assert_null(hm_alloc(m, 8));
    assert_null(hm_realloc(m, NULL, 8));
    assert_int_equal(hm_free(m, p),
                     HM_OK); /* a plain malloc says nothing, and nothing happened */
    assert_int_equal(fake.live, 1);
    hm_malloc_close(roots);
    assert_null(hm_alloc(roots, 8));
    assert_int_equal(hm_free(roots, own), HM_OK);
    assert_int_equal(fake.live, 0);
    hm_malloc_release(m);
    hm_malloc_release(roots);
}

/* A debug host underneath knows lines, and has the last word on pointers and guards. */
static void tree__over_the_debug_host(void **state)
{
    hm_host *host;
    hm_malloc *m;
    hm_tree *over;
    hm_block seen;
    (void)state;
    assert_int_equal(hm_host_open("debug", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, "tree", HM_MALLOC_THREADSAFE, &m, NULL),
                     HM_OK);
    assert_int_equal(hm_tree_create(m, &over, NULL), HM_OK);
    void *root = hm_tree_alloc(over, NULL, 13);
    const uint32_t line = __LINE__ + 1;
    char *child = hm_tree_alloc(over, root, 7);
    assert_int_equal(hm_describe(m, child, &seen), HM_OK);
    assert_int_equal(seen.requested, 7);
    assert_int_equal(seen.site->line, line);
    child = hm_tree_realloc_at(over, child, 70, HM_LEVEL_CURRENT, NULL);
    assert_int_equal(hm_describe(m, child, &seen), HM_OK);
    assert_int_equal(seen.requested, 70);
    assert_int_equal(seen.site->line, line);
    child = hm_tree_realloc(over, child, 7);
    assert_int_equal(hm_describe(m, child, &seen), HM_OK);
    assert_int_equal(seen.requested, 7);
    /* It speaks of what it finds. */
    const int saved = dup(2);
    assert_non_null(freopen("/dev/null", "w", stderr));
    void *bare = hm_alloc(m, 8);
    assert_int_equal(hm_tree_free(over, bare), HM_E_NOT_OWNED);
    assert_int_equal(hm_owns(m, bare), 1);
    assert_int_equal(hm_free(m, bare), HM_OK);
    assert_int_equal(hm_tree_free(over, child), HM_OK);
    assert_int_equal(hm_tree_free(over, child), HM_E_FREED);
    assert_null(hm_tree_realloc(over, child, 9));
    child = hm_tree_alloc(over, root, 7);
    char *other = hm_tree_alloc(over, root, 7);
    child[7] = 'x';
    assert_int_equal(hm_tree_free(over, root), HM_E_CORRUPT);
    dup2(saved, 2);
    close(saved);
    assert_int_equal(hm_owns(m, other), 0);
    assert_int_equal(hm_owns(m, root), 0);
    hm_tree_release(over);
    hm_malloc_release(m);
    hm_host_release(host);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(tree__freed_around),
        CASE(tree__as_a_malloc),
        CASE(tree__over_the_debug_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
