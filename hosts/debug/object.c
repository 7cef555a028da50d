/* SPDX-License-Identifier: MIT */
/* Life of a malloc of the debug host. The object outlives its last reference until its host goes, so that a
 * use after the release is a report. */
#include "debug_internal.h"

#include "annotate_internal.h"
#include "finding_internal.h"
#include "guarded_internal.h"
#include "ignore_internal.h"
#include "ledger_internal.h"
#include "live_internal.h"
#include "quarantine_internal.h"
#include "references_internal.h"
#include "watch_internal.h"

/* Released objects that are kept so; the oldest go first. */
#define RELEASED_KEPT 1024u

static void name_copy(char *to, size_t size, const char *name)
{
    const char *from = name ? name : "malloc";
    size_t i = 0;
    for (; from[i] && i + 1 < size; i++) {
        to[i] = from[i];
    }
    to[i] = '\0';
}

/* Executable blocks are the inner host's affair; it must leave them writable, for the header and guard. */
static hm_status
inner_create(debug_host *host, const hm_malloc_opts *opts, hm_malloc **out, hm_error *err)
{
    const hm_malloc_opts asked = {.size = sizeof(asked),
                                  .name = opts->name,
                                  .flags = opts->flags &
                                           (HM_MALLOC_THREADSAFE | HM_MALLOC_EXECUTABLE)};
    hm_host *inner = host->layer.inner;
    hm_status status = inner->vtbl->create_malloc(inner, &asked, out, err);
    if (status == HM_OK) {
        status = hm__debug.core->malloc_validate(*out, err);
    }
    return status;
}

static hm_status malloc_make(debug_host *host,
                             const hm_malloc_opts *opts,
                             hm_malloc *inner,
                             debug_malloc **out)
{
    const hm_core *core = hm__debug.core;
    debug_malloc *m = core->memory_alloc(sizeof(*m));
    if (!m) {
        return HM_E_NOMEM;
    }
    const int shared = (opts->flags & HM_MALLOC_THREADSAFE) != 0;
    m->base.vtbl = hm__debug_table(host, shared);
    m->base.flags = opts->flags | HM_MALLOC_DEBUG | HM_MALLOC_EXACT;
    m->inner = inner;
    m->book = shared ? NULL : &m->common;
    m->limit = opts->limit && opts->limit < DEBUG_NO_LIMIT ? opts->limit : DEBUG_NO_LIMIT;
    m->fill = host->fill;
    m->edge = host->edge;
    m->kind = host->kind;
    m->least = m->edge || m->kind == DEBUG_KIND_STATS ? 0 : DEBUG_EPITAPH_BYTES;
    m->host = host;
    m->references = 1;
    m->ask.vtbl = &hm__debug_ask_malloc;
    name_copy(m->name, sizeof(m->name), opts->name);
    m->no_leaks = (uint32_t)hm__debug_ignores_name(host->patterns, m->name);
    core->lock(&hm__debug.lock);
    const unsigned traits = (m->edge ? DEBUG_TRAIT_EDGES : 0) |
                            (m->kind == DEBUG_KIND_STATS ? DEBUG_TRAIT_PLAIN : 0);
    const uint32_t number = hm__debug_number_take(m, traits);
    m->number = number;
    m->high = hm__debug_mark_high(host, m);
    core->unlock(&hm__debug.lock);
    if (!number || !hm__debug_book_make(m, NULL)) {
        if (number) {
            core->lock(&hm__debug.lock);
            hm__debug_number_give(number);
            core->unlock(&hm__debug.lock);
        }
        core->memory_free(m, sizeof(*m));
        return HM_E_NOMEM;
    }
    *out = m;
    return HM_OK;
}

hm_status hm__debug_malloc_create(hm_host *self,
                                  const hm_malloc_opts *opts,
                                  hm_malloc **out,
                                  hm_error *err)
{
    const hm_core *core = hm__debug.core;
    debug_host *host = hm__debug_host_from(self);
    hm_malloc_opts asked;
    if (!out) {
        return core->error_set(err, HM_E_INVALID, "host:debug", "out is NULL");
    }
    *out = NULL;
    const uint32_t supported = HM_MALLOC_THREADSAFE | HM_MALLOC_EXECUTABLE |
                               HM_MALLOC_SCOPED | HM_MALLOC_ONE_THREAD | HM_MALLOC_EXACT;
    hm_status status = core->malloc_opts_read(opts, supported, &asked, err);
    hm_malloc *inner = NULL;
    if (status == HM_OK) {
        status = inner_create(host, &asked, &inner, err);
    }
    if (status != HM_OK) {
        return status;
    }
    debug_malloc *m = NULL;
    if (malloc_make(host, &asked, inner, &m) != HM_OK) {
        hm_malloc_release(inner);
        return core->error_set(err, HM_E_NOMEM, "host:debug", "no memory for a malloc");
    }
    hm__debug_host_hold(host);
    core->lock(&hm__debug.lock);
    m->next = host->mallocs;
    host->mallocs = m;
    hm__debug_live_malloc(m);
    core->unlock(&hm__debug.lock);
    *out = &m->base;
    return HM_OK;
}

void hm__debug_malloc_retain(hm_malloc *self)
{
    __atomic_add_fetch(&hm__debug_from(self)->references, 1, __ATOMIC_RELAXED);
}

void hm__debug_malloc_flush(debug_malloc *m)
{
    const hm_core *core = hm__debug.core;
    hm__debug_walk_begin();
    /* Giving blocks back must not hold the lock. Without it, books stay: a thread that exits waits for the walk; and
       those that are added meanwhile are empty. */
    core->lock(&hm__debug.lock);
    debug_book *book = m->books;
    core->unlock(&hm__debug.lock);
    for (; book; book = book->next) {
        hm__debug_evict_all(book);
    }
    hm__debug_walk_end();
}

uint64_t hm__debug_live_blocks(const debug_malloc *m)
{
    debug_tally sum;
    uint64_t held;
    hm__debug.core->lock(&hm__debug.lock);
    hm__debug_malloc_sum(m, &sum, &held);
    hm__debug.core->unlock(&hm__debug.lock);
    return sum.blocks - sum.freed_blocks;
}

static int forget_one(void *context, void *block, unsigned state)
{
    debug_facts facts;
    const debug_malloc *m = context;
    hm__debug_facts_read(block, state, &facts);
    if (facts.intact && facts.number == m->number) {
        hm__block_map_set(&hm__debug.map, block, DEBUG_GONE);
        if (m->host->annotates) {
            hm__debug_annotate_reveal(m, block, facts.bytes);
        }
    }
    return 0;
}

void hm__debug_malloc_discard(debug_malloc *m)
{
    const hm_core *core = hm__debug.core;
    if (m->inner) {
        hm__debug_malloc_flush(m);
    }
    hm__debug_walk_begin();
    hm__debug_slots_drop(m->host, m->number);
    if (hm__debug_live_blocks(m) || m->damaged) {
        hm__block_map_walk(&hm__debug.map, DEBUG_LIVE_STATES | 1u << DEBUG_DAMAGED,
                           forget_one, m);
    }
    if (m->host->keeps_references) {
        hm__debug_references_drop(&m->base);
    }
    core->lock(&hm__debug.lock);
    hm__debug_here_forget(m);
    while (m->books != &m->common) {
        hm__debug_book_free(m->books);
    }
    hm__debug_book_free(&m->common);
    hm__debug_live_malloc_gone(m);
    hm__debug_number_give(m->number);
    core->unlock(&hm__debug.lock);
    hm__debug_walk_end();
    hm_malloc_release(m->inner);
    core->memory_free(m, sizeof(*m));
}

/* One of a host's released mallocs, when there are more than it keeps; taken off its list. */
static debug_malloc *released_surplus(debug_host *host)
{
    debug_malloc **oldest = NULL;
    hm__debug.core->lock(&hm__debug.lock);
    if (++host->released > RELEASED_KEPT) {
        for (debug_malloc **place = &host->mallocs; *place; place = &(*place)->next) {
            if (__atomic_load_n(&(*place)->released, __ATOMIC_ACQUIRE) == 2) {
                oldest = place;
            }
        }
    }
    debug_malloc *m = oldest ? *oldest : NULL;
    if (m) {
        *oldest = m->next;
        host->released--;
        __atomic_add_fetch(&host->dropped.released, 1, __ATOMIC_RELAXED);
    }
    hm__debug.core->unlock(&hm__debug.lock);
    return m;
}

static void malloc_end(debug_malloc *m)
{
    debug_host *host = m->host;
    hm_stats stats = {.size = sizeof(stats)};
    hm__debug_malloc_flush(m);
    if (m->base.flags & HM_MALLOC_SCOPED) {
        hm__debug_malloc_reset(&m->base);
    }
    hm__debug_stats(&m->base, &stats);
    if (stats.live_blocks) {
        hm__debug_report_unreleased(m, stats.live_blocks, stats.live_bytes);
    }
    __atomic_store_n(&m->base.vtbl, &hm__debug_released, __ATOMIC_RELEASE);
    if (!stats.live_blocks && !m->damaged) {
        hm_malloc_release(m->inner);
        m->inner = NULL;
        __atomic_store_n(&m->released, 2, __ATOMIC_RELEASE);
        debug_malloc *surplus = released_surplus(host);
        if (surplus) {
            hm__debug_malloc_discard(surplus);
        }
    }
    hm__debug_host_let_go(host);
}

void hm__debug_malloc_release(hm_malloc *self)
{
    debug_malloc *m = hm__debug_from(self);
    if (__atomic_sub_fetch(&m->references, 1, __ATOMIC_ACQ_REL) == 0) {
        malloc_end(m);
    }
}
