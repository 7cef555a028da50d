/* SPDX-License-Identifier: MIT */
/* The memory calls of a client. Its lock is not held while its host works, so what was promised is counted before and
 * settled after. */
#include "client_internal.h"

#include "lock_internal.h"
#include "memory_internal.h"

static void *answer(hm_status *place, hm_status status, void *block)
{
    if (place) {
        *place = status;
    }
    return block;
}

void hm__client_host_begin(hm__client *c)
{
    hm__unlock(&c->lock);
    if (c->serial) {
        hm__lock(&c->host_lock);
    }
}

void hm__client_host_end(hm__client *c)
{
    if (c->serial) {
        hm__unlock(&c->host_lock);
    }
    hm__lock(&c->lock);
}

/* Set bytes of the budget apart. Where there is none held may come around: one huge request is not to refuse those of
   others, and nobody looks. */
static int hold(hm__client *c, size_t bytes)
{
    if (c->budget && (c->held > c->budget || bytes > c->budget - c->held)) {
        c->stats.denied++;
        c->stats.failed++;
        return 0;
    }
    c->held += bytes;
    return 1;
}

static void count_live(hm__client *c, size_t bytes)
{
    c->stats.live_bytes += bytes;
    if (c->stats.live_bytes > c->stats.peak_bytes) {
        c->stats.peak_bytes = c->stats.live_bytes;
    }
}

/* Settled: the block is the client's. */
static void own(hm__client *c, hm__client_block *b, void *address, size_t bytes)
{
    b->address = address;
    b->bytes = bytes;
    c->stats.live_blocks++;
    count_live(c, bytes);
    hm__client_blocks_add(&c->blocks, b);
}

static void note_birth(hm__client *c, hm__client_block *b, size_t bytes, hm_site *site)
{
    b->serial = ++c->stats.total_blocks;
    c->stats.total_bytes += bytes;
    b->thread = hm__thread_id();
    b->site = c->malloc_object->flags & HM_MALLOC_DEBUG ? hm_site_id(site) : 0;
}

/* With c entered; leaves it. */
static void *take(hm__client *c, size_t bytes, hm_site *site, hm_status *status)
{
    void *address = NULL;
    if (c->stopped) {
        hm__client_leave(c);
        return answer(status, HM_E_CLOSED, NULL);
    }
    hm__client_block *b = NULL;
    if (!hold(c, bytes)) {
        goto refused;
    }
    b = hm__memory_alloc(sizeof *b);
    if (!b) {
        c->held -= bytes;
        c->stats.failed++;
        goto refused;
    }
    hm__client_host_begin(c);
    address = hm_alloc_at(c->malloc_object, bytes, HM_LEVEL_CURRENT, site);
    hm__client_host_end(c);
    if (!address || c->closed) {
        c->held -= bytes;
        c->stats.failed++;
        goto refused;
    }
    note_birth(c, b, bytes, site);
    own(c, b, address, bytes);
    hm__client_leave(c);
    return answer(status, HM_OK, address);

refused:;
    const int closed = c->closed != 0;
    if (address) {
        hm__client_host_begin(c);
        (void)hm_free_at(c->malloc_object, address, HM_SIZE_UNKNOWN, 0, site);
        hm__client_host_end(c);
    }
    hm__memory_free(b, sizeof *b);
    hm__client_leave(c);
    return answer(status, closed ? HM_E_NOT_FOUND : HM_E_NOMEM, NULL);
}

void *hm_client_alloc(hm_client_key key, size_t bytes, hm_site *site, hm_status *status)
{
    hm__client *const c = hm__client_enter(key);
    return c ? take(c, bytes, site, status) : answer(status, HM_E_NOT_FOUND, NULL);
}

/* What a checking host says of a resize that it refuses. */
static hm_status judge_resize(hm_malloc *m, void *block, size_t bytes, hm_site *site)
{
    hm_block seen;
    const int freed =
        hm_describe(m, block, &seen) == HM_OK && seen.state == HM_BLOCK_FREED;
    (void)hm_realloc_at(m, block, HM_SIZE_UNKNOWN, bytes, HM_LEVEL_CURRENT, site);
    return freed ? HM_E_FREED : HM_E_NOT_OWNED;
}

/* Not a live block of this client, to be freed, or resized to *bytes: a checking host has more to say. Leaves c. */
static hm_status
judge_stranger(hm__client *c, void *block, const size_t *bytes, hm_site *site)
{
    hm_status status = HM_E_NOT_OWNED;
    hm_malloc *const m = c->malloc_object;
    if (m->flags & HM_MALLOC_DEBUG) {
        hm__client_host_begin(c);
        if (hm_owns(m, block) != 1) { /* else not this client's mistake to undo */
            status = bytes ? judge_resize(m, block, *bytes, site)
                           : hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, site);
        }
        hm__client_host_end(c);
    }
    hm__client_leave(c);
    return status == HM_OK ? HM_E_NOT_OWNED : status;
}

/* A reclaim came while the block was in hand: it goes too, wherever it is now. */
static void *lose(hm__client *c, hm__client_block *b, void *address, hm_status *status)
{
    hm__client_host_begin(c);
    (void)hm_free_at(c->malloc_object, address, HM_SIZE_UNKNOWN, 0, NULL);
    hm__client_host_end(c);
    hm__memory_free(b, sizeof *b);
    hm__client_leave(c);
    return answer(status, HM_E_CLOSED, NULL);
}

/* With c entered and b out of its blocks, but still counted. Leaves c. */
static void *
move(hm__client *c, hm__client_block *b, size_t bytes, hm_site *site, hm_status *status)
{
    const size_t old = b->bytes;
    const uint32_t reclaims = c->reclaims;
    const size_t growth = bytes > old ? bytes - old : 0;
    if (!hold(c, growth)) {
        hm__client_blocks_add(&c->blocks, b);
        hm__client_leave(c);
        return answer(status, HM_E_NOMEM, NULL);
    }
    c->moving_blocks++;
    c->moving_bytes += old;
    hm__client_host_begin(c);
    void *moved = hm_realloc_at(c->malloc_object, b->address, HM_SIZE_UNKNOWN, bytes,
                                HM_LEVEL_CURRENT, site);
    hm__client_host_end(c);
    c->moving_blocks--;
    c->moving_bytes -= old;
    if (c->reclaims != reclaims) {
        c->held -= old + growth;
        return lose(c, b, moved ? moved : b->address, status);
    }
    if (moved) {
        c->held -= old > bytes ? old - bytes : 0;
        c->stats.live_bytes -= old;
        c->stats.total_bytes += growth;
        count_live(c, bytes);
        b->address = moved;
        b->bytes = bytes;
        if (site && (c->malloc_object->flags & HM_MALLOC_DEBUG)) {
            b->site = hm_site_id(site);
        }
    } else {
        c->held -= growth;
        c->stats.failed++;
    }
    hm__client_blocks_add(&c->blocks, b);
    hm__client_leave(c);
    return answer(status, moved ? HM_OK : HM_E_NOMEM, moved);
}

void *hm_client_realloc(
    hm_client_key key, void *block, size_t bytes, hm_site *site, hm_status *status)
{
    hm__client *const c = hm__client_enter(key);
    if (!c) {
        return answer(status, HM_E_NOT_FOUND, NULL);
    }
    if (!block) {
        return take(c, bytes, site, status);
    }
    if (c->stopped) {
        hm__client_leave(c);
        return answer(status, HM_E_CLOSED, NULL);
    }
    hm__client_block *const b = hm__client_blocks_take(&c->blocks, block);
    if (!b) {
        return answer(status, judge_stranger(c, block, &bytes, site), NULL);
    }
    return move(c, b, bytes, site, status);
}

hm_status hm_client_free(hm_client_key key, void *block, hm_site *site)
{
    hm__client *const c = hm__client_enter(key);
    if (!c) {
        return HM_E_NOT_FOUND;
    }
    if (!block) {
        hm__client_leave(c);
        return HM_OK;
    }
    hm__client_block *const b = hm__client_blocks_take(&c->blocks, block);
    if (!b) {
        return judge_stranger(c, block, NULL, site);
    }
    c->stats.live_blocks--;
    c->stats.live_bytes -= b->bytes;
    c->held -= b->bytes;
    hm__client_host_begin(c);
    const hm_status status =
        hm_free_at(c->malloc_object, block, HM_SIZE_UNKNOWN, 0, site);
    hm__client_host_end(c);
    hm__memory_free(b, sizeof *b); /* before leaving, where a kill may end the thread */
    hm__client_leave(c);
    return status;
}

hm_status hm_client_size(hm_client_key key, const void *block, size_t *bytes)
{
    if (!bytes) {
        return HM_E_INVALID;
    }
    *bytes = 0;
    hm__client *const c = hm__client_enter(key);
    if (!c) {
        return HM_E_NOT_FOUND;
    }
    const hm__client_block *const b = hm__client_blocks_find(&c->blocks, block);
    *bytes = b ? b->bytes : 0;
    hm__client_leave(c);
    return b || !block ? HM_OK : HM_E_NOT_OWNED;
}

hm_status hm_client_stats(hm_client_key key, hm_stats *out)
{
    if (!out) {
        return HM_E_INVALID;
    }
    hm__client *const c = hm__client_enter(key);
    *out = c ? c->stats : (hm_stats){.size = sizeof *out};
    if (c) {
        hm__client_leave(c);
    }
    return c ? HM_OK : HM_E_NOT_FOUND;
}

hm_block hm__client_block_shown(const hm__client_block *b)
{
    return (hm_block){.size = sizeof(hm_block),
                      .address = b->address,
                      .requested = b->bytes,
                      .usable = b->bytes,
                      .site = hm_site_from_id(b->site),
                      .serial = b->serial,
                      .thread = b->thread,
                      .state = HM_BLOCK_LIVE};
}

hm_status hm_client_walk(hm_client_key key, hm_visit *visit, void *context)
{
    if (!visit) {
        return HM_E_INVALID;
    }
    hm__client *const c = hm__client_enter(key);
    if (!c) {
        return HM_E_NOT_FOUND;
    }
    for (const hm__client_block *b = c->blocks.newest; b; b = b->older) {
        const hm_block shown = hm__client_block_shown(b);
        if (visit(context, &shown)) {
            break;
        }
    }
    hm__client_leave(c);
    return HM_OK;
}
