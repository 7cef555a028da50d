/* SPDX-License-Identifier: MIT */
/* Blocks of the wrapping malloc: how they are made, judged, moved and given back. */
#include "wrap_internal.h"

#include "assert_internal.h"
#include "lock_internal.h"
#include "memory_internal.h"
#include "os.h"

#include <errno.h>
#include <string.h>

/* A shrunk block stays where it is unless that would waste more than half of something this large. */
#define WASTE_FROM ((size_t)256)

hm__block_map hm__wrap_map;

void *hm__wrap_address(const hm__wrap_block *block)
{
    return (void *)((uintptr_t)block + sizeof(*block));
}

static hm__wrap_block *block_at(const void *address)
{
    return (hm__wrap_block *)((uintptr_t)address - sizeof(hm__wrap_block));
}

static void *source_alloc(hm__wrap_source *source, size_t bytes)
{
    const hm_allocator *allocator = &source->allocator;
    if (allocator->flags & HM_ALLOCATOR_THREADSAFE) {
        return allocator->alloc(allocator->context, bytes);
    }
    hm__lock(&source->lock);
    void *raw = allocator->alloc(allocator->context, bytes);
    hm__unlock(&source->lock);
    return raw;
}

static void source_release(hm__wrap_source *source, void *raw, size_t bytes)
{
    const hm_allocator *allocator = &source->allocator;
    const int kept = errno;
    if (allocator->flags & HM_ALLOCATOR_THREADSAFE) {
        allocator->release(allocator->context, raw, bytes);
    } else {
        hm__lock(&source->lock);
        allocator->release(allocator->context, raw, bytes);
        hm__unlock(&source->lock);
    }
    errno = kept;
}

/* Whoever lets go last frees the object: callers that released it while blocks live may still free those. */
void hm__wrap_let_go(hm__wrapped *m, size_t holds)
{
    if (__atomic_sub_fetch(&m->holds, holds, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    hm_host *host = m->host;
    hm__wrap_remove(m);
    hm__memory_free(m, sizeof(*m));
    hm_host_release(host);
}

/* Waiting is for a holder that is a few instructions from done, or was interrupted there. */
hm_status
hm__wrap_hold(const hm__wrapped *owner, const void *address, hm__wrap_block **out)
{
    for (unsigned tries = 0;
         !hm__block_map_claim(&hm__wrap_map, address, HM__WRAP_LIVE, HM__WRAP_HELD);
         tries++) {
        const unsigned state = hm__block_map_state(&hm__wrap_map, address);
        if (state == HM__WRAP_FREED || state == HM__WRAP_MOVING) {
            return HM_E_FREED;
        }
        if (state == 0) {
            return HM_E_NOT_OWNED;
        }
        if (tries >= 64) {
            hm__os_sleep_ns(1000);
        }
    }
    hm__wrap_block *block = block_at(address);
    if (owner && block->owner != owner) {
        hm__wrap_drop(block, HM__WRAP_LIVE);
        return HM_E_NOT_OWNED;
    }
    *out = block;
    return HM_OK;
}

void hm__wrap_drop(const hm__wrap_block *block, unsigned state)
{
    hm__block_map_set(&hm__wrap_map, hm__wrap_address(block), state);
}

/* The functions from here to make are called under the lock. */

static hm_status reserve(hm__wrapped *m, size_t bytes)
{
    if (m->closed) {
        m->stats.failed++;
        return HM_E_CLOSED;
    }
    if (m->limit && bytes > m->limit - ((size_t)m->stats.live_bytes + m->reserved)) {
        m->stats.denied++;
        m->stats.failed++;
        return HM_E_NOMEM;
    }
    m->reserved += m->limit ? bytes : 0;
    return HM_OK;
}

/* In the child of a fork nothing may be set aside any more for the thread that forked while allocating. */
static void unreserve(hm__wrapped *m, size_t bytes)
{
    m->reserved -= bytes < m->reserved ? bytes : m->reserved;
}

/* One more allocation of these bytes came about, in place or not. */
static void count_in(hm__wrapped *m, hm__wrap_block *block)
{
    m->stats.total_blocks++;
    m->stats.total_bytes += block->requested;
    m->stats.live_blocks++;
    m->stats.live_bytes += block->requested;
    m->stats.overhead_bytes += block->raw_bytes - block->requested;
    if (m->stats.live_bytes > m->stats.peak_bytes) {
        m->stats.peak_bytes = m->stats.live_bytes;
    }
    block->serial = m->stats.total_blocks;
}

static void count_out(hm__wrapped *m, const hm__wrap_block *block)
{
    m->stats.live_blocks--;
    m->stats.live_bytes -= block->requested;
    m->stats.overhead_bytes -= block->raw_bytes - block->requested;
}

static void put_in(hm__wrapped *m, hm__wrap_block *block)
{
    block->previous = NULL;
    block->next = m->blocks;
    if (m->blocks) {
        m->blocks->previous = block;
    }
    m->blocks = block;
    count_in(m, block);
    __atomic_fetch_add(&m->holds, 1, __ATOMIC_RELAXED);
    hm__wrap_drop(block, HM__WRAP_LIVE);
}

/* The hold that came with the block is the caller's to let go, once its memory is back. */
static void take_out(hm__wrapped *m, hm__wrap_block *block)
{
    if (block->next) {
        block->next->previous = block->previous;
    }
    *(block->previous ? &block->previous->next : &m->blocks) = block->next;
    count_out(m, block);
    hm__wrap_drop(block, HM__WRAP_FREED);
}

static void restate(hm__wrapped *m, hm__wrap_block *block, size_t size, uint32_t site)
{
    count_out(m, block);
    block->requested = size;
    block->site = site ? site : block->site;
    block->thread = hm__thread_id();
    count_in(m, block);
    hm__wrap_drop(block, HM__WRAP_LIVE);
}

/* Not under the lock: memory with a header that nobody knows of yet. */
static hm__wrap_block *make(hm__wrapped *m, size_t size, size_t alignment, uint32_t site)
{
    const size_t step = alignment > HM__WRAP_ALIGNMENT ? alignment : HM__WRAP_ALIGNMENT;
    const size_t slack = step - HM__WRAP_ALIGNMENT;
    const size_t usable = size ? size : 1;
    if (usable > SIZE_MAX - sizeof(hm__wrap_block) - slack) {
        return NULL;
    }
    const size_t bytes = sizeof(hm__wrap_block) + slack + usable;
    char *raw = source_alloc(m->source, bytes);
    if (!raw) {
        return NULL;
    }
    const uintptr_t first = (uintptr_t)raw + sizeof(hm__wrap_block);
    const size_t offset = (size_t)(0 - first) & (step - 1);
    /* An allocator that does not align as it must leaves no room for the last bytes. */
    if (offset > slack ||
        !hm__block_map_grow(&hm__wrap_map, (const void *)(first + offset))) {
        source_release(m->source, raw, bytes);
        return NULL;
    }
    hm__wrap_block *block = block_at((const void *)(first + offset));
    *block = (hm__wrap_block){.owner = m,
                              .requested = size,
                              .usable = usable,
                              .raw = raw,
                              .raw_bytes = bytes,
                              .site = site,
                              .thread = hm__thread_id()};
    return block;
}

static void unmake(hm__wrapped *m, hm__wrap_block *block)
{
    source_release(m->source, block->raw, block->raw_bytes);
}

hm_status
hm__wrap_get(hm__wrapped *m, size_t size, size_t alignment, hm_site *site, void **out)
{
    *out = NULL;
    hm_status status = HM_E_INVALID;
    hm__lock(&m->lock);
    if (alignment && !(alignment & (alignment - 1))) {
        status = reserve(m, size);
    } else {
        m->stats.failed++;
    }
    hm__unlock(&m->lock);
    if (status != HM_OK) {
        return status;
    }
    hm__wrap_block *block = make(m, size, alignment, hm_site_id(site));
    hm__lock(&m->lock);
    unreserve(m, size);
    if (block) {
        put_in(m, block);
    } else {
        m->stats.failed++;
    }
    hm__unlock(&m->lock);
    *out = block ? hm__wrap_address(block) : NULL;
    return block ? HM_OK : HM_E_NOMEM;
}

/* What a resize found and decided under the lock. */
typedef enum resize_way { RESIZE_REFUSED, RESIZE_DONE, RESIZE_MOVE } resize_way;

static resize_way resize_begin(hm__wrapped *m,
                               hm__wrap_block *block,
                               size_t size,
                               size_t alignment,
                               uint32_t site,
                               hm_status *status)
{
    const size_t grown = size > block->requested ? size - block->requested : 0;
    const int fits =
        size <= block->usable && !((uintptr_t)hm__wrap_address(block) & (alignment - 1));
    const int stays =
        fits && (m->closed || block->usable <= WASTE_FROM || size >= block->usable / 2);
    *status = grown || !stays ? reserve(m, grown) : HM_OK;
    if (*status != HM_OK) {
        hm__wrap_drop(block, HM__WRAP_LIVE);
        return RESIZE_REFUSED;
    }
    if (stays) {
        unreserve(m, grown);
        restate(m, block, size, site);
        return RESIZE_DONE;
    }
    hm__wrap_drop(block, HM__WRAP_MOVING);
    m->moving++;
    return RESIZE_MOVE;
}

/* Without a new block a shrink stays where it is, because it never fails. */
static hm_status resize_end(hm__wrapped *m,
                            hm__wrap_block *block,
                            hm__wrap_block *fresh,
                            size_t size,
                            size_t alignment,
                            uint32_t site)
{
    m->moving -= m->moving ? 1 : 0;
    unreserve(m, size > block->requested ? size - block->requested : 0);
    if (fresh) {
        take_out(m, block);
        put_in(m, fresh);
        return HM_OK;
    }
    if (size <= block->requested &&
        !((uintptr_t)hm__wrap_address(block) & (alignment - 1))) {
        restate(m, block, size, site);
        return HM_OK;
    }
    m->stats.failed++;
    hm__wrap_drop(block, HM__WRAP_LIVE);
    return HM_E_NOMEM;
}

hm_status hm__wrap_resize(hm__wrapped *m,
                          void *address,
                          size_t size,
                          size_t alignment,
                          hm_site *site,
                          void **out,
                          size_t *old_requested)
{
    *out = NULL;
    const int kept_errno = errno; /* this may free, and what frees leaves it alone */
    const uint32_t number = hm_site_id(site);
    hm__wrap_block *block = NULL;
    hm__lock(&m->lock);
    hm_status status = hm__wrap_hold(m, address, &block);
    if (status != HM_OK) {
        m->stats.failed++;
        hm__unlock(&m->lock);
        return status;
    }
    *old_requested = block->requested;
    const uint32_t born = number ? number : block->site;
    const resize_way way = resize_begin(m, block, size, alignment, born, &status);
    hm__unlock(&m->lock);
    if (way != RESIZE_MOVE) {
        *out = way == RESIZE_DONE ? address : NULL;
        return status;
    }
    hm__wrap_block *fresh = make(m, size, alignment, born);
    if (fresh) {
        memcpy(hm__wrap_address(fresh), address,
               size < *old_requested ? size : *old_requested);
    }
    hm__lock(&m->lock);
    status = resize_end(m, block, fresh, size, alignment, born);
    hm__unlock(&m->lock);
    if (fresh) {
        unmake(m, block);
        hm__wrap_let_go(m, 1);
        *out = hm__wrap_address(fresh);
    } else if (status == HM_OK) {
        *out = address;
    }
    errno = status == HM_OK ? kept_errno : errno;
    return status;
}

hm_status hm__wrap_put(hm__wrapped *m, void *address, size_t size)
{
    hm__wrap_block *block = NULL;
    hm__lock(&m->lock);
    hm_status status = hm__wrap_hold(m, address, &block);
    if (status == HM_OK && size != HM_SIZE_UNKNOWN && size != block->requested) {
        hm__wrap_drop(block, HM__WRAP_LIVE);
        status = HM_E_SIZE;
    }
    if (status == HM_OK) {
        take_out(m, block);
    }
    hm__unlock(&m->lock);
    if (status == HM_OK) {
        unmake(m, block);
        hm__wrap_let_go(m, 1);
    }
    return status;
}

/* A block that another thread is moving stays: it is in use against the contract, and is not pulled away. */
void hm__wrap_put_all(hm__wrapped *m)
{
    hm__wrap_block *taken = NULL;
    hm__lock(&m->lock);
    for (hm__wrap_block *next, *block = m->blocks; block; block = next) {
        next = block->next;
        if (hm__wrap_hold(m, hm__wrap_address(block), &block) == HM_OK) {
            take_out(m, block);
            block->next = taken;
            taken = block;
        }
    }
    hm__unlock(&m->lock);
    size_t holds = 0;
    while (taken) {
        hm__wrap_block *block = taken;
        taken = block->next;
        unmake(m, block);
        holds++;
    }
    hm__wrap_let_go(m, holds);
}
