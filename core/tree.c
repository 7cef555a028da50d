/* SPDX-License-Identifier: MIT */
/* Blocks that own blocks: notes of them, linked as they own each other.
 *
 * Whatever happens to one root is in one order, by the lock of its group, and threads with roots of their own rarely
 * meet. The malloc underneath is never called with a lock held. */
#include "tree_internal.h"

#include <string.h>

#include "lock_internal.h"
#include "memory_internal.h"
#include "slots_internal.h"

/* Freeing lets others of the group in after so many steps. */
#define STEPS 256u
#define BATCH 64u

#define CHUNK_NOTES (HM__TREE_CHUNK_BYTES / sizeof(hm__tree_note) - 1)

/* Of a note that was found without a lock the memory may be something else by now, until hold() has looked again. */
static hm__tree_group *group_of(hm_tree *tree, const hm__tree_note *note)
{
    return &tree->groups[note->group % HM__TREE_GROUPS];
}

/* The rest up to the public functions: with the group's lock held, but for hold() and take_back(). */

static void link_to(hm__tree_note *owner, hm__tree_note *note)
{
    __atomic_store_n(&note->owner, owner, __ATOMIC_RELAXED);
    note->previous = NULL;
    note->next = owner->first;
    if (note->next) {
        note->next->previous = note;
    }
    owner->first = note;
}

static void unlink_from_owner(hm__tree_note *note)
{
    if (note->previous) {
        note->previous->next = note->next;
    } else {
        note->owner->first = note->next;
    }
    if (note->next) {
        note->next->previous = note->previous;
    }
    note->next = note->previous = NULL;
}

static hm__tree_note *note_take(hm__tree_group *g, uint32_t index)
{
    if (!g->spare) {
        hm__tree_chunk *fresh = hm__memory_alloc(HM__TREE_CHUNK_BYTES);
        if (!fresh) {
            return NULL;
        }
        fresh->next = g->chunks;
        g->chunks = fresh;
        hm__tree_note *notes = (hm__tree_note *)fresh + 1;
        for (size_t i = 0; i < CHUNK_NOTES; i++) {
            notes[i].group = index;
            notes[i].next = g->spare;
            g->spare = &notes[i];
        }
    }
    hm__tree_note *note = g->spare;
    g->spare = note->next;
    return note;
}

static void note_give(hm__tree_group *g, hm__tree_note *note)
{
    note->next = g->spare;
    g->spare = note;
}

/* Nobody finds the block any more. 0: its place is another block's by now, so it was freed around the tree. */
static int forget(const hm__tree_note *note)
{
    if (hm__tree_map_find(note->address) != note) {
        return 0;
    }
    __atomic_store_n(hm__tree_map_place(note->address), NULL, __ATOMIC_RELEASE);
    return 1;
}

static hm__tree_note *find(const hm_tree *tree, const void *block)
{
    hm__tree_note *note = hm__tree_map_find(block);
    return note && __atomic_load_n(&note->tree, __ATOMIC_RELAXED) == tree ? note : NULL;
}

/* The note of a live block with its group locked, or NULL and nothing locked. */
static hm__tree_note *hold(hm_tree *tree, const void *block)
{
    hm__tree_note *note = find(tree, block);
    if (!note) {
        return NULL;
    }
    hm__tree_group *g = group_of(tree, note);
    hm__lock(&g->lock);
    if (find(tree, block) == note) {
        return note;
    }
    hm__unlock(&g->lock);
    return NULL;
}

static void let_go(hm_tree *tree, const hm__tree_note *note)
{
    hm__unlock(&group_of(tree, note)->lock);
}

typedef struct buried {
    void *address;
    size_t size;
} buried;

static buried remains_of(const hm__tree_note *note)
{
    return (buried){note->address, note->shrunk ? HM_SIZE_UNKNOWN : note->size};
}

/* Without the lock. */
static hm_status
take_back(hm_malloc *inner, const buried *gone, size_t count, hm_site *site)
{
    hm_status worst = HM_OK;
    for (size_t i = 0; i < count; i++) {
        const hm_status status =
            gone[i].size == HM_SIZE_UNKNOWN
                ? hm_free_at(inner, gone[i].address, HM_SIZE_UNKNOWN, 0, site)
                : hm_free_sized_at(inner, gone[i].address, gone[i].size, site);
        worst = worst == HM_OK ? status : worst;
    }
    return worst;
}

/* Everything below a block that is forgotten already, which comes up one level at a time: a block that owns others hands them to top, one that owns none
   goes. Each block moves up at most once. 1: all of it is gone, and last too if it is not NULL. */
static int dismantle(hm__tree_group *g,
                     hm__tree_note *above,
                     hm__tree_note *last,
                     buried *gone,
                     size_t *count)
{
    for (unsigned i = 0; i < STEPS && *count < BATCH; i++) {
        hm__tree_note *note = above->first;
        if (!note) {
            if (last) {
                gone[(*count)++] = remains_of(last);
                note_give(g, last);
            }
            return 1;
        }
        hm__tree_note *below = note->first;
        if (below) {
            unlink_from_owner(below);
            link_to(above, below);
        } else {
            gone[*count] = remains_of(note);
            *count += forget(note) ? 1 : 0;
            unlink_from_owner(note);
            note_give(g, note);
        }
    }
    return 0;
}

/* The lock is held on entry and not on return. */
static hm_status free_below(hm_tree *tree,
                            hm__tree_group *g,
                            hm__tree_note *above,
                            hm__tree_note *last,
                            hm_site *site)
{
    hm_status worst = HM_OK;
    for (;;) {
        buried gone[BATCH];
        size_t count = 0;
        const int done = dismantle(g, above, last, gone, &count);
        hm__unlock(&g->lock);
        const hm_status status = take_back(tree->inner, gone, count, site);
        worst = worst == HM_OK ? status : worst;
        if (done) {
            return worst;
        }
        hm__lock(&g->lock);
    }
}

void hm__tree_clear(hm_tree *tree)
{
    for (unsigned i = 0; i < HM__TREE_GROUPS; i++) {
        hm__tree_group *g = &tree->groups[i];
        hm__lock(&g->lock);
        (void)free_below(tree, g, &g->top, NULL, NULL);
    }
}

/* 1 the block is noted and linked. */
static int enter(hm_tree *tree, const void *owner, void *block, size_t size)
{
    hm__tree_note **place = hm__tree_map_place(block);
    hm__tree_note *above = NULL;
    uint32_t index;
    if (!place) {
        return 0;
    }
    if (owner) {
        above = hold(tree, owner);
        if (!above) {
            return 0;
        }
        index = above->group;
    } else {
        index = hm__thread_id() % HM__TREE_GROUPS;
        hm__lock(&tree->groups[index].lock);
        above = &tree->groups[index].top;
    }
    hm__tree_group *g = &tree->groups[index];
    hm__tree_note *note = note_take(g, index);
    if (note) {
        note->first = NULL;
        note->address = block;
        note->size = size;
        note->shrunk = 0;
        __atomic_store_n(&note->tree, tree, __ATOMIC_RELAXED);
        link_to(above, note);
        __atomic_store_n(place, note, __ATOMIC_RELEASE);
    }
    hm__unlock(&g->lock);
    return note != NULL;
}

void *
hm_tree_alloc_at(hm_tree *tree, void *owner, size_t size, hm_level level, hm_site *site)
{
    if (owner && !find(tree, owner)) {
        return NULL;
    }
    void *block = hm_alloc_at(tree->inner, size, level, site);
    if (block && !enter(tree, owner, block, size)) {
        (void)hm_free_at(tree->inner, block, HM_SIZE_UNKNOWN, 0, site);
        return NULL;
    }
    return block;
}

/* A malloc that checks has more to say of a pointer that is no block; one that is its block is none of ours, and stays. */
static int may_judge(hm_malloc *inner, const void *stranger)
{
    return (inner->flags & HM_MALLOC_DEBUG) && hm_owns(inner, stranger) == 0;
}

static hm_status refuse(hm_malloc *inner, void *stranger, hm_site *site)
{
    const hm_status status = may_judge(inner, stranger)
                                 ? hm_free_at(inner, stranger, HM_SIZE_UNKNOWN, 0, site)
                                 : HM_OK;
    return status == HM_OK ? HM_E_NOT_OWNED : status;
}

static hm_status free_tree(hm_tree *tree, void *block, int roots_only, hm_site *site)
{
    if (!block) {
        return HM_OK;
    }
    hm__tree_note *note = hold(tree, block);
    if (!note) {
        return refuse(tree->inner, block, site);
    }
    hm__tree_group *g = group_of(tree, note);
    if (roots_only && note->owner != &g->top) {
        hm__unlock(&g->lock);
        return HM_E_INVALID;
    }
    (void)forget(note);
    unlink_from_owner(note);
    return free_below(tree, g, note, note, site);
}

hm_status hm_tree_free_at(hm_tree *tree, void *block, hm_site *site)
{
    return free_tree(tree, block, 0, site);
}

hm_status hm_tree_free_root_at(hm_tree *tree, void *block, hm_site *site)
{
    return free_tree(tree, block, 1, site);
}

/* 1 the block stays where it is with fewer bytes. */
static int shrink(hm_tree *tree, void *block, size_t size, size_t least)
{
    hm__tree_note *note = hold(tree, block);
    const int fits = note && size <= note->size && size >= least;
    if (fits) {
        note->shrunk = note->shrunk || size < note->size;
        note->size = size;
    }
    if (note) {
        let_go(tree, note);
    }
    return fits;
}

/* 1 the note of a block is now that of fresh, whose place there is, and *was is to be freed. */
static int move(hm_tree *tree, void *block, void *fresh, size_t size, buried *was)
{
    hm__tree_note *note = hold(tree, block);
    if (!note) {
        return 0;
    }
    *was = remains_of(note);
    (void)forget(note);
    note->address = fresh;
    note->size = size;
    note->shrunk = 0;
    __atomic_store_n(hm__tree_map_place(fresh), note, __ATOMIC_RELEASE);
    let_go(tree, note);
    return 1;
}

/* Moves by itself: a block that the malloc underneath had moved would need a place in the map at its new address, and
   when there is no memory for that, there is no way back. */
void *
hm_tree_realloc_at(hm_tree *tree, void *block, size_t size, hm_level level, hm_site *site)
{
    hm_malloc *inner = tree->inner;
    buried was;
    if (!block) {
        return hm_tree_alloc_at(tree, NULL, size, level, site);
    }
    const size_t old = hm_tree_size(tree, block);
    if (old == HM_SIZE_UNKNOWN) {
        return may_judge(inner, block)
                   ? hm_realloc_at(inner, block, old, size, level, site)
                   : NULL;
    }
    /* A malloc that checks is to see the end of the block where it is now. */
    if (!(inner->flags & HM_MALLOC_DEBUG) && shrink(tree, block, size, old / 2)) {
        return block;
    }
    void *fresh =
        hm_alloc_at(inner, size, level, site ? site : hm__birth_site(inner, block));
    if (fresh && hm__tree_map_place(fresh)) {
        memcpy(fresh, block, old < size ? old : size);
        if (move(tree, block, fresh, size, &was)) {
            (void)take_back(inner, &was, 1, site);
            return fresh;
        }
    }
    if (fresh) {
        (void)hm_free_at(inner, fresh, HM_SIZE_UNKNOWN, 0, site);
    }
    return shrink(tree, block, size, 0) ? block : NULL;
}

/* Without a lock: 1 a root, -1 no live block, 0 the lock has to say. Roots stay roots. */
static int is_root(hm_tree *tree, const void *block)
{
    const hm__tree_note *note = find(tree, block);
    if (!note) {
        return -1;
    }
    return __atomic_load_n(&note->owner, __ATOMIC_RELAXED) ==
               &group_of(tree, note)->top &&
           find(tree, block) == note;
}

hm_status hm_tree_owner(hm_tree *tree, const void *block, void **out)
{
    const int rooted = is_root(tree, block);
    if (rooted) {
        if (out) {
            *out = NULL;
        }
        return rooted == 1 ? HM_OK : HM_E_NOT_OWNED;
    }
    hm__tree_note *note = hold(tree, block);
    void *owner =
        note && note->owner != &group_of(tree, note)->top ? note->owner->address : NULL;
    if (note) {
        let_go(tree, note);
    }
    if (out) {
        *out = owner;
    }
    return note ? HM_OK : HM_E_NOT_OWNED;
}

size_t hm_tree_size(hm_tree *tree, const void *block)
{
    hm__tree_note *note = hold(tree, block);
    const size_t size = note ? note->size : HM_SIZE_UNKNOWN;
    if (note) {
        let_go(tree, note);
    }
    return size;
}
