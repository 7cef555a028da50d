/* SPDX-License-Identifier: MIT */
/* Trees that come and go, and what fork does to their locks. */
#include "tree_internal.h"

#include "lock_internal.h"
#include "memory_internal.h"

/* Every tree, for the sake of fork. trees_lock comes before the locks of groups. */
static hm_tree *trees;
static hm_lock trees_lock;
static uint32_t fork_known;

static void before_fork(void *context)
{
    (void)context;
    hm__lock(&trees_lock);
    for (hm_tree *t = trees; t; t = t->next) {
        for (unsigned i = 0; i < HM__TREE_GROUPS; i++) {
            hm__lock(&t->groups[i].lock);
        }
    }
}

static void after_fork(void *context)
{
    (void)context;
    for (hm_tree *t = trees; t; t = t->next) {
        for (unsigned i = 0; i < HM__TREE_GROUPS; i++) {
            hm__unlock(&t->groups[i].lock);
        }
    }
    hm__unlock(&trees_lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof fork_hooks,
                                   .rank = HM__FORK_TREE,
                                   .prepare = before_fork,
                                   .parent = after_fork,
                                   .child = after_fork};

hm_status hm_tree_create(hm_malloc *m, hm_tree **out, hm_error *err)
{
    if (!out) {
        return hm_error_set(err, HM_E_INVALID, "tree",
                            "there is no place for the result");
    }
    *out = NULL;
    const hm_status status = hm_malloc_validate(m, err);
    if (status != HM_OK) {
        return status;
    }
    hm_tree *made = hm__memory_alloc(sizeof *made);
    if (!made) {
        return hm_error_set(err, HM_E_NOMEM, "tree", "no private memory for a tree");
    }
    hm_malloc_retain(m);
    made->inner = m;
    made->references = 1;
    hm__at_fork_once(&fork_known, &fork_hooks);
    hm__lock(&trees_lock);
    made->next = trees;
    if (trees) {
        trees->previous = made;
    }
    trees = made;
    hm__unlock(&trees_lock);
    *out = made;
    return HM_OK;
}

void hm_tree_retain(hm_tree *tree)
{
    __atomic_fetch_add(&tree->references, 1, __ATOMIC_RELAXED);
}

static void take_out(hm_tree *tree)
{
    hm__lock(&trees_lock);
    if (tree->previous) {
        tree->previous->next = tree->next;
    } else {
        trees = tree->next;
    }
    if (tree->next) {
        tree->next->previous = tree->previous;
    }
    hm__unlock(&trees_lock);
}

void hm_tree_release(hm_tree *tree)
{
    if (!tree || __atomic_sub_fetch(&tree->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    hm__tree_clear(tree);
    take_out(tree);
    for (unsigned i = 0; i < HM__TREE_GROUPS; i++) {
        for (hm__tree_chunk *c = tree->groups[i].chunks; c;) {
            hm__tree_chunk *next = c->next;
            hm__memory_free(c, HM__TREE_CHUNK_BYTES);
            c = next;
        }
    }
    hm_malloc_release(tree->inner);
    hm__memory_free(tree, sizeof *tree);
}
