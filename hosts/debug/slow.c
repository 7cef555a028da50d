/* SPDX-License-Identifier: MIT */
/* Allocation and free of any block on any malloc: first uses, limits, large and aligned blocks, everything that
 * is wrong. Checks come before changes, so that a call that answers a verdict has done nothing. */
#include "debug_internal.h"

#include "fill_internal.h"
#include "finding_internal.h"
#include "ignore_internal.h"
#include "ledger_internal.h"
#include "quarantine_internal.h"
#include "scope_internal.h"

static int is_shared(const debug_malloc *m)
{
    return (m->base.flags & HM_MALLOC_THREADSAFE) != 0;
}

static debug_book *book_find(debug_malloc *m)
{
    if (!is_shared(m)) {
        return m->book;
    }
    debug_thread *me = hm__debug_attach();
    debug_book *book = me && m->number < me->book_count ? me->books[m->number] : NULL;
    return book || !me ? book : hm__debug_book_make(m, me);
}

/* The calling thread as it goes into headers. */
static uint64_t thread_low(void)
{
    const debug_thread *me = hm__debug_self();
    return me ? me->low : 0;
}

static uint32_t site_number(hm_site *site)
{
    const uint32_t id = hm__debug.core->site_id(site);
    return id <= DEBUG_SITE_MAX ? id : 0;
}

static debug_tally *tally_find(debug_book *book, uint32_t site)
{
    debug_tally *tally = hm__debug_tally(book, site);
    return tally ? tally : hm__debug_tally_make(book, site);
}

void hm__debug_count_failed(debug_malloc *m)
{
    __atomic_add_fetch(&m->failed, 1, __ATOMIC_RELAXED);
}

/* Room for more bytes under the limit, counted when the malloc is shared. */
static int limit_take(debug_malloc *m, const debug_book *book, size_t more)
{
    int fits = m->limit == DEBUG_NO_LIMIT;
    if (!fits) {
        fits = is_shared(m) ? hm__debug_charge(m, more)
                            : (uint64_t)book->live + more <= m->limit;
    }
    if (!fits) {
        __atomic_add_fetch(&m->denied, 1, __ATOMIC_RELAXED);
    }
    return fits;
}

static void limit_give(debug_malloc *m, size_t bytes)
{
    if (m->limit != DEBUG_NO_LIMIT && is_shared(m)) {
        hm__debug_uncharge(m, bytes);
    }
}

void hm__debug_overlap(debug_malloc *m, hm_site *site)
{
    const uint32_t other = DEBUG_GET(m->inside);
    const hm_site *other_site = DEBUG_GET(m->inside_site);
    /* The own thread comes again when a layer below asks its guest for memory back. */
    if (other && other != hm__debug.core->thread_id() &&
        !__atomic_exchange_n(&m->told_overlap, 1, __ATOMIC_RELAXED)) {
        hm__debug_found_overlap(m, other, other_site, site);
    }
}

static void enter(debug_malloc *m, hm_site *site)
{
    if (!is_shared(m)) {
        if (DEBUG_GET(m->inside)) {
            hm__debug_overlap(m, site);
        }
        DEBUG_SET(m->inside, hm__debug.core->thread_id());
        DEBUG_SET(m->inside_site, site);
    }
}

static void leave(debug_malloc *m)
{
    if (!is_shared(m)) {
        DEBUG_SET(m->inside, 0);
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
static void *block_reserve(debug_malloc *m,
                           size_t size,
                           size_t alignment,
                           hm_level level,
                           int zeroed,
                           void **base)
{
    const size_t whole = hm__debug_inner_bytes(size, alignment);
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

/* Who counts, and for which site. */
typedef struct block_account {
    debug_book *book;
    debug_tally *tally;
    uint32_t site;
} block_account;

/* Count it and write its edges; it is the user's once the map says LIVE. */
static void block_seal(debug_malloc *m,
                       const block_account *account,
                       void *block,
                       void *base,
                       size_t size,
                       size_t alignment)
{
    const uint64_t serial =
        hm__debug_count_alloc(account->book, account->tally, size, is_shared(m));
    hm__debug_shape_write(block, base, size, alignment,
                          (uint64_t)account->site << 32 | thread_low(),
                          m->high | (serial & DEBUG_SERIAL_MAX) << 16);
    hm__block_map_set(&hm__debug.map, block, DEBUG_LIVE);
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
    const uint32_t id = site_number(site);
    const int possible = alignment && !(alignment & (alignment - 1)) &&
                         size < DEBUG_BYTES_MAX && hm__debug_attach();
    debug_book *book = possible ? book_find(m) : NULL;
    const block_account account = {book, book ? tally_find(book, id) : NULL, id};
    if (!account.tally || !limit_take(m, book, size)) {
        hm__debug_count_failed(m);
        return NULL;
    }
    enter(m, site);
    void *base = NULL;
    alignment = alignment < 16 ? 16 : alignment;
    void *block = block_reserve(m, size, alignment, level, zeroed, &base);
    if (block) {
        if (!zeroed) {
            hm__debug_fill(block, size, DEBUG_FRESH, m->fill);
        }
        block_seal(m, &account, block, base, size, alignment);
        if (hm__debug_scope_ignores(m)) {
            hm__debug_ignore_fresh(m->host, block);
        }
    } else {
        limit_give(m, size);
        hm__debug_count_failed(m);
    }
    leave(m);
    return block;
}

static void count_out(debug_malloc *m, uint32_t site, size_t bytes)
{
    debug_book *book = book_find(m);
    debug_tally *tally = book ? tally_find(book, site) : NULL;
    if (tally) {
        hm__debug_count_free(book, tally, bytes, is_shared(m));
    } else {
        hm__debug_count_free_common(m, site, bytes);
    }
}

/* A block in state FREED: filled, marked with who freed it, and held back; or given back at once when it is too large,
   or when there is no memory for a book. */
static void
block_retire(debug_malloc *m, void *block, const debug_shape *shape, uint32_t site)
{
    debug_book *book = book_find(m);
    const uint64_t low = hm__debug_load(&hm__debug_header(block)->low);
    const debug_held held = {
        .block = block,
        .state = hm__block_map_byte(&hm__debug.map, block),
        .bytes =
            shape->bytes | (hm__debug_low_size(low) == DEBUG_LONG ? DEBUG_HELD_LONG : 0),
        .epitaph = hm__debug_epitaph(shape->hash, site, thread_low())};
    hm__debug_fill(block, shape->bytes, DEBUG_STALE, m->fill);
    hm__debug_rear_store(block, shape->bytes, held.epitaph);
    if (book) {
        hm__debug_hold_any(book, &held);
    } else {
        hm__debug_walk_begin();
        hm__debug_give_back(m, &held);
        hm__debug_walk_end();
    }
}

/* Out of circulation for good, but no longer the user's. */
static void block_withdraw(debug_malloc *m, const void *block, const debug_facts *facts)
{
    hm__block_map_set(&hm__debug.map, block, DEBUG_DAMAGED);
    __atomic_add_fetch(&m->damaged, 1, __ATOMIC_RELAXED);
    if (facts->intact) {
        count_out(m, facts->site_id, facts->bytes);
        limit_give(m, facts->bytes);
    } else {
        __atomic_add_fetch(&m->lost, 1, __ATOMIC_RELAXED);
    }
}

typedef struct block_claim_opts {
    size_t size;
    size_t alignment;
    unsigned act; /* DEBUG_ACT_* */
    unsigned to;  /* DEBUG_FREED or DEBUG_MOVING */
    int claimed;  /* in state `to` already, by the caller */
    hm_site *site;
    unsigned from; /* what it was: DEBUG_LIVE or DEBUG_IGNORED */
} block_claim_opts;

/* HM_OK: the block is m's and intact, and was moved from LIVE to `to` by this call alone. HM_E_CORRUPT: the same, but
   damaged, which was reported. Anything else was reported too, and nothing is changed. */
static hm_status
block_claim(debug_malloc *m, void *block, block_claim_opts *opts, debug_shape *shape)
{
    const hm__block_map *map = &hm__debug.map;
    opts->from = DEBUG_LIVE;
    if (!opts->claimed && !hm__block_map_claim(map, block, DEBUG_LIVE, opts->to)) {
        opts->from = DEBUG_IGNORED;
    }
    if (opts->from == DEBUG_IGNORED &&
        !hm__block_map_claim(map, block, DEBUG_IGNORED, opts->to)) {
        return hm__debug_judge_pointer(m, block, opts->act, opts->site);
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
        } else if (hm__debug_rear_load(block, shape->bytes) ==
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

hm_status hm__debug_free_slow(debug_malloc *m,
                              void *block,
                              size_t size,
                              size_t alignment,
                              hm_site *site,
                              int claimed)
{
    site = hm__debug_scope_site(m, site);
    block_claim_opts opts = {.size = size,
                             .alignment = alignment,
                             .act = DEBUG_ACT_FREE,
                             .to = DEBUG_FREED,
                             .claimed = claimed,
                             .site = site};
    debug_shape shape;
    const uint32_t id = site_number(site);
    hm__debug_attach();
    enter(m, site);
    const hm_status status = block_claim(m, block, &opts, &shape);
    if (status == HM_OK) {
        const uint64_t low = hm__debug_load(&hm__debug_header(block)->low);
        count_out(m, hm__debug_low_site(low), shape.bytes);
        limit_give(m, shape.bytes);
        block_retire(m, block, &shape, id);
    } else if (status == HM_E_CORRUPT) {
        debug_facts facts;
        hm__debug_damage_facts(m, block, &facts);
        block_withdraw(m, block, &facts);
    }
    leave(m);
    return status;
}

/* What the inner block has room for, and not so much less that it should move to give memory back. */
static int fits_in_place(debug_malloc *m, const debug_shape *shape, size_t size)
{
    const size_t whole = hm__debug_inner_bytes(size, 16);
    const size_t usable = HM_LOAD(m->inner->vtbl)->size_of(m->inner, shape->base);
    return whole <= usable && (whole >= usable / 2 || usable <= 128);
}

static void resize_in_place(debug_malloc *m,
                            const block_account *account,
                            debug_tally *old_tally,
                            void *block,
                            const debug_shape *shape,
                            size_t size)
{
    hm__debug_count_free(account->book, old_tally, shape->bytes, is_shared(m));
    if (size > shape->bytes) {
        hm__debug_fill((char *)block + shape->bytes, size - shape->bytes, DEBUG_FRESH,
                       m->fill);
    }
    block_seal(m, account, block, shape->base, size, 16);
}

/* The block is claimed, and intact but for its rear guard perhaps. NULL: no memory; the block is as before. */
static void *block_resize(debug_malloc *m,
                          void *block,
                          const debug_shape *shape,
                          size_t size,
                          hm_level level,
                          hm_site *site)
{
    const uint64_t low = hm__debug_load(&hm__debug_header(block)->low);
    const uint32_t born = hm__debug_low_site(low);
    const uint32_t id = site ? site_number(site) : born;
    debug_book *book = hm__debug_attach() ? book_find(m) : NULL;
    const block_account account = {book, book ? tally_find(book, id) : NULL, id};
    debug_tally *old_tally = account.tally ? tally_find(book, born) : NULL;
    if (!old_tally) {
        return NULL;
    }
    const int ordinary = hm__debug_low_size(low) != DEBUG_LONG && size < DEBUG_LONG;
    if (ordinary && fits_in_place(m, shape, size)) {
        resize_in_place(m, &account, old_tally, block, shape, size);
        return block;
    }
    void *base = NULL;
    void *fresh = block_reserve(m, size, 16, level, 0, &base);
    if (fresh) {
        const size_t kept = size < shape->bytes ? size : shape->bytes;
        hm__debug_count_free(book, old_tally, shape->bytes, is_shared(m));
        hm__debug_fill((char *)fresh + kept, size - kept, DEBUG_FRESH, m->fill);
        memcpy(fresh, block, kept);
        block_seal(m, &account, fresh, base, size, 16);
        hm__block_map_set(&hm__debug.map, block, DEBUG_FREED);
        block_retire(m, block, shape, id);
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
    const debug_book *book = size < DEBUG_BYTES_MAX ? book_find(m) : NULL;
    void *fresh = NULL;
    if (book && (!growth || limit_take(m, book, growth))) {
        fresh = block_resize(m, block, shape, size, level, site);
        limit_give(m, fresh ? old + growth - size : growth);
    }
    return fresh;
}

/* The edge of the block was overwritten: what the user has is saved into a new block, and the old one leaves
   circulation. Without a header nobody knows how much there is to save. */
static void *
realloc_damaged(debug_malloc *m, void *block, size_t size, hm_level level, hm_site *site)
{
    debug_facts facts;
    hm__debug_damage_facts(m, block, &facts);
    const uint32_t born = facts.intact ? facts.site_id : 0;
    const uint32_t id = site ? site_number(site) : born;
    debug_book *book = hm__debug_attach() ? book_find(m) : NULL;
    const block_account account = {book, book ? tally_find(book, id) : NULL, id};
    void *base = NULL;
    void *fresh = facts.intact && account.tally && size < DEBUG_BYTES_MAX
                      ? block_reserve(m, size, 16, level, 0, &base)
                      : NULL;
    if (!fresh) {
        hm__block_map_set(&hm__debug.map, block, DEBUG_LIVE);
        return NULL;
    }
    memcpy(fresh, block, size < facts.bytes ? size : facts.bytes);
    block_withdraw(m, block, &facts);
    block_seal(m, &account, fresh, base, size, 16);
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
    block_claim_opts opts = {.size = old_size,
                             .act = DEBUG_ACT_REALLOC,
                             .to = DEBUG_MOVING,
                             .claimed = claimed,
                             .site = site};
    debug_shape shape;
    hm__debug_attach();
    enter(m, site);
    const hm_status status = block_claim(m, block, &opts, &shape);
    void *fresh = NULL;
    if (status == HM_OK) {
        if (size > shape.bytes) {
            hm__debug_scope_check(m, site);
        }
        fresh = realloc_within_limit(m, block, &shape, size, level, site);
        if (!fresh) {
            hm__block_map_set(&hm__debug.map, block, DEBUG_LIVE);
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
    leave(m);
    return fresh;
}
