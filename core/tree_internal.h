/* SPDX-License-Identifier: MIT */
/* What is noted of a block in a tree, and the map that leads from a block's address to its note.
 *
 * Notes lie apart from the blocks, so a pointer is judged without reading through it, and a block can move while
 * what points at its note stays. The map is a radix of leaves with a place for every address where a block can
 * start, made on demand and kept for good: finding takes no lock. Memory of notes is used again for notes or
 * for other private things, never unmapped. */
#ifndef HM_CORE_TREE_INTERNAL_H
#define HM_CORE_TREE_INTERNAL_H

#include <hostmalloc/tree.h>

typedef struct hm__tree_note hm__tree_note;
struct hm__tree_note {
    /* Guarded by the lock of its group. */
    hm__tree_note *owner;
    hm__tree_note *first; /* of what it owns, the latest first */
    hm__tree_note *next;  /* among what its owner owns */
    hm__tree_note *previous;
    void *address;
    size_t size;
    hm_tree *tree;   /* atomic: read by whoever finds it */
    uint32_t group;  /* constant */
    uint32_t shrunk; /* the malloc underneath was not told of size */
};

/* NULL where no block of a tree starts. */
hm__tree_note *hm__tree_map_find(const void *address);

/* The malloc underneath, without a reference. tree.c */
hm_malloc *hm__tree_inner(const hm_tree *tree);

/* Where the note of a block goes, atomic; NULL when there is no memory, or no block can start there. */
hm__tree_note **hm__tree_map_place(const void *address);

#endif
