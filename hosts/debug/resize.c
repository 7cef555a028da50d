/* SPDX-License-Identifier: MIT */
/* Realloc of any block on any malloc: judged as a free judges it, resized in place or moved, saved when its edge was
 * overwritten. */
#include "step_internal.h"

#include <string.h>

#include "fill_internal.h"
#include "guarded_internal.h"
#include "ignore_internal.h"
#include "scope_internal.h"

/* What the inner block has room for, and not so much less that it should move to give memory back. */
static int fits_in_place(debug_malloc *m, const debug_shape *shape, size_t size)
{
    const size_t whole = hm__debug_inner_bytes(size, 16, m->edge, m->least);
    const size_t usable = HM_LOAD(m->inner->vtbl)->size_of(m->inner, shape->base);
    return whole <= usable && (whole >= usable / 2 || usable <= 128);
}

static void resize_in_place(debug_malloc *m,
                            const debug_account *account,
                            debug_tally *old_tally,
                            void *block,
                            const debug_shape *shape,
                            size_t size)
{
    hm__debug_count_free(account->book, old_tally, shape->bytes);
    if (size > shape->bytes) {
        hm__debug_fill((char *)block + shape->bytes, size - shape->bytes, DEBUG_FRESH,
                       m->fill);
    }
    hm__debug_block_seal(m, account, block, shape->base, size, 16);
    hm__debug_tell_due(account->book);
}

/* The block is claimed, and intact but for its rear guard perhaps. NULL: no memory; the block is as before. */
static void *block_resize(debug_malloc *m,
                          void *block,
                          const debug_shape *shape,
                          size_t size,
                          hm_level level,
                          hm_site *site)
{
    void *moved = NULL;
    if (hm__debug_guarded_move(m, block, size, level, site, &moved)) {
        return moved;
    }
    const uint64_t low = hm__debug_load(&hm__debug_header(block)->low);
    const uint32_t born = hm__debug_low_site(low);
    const uint32_t id = site ? hm__debug_site_number(site) : born;
    debug_book *book = hm__debug_attach() ? hm__debug_book_find(m) : NULL;
    const debug_account account = {book, book ? hm__debug_tally_find(book, id) : NULL,
                                   id};
    debug_tally *old_tally = account.tally ? hm__debug_tally_find(book, born) : NULL;
    if (!old_tally) {
        return NULL;
    }
    const int ordinary = hm__debug_low_size(low) != DEBUG_LONG && size < DEBUG_LONG;
    if (ordinary && fits_in_place(m, shape, size)) {
        resize_in_place(m, &account, old_tally, block, shape, size);
        return block;
    }
    void *base = NULL;
    void *fresh = hm__debug_block_reserve(m, size, 16, level, 0, &base);
    if (fresh) {
        const size_t kept = size < shape->bytes ? size : shape->bytes;
        hm__debug_count_free(book, old_tally, shape->bytes);
        hm__debug_fill((char *)fresh + kept, size - kept, DEBUG_FRESH, m->fill);
        memcpy(fresh, block, kept);
        hm__debug_block_seal(m, &account, fresh, base, size, 16);
        hm__debug_tell_due(book);
        hm__block_map_set(&hm__debug.map, block,
                          m->kind == DEBUG_KIND_STATS ? DEBUG_GONE : DEBUG_FREED);
        hm__debug_block_retire(m, block, shape, id);
    } else if (ordinary && size <= shape->bytes) {
        resize_in_place(m, &account, old_tally, block, shape, size);
        fresh = block;
    }
    return fresh;
}

/* Under a limit only what the block grows by counts: the old and the new are never both the user's. */
static void *realloc_within_limit(debug_malloc *m,
                                  void *block,
                                  const debug_shape *shape,
                                  size_t size,
                                  hm_level level,
                                  hm_site *site)
{
    const size_t old = shape->bytes;
    const size_t growth = size > old ? size - old : 0;
    const debug_book *book = size < DEBUG_BYTES_MAX ? hm__debug_book_find(m) : NULL;
    void *fresh = NULL;
    if (book && (!growth || hm__debug_limit_take(m, book, growth))) {
        fresh = block_resize(m, block, shape, size, level, site);
        hm__debug_limit_give(m, fresh ? old + growth - size : growth);
    }
    return fresh;
}

static void live_again(const void *block)
{
    hm__block_map_set(&hm__debug.map, block,
                      hm__debug_slot_of(block) ? DEBUG_GUARDED : DEBUG_LIVE);
}

/* The edge of the block was overwritten: what the user has is saved into a new block, and the old one leaves
   circulation. Without a header nobody knows how much there is to save. */
static void *
realloc_damaged(debug_malloc *m, void *block, size_t size, hm_level level, hm_site *site)
{
    debug_facts facts;
    hm__debug_damage_facts(m, block, &facts);
    const uint32_t born = facts.intact ? facts.site_id : 0;
    const uint32_t id = site ? hm__debug_site_number(site) : born;
    debug_book *book = hm__debug_attach() ? hm__debug_book_find(m) : NULL;
    const debug_account account = {book, book ? hm__debug_tally_find(book, id) : NULL,
                                   id};
    void *base = NULL;
    void *fresh = facts.intact && account.tally && size < DEBUG_BYTES_MAX
                      ? hm__debug_block_reserve(m, size, 16, level, 0, &base)
                      : NULL;
    if (!fresh) {
        live_again(block);
        return NULL;
    }
    memcpy(fresh, block, size < facts.bytes ? size : facts.bytes);
    hm__debug_block_withdraw(m, block, &facts);
    hm__debug_block_seal(m, &account, fresh, base, size, 16);
    return fresh;
}

void *hm__debug_realloc_slow(debug_malloc *m,
                             void *block,
                             size_t old_size,
                             size_t size,
                             hm_level level,
                             hm_site *site,
                             int claimed)
{
    site = hm__debug_scope_site(m, site);
    debug_claim_opts opts = {.size = old_size,
                             .act = DEBUG_ACT_REALLOC,
                             .to = DEBUG_MOVING,
                             .claimed = claimed,
                             .site = site};
    debug_shape shape;
    hm__debug_attach();
    const uint32_t before = hm__debug_step_enter(m, site);
    const hm_status status = hm__debug_block_claim(m, block, &opts, &shape);
    void *fresh = NULL;
    if (status == HM_OK) {
        if (size > shape.bytes) {
            hm__debug_scope_check(m, site);
        }
        fresh = realloc_within_limit(m, block, &shape, size, level, site);
        if (!fresh) {
            live_again(block);
        }
    } else if (status == HM_E_CORRUPT) {
        fresh = realloc_damaged(m, block, size, level, site);
    }
    if (!fresh) {
        hm__debug_count_failed(m);
    }
    if ((status == HM_OK || status == HM_E_CORRUPT) &&
        (opts.from == DEBUG_IGNORED || (fresh && hm__debug_scope_ignores(m)))) {
        hm__debug_ignore_fresh(m->host, fresh ? fresh : block);
    }
    hm__debug_step_leave(m, before);
    return fresh;
}
