/* SPDX-License-Identifier: MIT */
/* A malloc whose blocks somebody owns: a tree for whatever knows mallocs only. */
#include "tree_internal.h"

#include "memory_internal.h"
#include "slots_internal.h"

typedef struct owned {
    hm_malloc base;
    hm_malloc_vtbl table;
    hm_tree *tree;       /* one reference */
    void *owner;         /* NULL: roots */
    uint32_t references; /* atomic */
} owned;

static owned *owned_from(hm_malloc *self)
{
    return (owned *)self; /* base is the first member */
}

static void owned_retain(hm_malloc *self)
{
    __atomic_fetch_add(&owned_from(self)->references, 1, __ATOMIC_RELAXED);
}

static void owned_release(hm_malloc *self)
{
    owned *o = owned_from(self);
    if (__atomic_sub_fetch(&o->references, 1, __ATOMIC_ACQ_REL) == 0) {
        hm_tree_release(o->tree);
        hm__memory_free(o, sizeof *o);
    }
}

static void *
owned_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    owned *o = owned_from(self);
    return hm_tree_alloc_at(o->tree, o->owner, size, level, site);
}

static void *owned_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return owned_debug_alloc(self, size, level, NULL);
}

static hm_status owned_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    (void)size;
    (void)alignment;
    return hm_tree_free_at(owned_from(self)->tree, block, site);
}

static void owned_free(hm_malloc *self, void *block)
{
    (void)hm_tree_free_at(owned_from(self)->tree, block, NULL);
}

static void owned_free_sized(hm_malloc *self, void *block, size_t size)
{
    (void)size;
    owned_free(self, block);
}

static void *owned_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    (void)old_size;
    return block ? hm_tree_realloc_at(owned_from(self)->tree, block, size, level, site)
                 : owned_debug_alloc(self, size, level, site);
}

static size_t owned_size_of(hm_malloc *self, const void *block)
{
    return hm_size_of(owned_from(self)->tree->inner, block);
}

static int owned_owns(hm_malloc *self, const void *block)
{
    return hm_tree_owner(owned_from(self)->tree, block, NULL) == HM_OK;
}

static hm_status owned_describe(hm_malloc *self, const void *block, hm_block *out)
{
    hm_malloc *inner = owned_from(self)->tree->inner;
    return owned_owns(self, block) ? HM_LOAD(inner->vtbl)->describe(inner, block, out)
                                   : HM_E_NOT_OWNED;
}

hm_status hm_tree_malloc(hm_tree *tree, void *owner, hm_malloc **out, hm_error *err)
{
    if (!out) {
        return hm_error_set(err, HM_E_INVALID, "tree",
                            "there is no place for the result");
    }
    *out = NULL;
    if (owner && hm_tree_owner(tree, owner, NULL) != HM_OK) {
        return hm_error_set(err, HM_E_NOT_OWNED, "tree",
                            "the owner is no live block of this tree");
    }
    owned *o = hm__memory_alloc(sizeof *o);
    if (!o) {
        return hm_error_set(err, HM_E_NOMEM, "tree", "no private memory for a malloc");
    }
    o->table = hm__malloc_basics;
    o->table.retain = owned_retain;
    o->table.release = owned_release;
    o->table.alloc = owned_alloc;
    o->table.free = owned_free;
    o->table.free_sized = owned_free_sized;
    o->table.debug_alloc = owned_debug_alloc;
    o->table.debug_free = owned_debug_free;
    o->table.realloc = owned_realloc;
    o->table.size_of = owned_size_of;
    o->table.owns = owned_owns;
    o->table.describe = owned_describe;
    o->base.vtbl = &o->table;
    o->base.flags = tree->inner->flags & (HM_MALLOC_THREADSAFE | HM_MALLOC_DEBUG);
    o->tree = tree;
    o->owner = owner;
    o->references = 1;
    hm_tree_retain(tree);
    *out = &o->base;
    return HM_OK;
}
