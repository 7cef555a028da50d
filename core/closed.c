/* SPDX-License-Identifier: MIT */
/* Drained malloc objects: frees work, allocations do not. The table for one, and the ready-made close that
 * gives an object its table. */
#include "slots_internal.h"

#include "assert_internal.h"

#include <string.h>

static void *closed_alloc(hm_malloc *self, size_t size, hm_level level)
{
    (void)self;
    (void)size;
    (void)level;
    return NULL;
}

static void *
closed_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    (void)self;
    (void)size;
    (void)level;
    (void)site;
    return NULL;
}

/* Shrinking is no allocation, and runtimes that tear down do not expect it to fail. An object that checks sizes
   would go on expecting the old one when the block is freed, so there the caller has to know. */
static void *closed_realloc(hm_malloc *self,
                            void *block,
                            size_t old_size,
                            size_t size,
                            hm_level level,
                            hm_site *site)
{
    (void)level;
    (void)site;
    if (!block || (self->flags & HM_MALLOC_DEBUG)) {
        return NULL;
    }
    const size_t known = old_size == HM_SIZE_UNKNOWN ? hm_size_of(self, block) : old_size;
    return size <= known ? block : NULL;
}

static void *closed_alloc_more(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    (void)self;
    (void)count;
    (void)size;
    (void)level;
    (void)site;
    return NULL;
}

static hm_status closed_request(hm_malloc *self, const hm_request *request, void **out)
{
    (void)self;
    (void)request;
    if (!out) {
        return HM_E_INVALID;
    }
    *out = NULL;
    return HM_E_CLOSED;
}

static void closed_close(hm_malloc *self)
{
    (void)self;
}

/* The storage of closed is as large as whoever calls compiled the table, which is live's size. */
void hm__malloc_closed(const hm_malloc_vtbl *live, hm_malloc_vtbl *closed)
{
    const size_t bytes = live->size < sizeof(*closed) ? live->size : sizeof(*closed);
    memcpy(closed, live, bytes);
    closed->size = bytes;
    closed->alloc = closed_alloc;
    closed->debug_alloc = closed_debug_alloc;
    closed->realloc = closed_realloc;
    closed->alloc_zeroed = closed_alloc_more;
    closed->alloc_aligned = closed_alloc_more;
    closed->request = closed_request;
    closed->close = closed_close;
}

/* Drained tables made by the ready-made close: kept for good, because objects point at them, and found by
 * content, so there are only as many as there are kinds of object. One that is being filled is passed over; at
 * worst the same table is made twice. No lock, so nothing to mend in the child of a fork. */
#define CLOSED_KINDS   64
#define CLOSED_EMPTY   0u
#define CLOSED_FILLING 1u
#define CLOSED_READY   2u

typedef void *realloc_fn(hm_malloc *self,
                         void *block,
                         size_t old_size,
                         size_t size,
                         hm_level level,
                         hm_site *site);

typedef struct closed_kind {
    hm_malloc_vtbl table; /* first, so that a table leads to its kind */
    realloc_fn *live_realloc;
} closed_kind;

static closed_kind kinds[CLOSED_KINDS];
static uint32_t kind_states[CLOSED_KINDS]; /* atomic */

/* What an object that records sizes was asked for; a block that it does not know is for its own realloc to judge. */
static size_t recorded_size(hm_malloc *self, const void *block)
{
    hm_block seen;
    const hm_status status = hm_describe(self, block, &seen);
    if (status == HM_OK) {
        return seen.requested;
    }
    return status == HM_E_UNSUPPORTED ? hm_size_of(self, block) : SIZE_MAX;
}

/* As closed_realloc, but done by the object's own, which keeps its records right. */
static void *drained_realloc(hm_malloc *self,
                             void *block,
                             size_t old_size,
                             size_t size,
                             hm_level level,
                             hm_site *site)
{
    const closed_kind *kind = (const closed_kind *)HM_LOAD(self->vtbl);
    HM_ASSERT(kind >= kinds && kind < kinds + CLOSED_KINDS);
    if (!block ||
        size > (old_size == HM_SIZE_UNKNOWN ? recorded_size(self, block) : old_size)) {
        return NULL;
    }
    return kind->live_realloc(self, block, old_size, size, level, site);
}

#if defined(__GNUC__)
/* Callers reach a table through a relaxed load and the address it gave, an order every processor we build for
 * keeps and race detectors do not model. */
__attribute__((noinline, no_sanitize("thread")))
#endif
static void
kind_fill(closed_kind *to, const closed_kind *from)
{
    volatile uintptr_t *words = (volatile uintptr_t *)to; /* so that it stays a loop */
    for (size_t i = 0; i < sizeof(*to) / sizeof(*words); i++) {
        uintptr_t word;
        memcpy(&word, (const char *)from + i * sizeof(word), sizeof(word));
        words[i] = word;
    }
}

static const hm_malloc_vtbl *closed_table_of(const hm_malloc_vtbl *live)
{
    if (live->realloc == drained_realloc) {
        return live;
    }
    closed_kind wanted;
    hm__malloc_closed(live, &wanted.table);
    wanted.table.realloc = drained_realloc;
    wanted.live_realloc = live->realloc;
    for (size_t i = 0; i < CLOSED_KINDS; i++) {
        uint32_t state = CLOSED_EMPTY;
        if (__atomic_compare_exchange_n(&kind_states[i], &state, CLOSED_FILLING, 0,
                                        __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
            kind_fill(&kinds[i], &wanted);
            __atomic_store_n(&kind_states[i], CLOSED_READY, __ATOMIC_RELEASE);
            return &kinds[i].table;
        }
        if (state == CLOSED_READY && memcmp(&kinds[i], &wanted, sizeof(wanted)) == 0) {
            return &kinds[i].table;
        }
    }
    return NULL;
}

/* A process with more kinds of object than there is room for leaves the rest open; such a host makes its own
 * tables with hm__malloc_closed. */
void hm__malloc_close(hm_malloc *self)
{
    const hm_malloc_vtbl *closed = closed_table_of(HM_LOAD(self->vtbl));
    if (closed) {
        __atomic_store_n(&self->vtbl, closed, __ATOMIC_RELEASE);
    }
}
