/* SPDX-License-Identifier: MIT */
/* Adding up what is live by site, and what of it is no leak. */
#include "leaks_internal.h"

#include "ledger_internal.h"

static uint32_t groups_of(const debug_host *host, const debug_malloc *only)
{
    uint32_t groups = 0;
    for (const debug_malloc *m = host->mallocs; m; m = m->next) {
        if (!only || m == only) {
            const uint32_t own = hm__debug_malloc_groups(m);
            groups = own > groups ? own : groups;
        }
    }
    return groups;
}

/* What is left of a site's blocks when those nobody calls leaks are counted apart. */
static void
list_excuse(debug_list *list, const debug_host *host, uint32_t site, debug_ignored *live)
{
    if (site < list->ignored_count) {
        const debug_ignored *row = &list->ignored_rows[site];
        const uint64_t blocks = row->blocks < live->blocks ? row->blocks : live->blocks;
        list->ignored += blocks;
        live->blocks -= blocks;
        live->bytes -= row->bytes < live->bytes ? row->bytes : live->bytes;
    }
    if (live->blocks &&
        hm__debug_ignores_site(host->patterns, hm__debug.core->site_from_id(site))) {
        list->suppressed += live->blocks;
        live->blocks = 0;
    }
}

static void list_site(debug_list *list,
                      const debug_host *host,
                      const debug_malloc *only,
                      uint32_t site)
{
    debug_tally sum = {0};
    debug_tally quiet = {0};
    for (const debug_malloc *m = host->mallocs; m; m = m->next) {
        if (!only || m == only) {
            hm__debug_site_sum(m, site, list->leaks && m->no_leaks ? &quiet : &sum);
        }
    }
    debug_ignored live = {sum.blocks - sum.freed_blocks, sum.bytes - sum.freed_bytes};
    if (list->leaks) {
        list->suppressed += quiet.blocks - quiet.freed_blocks;
        list_excuse(list, host, site, &live);
    }
    if (live.blocks) {
        list->blocks += live.blocks;
        list->bytes += live.bytes;
        list->sites++;
        if (list->count < list->room) {
            list->rows[list->count++] = (debug_row){site, 0, live.blocks, live.bytes};
        }
    }
}

static uint32_t sites_of(const debug_host *host, const debug_malloc *only)
{
    hm__debug.core->lock(&hm__debug.lock);
    const uint32_t sites = groups_of(host, only) * DEBUG_GROUP;
    hm__debug.core->unlock(&hm__debug.lock);
    return sites;
}

void hm__debug_list_collect(debug_list *list,
                            const debug_host *host,
                            const debug_malloc *only,
                            int leaks)
{
    const hm_core *core = hm__debug.core;
    *list = (debug_list){.leaks = leaks};
    if (leaks) {
        const uint32_t count = sites_of(host, only);
        list->ignored_rows = hm__debug_ignored_by_site(host, only, count);
        list->ignored_count = list->ignored_rows ? count : 0;
    }
    core->lock(&hm__debug.lock);
    const uint32_t sites = groups_of(host, only) * DEBUG_GROUP;
    if (sites) {
        list->rows = core->pages_map(sites * sizeof(debug_row));
        list->room = list->rows ? sites : 0;
    }
    for (uint32_t site = 0; site < sites; site++) {
        list_site(list, host, only, site);
    }
    for (const debug_malloc *m = host->mallocs; m; m = m->next) {
        list->lost += !only || m == only ? DEBUG_GET(m->lost) : 0;
    }
    core->unlock(&hm__debug.lock);
    if (list->ignored_rows) {
        core->pages_unmap(list->ignored_rows,
                          list->ignored_count * sizeof(debug_ignored));
    }
}

void hm__debug_list_free(debug_list *list)
{
    if (list->rows) {
        hm__debug.core->pages_unmap(list->rows, list->room * sizeof(debug_row));
    }
}

/* Fewer bytes, then fewer blocks, then the later site: what belongs further down. */
static int is_less(const debug_row *a, const debug_row *b)
{
    if (a->bytes != b->bytes) {
        return a->bytes < b->bytes;
    }
    return a->blocks != b->blocks ? a->blocks < b->blocks : a->site > b->site;
}

static void sift_down(debug_row *rows, size_t at, size_t count)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_less(&rows[child + 1], &rows[child])) {
            child++;
        }
        if (!is_less(&rows[child], &rows[at])) {
            return;
        }
        const debug_row swap = rows[at];
        rows[at] = rows[child];
        rows[child] = swap;
    }
}

/* Heap sort, the least on top: in place, and libc's qsort may allocate. */
void hm__debug_list_sort(debug_list *list)
{
    for (size_t i = list->count / 2; i--;) {
        sift_down(list->rows, i, list->count);
    }
    for (size_t last = list->count; last-- > 1;) {
        const debug_row least = list->rows[0];
        list->rows[0] = list->rows[last];
        list->rows[last] = least;
        sift_down(list->rows, 0, last);
    }
}
