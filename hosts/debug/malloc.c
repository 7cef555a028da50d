/* SPDX-License-Identifier: MIT */
/* The hot path: allocate and free the common block (a known site, less than 4 GiB, ordinary alignment, a thread
 * that was here before, edges intact). Whatever is not common goes to slow.c, which does all of it again.
 *
 * An unsynchronised malloc touches one line of the object, one of its book, one of the site's tally, the
 * block's edges and a byte of the map, and no atomic. A thread-safe one finds its thread's book, and a free
 * claims the block with one compare-exchange, so that of racing frees exactly one wins. */
#include "debug_internal.h"

#include "fill_internal.h"
#include "ledger_internal.h"
#include "quarantine_internal.h"

DEBUG_INLINE debug_book *
book_of(const debug_malloc *m, const debug_thread *me, const int shared)
{
    if (!shared) {
        return m->book;
    }
    return m->number < me->book_count ? me->books[m->number] : NULL;
}

/* Who is inside is a plain word: two threads that overlap are seen nearly always, and nobody pays for a lock. */
DEBUG_INLINE void
enter(debug_malloc *m, const debug_thread *me, hm_site *site, const int shared)
{
    if (!shared) {
        if (DEBUG_RARE(DEBUG_GET(m->inside) != 0)) {
            hm__debug_overlap(m, site);
        }
        DEBUG_SET(m->inside, me->id);
        DEBUG_SET(m->inside_site, site);
    }
}

DEBUG_INLINE void leave(debug_malloc *m, const int shared)
{
    if (!shared) {
        DEBUG_SET(m->inside, 0);
    }
}

DEBUG_INLINE void *alloc_common(
    debug_malloc *m, size_t size, hm_level level, hm_site *site, const int shared)
{
    debug_thread *me = hm__debug_me;
    uint32_t id = 0;
    if (site) {
        id = DEBUG_GET(site->id);
        if (DEBUG_RARE(id - 1 >= DEBUG_SITE_MAX)) {
            goto slow;
        }
    }
    if (DEBUG_RARE(!me) || DEBUG_RARE(size >= DEBUG_LONG)) {
        goto slow;
    }
    debug_book *book = book_of(m, me, shared);
    if (shared && DEBUG_RARE(!book)) {
        goto slow;
    }
    debug_tally *tally = hm__debug_tally(book, id);
    if (DEBUG_RARE(!tally)) {
        goto slow;
    }
    if (DEBUG_RARE(shared ? m->limit != DEBUG_NO_LIMIT
                          : (uint64_t)book->live + size > m->limit)) {
        goto slow;
    }
    enter(m, me, site, shared);
    const uint64_t low = size | (uint64_t)id << 32 | me->low;
    hm_malloc *inner = m->inner;
    size_t whole = size + DEBUG_EDGE_BYTES;
    whole = whole < DEBUG_BLOCK_MIN ? DEBUG_BLOCK_MIN : whole;
    debug_header *header = (HM_LOAD(inner->vtbl)->alloc)(inner, whole, level);
    void *block = header + 1;
    uint8_t *state = header ? hm__block_map_byte(&hm__debug.map, block) : NULL;
    if (DEBUG_RARE(!state)) {
        state = hm__debug_state_make(m, header, whole);
        if (!state) {
            leave(m, shared);
            return NULL;
        }
    }
    const uint64_t serial = hm__debug_count_alloc(book, tally, size, shared);
    const uint64_t high = m->high | (serial & DEBUG_SERIAL_MAX) << 16;
    const uint64_t hash = hm__debug_mix(block, low, high);
    hm__debug_fill(block, size, DEBUG_FRESH, m->fill);
    hm__debug_store(&header->low, low);
    hm__debug_store(&header->high, hm__debug_sealed(high, hash));
    hm__debug_rear_store(block, size, hm__debug_rear(hash));
    __atomic_store_n(state, hm__block_map_value(block, DEBUG_LIVE), __ATOMIC_RELEASE);
    leave(m, shared);
    return block;
slow:
    return hm__debug_alloc_slow(m, size, 16, level, site, 0);
}

DEBUG_INLINE hm_status free_common(debug_malloc *m,
                                   void *block,
                                   size_t size,
                                   size_t alignment,
                                   hm_site *site,
                                   const int shared)
{
    if (!block) {
        return HM_OK;
    }
    int claimed = 0;
    debug_thread *me = hm__debug_me;
    uint32_t id = 0;
    if (site) {
        id = DEBUG_GET(site->id);
        if (DEBUG_RARE(id - 1 >= DEBUG_SITE_MAX)) {
            goto slow;
        }
    }
    if (DEBUG_RARE(!me)) {
        goto slow;
    }
    debug_book *book = book_of(m, me, shared);
    if (shared && DEBUG_RARE(!book)) {
        goto slow;
    }
    if (DEBUG_RARE((uintptr_t)block & 15) || DEBUG_RARE(alignment > 16)) {
        goto slow;
    }
    uint8_t *state = hm__block_map_byte(&hm__debug.map, block);
    if (DEBUG_RARE(!state)) {
        goto slow;
    }
    const unsigned live = (DEBUG_LIVE << 1) + ((uintptr_t)block >> 4 & 1);
    const unsigned freed = live + ((DEBUG_FREED - DEBUG_LIVE) << 1);
    if (DEBUG_RARE(DEBUG_GET(*state) != live)) {
        goto slow;
    }
    if (shared) {
        uint8_t expected = (uint8_t)live;
        if (DEBUG_RARE(m->limit != DEBUG_NO_LIMIT)) {
            goto slow;
        }
        if (DEBUG_RARE(!__atomic_compare_exchange_n(state, &expected, (uint8_t)freed, 0,
                                                    __ATOMIC_ACQ_REL,
                                                    __ATOMIC_RELAXED))) {
            goto slow;
        }
        claimed = 1;
    }
    const debug_header *header = hm__debug_header(block);
    const uint64_t low = hm__debug_load(&header->low);
    const uint64_t high = hm__debug_load(&header->high);
    const uint64_t hash = hm__debug_mix(block, low, high);
    const size_t bytes = hm__debug_low_size(low);
    if (DEBUG_RARE(hm__debug_seal_of(high) != hm__debug_seal(hash)) ||
        DEBUG_RARE((uint16_t)high != (uint16_t)m->high) ||
        DEBUG_RARE(bytes > DEBUG_HELD_SMALL)) {
        goto slow;
    }
    if (DEBUG_RARE(hm__debug_rear_load(block, bytes) != hm__debug_rear(hash)) ||
        DEBUG_RARE(size != bytes && size != HM_SIZE_UNKNOWN)) {
        goto slow;
    }
    debug_tally *tally = hm__debug_tally(book, hm__debug_low_site(low));
    if (DEBUG_RARE(!tally)) {
        goto slow;
    }
    enter(m, me, site, shared);
    if (!shared) {
        DEBUG_SET(*state, (uint8_t)freed);
    }
    hm__debug_count_free(book, tally, bytes, shared);
    hm__debug_fill(block, bytes, DEBUG_STALE, m->fill);
    const uint64_t epitaph = hm__debug_epitaph(hash, id, me->low);
    hm__debug_rear_store(block, bytes, epitaph);
    hm__debug_hold(book, block, state, bytes, epitaph);
    leave(m, shared);
    return HM_OK;
slow:
    return hm__debug_free_slow(m, block, size, alignment, site, claimed);
}

#define SLOTS(name, shared)                                                             \
    static void *name##_debug_alloc(hm_malloc *self, size_t size, hm_level level,       \
                                    hm_site *site)                                      \
    {                                                                                   \
        return alloc_common(hm__debug_from(self), size, level, site, shared);           \
    }                                                                                   \
    static void *name##_alloc(hm_malloc *self, size_t size, hm_level level)             \
    {                                                                                   \
        return alloc_common(hm__debug_from(self), size, level, NULL, shared);           \
    }                                                                                   \
    static hm_status name##_debug_free(hm_malloc *self, void *block, size_t size,       \
                                       size_t alignment, hm_site *site)                 \
    {                                                                                   \
        return free_common(hm__debug_from(self), block, size, alignment, site, shared); \
    }                                                                                   \
    static void name##_free(hm_malloc *self, void *block)                               \
    {                                                                                   \
        free_common(hm__debug_from(self), block, HM_SIZE_UNKNOWN, 0, NULL, shared);     \
    }                                                                                   \
    static void name##_free_sized(hm_malloc *self, void *block, size_t size)            \
    {                                                                                   \
        free_common(hm__debug_from(self), block, size, 0, NULL, shared);                \
    }

SLOTS(serial, 0)
SLOTS(shared, 1)

static void *
alloc_zeroed(hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    /* An overflowing product is refused like any other size there is no block for. */
    const size_t bytes = size && count > SIZE_MAX / size ? SIZE_MAX : count * size;
    return hm__debug_alloc_slow(hm__debug_from(self), bytes, 16, level, site, 1);
}

static void *alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    return hm__debug_alloc_slow(hm__debug_from(self), size, alignment, level, site, 0);
}

static hm_status request(hm_malloc *self, const hm_request *asked, void **out)
{
    return hm__debug.core->malloc_basics->request(self, asked, out);
}

#define TABLE(name)                                                                      \
    {                                                                                    \
        .size = sizeof(hm_malloc_vtbl), .retain = hm__debug_malloc_retain,               \
        .release = hm__debug_malloc_release, .alloc = name##_alloc, .free = name##_free, \
        .free_sized = name##_free_sized, .debug_alloc = name##_debug_alloc,              \
        .debug_free = name##_debug_free, .realloc = hm__debug_realloc,                   \
        .alloc_zeroed = alloc_zeroed, .alloc_aligned = alloc_aligned,                    \
        .request = request, .size_of = hm__debug_size_of,                                \
        .good_size = hm__debug_good_size, .owns = hm__debug_owns,                        \
        .describe = hm__debug_describe_block, .walk = hm__debug_walk,                    \
        .stats = hm__debug_stats, .trim = hm__debug_malloc_trim,                         \
        .reset = hm__debug_malloc_reset, .close = hm__debug_malloc_close,                \
        .find = hm__debug_find,                                                          \
    }

const hm_malloc_vtbl hm__debug_tables[2] = {TABLE(serial), TABLE(shared)};
