/* SPDX-License-Identifier: MIT */
/* The steps that slow.c and resize.c are made of. They take any block on any malloc and look everything up anew. */
#include "step_internal.h"

#include "fill_internal.h"
#include "guarded_internal.h"
#include "quarantine_internal.h"

debug_book *hm__debug_book_find(debug_malloc *m)
{
    debug_book *book = hm__debug_book_mine(m);
    debug_thread *me = book ? NULL : hm__debug_attach();
    return me ? hm__debug_book_make(m, me) : book;
}

/* The calling thread as it goes into headers. */
uint64_t hm__debug_thread_low(void)
{
    const debug_thread *me = hm__debug_self();
    return me ? me->low : 0;
}

uint32_t hm__debug_site_number(hm_site *site)
{
    const uint32_t id = hm__debug.core->site_id(site);
    return id <= DEBUG_SITE_MAX ? id : 0;
}

debug_tally *hm__debug_tally_find(debug_book *book, uint32_t site)
{
    debug_tally *tally = hm__debug_tally(book, site);
    return tally ? tally : hm__debug_tally_make(book, site);
}

void hm__debug_count_failed(debug_malloc *m)
{
    __atomic_add_fetch(&m->failed, 1, __ATOMIC_RELAXED);
}

void hm__debug_count_back(debug_malloc *m, uint32_t site, size_t bytes)
{
    debug_book *book = hm__debug_book_find(m);
    debug_tally *tally = hm__debug_tally(book, site);
    DEBUG_ADD(tally->blocks, -UINT64_C(1));
    DEBUG_ADD(tally->bytes, -(uint64_t)bytes);
    DEBUG_ADD(book->room, (int64_t)bytes);
    hm__debug_tell_due(book);
    hm__debug_count_failed(m);
}

/* Room for more bytes under the limit, counted when the malloc is shared. */
int hm__debug_limit_take(debug_malloc *m, const debug_book *book, size_t more)
{
    int fits = m->limit == DEBUG_NO_LIMIT;
    if (!fits) {
        fits = hm__debug_is_shared(m)
                   ? hm__debug_charge(m, more)
                   : (uint64_t)hm__debug_book_live(book) + more <= m->limit;
    }
    if (!fits) {
        __atomic_add_fetch(&m->denied, 1, __ATOMIC_RELAXED);
    }
    return fits;
}

void hm__debug_limit_give(debug_malloc *m, size_t bytes)
{
    if (m->limit != DEBUG_NO_LIMIT && hm__debug_is_shared(m)) {
        hm__debug_uncharge(m, bytes);
    }
}

static void overlap(debug_malloc *m, hm_site *site)
{
    const uint32_t other = DEBUG_GET(m->inside);
    const hm_site *other_site = DEBUG_GET(m->inside_site);
    /* The own thread comes again when a layer below asks its guest for memory back. */
    if (other && other != hm__debug.core->thread_id() &&
        !__atomic_exchange_n(&m->told_overlap, 1, __ATOMIC_RELAXED)) {
        hm__debug_found_overlap(m, other, other_site, site);
    }
}

uint32_t hm__debug_step_enter(debug_malloc *m, hm_site *site)
{
    if (hm__debug_is_shared(m)) {
        return 0;
    }
    const uint32_t before = DEBUG_GET(m->inside);
    const uint32_t own = hm__debug.core->thread_id();
    if (before) {
        overlap(m, site);
    }
    DEBUG_SET(m->inside, own);
    DEBUG_SET(m->inside_site, site);
    return before == own ? own : 0;
}

void hm__debug_step_leave(debug_malloc *m, uint32_t before)
{
    if (!hm__debug_is_shared(m)) {
        DEBUG_SET(m->inside, before);
    }
}

uint8_t *hm__debug_state_make(debug_malloc *m, debug_header *header, size_t whole)
{
    if (header && hm__block_map_grow(&hm__debug.map, header + 1)) {
        return hm__block_map_byte(&hm__debug.map, header + 1);
    }
    if (header) {
        HM_LOAD(m->inner->vtbl)->free_sized(m->inner, header, whole);
    }
    return NULL;
}

static void *inner_alloc(debug_malloc *m, size_t whole, hm_level level, int zeroed)
{
    hm_malloc *inner = m->inner;
    const hm_malloc_vtbl *table = HM_LOAD(inner->vtbl);
    return zeroed ? table->alloc_zeroed(inner, 1, whole, level, NULL)
                  : (table->alloc)(inner, whole, level);
}

/* Memory for a block, with its place in the map; NULL: none. */
void *hm__debug_block_reserve(debug_malloc *m,
                              size_t size,
                              size_t alignment,
                              hm_level level,
                              int zeroed,
                              void **base)
{
    const size_t whole = hm__debug_inner_bytes(size, alignment, m->edge, m->least);
    *base = whole ? inner_alloc(m, whole, level, zeroed) : NULL;
    if (!*base) {
        return NULL;
    }
    void *block = hm__debug_place(*base, size, alignment);
    if (!hm__block_map_grow(&hm__debug.map, block)) {
        HM_LOAD(m->inner->vtbl)->free_sized(m->inner, *base, whole);
        return NULL;
    }
    return block;
}

/* Count it and write its edges; it is the user's once the map says LIVE. */
void hm__debug_block_seal(debug_malloc *m,
                          const debug_account *account,
                          void *block,
                          void *base,
                          size_t size,
                          size_t alignment)
{
    const uint64_t serial = hm__debug_count_in(account->book, account->tally, size);
    hm__debug_shape_write(block, base, size, alignment,
                          (uint64_t)account->site << 32 | hm__debug_thread_low(),
                          m->high | (serial & DEBUG_SERIAL_MAX) << 16);
    hm__block_map_set(&hm__debug.map, block, DEBUG_LIVE);
}

void hm__debug_count_out(debug_malloc *m, uint32_t site, size_t bytes)
{
    debug_book *book = hm__debug_book_find(m);
    debug_tally *tally = book ? hm__debug_tally_find(book, site) : NULL;
    if (tally) {
        hm__debug_count_free(book, tally, bytes);
        hm__debug_tell_due(book);
    } else {
        hm__debug_count_free_common(m, site, bytes);
    }
}

/* A block in state FREED (or GONE, when it was only counted): filled, marked with who freed it, and held back; or given back at once when it is too large,
   or when there is no memory for a book. */
void hm__debug_block_retire(debug_malloc *m,
                            void *block,
                            const debug_shape *shape,
                            uint32_t site)
{
    debug_book *book = hm__debug_book_find(m);
    const uint64_t low = hm__debug_load(&hm__debug_header(block)->low);
    const debug_held held = {
        .block = block,
        .state = hm__block_map_byte(&hm__debug.map, block),
        .bytes =
            shape->bytes | (hm__debug_low_size(low) == DEBUG_LONG ? DEBUG_HELD_LONG : 0),
        .epitaph = hm__debug_epitaph(shape->hash, site, hm__debug_thread_low())};
    if (m->kind != DEBUG_KIND_STATS) {
        hm__debug_mark_stale(block, shape->bytes, held.epitaph, m->edge, m->fill);
    }
    if (book) {
        hm__debug_hold_any(book, &held);
    } else {
        hm__debug_walk_begin();
        hm__debug_give_back(m, &held);
        hm__debug_walk_end();
    }
}

/* Out of circulation for good, but no longer the user's. */
void hm__debug_block_withdraw(debug_malloc *m,
                              const void *block,
                              const debug_facts *facts)
{
    hm__block_map_set(&hm__debug.map, block, DEBUG_DAMAGED);
    __atomic_add_fetch(&m->damaged, 1, __ATOMIC_RELAXED);
    if (facts->intact) {
        hm__debug_count_out(m, facts->site_id, facts->bytes);
        hm__debug_limit_give(m, facts->bytes);
    } else {
        __atomic_add_fetch(&m->lost, 1, __ATOMIC_RELAXED);
    }
}

/* HM_OK: the block is m's and intact, and was moved from LIVE to `to` by this call alone. HM_E_CORRUPT: the same, but
   damaged, which was reported. Anything else was reported too, and nothing is changed. */
hm_status hm__debug_block_claim(debug_malloc *m,
                                void *block,
                                debug_claim_opts *opts,
                                debug_shape *shape)
{
    const hm__block_map *map = &hm__debug.map;
    hm_status guarded;
    opts->from = DEBUG_LIVE;
    if (!opts->claimed && !hm__block_map_claim(map, block, DEBUG_LIVE, opts->to)) {
        opts->from = DEBUG_IGNORED;
    }
    if (opts->from == DEBUG_IGNORED &&
        !hm__block_map_claim(map, block, DEBUG_IGNORED, opts->to)) {
        return hm__debug_guarded_claim(m, block, opts, shape, &guarded)
                   ? guarded
                   : hm__debug_judge_pointer(m, block, opts->act, opts->site);
    }
    hm_status status = HM_E_CORRUPT;
    if (hm__debug_shape_read(block, shape)) {
        const uint64_t high = hm__debug_load(&hm__debug_header(block)->high);
        const size_t alignment = opts->alignment < 16 ? 16 : opts->alignment;
        if (hm__debug_high_owner(high) != m->number) {
            status = hm__debug_judge_owner(m, block, opts->act, opts->site);
        } else if ((opts->size != HM_SIZE_UNKNOWN && opts->size != shape->bytes) ||
                   (opts->alignment && alignment != shape->alignment)) {
            status = hm__debug_judge_size(m, block, opts->size, opts->alignment,
                                          opts->act, opts->site);
        } else if (!shape->edge || hm__debug_rear_load(block, shape->bytes) ==
                                       hm__debug_rear(shape->hash)) {
            return HM_OK;
        }
    }
    if (status == HM_E_CORRUPT) {
        hm__debug_judge_damage(m, block, opts->act, opts->site);
    } else {
        hm__block_map_set(map, block, opts->from);
    }
    return status;
}
