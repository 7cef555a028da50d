/* SPDX-License-Identifier: MIT */
/* Everything of a malloc given back at once, or what is not needed: reset, trim and close. */
#include "annotate_internal.h"
#include "guarded_internal.h"
#include "quarantine_internal.h"
#include "step_internal.h"

static int reset_one(void *context, void *block, unsigned state)
{
    debug_malloc *m = context;
    debug_facts facts;
    debug_shape shape;
    (void)state;
    hm__debug_facts_read(block, DEBUG_LIVE, &facts);
    if (!facts.intact || facts.number != m->number) {
        return 0;
    }
    /* In the own book, if there is one: the peak of a malloc that one thread uses is that book's. */
    if (hm__debug_book_mine(m)) {
        hm__debug_count_out(m, facts.site_id, facts.bytes);
    } else {
        hm__debug_count_free_common(m, facts.site_id, facts.bytes);
    }
    if (m->limit != DEBUG_NO_LIMIT && hm__debug_is_shared(m)) {
        hm__debug_uncharge(m, facts.bytes);
    }
    if (hm__debug_is_damaged(block)) {
        hm__debug_judge_damage(m, block, DEBUG_ACT_CHECK, NULL);
        hm__block_map_set(&hm__debug.map, block, DEBUG_DAMAGED);
        __atomic_add_fetch(&m->damaged, 1, __ATOMIC_RELAXED);
        return 0;
    }
    if (hm__debug_slot_forget(block)) {
        return 0;
    }
    if (m->host->annotates) {
        hm__debug_annotate_reveal(m, block, facts.bytes);
    }
    hm__debug_heaptrack_gone(m, block);
    hm__debug_shape_read(block, &shape);
    hm__block_map_set(&hm__debug.map, block, DEBUG_GONE);
    HM_LOAD(m->inner->vtbl)
        ->free_sized(
            m->inner, shape.base,
            hm__debug_inner_bytes(shape.bytes, shape.alignment, m->edge, m->least));
    return 0;
}

hm_status hm__debug_malloc_reset(hm_malloc *self)
{
    debug_malloc *m = hm__debug_from(self);
    hm__debug_walk_begin();
    hm__debug_malloc_flush(m);
    if (hm__debug_live_blocks(m)) {
        hm__block_map_walk(&hm__debug.map, DEBUG_LIVE_STATES, reset_one, m);
    }
    hm__debug_walk_end();
    return HM_OK;
}

/* Other threads' books are theirs: they empty them as they go on, or exit. */
void hm__debug_malloc_trim(hm_malloc *self)
{
    debug_malloc *m = hm__debug_from(self);
    debug_book *book = hm__debug_book_mine(m);
    if (book) {
        const uint32_t before = hm__debug_step_enter(m, NULL);
        hm__debug_evict_all(book);
        hm__debug_step_leave(m, before);
    }
    if (m->inner) {
        HM_LOAD(m->inner->vtbl)->trim(m->inner);
    }
}

void hm__debug_malloc_close(hm_malloc *self)
{
    hm__debug_malloc_trim(self);
    hm__debug.core->malloc_basics->close(self);
}
