/* SPDX-License-Identifier: MIT */
/* What the swap layer answers about its blocks, and the calls that are about all of them: figures of the inner
 * blocks with the note taken out, over every host that still has some. */
#include "swap_internal.h"

#include <string.h>

static const hm_core *core;

static size_t swap_size_of(hm_malloc *self, const void *block)
{
    swap_block found;
    (void)self; /* siblings' blocks too */
    if (!block || !hm__swap_note_read(block, &found)) {
        return 0;
    }
    return hm_size_of(found.slot->inner, found.raw) - found.offset;
}

static int swap_owns(hm_malloc *self, const void *block)
{
    swap_block found;
    if (block && !hm__swap_is_exact(self)) {
        return -1; /* asking would mean to read before a pointer that may be anybody's */
    }
    return block && hm__swap_find(hm__swap_from(self), block, &found);
}

/* From the inner block's figures to the user's. */
static void without_note(hm_block *block, size_t offset, size_t bytes)
{
    block->address = (const char *)block->address + offset;
    block->requested = bytes;
    block->usable -= offset;
}

static hm_status swap_describe(hm_malloc *self, const void *block, hm_block *out)
{
    swap_block found;
    if (!hm__swap_is_exact(self)) {
        return HM_E_UNSUPPORTED;
    }
    if (!block || !hm__swap_find(hm__swap_from(self), block, &found)) {
        return HM_E_NOT_OWNED;
    }
    hm_malloc *inner = found.slot->inner;
    hm_block known;
    if (hm_describe(inner, found.raw, &known) == HM_OK) {
        known.address = found.raw;
    } else {
        known.address = found.raw;
        known.usable = hm_size_of(inner, found.raw);
        known.state = HM_BLOCK_LIVE;
    }
    without_note(&known, found.offset, found.bytes);
    known.size = out->size;
    memcpy(out, &known, out->size < sizeof known ? out->size : sizeof known);
    return HM_OK;
}

typedef struct walk_on {
    hm_visit *visit;
    void *context;
    int ended;
} walk_on;

static int visit_none(void *context, const hm_block *block)
{
    (void)context, (void)block;
    return 1;
}

static int visit_without_note(void *context, const hm_block *block)
{
    walk_on *on = context;
    hm_block shown = *block;
    swap_block found;
    uint32_t place = 0;
    /* The place stands in the second word of a note, the offset in its low bits. */
    memcpy(&place, (const char *)block->address + sizeof place, sizeof place);
    const size_t offset = (size_t)1 << (place & 63u);
    const char *user = (const char *)block->address + offset;
    const int whole = offset >= SWAP_NOTE_BYTES && offset <= block->usable &&
                      hm__swap_note_read(user, &found);
    if (whole) {
        without_note(&shown, offset, found.bytes);
    } else {
        without_note(&shown, SWAP_NOTE_BYTES, block->requested - SWAP_NOTE_BYTES);
    }
    on->ended = on->visit(on->context, &shown);
    return on->ended;
}

/* All hosts that have blocks must be able to say which. */
static hm_status swap_walk(hm_malloc *self, hm_visit *visit, void *context)
{
    swap_malloc *m = hm__swap_from(self);
    walk_on on = {visit, context, 0};
    hm_status status = HM_OK;
    core->lock(&m->lock);
    for (swap_slot *slot = m->slots; slot && status == HM_OK; slot = slot->next) {
        status = slot->inner ? hm_walk(slot->inner, visit_none, NULL) : HM_OK;
    }
    for (swap_slot *slot = m->slots; slot && status == HM_OK && !on.ended;
         slot = slot->next) {
        status = slot->inner ? hm_walk(slot->inner, visit_without_note, &on) : HM_OK;
    }
    core->unlock(&m->lock);
    return status;
}

static uint64_t load(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Only what has a limit, or answers for its blocks, counts. */
static hm_status swap_stats(hm_malloc *self, hm_stats *out)
{
    const swap_malloc *m = hm__swap_from(self);
    if (!m->counts) {
        return HM_E_UNSUPPORTED;
    }
    const hm_stats counted = {.size = out->size,
                              .live_blocks = load(&m->live_blocks),
                              .live_bytes = load(&m->live_bytes),
                              .peak_bytes = load(&m->peak_bytes),
                              .total_blocks = load(&m->total_blocks),
                              .total_bytes = load(&m->total_bytes),
                              .denied = load(&m->denied),
                              .failed = load(&m->failed)};
    memcpy(out, &counted, out->size < sizeof counted ? out->size : sizeof counted);
    return HM_OK;
}

static void swap_trim(hm_malloc *self)
{
    swap_malloc *m = hm__swap_from(self);
    if (m->host->watches) {
        hm__swap_look(core, m->host, 1);
    }
    core->lock(&m->lock);
    for (swap_slot *slot = m->slots; slot; slot = slot->next) {
        if (slot->inner) {
            hm_malloc_trim(slot->inner);
        }
    }
    core->unlock(&m->lock);
}

/* Nobody else is in a call of an object that is reset. */
static hm_status swap_reset(hm_malloc *self)
{
    swap_malloc *m = hm__swap_from(self);
    hm_status status = HM_OK;
    core->lock(&m->lock);
    for (swap_slot *slot = m->slots; slot && status == HM_OK; slot = slot->next) {
        status = slot->inner ? hm_malloc_reset(slot->inner) : HM_OK;
        if (!slot->inner || status != HM_OK) {
            continue;
        }
        for (size_t i = 0; i < SWAP_STRIPES; i++) {
            __atomic_store_n(&slot->stripes[i].held, 0, __ATOMIC_SEQ_CST);
        }
        if (hm__swap_is_waiting(slot)) {
            hm_malloc_release(slot->inner);
            slot->inner = NULL;
            __atomic_store_n(&slot->state, SLOT_FREE, __ATOMIC_SEQ_CST);
        }
    }
    if (status == HM_OK) {
        __atomic_store_n(&m->live_blocks, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&m->live_bytes, 0, __ATOMIC_RELAXED);
    }
    core->unlock(&m->lock);
    return status;
}

/* The inner mallocs refuse from now on, and this one knows why; a closed object is not swapped any more. */
static void swap_close(hm_malloc *self)
{
    swap_malloc *m = hm__swap_from(self);
    core->lock(&m->host->lock);
    core->lock(&m->lock);
    m->closed = 1;
    for (swap_slot *slot = m->slots; slot; slot = slot->next) {
        if (slot->inner) {
            hm_malloc_close(slot->inner);
        }
    }
    core->unlock(&m->lock);
    core->unlock(&m->host->lock);
    (core->malloc_basics->close)(self);
}

static hm_status swap_find(hm_malloc *self, const char *name, void **out)
{
    swap_malloc *m = hm__swap_from(self);
    if (name && out && strcmp(name, "swap") == 0) {
        *out = &m->host->questions;
        return HM_OK;
    }
    swap_slot *slot = hm__swap_pin(m);
    const hm_status status = hm_malloc_find(slot->inner, name, out);
    hm__swap_unpin(slot);
    return status;
}

void hm__swap_query_slots(const hm_core *from, hm_malloc_vtbl *table)
{
    core = from;
    table->size_of = swap_size_of;
    table->owns = swap_owns;
    table->describe = swap_describe;
    table->walk = swap_walk;
    table->stats = swap_stats;
    table->trim = swap_trim;
    table->reset = swap_reset;
    table->close = swap_close;
    table->find = swap_find;
}
