/* SPDX-License-Identifier: MIT */
/**
 * @file tree.h
 * @brief Blocks that own blocks: freeing one frees all that it owns, at any depth. Over any malloc.
 *
 *     hm_tree *tree;
 *     hm_tree_create(m, &tree, &err);
 *     person *p = hm_tree_alloc(tree, NULL, sizeof *p);     a root, owned by nobody
 *     p->name = hm_tree_alloc(tree, p, 32);                 owned by p
 *     p->notes = hm_tree_alloc(tree, p, 4096);
 *     hm_tree_free(tree, p);                                all three are gone
 *
 * For structures with several levels of pointers: they are built piece by piece and given away, or up, as one.
 *
 * Rules for all of it, said once:
 *  - Nothing is added to a block. The malloc underneath sees the sizes that were asked for, and a debug host its
 *    guards at their ends; what belongs to what is noted apart from the blocks.
 *  - Taking a block, linking it and finding its owner cost the same however many there are. Freeing costs one free
 *    for each block that goes, without recursion, in no particular order.
 *  - A pointer that is no live block of this tree (foreign, interior, freed before, another tree's) is an answer,
 *    HM_E_NOT_OWNED or NULL, and nothing is read through it. A debug host underneath reports it, with evidence.
 *  - Threads: as the malloc underneath. Over one that is HM_MALLOC_THREADSAFE any thread may do anything at any
 *    time, with one owner or several. Using a block while it is freed is the caller's error, as everywhere; what
 *    is noted of the blocks stays whole even then.
 *  - Blocks are freed through the tree. One that was freed around it, straight on the malloc, is forgotten once the
 *    malloc has given its place to another block of a tree; before that its owner frees it again.
 * Stable since 1.0.
 */
#ifndef HM_TREE_H
#define HM_TREE_H

#include <hostmalloc/host.h>

/** Blocks over one malloc, with who owns whom: any number of roots, each with what it owns. */
typedef struct hm_tree hm_tree;

HM_BEGIN_DECLS

/**
 * Make one over @p m, which is referenced.
 * @param[out] out one reference, or NULL
 * @return HM_E_INVALID or HM_E_ABI for a malloc that is none, HM_E_NOMEM
 * @threads any
 */
HM_API hm_status hm_tree_create(hm_malloc *m, hm_tree **out, hm_error *err);

/** One more reference, and one less; the last one frees every block that is left. hm_tree_release() takes NULL.
    @threads any */
HM_API void hm_tree_retain(hm_tree *tree);
HM_API void hm_tree_release(hm_tree *tree);

/**
 * Allocate @p size bytes that @p owner owns.
 * @param owner a live block of this tree, itself owned or not; NULL: the new block is a root
 * @param size  bytes; 0 gives a unique block
 * @param site  NULL allowed
 * @return a block as hm_alloc() gives it; NULL when the malloc refused, when there is no private memory to note
 *         it in, and when @p owner is no live block of this tree
 * @threads inner
 */
HM_API void *
hm_tree_alloc_at(hm_tree *tree, void *owner, size_t size, hm_level level, hm_site *site);

/**
 * Free @p block and all that it owns. Its owner, and what else that owns, stay.
 * @param block NULL does nothing
 * @return HM_OK; HM_E_NOT_OWNED: no live block of this tree, nothing done (a debug host underneath may answer
 *         HM_E_FREED); HM_E_CORRUPT: all of it is gone, and a debug host found a guard of it overwritten
 * @threads inner
 */
HM_API hm_status hm_tree_free_at(hm_tree *tree, void *block, hm_site *site);

/** The same for roots alone: HM_E_INVALID for a block that somebody owns, and nothing done. @threads inner */
HM_API hm_status hm_tree_free_root_at(hm_tree *tree, void *block, hm_site *site);

/**
 * Change a block's size. What it owns and who owns it stay as they are, however the block moves; pointers that the
 * caller keeps in its blocks are the caller's to mend.
 * @param block NULL: a new root
 * @return the block, mostly at another place; NULL, and nothing done, when the malloc refused or @p block is no live
 *         block of this tree. Never NULL for a block that shrinks
 * @threads inner
 */
HM_API void *hm_tree_realloc_at(
    hm_tree *tree, void *block, size_t size, hm_level level, hm_site *site);

/** Who owns @p block: *out is NULL for a root. HM_E_NOT_OWNED, and *out NULL, for no live block of this tree.
    @p out may be NULL. @threads inner */
HM_API hm_status hm_tree_owner(hm_tree *tree, const void *block, void **out);

/** The bytes that were asked for; HM_SIZE_UNKNOWN for no live block of this tree. @threads inner */
HM_API size_t hm_tree_size(hm_tree *tree, const void *block);

/**
 * A malloc whose blocks @p owner owns, to hand to whatever takes a malloc: a Lua state (bridges/lua.h) made on it
 * goes with @p owner. It references the tree; frees and sizes work on any of the tree's blocks.
 * Once @p owner is freed its allocations fail; it is to be released before another block takes that place.
 * @param owner NULL: its blocks are roots
 * @param[out] out one reference, or NULL
 * @return HM_E_NOT_OWNED for an owner that is no live block of this tree, HM_E_NOMEM
 * @threads inner; the malloc likewise
 */
HM_API hm_status hm_tree_malloc(hm_tree *tree,
                                void *owner,
                                hm_malloc **out,
                                hm_error *err);

/* What programs write: the calls above with the caller's own line. */
#define hm_tree_alloc(...)     hm__tree_alloc_here(HM_SITE, __VA_ARGS__)
#define hm_tree_free(...)      hm__tree_free_here(HM_SITE, __VA_ARGS__)
#define hm_tree_free_root(...) hm__tree_free_root_here(HM_SITE, __VA_ARGS__)
#define hm_tree_realloc(...)   hm__tree_realloc_here(HM_SITE, __VA_ARGS__)

static inline void *
hm__tree_alloc_here(hm_site *site, hm_tree *tree, void *owner, size_t size)
{
    return hm_tree_alloc_at(tree, owner, size, HM_LEVEL_CURRENT, site);
}

static inline hm_status hm__tree_free_here(hm_site *site, hm_tree *tree, void *block)
{
    return hm_tree_free_at(tree, block, site);
}

static inline hm_status hm__tree_free_root_here(hm_site *site, hm_tree *tree, void *block)
{
    return hm_tree_free_root_at(tree, block, site);
}

static inline void *
hm__tree_realloc_here(hm_site *site, hm_tree *tree, void *block, size_t size)
{
    return hm_tree_realloc_at(tree, block, size, HM_LEVEL_CURRENT, site);
}

HM_END_DECLS

#endif
