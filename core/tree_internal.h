/* SPDX-License-Identifier: MIT */
/* What is noted of a block in a tree, and the map that leads from a block's address to its note.
 *
 * Notes lie apart from the blocks, so a pointer is judged without reading through it, and a block can move while
 * what points at its note stays. The map is a radix of leaves with a place for every address where a block can
 * start, made on demand and kept for good: finding takes no lock. Memory of notes is used again for notes or
 * for other private things, never unmapped. */
#ifndef HM_CORE_TREE_INTERNAL_H
#define HM_CORE_TREE_INTERNAL_H

#include <hostmalloc/module.h>
#include <hostmalloc/tree.h>

typedef struct hm__tree_note hm__tree_note;
struct hm__tree_note {
    /* Guarded by the lock of its group. */
    hm__tree_note *owner; /* atomic: whether it is a root is asked without the lock */
    hm__tree_note *first; /* of what it owns, the latest first */
    hm__tree_note *next;  /* among what its owner owns */
    hm__tree_note *previous;
    void *address;
    size_t size;
    hm_tree *tree;   /* atomic: read by whoever finds it */
    uint32_t group;  /* constant */
    uint32_t shrunk; /* the malloc underneath was not told of size */
};

/* A tree spreads its roots over groups, by the thread that makes them; a block belongs to the group of its owner for
   good. One lock per group guards all links in it. */
#define HM__TREE_GROUPS 16u

/* Notes come by the chunk, small enough to be private memory that stays mapped. */
#define HM__TREE_CHUNK_BYTES ((size_t)4096)

typedef struct hm__tree_chunk {
    struct hm__tree_chunk *next;
} hm__tree_chunk;
HM_STATIC_ASSERT(sizeof(hm__tree_chunk) <= sizeof(hm__tree_note),
                 "a chunk's head takes a note's room");

typedef struct hm__tree_group {
    hm_lock lock;
    hm__tree_note *spare; /* linked by next */
    hm__tree_chunk *chunks;
    hm__tree_note top; /* stands in as the owner of roots */
    char apart[64];    /* from the next group's lock */
} hm__tree_group;

struct hm_tree {
    hm_malloc *inner;
    uint32_t references; /* atomic */
    hm_tree *next;       /* both guarded by the list's lock */
    hm_tree *previous;
    hm__tree_group groups[HM__TREE_GROUPS];
};

/* Free every block that is left. tree.c */
void hm__tree_clear(hm_tree *tree);

/* NULL where no block of a tree starts. */
hm__tree_note *hm__tree_map_find(const void *address);

/* Where the note of a block goes, atomic; NULL when there is no memory, or no block can start there. */
hm__tree_note **hm__tree_map_place(const void *address);

#endif
