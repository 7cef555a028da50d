/* SPDX-License-Identifier: MIT */
/* The way of a block through the limit layer.
 *
 * A free must know how many bytes were asked for. The debug host remembers that itself ("describe"); over every
 * other host this layer keeps 16 bytes before the block:
 *
 *     inner block: note | ... | note | user's bytes        one note where the alignment is the usual one
 *                  ^raw             ^raw + offset
 *
 * The note stands at the start of the inner block, so that a walk finds it, and before the user's bytes, so that a
 * free does; offset is the alignment, so that an exact host can be asked whose a pointer is without reading it. */
#include "limit_internal.h"

#include <stddef.h>
#include <string.h>

#define NOTE_BYTES 16u

typedef struct note {
    uint64_t bytes;  /* requested */
    uint64_t offset; /* of the user's bytes from the inner block's start */
} note;

_Static_assert(sizeof(note) == NOTE_BYTES, "keeps the usual alignment");

typedef struct limit_malloc {
    hm_layer_malloc layer;
    limit_host *host;
    limit_budget *budget; /* own, if it has a line, else the host's */
    limit_budget own;
    int keeps_notes;
    uint64_t live_blocks; /* atomic, as all below */
    uint64_t live_bytes;
    uint64_t peak_bytes;
    uint64_t total_blocks;
    uint64_t total_bytes;
    uint64_t denied;
    uint64_t failed;
} limit_malloc;

static const hm_core *core;
static hm_malloc_vtbl malloc_vtbl;

static limit_malloc *limit_from(hm_malloc *self)
{
    return (limit_malloc *)self; /* layer is the first member, base is its first */
}

static const hm_malloc_vtbl *table_of(const hm_malloc *m)
{
    return HM_LOAD(m->vtbl);
}

static uint64_t add(uint64_t *counter, uint64_t amount)
{
    return __atomic_add_fetch(counter, amount, __ATOMIC_RELAXED);
}

/* 1 when the lines allow it, at once or after a subscriber gave something back. */
static int charge(limit_malloc *m, size_t bytes, hm_level level)
{
    if (!hm__limit_charge(core, m->budget, bytes, level)) {
        return 1;
    }
    if (hm__limit_refused(core, m->host) > 0 &&
        !hm__limit_charge(core, m->budget, bytes, level)) {
        return 1;
    }
    add(&m->denied, 1);
    add(&m->failed, 1);
    return 0;
}

static void discharge(limit_malloc *m, size_t bytes)
{
    hm__limit_discharge(m->budget, bytes);
    hm__limit_fell(core, m->host);
}

/* A charge whose block did not come. */
static void *give_up(limit_malloc *m, size_t bytes)
{
    discharge(m, bytes);
    add(&m->failed, 1);
    add(&m->host->failed, 1);
    return NULL;
}

/* A block of bytes came, or took the place of one of instead_of bytes. */
static void count_born(limit_malloc *m, size_t bytes, size_t instead_of)
{
    const uint64_t live = add(&m->live_bytes, (uint64_t)bytes - instead_of);
    add(&m->total_blocks, 1);
    add(&m->total_bytes, bytes);
    uint64_t peak = hm__limit_load(&m->peak_bytes);
    while (live > peak &&
           !__atomic_compare_exchange_n(&m->peak_bytes, &peak, live, 1, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
    if (bytes > instead_of) {
        hm__limit_rose(core, m->host);
    }
}

static void count_dead(limit_malloc *m, size_t bytes)
{
    add(&m->live_bytes, 0 - (uint64_t)bytes);
    add(&m->live_blocks, UINT64_MAX);
    discharge(m, bytes);
}

static void *note_write(void *raw, size_t bytes, size_t offset)
{
    const note written = {bytes, offset};
    char *user = (char *)raw + offset;
    memcpy(raw, &written, sizeof written);
    memcpy(user - NOTE_BYTES, &written, sizeof written);
    return user;
}

static note note_read(const void *user)
{
    note found;
    memcpy(&found, (const char *)user - NOTE_BYTES, sizeof found);
    return found;
}

/* The inner block's start. An exact host says which of the possible starts is one before anything is read. */
static void *raw_of(limit_malloc *m, const void *user)
{
    const uintptr_t address = (uintptr_t)user;
    if (!(m->layer.base.flags & HM_MALLOC_DEBUG)) {
        return (void *)(address - (uintptr_t)note_read(user).offset);
    }
    for (uintptr_t offset = NOTE_BYTES; offset <= address / 2; offset *= 2) {
        void *raw = (void *)(address - offset);
        note found;
        if (address % offset == 0 && hm_owns(m->layer.inner, raw) == 1) {
            memcpy(&found, raw, sizeof found);
            if (found.offset == offset) {
                return raw;
            }
        }
    }
    return (void *)(address -
                    NOTE_BYTES); /* whatever it is: the host underneath says so */
}

/* Bytes asked for, when the block is one; the host that describes decides. */
static int block_bytes(limit_malloc *m, const void *user, size_t *bytes)
{
    if (m->keeps_notes) {
        const void *raw = raw_of(m, user);
        if (m->layer.base.flags & HM_MALLOC_DEBUG && hm_owns(m->layer.inner, raw) != 1) {
            return 0;
        }
        *bytes = (size_t)note_read(user).bytes;
        return 1;
    }
    hm_block found;
    const int known = hm_describe(m->layer.inner, user, &found) == HM_OK &&
                      found.state == HM_BLOCK_LIVE;
    *bytes = known ? found.requested : 0;
    return known;
}

/* With a note in front a block of zero bytes gets one: usable bytes are 0 for NULL only. */
static size_t inner_bytes(size_t bytes, size_t offset)
{
    return offset && bytes == 0 ? offset + 1 : bytes + offset;
}

static void *
take(limit_malloc *m, size_t bytes, size_t alignment, hm_level level, hm_site *site)
{
    hm_malloc *inner = m->layer.inner;
    const size_t offset = !m->keeps_notes          ? 0
                          : alignment > NOTE_BYTES ? alignment
                                                   : NOTE_BYTES;
    if (bytes > SIZE_MAX - offset) {
        add(&m->failed, 1);
        return NULL;
    }
    if (!charge(m, bytes, level)) {
        return NULL;
    }
    const size_t room = inner_bytes(bytes, offset);
    void *raw = alignment > NOTE_BYTES
                    ? hm_alloc_aligned_at(inner, room, alignment, level, site)
                    : hm_alloc_at(inner, room, level, site);
    if (!raw) {
        return give_up(m, bytes);
    }
    add(&m->live_blocks, 1);
    count_born(m, bytes, 0);
    return m->keeps_notes ? note_write(raw, bytes, offset) : raw;
}

static void *limit_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return take(limit_from(self), size, 1, level, NULL);
}

static void *
limit_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    return take(limit_from(self), size, 1, level, site);
}

static void *limit_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    if (alignment == 0 || (alignment & (alignment - 1))) {
        return NULL;
    }
    return take(limit_from(self), size, alignment, level, site);
}

static hm_status limit_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    limit_malloc *m = limit_from(self);
    hm_malloc *inner = m->layer.inner;
    size_t bytes = 0;
    if (!block) {
        return HM_OK;
    }
    const int known = block_bytes(m, block, &bytes);
    void *raw = block;
    if (m->keeps_notes) {
        raw = known ? raw_of(m, block) : (char *)block - NOTE_BYTES;
        if (known && size != HM_SIZE_UNKNOWN && size != bytes) {
            return HM_E_SIZE;
        }
        size = HM_SIZE_UNKNOWN;
        alignment = 0;
    }
    const hm_status status = hm_free_at(inner, raw, size, alignment, site);
    if (known && (status == HM_OK || status == HM_E_CORRUPT)) {
        count_dead(m, bytes);
    }
    return status;
}

static void limit_free(hm_malloc *self, void *block)
{
    limit_debug_free(self, block, HM_SIZE_UNKNOWN, 0, NULL);
}

static void limit_free_sized(hm_malloc *self, void *block, size_t size)
{
    limit_debug_free(self, block, size, 0, NULL);
}

/* Moves the count from before to after around the inner realloc; a shrink asks nobody. */
static void *limit_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    limit_malloc *m = limit_from(self);
    size_t before;
    if (!block) {
        return take(m, size, 1, level, site);
    }
    if (!block_bytes(m, block, &before)) {
        return m->keeps_notes
                   ? NULL
                   : hm_realloc_at(m->layer.inner, block, old_size, size, level, site);
    }
    if (m->keeps_notes && note_read(block).offset != NOTE_BYTES) {
        /* Over-aligned: the way of a new block, which the caller may expect no alignment of. */
        return core->malloc_basics->realloc(self, block, before, size, level, site);
    }
    const size_t head = m->keeps_notes ? NOTE_BYTES : 0;
    const size_t more = size > before ? size - before : 0;
    if (size > SIZE_MAX - head || (more && !charge(m, more, level))) {
        return NULL;
    }
    void *raw = hm_realloc_at(m->layer.inner, (char *)block - head,
                              m->keeps_notes ? inner_bytes(before, head) : old_size,
                              inner_bytes(size, head), level, site);
    if (!raw) {
        return more ? give_up(m, more) : NULL;
    }
    count_born(m, size, before);
    if (before > size) {
        discharge(m, before - size);
    }
    return m->keeps_notes ? note_write(raw, size, NOTE_BYTES) : raw;
}

static size_t limit_size_of(hm_malloc *self, const void *block)
{
    limit_malloc *m = limit_from(self);
    if (!block || !m->keeps_notes) {
        return hm_size_of(m->layer.inner, block);
    }
    void *raw = raw_of(m, block);
    return hm_size_of(m->layer.inner, raw) - (size_t)((const char *)block - (char *)raw);
}

static int limit_owns(hm_malloc *self, const void *block)
{
    limit_malloc *m = limit_from(self);
    if (!m->keeps_notes || !block) {
        return hm_owns(m->layer.inner, block);
    }
    if (!(self->flags & HM_MALLOC_DEBUG)) {
        return -1; /* asking would mean to read before a pointer that may be anybody's */
    }
    return hm_owns(m->layer.inner, raw_of(m, block));
}

/* From the inner block's figures to the user's; the inner block is live, so its note can be read. */
static void without_note(hm_block *block)
{
    note found;
    memcpy(&found, block->address, sizeof found);
    block->address = (const char *)block->address + found.offset;
    block->requested = (size_t)found.bytes;
    block->usable -= (size_t)found.offset;
}

static hm_status limit_describe(hm_malloc *self, const void *block, hm_block *out)
{
    limit_malloc *m = limit_from(self);
    hm_malloc *inner = m->layer.inner;
    if (!m->keeps_notes) {
        return table_of(inner)->describe(inner, block, out);
    }
    if (!(self->flags & HM_MALLOC_DEBUG)) {
        return HM_E_UNSUPPORTED;
    }
    const hm_status status = table_of(inner)->describe(inner, raw_of(m, block), out);
    if (status == HM_OK && out->state == HM_BLOCK_LIVE) {
        without_note(out);
    }
    return status;
}

typedef struct walk_on {
    hm_visit *visit;
    void *context;
} walk_on;

static int visit_without_note(void *context, const hm_block *block)
{
    const walk_on *on = context;
    hm_block shown = *block;
    without_note(&shown);
    return on->visit(on->context, &shown);
}

static hm_status limit_walk(hm_malloc *self, hm_visit *visit, void *context)
{
    limit_malloc *m = limit_from(self);
    walk_on on = {visit, context};
    return m->keeps_notes ? hm_walk(m->layer.inner, visit_without_note, &on)
                          : hm_walk(m->layer.inner, visit, context);
}

static hm_status limit_stats(hm_malloc *self, hm_stats *out)
{
    const limit_malloc *m = limit_from(self);
    const hm_stats counted = {.size = out->size,
                              .live_blocks = hm__limit_load(&m->live_blocks),
                              .live_bytes = hm__limit_load(&m->live_bytes),
                              .peak_bytes = hm__limit_load(&m->peak_bytes),
                              .total_blocks = hm__limit_load(&m->total_blocks),
                              .total_bytes = hm__limit_load(&m->total_bytes),
                              .denied = hm__limit_load(&m->denied),
                              .failed = hm__limit_load(&m->failed)};
    memcpy(out, &counted, out->size < sizeof counted ? out->size : sizeof counted);
    return HM_OK;
}

/* The host underneath has freed every block. */
static void all_dead(limit_malloc *m)
{
    const uint64_t bytes = __atomic_exchange_n(&m->live_bytes, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&m->live_blocks, 0, __ATOMIC_RELAXED);
    discharge(m, (size_t)bytes);
}

static hm_status limit_reset(hm_malloc *self)
{
    limit_malloc *m = limit_from(self);
    const hm_status status = hm_malloc_reset(m->layer.inner);
    if (status == HM_OK) {
        all_dead(m);
    }
    return status;
}

/* Blocks that outlive an object that is not scoped stay charged: they are still there. */
static void limit_release(hm_malloc *self)
{
    limit_malloc *m = limit_from(self);
    if (__atomic_sub_fetch(&m->layer.references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    hm_malloc_release(m->layer.inner);
    if (self->flags & HM_MALLOC_SCOPED) {
        all_dead(m);
    }
    hm_host *host = m->layer.host;
    core->memory_free(m, sizeof *m);
    hm_host_release(host);
}

/* Drained at both ends: the inner one refuses, this one knows why. */
static void limit_close(hm_malloc *self)
{
    hm_malloc_close(limit_from(self)->layer.inner);
    (core->malloc_basics->close)(self);
}

static hm_status limit_find(hm_malloc *self, const char *name, void **out)
{
    if (name && out && strcmp(name, "limit") == 0) {
        *out = &limit_from(self)->host->questions;
        return HM_OK;
    }
    return hm_malloc_find(limit_from(self)->layer.inner, name, out);
}

void hm__limit_tables(const hm_core *from)
{
    core = from;
    malloc_vtbl = *core->malloc_basics;
    malloc_vtbl.retain = core->malloc_forward->retain;
    malloc_vtbl.trim = core->malloc_forward->trim;
    malloc_vtbl.close = limit_close;
    malloc_vtbl.release = limit_release;
    malloc_vtbl.alloc = limit_alloc;
    malloc_vtbl.free = limit_free;
    malloc_vtbl.free_sized = limit_free_sized;
    malloc_vtbl.debug_alloc = limit_debug_alloc;
    malloc_vtbl.debug_free = limit_debug_free;
    malloc_vtbl.realloc = limit_realloc;
    malloc_vtbl.alloc_aligned = limit_alloc_aligned;
    malloc_vtbl.size_of = limit_size_of;
    malloc_vtbl.owns = limit_owns;
    malloc_vtbl.describe = limit_describe;
    malloc_vtbl.walk = limit_walk;
    malloc_vtbl.stats = limit_stats;
    malloc_vtbl.reset = limit_reset;
    malloc_vtbl.find = limit_find;
}

hm_status hm__limit_create_malloc(hm_host *self,
                                  const hm_malloc_opts *opts,
                                  hm_malloc **out,
                                  hm_error *err)
{
    limit_host *host = (limit_host *)self; /* layer is the first member */
    hm_host *below = host->layer.inner;
    hm_malloc_opts wanted;
    void *debug;
    *out = NULL;
    hm_status status = core->malloc_opts_read(opts, ~0u, &wanted, err);
    if (status != HM_OK) {
        return status;
    }
    const uint64_t line =
        wanted.limit && host->per_malloc && host->per_malloc < wanted.limit
            ? host->per_malloc
        : wanted.limit ? wanted.limit
                       : host->per_malloc;
    wanted.limit = 0; /* is drawn here, where it is not counted twice */
    limit_malloc *m = core->memory_alloc(sizeof *m);
    hm_malloc *inner = NULL;
    if (!m) {
        return core->error_set(err, HM_E_NOMEM, "layer:limit", "no private memory");
    }
    status = below->vtbl->create_malloc(below, &wanted, &inner, err);
    if (status == HM_OK) {
        status = core->malloc_validate(inner, err);
    }
    if (status != HM_OK) {
        core->memory_free(m, sizeof *m);
        return status;
    }
    hm_layer_malloc_init(&m->layer, &malloc_vtbl, inner, self, sizeof *m);
    m->host = host;
    m->keeps_notes = hm_host_find(below, "debug", &debug) != HM_OK;
    m->budget = &host->budget;
    if (line) {
        m->own.hard = line;
        m->own.parent = &host->budget;
        limit_budget *top = host->budget.parent ? host->budget.parent : &host->budget;
        __atomic_store_n(&top->nested, 1, __ATOMIC_RELEASE);
        m->budget = &m->own;
    }
    *out = &m->layer.base;
    return HM_OK;
}
