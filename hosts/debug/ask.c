/* SPDX-License-Identifier: MIT */
/* The table of questions behind debug.h, once for a host and once for one of its mallocs. */
#include "finding_internal.h"

#include "guarded_internal.h"
#include "ignore_internal.h"
#include "ledger_internal.h"
#include "scope_internal.h"
#include "tell_internal.h"

static debug_host *host_of(hm_debug *self)
{
    return (debug_host *)(void *)((char *)self - offsetof(debug_host, ask));
}

static debug_malloc *malloc_of(hm_debug *self)
{
    return (debug_malloc *)(void *)((char *)self - offsetof(debug_malloc, ask));
}

static hm_status written(int lost)
{
    return lost ? HM_E_OS : HM_OK;
}

static hm_status host_report(hm_debug *self, int fd)
{
    return written(hm__debug_report_live(host_of(self), fd, NULL));
}

static hm_status malloc_report(hm_debug *self, int fd)
{
    debug_malloc *m = malloc_of(self);
    return written(hm__debug_report_live(m->host, fd, m));
}

static hm_status host_check(hm_debug *self, uint64_t *damaged)
{
    return hm__debug_check(host_of(self), NULL, damaged);
}

static hm_status malloc_check(hm_debug *self, uint64_t *damaged)
{
    debug_malloc *m = malloc_of(self);
    return hm__debug_check(m->host, m, damaged);
}

/* The figures are copied first: the visitor may allocate. */
static hm_status sites(const debug_host *host,
                       const debug_malloc *only,
                       hm_debug_visit *visit,
                       void *context)
{
    const hm_core *core = hm__debug.core;
    if (!visit) {
        return HM_E_INVALID;
    }
    core->lock(&hm__debug.lock);
    uint32_t count = 0;
    for (const debug_malloc *m = host->mallocs; m; m = m->next) {
        const uint32_t own = hm__debug_malloc_groups(m) * DEBUG_GROUP;
        count = (!only || m == only) && own > count ? own : count;
    }
    debug_tally *sums = count ? core->pages_map(count * sizeof(*sums)) : NULL;
    for (uint32_t site = 0; sums && site < count; site++) {
        for (const debug_malloc *m = host->mallocs; m; m = m->next) {
            if (!only || m == only) {
                hm__debug_site_sum(m, site, &sums[site]);
            }
        }
    }
    core->unlock(&hm__debug.lock);
    if (count && !sums) {
        return HM_E_NOMEM;
    }
    int stop = 0;
    for (uint32_t site = 0; site < count && !stop; site++) {
        const debug_tally *sum = &sums[site];
        const hm_debug_site shown = {.size = sizeof(shown),
                                     .site = core->site_from_id(site),
                                     .live_blocks = sum->blocks - sum->freed_blocks,
                                     .live_bytes = sum->bytes - sum->freed_bytes,
                                     .total_blocks = sum->blocks,
                                     .total_bytes = sum->bytes,
                                     .peak_bytes = sum->peak_bytes};
        stop = sum->blocks ? visit(context, &shown) : 0;
    }
    if (sums) {
        core->pages_unmap(sums, count * sizeof(*sums));
    }
    return HM_OK;
}

static hm_status host_sites(hm_debug *self, hm_debug_visit *visit, void *context)
{
    return sites(host_of(self), NULL, visit, context);
}

static hm_status malloc_sites(hm_debug *self, hm_debug_visit *visit, void *context)
{
    debug_malloc *m = malloc_of(self);
    return sites(m->host, m, visit, context);
}

static hm_status findings(debug_host *host, uint64_t *count)
{
    if (!count) {
        return HM_E_INVALID;
    }
    hm__debug.core->lock(&host->report);
    *count = host->findings + host->repeats;
    hm__debug.core->unlock(&host->report);
    return HM_OK;
}

static hm_status host_findings(hm_debug *self, uint64_t *count)
{
    return findings(host_of(self), count);
}

static hm_status malloc_findings(hm_debug *self, uint64_t *count)
{
    return findings(malloc_of(self)->host, count);
}

static hm_status host_snapshot(hm_debug *self, int fd)
{
    return written(hm__debug_snapshot(host_of(self), fd));
}

static hm_status malloc_snapshot(hm_debug *self, int fd)
{
    return written(hm__debug_snapshot(malloc_of(self)->host, fd));
}

static hm_status host_checkpoint(hm_debug *self, uint32_t *mark)
{
    return mark ? hm__debug_checkpoint(host_of(self), mark) : HM_E_INVALID;
}

static hm_status malloc_checkpoint(hm_debug *self, uint32_t *mark)
{
    return mark ? hm__debug_checkpoint(malloc_of(self)->host, mark) : HM_E_INVALID;
}

static hm_status host_since(
    hm_debug *self, uint32_t from, uint32_t to, hm_debug_visit *visit, void *context)
{
    return hm__debug_since(host_of(self), NULL, from, to, visit, context);
}

static hm_status malloc_since(
    hm_debug *self, uint32_t from, uint32_t to, hm_debug_visit *visit, void *context)
{
    debug_malloc *m = malloc_of(self);
    return hm__debug_since(m->host, m, from, to, visit, context);
}

static hm_status host_scope_begin(hm_debug *self, uint32_t kind, hm_site *site)
{
    return hm__debug_scope_begin(host_of(self), NULL, kind, site);
}

static hm_status malloc_scope_begin(hm_debug *self, uint32_t kind, hm_site *site)
{
    const debug_malloc *m = malloc_of(self);
    return hm__debug_scope_begin(m->host, m, kind, site);
}

static hm_status host_scope_end(hm_debug *self, uint32_t kind)
{
    return hm__debug_scope_end(host_of(self), NULL, kind);
}

static hm_status malloc_scope_end(hm_debug *self, uint32_t kind)
{
    const debug_malloc *m = malloc_of(self);
    return hm__debug_scope_end(m->host, m, kind);
}

static hm_status host_ignore(hm_debug *self, const void *block)
{
    return hm__debug_ignore(host_of(self), NULL, block);
}

static hm_status malloc_ignore(hm_debug *self, const void *block)
{
    const debug_malloc *m = malloc_of(self);
    return hm__debug_ignore(m->host, m, block);
}

static hm_status host_on_finding(hm_debug *self, hm_debug_tell *tell, void *context)
{
    return hm__debug_on_finding(host_of(self), tell, context);
}

static hm_status malloc_on_finding(hm_debug *self, hm_debug_tell *tell, void *context)
{
    return hm__debug_on_finding(malloc_of(self)->host, tell, context);
}

static hm_status explain(hm_debug *self, const void *address, int fd)
{
    (void)self;
    return hm__debug_explain(address, fd);
}

const hm_debug_vtbl hm__debug_ask_host = {.size = sizeof(hm_debug_vtbl),
                                          .report = host_report,
                                          .check = host_check,
                                          .sites = host_sites,
                                          .findings = host_findings,
                                          .snapshot = host_snapshot,
                                          .checkpoint = host_checkpoint,
                                          .since = host_since,
                                          .scope_begin = host_scope_begin,
                                          .scope_end = host_scope_end,
                                          .ignore = host_ignore,
                                          .on_finding = host_on_finding,
                                          .explain = explain};

const hm_debug_vtbl hm__debug_ask_malloc = {.size = sizeof(hm_debug_vtbl),
                                            .report = malloc_report,
                                            .check = malloc_check,
                                            .sites = malloc_sites,
                                            .findings = malloc_findings,
                                            .snapshot = malloc_snapshot,
                                            .checkpoint = malloc_checkpoint,
                                            .since = malloc_since,
                                            .scope_begin = malloc_scope_begin,
                                            .scope_end = malloc_scope_end,
                                            .ignore = malloc_ignore,
                                            .on_finding = malloc_on_finding,
                                            .explain = explain};
