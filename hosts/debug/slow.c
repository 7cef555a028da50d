/* SPDX-License-Identifier: MIT */
/* Allocation and free of any block on any malloc: first uses, limits, large and aligned blocks, everything that
 * is wrong. Checks come before changes, so that a call that answers a verdict has done nothing. */
#include "step_internal.h"

#include "fill_internal.h"
#include "guarded_internal.h"
#include "hot_internal.h"
#include "ignore_internal.h"
#include "scope_internal.h"

/* Whatever kept the hot path from going on is tried once: who comes back comes for something else. */
void *hm__debug_alloc_rare(debug_malloc *m, size_t size, hm_level level, hm_site *site)
{
    const debug_here *here = &hm__debug_here;
    const int is_closed =
        DEBUG_GET(here->malloc) != m || size > (uint64_t)here->book->room;
    return is_closed && hm__debug_open(m, size)
               ? hm__debug_usual(m)->debug_alloc(&m->base, size, level, site)
               : hm__debug_alloc_slow(m, size, 16, level, site, 0);
}

hm_status hm__debug_free_rare(
    debug_malloc *m, void *block, size_t size, size_t alignment, hm_site *site)
{
    return DEBUG_GET(hm__debug_here.malloc) != m && hm__debug_here_turn(m)
               ? hm__debug_usual(m)->debug_free(&m->base, block, size, alignment, site)
               : hm__debug_free_slow(m, block, size, alignment, site, 0);
}

void *
hm__debug_alloc_late(debug_malloc *m, debug_header *header, uint64_t low, uint64_t high)
{
    const size_t size = hm__debug_low_size(low);
    void *block = header + 1;
    if (!hm__debug_state_make(m, header, hm__debug_whole(size, m->edge, m->least))) {
        hm__debug_count_back(m, hm__debug_low_site(low), size);
        block = NULL;
    } else {
        hm__debug_fill(block, size, DEBUG_FRESH, m->fill);
        hm__debug_shape_write(block, header, size, 16, low & ~(uint64_t)UINT32_MAX, high);
        hm__block_map_set(&hm__debug.map, block, DEBUG_LIVE);
    }
    hm__debug_step_leave(m, 0);
    return block;
}

void *hm__debug_alloc_slow(debug_malloc *m,
                           size_t size,
                           size_t alignment,
                           hm_level level,
                           hm_site *site,
                           int zeroed)
{
    if (hm__debug_scoped) {
        site = hm__debug_scope_site(m, site);
        hm__debug_scope_check(m, site);
    }
    const uint32_t id = hm__debug_site_number(site);
    if (site && !id) {
        __atomic_add_fetch(&m->host->dropped.sites, 1, __ATOMIC_RELAXED);
    }
    const int aligned = hm__debug_is_alignment(alignment);
    if (!aligned) {
        hm__debug_found_alignment(m, alignment, site);
    }
    const int possible = aligned && size < DEBUG_BYTES_MAX && hm__debug_attach();
    debug_book *book = possible ? hm__debug_book_find(m) : NULL;
    const debug_account account = {book, book ? hm__debug_tally_find(book, id) : NULL,
                                   id};
    if (!account.tally || !hm__debug_limit_take(m, book, size)) {
        hm__debug_count_failed(m);
        return NULL;
    }
    const uint32_t before = hm__debug_step_enter(m, site);
    void *base = NULL;
    alignment = alignment < 16 ? 16 : alignment;
    void *block = hm__debug_block_reserve(m, size, alignment, level, zeroed, &base);
    if (block) {
        if (!zeroed) {
            hm__debug_fill(block, size, DEBUG_FRESH, m->fill);
        }
        hm__debug_block_seal(m, &account, block, base, size, alignment);
        if (hm__debug_scope_ignores(m)) {
            hm__debug_ignore_fresh(m->host, block);
        }
    } else {
        hm__debug_limit_give(m, size);
        hm__debug_count_failed(m);
    }
    hm__debug_step_leave(m, before);
    return block;
}

hm_status hm__debug_free_slow(debug_malloc *m,
                              void *block,
                              size_t size,
                              size_t alignment,
                              hm_site *site,
                              int claimed)
{
    site = hm__debug_scope_site(m, site);
    debug_claim_opts opts = {.size = size,
                             .alignment = alignment,
                             .act = DEBUG_ACT_FREE,
                             .to = m->kind == DEBUG_KIND_STATS ? DEBUG_GONE : DEBUG_FREED,
                             .claimed = claimed,
                             .site = site};
    debug_shape shape;
    const uint32_t id = hm__debug_site_number(site);
    hm__debug_attach();
    const uint32_t before = hm__debug_step_enter(m, site);
    const hm_status status = hm__debug_block_claim(m, block, &opts, &shape);
    if (status == HM_OK && !hm__debug_guarded_free(m, block, id)) {
        const uint64_t low = hm__debug_load(&hm__debug_header(block)->low);
        hm__debug_count_out(m, hm__debug_low_site(low), shape.bytes);
        hm__debug_limit_give(m, shape.bytes);
        hm__debug_block_retire(m, block, &shape, id);
    } else if (status == HM_E_CORRUPT) {
        debug_facts facts;
        hm__debug_damage_facts(m, block, &facts);
        hm__debug_block_withdraw(m, block, &facts);
    }
    hm__debug_step_leave(m, before);
    return status;
}
