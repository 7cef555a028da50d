/* SPDX-License-Identifier: MIT */
/* Which wrapping mallocs and wrapped allocators there are: fork takes all their locks, and objects over one
 * allocator share its lock. */
#include "wrap_internal.h"

#include "lock_internal.h"
#include "memory_internal.h"

static hm_lock list_lock;
static hm__wrapped *objects;     /* guarded by list_lock */
static hm__wrap_source *sources; /* guarded by list_lock; newest first */

static void fork_prepare(void *context)
{
    (void)context;
    hm__lock(&list_lock);
    for (hm__wrap_source *source = sources; source; source = source->next) {
        hm__lock(&source->lock);
    }
    for (hm__wrapped *m = objects; m; m = m->next) {
        hm__lock(&m->lock);
    }
}

static void fork_parent(void *context)
{
    (void)context;
    for (hm__wrapped *m = objects; m; m = m->next) {
        hm__unlock(&m->lock);
    }
    for (hm__wrap_source *source = sources; source; source = source->next) {
        hm__unlock(&source->lock);
    }
    hm__unlock(&list_lock);
}

/* The threads whose allocations were under way are gone, and with them what those had set aside. */
static void abandon(hm__wrapped *m)
{
    m->reserved = 0;
    for (hm__wrap_block *block = m->moving ? m->blocks : NULL; block;
         block = block->next) {
        hm__block_map_claim(&hm__wrap_map, hm__wrap_address(block), HM__WRAP_MOVING,
                            HM__WRAP_LIVE);
    }
    m->moving = 0;
}

static void fork_child(void *context)
{
    (void)context;
    for (hm__wrapped *m = objects; m; m = m->next) {
        abandon(m);
        hm__lock_reset(&m->lock);
    }
    for (hm__wrap_source *source = sources; source; source = source->next) {
        hm__lock_reset(&source->lock);
    }
    hm__lock_reset(&list_lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof(fork_hooks),
                                   .rank = HM__FORK_WRAP,
                                   .prepare = fork_prepare,
                                   .parent = fork_parent,
                                   .child = fork_child};
static uint32_t fork_known; /* atomic */

/* Under list_lock. */
static hm__wrap_source *source_take(const hm_allocator *allocator)
{
    for (hm__wrap_source *known = sources; known; known = known->next) {
        if (known->allocator.context == allocator->context &&
            known->allocator.alloc == allocator->alloc &&
            known->allocator.release == allocator->release &&
            known->allocator.flags == allocator->flags) {
            known->references++;
            return known;
        }
    }
    hm__wrap_source *fresh = hm__memory_alloc(sizeof(*fresh));
    if (fresh) {
        fresh->allocator = *allocator;
        fresh->references = 1;
        fresh->next = sources;
        sources = fresh;
    }
    return fresh;
}

/* Under list_lock. */
static void source_give_back(hm__wrap_source *source)
{
    if (--source->references) {
        return;
    }
    hm__wrap_source **place = &sources;
    while (*place != source) {
        place = &(*place)->next;
    }
    *place = source->next;
    hm__memory_free(source, sizeof(*source));
}

int hm__wrap_add(hm__wrapped *m, const hm_allocator *allocator)
{
    hm__at_fork_once(&fork_known, &fork_hooks);
    hm__lock(&list_lock);
    m->source = source_take(allocator);
    if (m->source) {
        m->next = objects;
        if (objects) {
            objects->previous = m;
        }
        objects = m;
    }
    hm__unlock(&list_lock);
    return m->source != NULL;
}

void hm__wrap_remove(hm__wrapped *m)
{
    hm__lock(&list_lock);
    if (m->next) {
        m->next->previous = m->previous;
    }
    *(m->previous ? &m->previous->next : &objects) = m->next;
    source_give_back(m->source);
    hm__unlock(&list_lock);
}
