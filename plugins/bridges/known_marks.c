/* SPDX-License-Identifier: MIT */
/* Leaves of marks made on demand, marks taken and held, and the walk over all of them. */
#include "known_marks_internal.h"

#define LEAF_BYTES  (HM__MARK_LEAF * sizeof(uint32_t))
#define TABLE_BYTES (HM__MARK_LEAVES * sizeof(hm__mark_leaf))

int hm__marks_open(hm__marks *marks)
{
    marks->leaves = hm_core_table()->pages_map(TABLE_BYTES);
    return marks->leaves != NULL;
}

void hm__marks_close(hm__marks *marks)
{
    const hm_core *core = hm_core_table();
    for (size_t i = 0; i < HM__MARK_LEAVES; i++) {
        if (marks->leaves[i].key) {
            core->pages_unmap(marks->leaves[i].marks, LEAF_BYTES);
        }
    }
    core->pages_unmap(marks->leaves, TABLE_BYTES);
    marks->leaves = NULL;
}

uint32_t *hm__marks_make(hm__marks *marks, const void *block)
{
    const hm_core *core = hm_core_table();
    if ((uintptr_t)block & (HM__MARK_GRANULE - 1)) {
        return NULL;
    }
    core->lock(&marks->lock);
    hm__mark_leaf *at = hm__marks_leaf(marks, hm__marks_key(block));
    if (at && at->key == 0) {
        at->marks = core->pages_map(LEAF_BYTES);
        if (at->marks) {
            __atomic_store_n(&at->key, hm__marks_key(block), __ATOMIC_RELEASE);
        }
    }
    core->unlock(&marks->lock);
    return hm__marks_find(marks, block);
}

uint32_t hm__marks_take_held(hm__marks *marks, uint32_t *mark)
{
    const hm_core *core = hm_core_table();
    core->lock(&marks->lock);
    core->unlock(&marks->lock);
    return hm__marks_take(marks, mark);
}

uint32_t hm__marks_hold(uint32_t *mark)
{
    uint32_t seen = mark ? __atomic_load_n(mark, __ATOMIC_ACQUIRE) : 0;
    while (seen && !__atomic_compare_exchange_n(mark, &seen, seen | HM__MARK_HELD, 0,
                                                __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    }
    return seen;
}

static int walk_leaf(const hm__mark_leaf *at,
                     int (*visit)(void *context, void *block, uint32_t mark),
                     void *context)
{
    for (size_t i = 0; i < HM__MARK_LEAF; i++) {
        const uint32_t held = hm__marks_hold(&at->marks[i]);
        if (held) {
            const uintptr_t block = ((at->key - 1) << HM__MARK_LEAF_BITS) +
                                    ((uintptr_t)i << HM__MARK_GRANULE_BITS);
            const int stop = visit(context, (void *)block, held);
            hm__marks_put(&at->marks[i], held);
            if (stop) {
                return stop;
            }
        }
    }
    return 0;
}

int hm__marks_walk(hm__marks *marks,
                   int (*visit)(void *context, void *block, uint32_t mark),
                   void *context)
{
    for (size_t i = 0; i < HM__MARK_LEAVES; i++) {
        const hm__mark_leaf *at = &marks->leaves[i];
        const int stop = at->key ? walk_leaf(at, visit, context) : 0;
        if (stop) {
            return stop;
        }
    }
    return 0;
}
