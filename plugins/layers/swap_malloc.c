/* SPDX-License-Identifier: MIT */
/* The way of a block through the swap layer: born on the host of the moment, freed by that same one, moved to
 * the present one by realloc. Slots and notes are swap_slot.c's, questions swap_query.c's. */
#include "swap_internal.h"

#include <string.h>

static const hm_core *core;
static hm_malloc_vtbl malloc_vtbl;

static uint64_t add(uint64_t *counter, uint64_t amount)
{
    return __atomic_add_fetch(counter, amount, __ATOMIC_RELAXED);
}

/* Take bytes from the malloc's own limit, where it has one; 0: they do not fit. */
static int charge(swap_malloc *m, size_t bytes)
{
    uint64_t live = __atomic_load_n(&m->live_bytes, __ATOMIC_RELAXED);
    const uint64_t limit = m->limit ? m->limit : UINT64_MAX;
    if (!m->counts) {
        return 1;
    }
    do {
        if (bytes > limit || live > limit - bytes) {
            add(&m->denied, 1);
            add(&m->failed, 1);
            return 0;
        }
    } while (!__atomic_compare_exchange_n(&m->live_bytes, &live, live + bytes, 1,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return 1;
}

static void discharge(swap_malloc *m, size_t bytes)
{
    if (m->counts) {
        add(&m->live_bytes, 0 - (uint64_t)bytes);
    }
}

/* A block of bytes is there, and was charged. */
static void count(swap_malloc *m, size_t bytes, uint64_t blocks)
{
    if (!m->counts) {
        return;
    }
    const uint64_t live = __atomic_load_n(&m->live_bytes, __ATOMIC_RELAXED);
    uint64_t peak = __atomic_load_n(&m->peak_bytes, __ATOMIC_RELAXED);
    add(&m->live_blocks, blocks);
    add(&m->total_blocks, 1);
    add(&m->total_bytes, bytes);
    while (live > peak &&
           !__atomic_compare_exchange_n(&m->peak_bytes, &peak, live, 1, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
}

typedef struct wish {
    size_t bytes;
    size_t alignment;
    int zeroed;
    hm_level level;
    hm_site *site;
} wish;

/* A block of the present host, not charged. */
static void *make(swap_malloc *m, const wish *w)
{
    const size_t offset = w->alignment > SWAP_NOTE_BYTES ? w->alignment : SWAP_NOTE_BYTES;
    if (w->bytes >= SIZE_MAX - offset) {
        return NULL;
    }
    const size_t room = hm__swap_room(w->bytes, offset);
    swap_slot *slot = hm__swap_pin(m);
    hm_malloc *inner = slot->inner;
    void *raw = w->zeroed ? hm_alloc_zeroed_at(inner, 1, room, w->level, w->site)
                : offset > SWAP_NOTE_BYTES
                    ? hm_alloc_aligned_at(inner, room, offset, w->level, w->site)
                    : hm_alloc_at(inner, room, w->level, w->site);
    if (!raw) {
        hm__swap_unpin(slot);
        return NULL;
    }
    return hm__swap_note_write(slot, raw, w->bytes, offset);
}

static void *take(hm_malloc *self, const wish *w)
{
    swap_malloc *m = hm__swap_from(self);
    if (m->host->watches) {
        hm__swap_look(core, m->host, 0);
    }
    if (!charge(m, w->bytes)) {
        return NULL;
    }
    void *block = make(m, w);
    if (block) {
        count(m, w->bytes, 1);
    } else {
        discharge(m, w->bytes);
        add(&m->failed, 1);
    }
    return block;
}

static void *swap_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    const wish w = {size, 1, 0, level, site};
    return take(self, &w);
}

static void *swap_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return swap_debug_alloc(self, size, level, NULL);
}

static void *swap_alloc_zeroed(
    hm_malloc *self, size_t count_of, size_t size, hm_level level, hm_site *site)
{
    const wish w = {size ? count_of * size : 0, 1, 1, level, site};
    return size && count_of > SIZE_MAX / size ? NULL : take(self, &w);
}

static void *swap_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    const wish w = {size, alignment, 0, level, site};
    return alignment == 0 || (alignment & (alignment - 1)) ? NULL : take(self, &w);
}

/* No note that is whole stands before it. The checking hosts know more: a block they hold back, one whose note
   was overwritten. */
static hm_status free_unknown(swap_malloc *m, void *block, hm_site *site)
{
    hm_status status = HM_E_NOT_OWNED;
    swap_slot *birth = NULL;
    core->lock(&m->lock);
    for (swap_slot *slot = m->slots; slot && !birth; slot = slot->next) {
        if (slot->inner && slot->inner->flags & HM_MALLOC_DEBUG) {
            char *raw = (char *)((uintptr_t)block - SWAP_NOTE_BYTES);
            const hm_status verdict =
                hm_free_at(slot->inner, raw, HM_SIZE_UNKNOWN, 0, site);
            birth = verdict == HM_E_NOT_OWNED ? NULL : slot;
            status = verdict;
        }
    }
    core->unlock(&m->lock);
    if (birth && (status == HM_OK || status == HM_E_CORRUPT)) {
        hm__swap_unpin(
            birth); /* live until now, with its note overwritten: its bytes are not known */
        status = HM_E_CORRUPT;
    }
    return status;
}

static hm_status swap_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    swap_malloc *m = hm__swap_from(self);
    swap_block found;
    (void)alignment; /* what was asked for stands in the note */
    if (!block) {
        return HM_OK;
    }
    if (!hm__swap_find(m, block, &found)) {
        return free_unknown(m, block, site);
    }
    hm_malloc *inner = found.slot->inner;
    const int wrong = size != HM_SIZE_UNKNOWN && size != found.bytes;
    if (wrong && !(inner->flags & HM_MALLOC_DEBUG)) {
        return HM_E_SIZE;
    }
    hm__swap_note_spoil(block); /* freed twice it is not a block any more */
    const size_t room = size == HM_SIZE_UNKNOWN ? size
                        : wrong                 ? size + found.offset
                                : hm__swap_room(found.bytes, found.offset);
    const hm_status status = hm_free_at(
        inner, found.raw, room, found.offset > SWAP_NOTE_BYTES ? found.offset : 0, site);
    if (status == HM_OK || status == HM_E_CORRUPT) {
        discharge(m, found.bytes);
        if (m->counts) {
            add(&m->live_blocks, UINT64_MAX);
        }
        hm__swap_unpin(found.slot);
    } else {
        hm__swap_note_spoil(block);
    }
    return status;
}

static void swap_free(hm_malloc *self, void *block)
{
    if (block) {
        swap_debug_free(self, block, HM_SIZE_UNKNOWN, 0, NULL);
    }
}

static void swap_free_sized(hm_malloc *self, void *block, size_t size)
{
    if (block) {
        swap_debug_free(self, block, size, 0, NULL);
    }
}

/* On the host it was born on; NULL: refused, and the block is as it was. */
static void *resize(const swap_block *found, size_t size, hm_level level, hm_site *site)
{
    char *user = found->raw + found->offset;
    hm__swap_note_spoil(user);
    void *raw = hm_realloc_at(found->slot->inner, found->raw,
                              hm__swap_room(found->bytes, found->offset),
                              hm__swap_room(size, found->offset), level, site);
    if (!raw) {
        hm__swap_note_spoil(user);
        return NULL;
    }
    return hm__swap_note_write(found->slot, raw, size, found->offset);
}

/* To the present host, with the site it was born at. */
static void *
move(swap_malloc *m, const swap_block *found, size_t size, hm_level level, hm_site *site)
{
    char *user = found->raw + found->offset;
    hm_malloc *inner = found->slot->inner;
    hm_block known;
    if (!site && hm_describe(inner, found->raw, &known) == HM_OK) {
        site = (hm_site *)(uintptr_t)known.site;
    }
    const wish w = {size, 1, 0, level, site};
    char *moved = make(m, &w);
    if (!moved) {
        return NULL;
    }
    memcpy(moved, user, found->bytes < size ? found->bytes : size);
    hm__swap_note_spoil(user);
    hm_free_at(inner, found->raw, hm__swap_room(found->bytes, found->offset),
               found->offset > SWAP_NOTE_BYTES ? found->offset : 0, site);
    hm__swap_unpin(found->slot);
    return moved;
}

static void *swap_realloc(hm_malloc *self,
                          void *block,
                          size_t old_size,
                          size_t size,
                          hm_level level,
                          hm_site *site)
{
    swap_malloc *m = hm__swap_from(self);
    swap_block found;
    if (!block) {
        return swap_debug_alloc(self, size, level, site);
    }
    if (!hm__swap_find(m, block, &found) ||
        (old_size != HM_SIZE_UNKNOWN && old_size != found.bytes) ||
        size >= SIZE_MAX - found.offset) {
        return NULL;
    }
    const size_t more = size > found.bytes ? size - found.bytes : 0;
    if (m->host->watches) {
        hm__swap_look(core, m->host, 0);
    }
    if (more && !charge(m, more)) {
        return NULL;
    }
    const int stays = found.offset == SWAP_NOTE_BYTES &&
                      __atomic_load_n(&m->current, __ATOMIC_ACQUIRE) == found.slot;
    void *moved = stays ? NULL : move(m, &found, size, level, site);
    if (!moved && (stays || !more)) {
        moved = resize(&found, size, level, site);
    }
    if (!moved) {
        discharge(m, more);
        add(&m->failed, 1);
        return NULL;
    }
    discharge(m, found.bytes > size ? found.bytes - size : 0);
    count(m, size, 0);
    return moved;
}

static void swap_release(hm_malloc *self)
{
    swap_malloc *m = hm__swap_from(self);
    swap_host *host = m->host;
    if (__atomic_sub_fetch(&m->layer.references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    core->lock(&host->lock);
    if (m->previous) {
        m->previous->next = m->next;
    } else {
        host->mallocs = m->next;
    }
    if (m->next) {
        m->next->previous = m->previous;
    }
    core->unlock(&host->lock);
    hm__swap_slots_drop(m);
    core->memory_free(m, sizeof *m);
    hm_host_release(&host->layer.base);
}

void hm__swap_tables(const hm_core *from)
{
    core = from;
    malloc_vtbl = *core->malloc_basics;
    malloc_vtbl.retain = core->malloc_forward->retain;
    malloc_vtbl.release = swap_release;
    malloc_vtbl.alloc = swap_alloc;
    malloc_vtbl.free = swap_free;
    malloc_vtbl.free_sized = swap_free_sized;
    malloc_vtbl.debug_alloc = swap_debug_alloc;
    malloc_vtbl.debug_free = swap_debug_free;
    malloc_vtbl.realloc = swap_realloc;
    malloc_vtbl.alloc_zeroed = swap_alloc_zeroed;
    malloc_vtbl.alloc_aligned = swap_alloc_aligned;
    hm__swap_query_slots(core, &malloc_vtbl);
}

hm_status
hm__swap_inner(const swap_malloc *m, hm_host *host, hm_malloc **out, hm_error *err)
{
    const hm_malloc_opts opts = {sizeof opts, m->name, m->flags, 0, 0};
    hm_status status = host->vtbl->create_malloc(host, &opts, out, err);
    if (status == HM_OK) {
        status = core->malloc_validate(*out, err);
    }
    return status;
}

static void name_it(swap_malloc *m, const char *name)
{
    const size_t length = name ? strlen(name) : 0;
    memcpy(m->name, name ? name : "malloc",
           name ? (length < sizeof m->name ? length : sizeof m->name - 1) : 6);
}

/* The host's lock is held. */
static hm_status start(swap_malloc *m, swap_host *host, hm_error *err)
{
    hm_malloc *inner = NULL;
    const hm_status status = hm__swap_inner(m, host->now, &inner, err);
    if (status != HM_OK) {
        return status;
    }
    swap_slot *slot = hm__swap_slot_take(m, inner);
    if (!slot) {
        hm_malloc_release(inner);
        return core->error_set(err, HM_E_NOMEM, "layer:swap",
                               "no private memory for a malloc object");
    }
    slot->state = SLOT_CURRENT;
    m->current = slot;
    /* Sites go through where the first host wants them, and where it is known that another may come. */
    m->layer.base.flags |= inner->flags & HM_MALLOC_DEBUG;
    m->layer.base.flags |= host->to[0] || host->file[0] ? HM_MALLOC_DEBUG : 0;
    m->counts = m->limit || m->layer.base.flags & (HM_MALLOC_DEBUG | HM_MALLOC_EXACT);
    m->next = host->mallocs;
    if (host->mallocs) {
        host->mallocs->previous = m;
    }
    host->mallocs = m;
    return HM_OK;
}

/* A swap makes inner mallocs on the thread that asks for it, so none may be bound to its maker. */
hm_status hm__swap_create_malloc(hm_host *self,
                                 const hm_malloc_opts *opts,
                                 hm_malloc **out,
                                 hm_error *err)
{
    swap_host *host = (swap_host *)self; /* layer is the first member */
    hm_malloc_opts wanted;
    *out = NULL;
    hm_status status = core->malloc_opts_read(opts, ~0u, &wanted, err);
    if (status != HM_OK) {
        return status;
    }
    swap_malloc *m = core->memory_alloc(sizeof *m);
    if (!m) {
        return core->error_set(err, HM_E_NOMEM, "layer:swap",
                               "no private memory for a malloc object");
    }
    m->layer.base.vtbl = &malloc_vtbl;
    m->layer.base.flags = wanted.flags;
    m->layer.host = self;
    m->layer.references = 1;
    m->layer.bytes = sizeof *m;
    m->host = host;
    m->flags = wanted.flags & ~HM_MALLOC_ONE_THREAD;
    m->limit = wanted.limit;
    name_it(m, wanted.name);
    core->lock(&host->lock);
    status = start(m, host, err);
    core->unlock(&host->lock);
    if (status != HM_OK) {
        core->memory_free(m, sizeof *m);
        return status;
    }
    hm_host_retain(self);
    *out = &m->layer.base;
    return HM_OK;
}
