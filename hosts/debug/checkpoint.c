/* SPDX-License-Identifier: MIT */
/* What was allocated since a checkpoint and is still live, by site: exact, because every header carries the number
 * of the last checkpoint before its block was made. Taking one is an increment; the question is one walk. */
#include "finding_internal.h"

#include "ledger_internal.h"

#define MARK_SHIFT 36
#define MARK_MAX   255u /* what a header has room for */

hm_status hm__debug_checkpoint(debug_host *host, uint32_t *mark)
{
    hm_status status = HM_OK;
    hm__debug.core->lock(&hm__debug.lock);
    if (host->mark == MARK_MAX) {
        status = HM_E_UNSUPPORTED;
    } else {
        host->mark++;
    }
    for (debug_malloc *m = host->mallocs; m; m = m->next) {
        DEBUG_SET(m->high, hm__debug_mark_high(host, m));
    }
    *mark = host->mark;
    hm__debug.core->unlock(&hm__debug.lock);
    return status;
}

uint64_t hm__debug_mark_high(const debug_host *host, const debug_malloc *m)
{
    const uint64_t high =
        m->number | (uint64_t)host->mark << MARK_SHIFT | DEBUG_SEAL_ALWAYS;
    return hm__debug_traits(m->number) & DEBUG_TRAIT_PLAIN
               ? hm__debug_sealed(high, hm__debug_plain_hash())
               : high;
}

typedef struct since_walk {
    const debug_host *host;
    const debug_malloc *only;
    uint32_t from;
    uint32_t to;
    uint32_t count; /* of sums */
    hm_debug_site *sums;
} since_walk;

static int since_one(void *context, void *block, unsigned state)
{
    since_walk *walk = context;
    debug_facts facts;
    hm__debug_facts_read(block, state, &facts);
    if (!facts.intact || !facts.owner || facts.owner->host != walk->host ||
        (walk->only && facts.owner != walk->only) || facts.mark < walk->from ||
        facts.mark >= walk->to || facts.site_id >= walk->count) {
        return 0;
    }
    hm_debug_site *sum = &walk->sums[facts.site_id];
    sum->live_blocks++;
    sum->live_bytes += facts.bytes;
    return 0;
}

hm_status hm__debug_since(debug_host *host,
                          const debug_malloc *only,
                          uint32_t from,
                          uint32_t to,
                          hm_debug_visit *visit,
                          void *context)
{
    const hm_core *core = hm__debug.core;
    since_walk walk = {host, only, from, to ? to : MARK_MAX + 1, 0, NULL};
    core->lock(&hm__debug.lock);
    if (!visit || (to && to < from) || from > host->mark || to > host->mark) {
        core->unlock(&hm__debug.lock);
        return HM_E_INVALID;
    }
    for (const debug_malloc *m = host->mallocs; m; m = m->next) {
        const uint32_t own = hm__debug_malloc_groups(m) * DEBUG_GROUP;
        walk.count = own > walk.count ? own : walk.count;
    }
    core->unlock(&hm__debug.lock);
    if (walk.count == 0) {
        return HM_OK;
    }
    const size_t bytes = walk.count * sizeof(hm_debug_site);
    walk.sums = core->pages_map(bytes);
    if (!walk.sums) {
        return HM_E_NOMEM;
    }
    hm__debug_walk_begin();
    hm__block_map_walk(&hm__debug.map, DEBUG_LIVE_STATES, since_one, &walk);
    hm__debug_walk_end();
    int stop = 0;
    for (uint32_t site = 0; site < walk.count && !stop; site++) {
        hm_debug_site *sum = &walk.sums[site];
        if (sum->live_blocks) {
            sum->size = sizeof(*sum);
            sum->site = core->site_from_id(site);
            sum->total_blocks = sum->live_blocks;
            sum->total_bytes = sum->live_bytes;
            stop = visit(context, sum);
        }
    }
    core->pages_unmap(walk.sums, bytes);
    return HM_OK;
}
