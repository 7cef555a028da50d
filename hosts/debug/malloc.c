/* SPDX-License-Identifier: MIT */
/* The hot path: allocate and free the common block (a known site, not large, ordinary alignment, a thread that
 * was here before, edges intact). Whatever is not common goes to slow.c, which does all of it again.
 *
 * A call touches one line of the thread, one of the object, one of the book, one of the site's tally, the block's edges
 * and a byte of the map, and no atomic but one: a free on a thread-safe malloc claims the block with a
 * compare-exchange, so that of racing frees exactly one wins. Each mode has tables of its own, from the same lines (see
 * hot_internal.h). */
#include "finding_internal.h"
#include "hot_internal.h"

DEBUG_INLINE void *alloc_common(
    debug_malloc *m, size_t size, hm_level level, hm_site *site, const unsigned how)
{
    const int shared = (how & HOW_SHARED) != 0;
    const size_t edge = hm__debug_how_edge(m, how);
    const debug_here *here = &hm__debug_here;
    const uint32_t id = hm__debug_site_quick(site);
    if (DEBUG_RARE(DEBUG_GET(here->malloc) != m) || DEBUG_RARE(id > DEBUG_SITE_MAX)) {
        return hm__debug_alloc_rare(m, size, level, site);
    }
    debug_book *book = here->book;
    debug_tally *tally = hm__debug_tally(book, id);
    if (DEBUG_RARE(!tally) || DEBUG_RARE(size > (uint64_t)book->room) ||
        hm__debug_is_entered(m, shared)) {
        return hm__debug_alloc_rare(m, size, level, site);
    }
    hm__debug_enter(m, here, site, shared);
    /* Counted first, so that two words are all that is kept over the call. */
    const uint64_t serial = hm__debug_count_alloc(book, tally, size);
    const uint64_t low = (uint64_t)id << 32 | here->low | size;
    const uint64_t high = m->high | (serial & DEBUG_SERIAL_MAX) << 16;
    hm_malloc *inner = m->inner;
    debug_header *header = (HM_LOAD(inner->vtbl)->alloc)(
        inner, hm__debug_whole(size, edge, hm__debug_how_least(m, how)), level);
    void *block = header + 1;
    uint8_t *state = header ? hm__block_map_byte(&hm__debug.map, block) : NULL;
    if (DEBUG_RARE(!state)) {
        return hm__debug_alloc_late(m, header, low, high);
    }
    size = hm__debug_low_size(low);
    hm__debug_fill(block, size, DEBUG_FRESH, hm__debug_how_fill(m, how));
    hm__debug_seal_block(header, low, high, edge, how);
    __atomic_store_n(state, DEBUG_LIVE, __ATOMIC_RELEASE);
    hm__debug_leave(m, shared);
    return block;
}

DEBUG_INLINE hm_status free_common(debug_malloc *m,
                                   void *block,
                                   size_t size,
                                   size_t alignment,
                                   hm_site *site,
                                   const unsigned how)
{
    const int shared = (how & HOW_SHARED) != 0;
    if (!block) {
        return HM_OK;
    }
    const debug_here *here = &hm__debug_here;
    /* Who only counts does not keep where it was freed. */
    const uint32_t id = how & HOW_PLAIN ? 0 : hm__debug_site_quick(site);
    if (DEBUG_RARE(DEBUG_GET(here->malloc) != m) || DEBUG_RARE(id > DEBUG_SITE_MAX) ||
        DEBUG_RARE(alignment > 16)) {
        return hm__debug_free_rare(m, block, size, alignment, site);
    }
    debug_taken taken;
    if (DEBUG_RARE(
            !hm__debug_take(m, block, size, hm__debug_how_freed(how), &taken, how))) {
        return hm__debug_free_slow(m, block, size, alignment, site, taken.claimed);
    }
    debug_book *book = here->book;
    debug_tally *tally = hm__debug_tally_of(book, taken.low);
    if (DEBUG_RARE(!tally) || hm__debug_is_entered(m, shared)) {
        return hm__debug_free_slow(m, block, size, alignment, site, taken.claimed);
    }
    hm__debug_enter(m, here, site, shared);
    if (!hm__debug_how_claims(how)) {
        DEBUG_SET(*taken.state, (uint8_t)hm__debug_how_freed(how));
    }
    hm__debug_count_free(book, tally, taken.bytes);
    hm__debug_retire(m, book, block, &taken, hm__debug_epitaph(0, id, here->low), how);
    hm__debug_leave(m, shared);
    hm__debug_tell_due(book);
    return HM_OK;
}

/* The new size in the same place, when the inner block has room and would not keep much too much of it. */
DEBUG_INLINE int
fits_in_place(const debug_malloc *m, const debug_header *header, size_t whole)
{
    hm_malloc *inner = m->inner;
    const size_t usable = HM_LOAD(inner->vtbl)->size_of(inner, header);
    return whole <= usable && (whole >= usable / 2 || usable <= 128);
}

/* A resized block is freed at its old site and allocated at the new one, which is the old one where none is given. */
DEBUG_INLINE void *realloc_common(debug_malloc *m,
                                  void *block,
                                  size_t old_size,
                                  size_t size,
                                  hm_level level,
                                  hm_site *site,
                                  const unsigned how)
{
    const int shared = (how & HOW_SHARED) != 0;
    const size_t edge = hm__debug_how_edge(m, how);
    debug_taken taken;
    taken.claimed = 0;
    const debug_here *here = &hm__debug_here;
    uint32_t id = hm__debug_site_quick(site);
    if (DEBUG_RARE(id > DEBUG_SITE_MAX) || DEBUG_RARE(size > hm__debug_how_most(how)) ||
        !hm__debug_open(m, size)) {
        goto slow;
    }
    debug_book *book = here->book;
    if (DEBUG_RARE(!hm__debug_take(m, block, old_size, DEBUG_MOVING, &taken, how))) {
        goto slow;
    }
    id = site ? id : hm__debug_low_site(taken.low);
    debug_tally *old_tally = hm__debug_tally_of(book, taken.low);
    debug_tally *tally = hm__debug_tally(book, id);
    if (DEBUG_RARE(!old_tally) || DEBUG_RARE(!tally) || hm__debug_is_entered(m, shared)) {
        goto slow;
    }
    hm__debug_enter(m, here, site, shared);
    const uint64_t thread = here->low;
    const uint64_t low = (uint64_t)id << 32 | thread | size;
    const size_t whole = hm__debug_whole(size, edge, hm__debug_how_least(m, how));
    debug_header *header = hm__debug_header(block);
    uint8_t *state = taken.state;
    if (!fits_in_place(m, header, whole)) {
        hm_malloc *inner = m->inner;
        debug_header *moved = (HM_LOAD(inner->vtbl)->alloc)(inner, whole, level);
        state = moved ? hm__block_map_byte(&hm__debug.map, moved + 1) : NULL;
        if (DEBUG_RARE(!state)) {
            state = hm__debug_state_make(m, moved, whole);
        }
        if (state) {
            memcpy(moved + 1, block, size < taken.bytes ? size : taken.bytes);
            header = moved;
        } else if (size <= taken.bytes) {
            state = taken.state; /* less always fits where it is */
        } else {
            DEBUG_SET(*taken.state, DEBUG_LIVE);
            hm__debug_leave(m, shared);
            hm__debug_count_failed(m);
            return NULL;
        }
    }
    void *fresh = header + 1;
    hm__debug_count_free(book, old_tally, taken.bytes);
    const uint64_t serial = hm__debug_count_alloc(book, tally, size);
    if (size > taken.bytes) {
        hm__debug_fill((char *)fresh + taken.bytes, size - taken.bytes, DEBUG_FRESH,
                       hm__debug_how_fill(m, how));
    }
    hm__debug_seal_block(header, low, m->high | (serial & DEBUG_SERIAL_MAX) << 16, edge,
                         how);
    __atomic_store_n(state, DEBUG_LIVE, __ATOMIC_RELEASE);
    if (fresh != block) {
        __atomic_store_n(taken.state, (uint8_t)hm__debug_how_freed(how),
                         __ATOMIC_RELEASE);
        hm__debug_retire(m, book, block, &taken, hm__debug_epitaph(0, id, thread), how);
    }
    hm__debug_leave(m, shared);
    hm__debug_tell_due(book);
    return fresh;
slow:
    return hm__debug_realloc_slow(m, block, old_size, size, level, site, taken.claimed);
}

#define SLOTS(name, how)                                                             \
    static DEBUG_APART void *name##_debug_alloc(hm_malloc *self, size_t size,        \
                                                hm_level level, hm_site *site)       \
    {                                                                                \
        return alloc_common(hm__debug_from(self), size, level, site, how);           \
    }                                                                                \
    static void *name##_alloc(hm_malloc *self, size_t size, hm_level level)          \
    {                                                                                \
        return alloc_common(hm__debug_from(self), size, level, NULL, how);           \
    }                                                                                \
    static hm_status name##_debug_free(hm_malloc *self, void *block, size_t size,    \
                                       size_t alignment, hm_site *site)              \
    {                                                                                \
        return free_common(hm__debug_from(self), block, size, alignment, site, how); \
    }                                                                                \
    static void name##_free(hm_malloc *self, void *block)                            \
    {                                                                                \
        free_common(hm__debug_from(self), block, HM_SIZE_UNKNOWN, 0, NULL, how);     \
    }                                                                                \
    static void name##_free_sized(hm_malloc *self, void *block, size_t size)         \
    {                                                                                \
        free_common(hm__debug_from(self), block, size, 0, NULL, how);                \
    }                                                                                \
    static void *name##_realloc(hm_malloc *self, void *block, size_t old_size,       \
                                size_t size, hm_level level, hm_site *site)          \
    {                                                                                \
        return !block ? name##_debug_alloc(self, size, level, site)                  \
                      : realloc_common(hm__debug_from(self), block, old_size, size,  \
                                       level, site, how);                            \
    }

/* Unsynchronised and thread-safe. */
#define MODE(name, how)       \
    SLOTS(name##_serial, how) \
    SLOTS(name##_shared, (how) | HOW_SHARED)

MODE(stats, HOW_STATS)
MODE(checked, HOW_CHECKED)
MODE(full, HOW_FULL)
MODE(mixed, HOW_MIXED)

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
    const hm_status status = hm__debug.core->malloc_basics->request(self, asked, out);
    if (DEBUG_RARE(status == HM_E_INVALID) && asked && asked->size >= sizeof(*asked) &&
        (asked->alignment & (asked->alignment - 1))) {
        hm__debug_found_alignment(hm__debug_from(self), asked->alignment, asked->site);
    }
    return status == HM_E_NOMEM && asked->alignment > DEBUG_ALIGNMENT_MAX ? HM_E_INVALID
                                                                          : status;
}

#define TABLE(name)                                                                      \
    {                                                                                    \
        .size = sizeof(hm_malloc_vtbl), .retain = hm__debug_malloc_retain,               \
        .release = hm__debug_malloc_release, .alloc = name##_alloc, .free = name##_free, \
        .free_sized = name##_free_sized, .debug_alloc = name##_debug_alloc,              \
        .debug_free = name##_debug_free, .realloc = name##_realloc,                      \
        .alloc_zeroed = alloc_zeroed, .alloc_aligned = alloc_aligned,                    \
        .request = request, .size_of = hm__debug_size_of,                                \
        .good_size = hm__debug_good_size, .owns = hm__debug_owns,                        \
        .describe = hm__debug_describe_block, .walk = hm__debug_walk,                    \
        .stats = hm__debug_stats, .trim = hm__debug_malloc_trim,                         \
        .reset = hm__debug_malloc_reset, .close = hm__debug_malloc_close,                \
        .find = hm__debug_find,                                                          \
    }

const hm_malloc_vtbl hm__debug_tables[DEBUG_KINDS][2] = {
    [DEBUG_KIND_STATS] = {TABLE(stats_serial), TABLE(stats_shared)},
    [DEBUG_KIND_CHECKED] = {TABLE(checked_serial), TABLE(checked_shared)},
    [DEBUG_KIND_FULL] = {TABLE(full_serial), TABLE(full_shared)},
    [DEBUG_KIND_MIXED] = {TABLE(mixed_serial), TABLE(mixed_shared)},
};
