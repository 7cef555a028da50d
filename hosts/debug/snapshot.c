/* SPDX-License-Identifier: MIT */
/* Everything known by site as JSON lines, schema 1, which the command turns into every other format. Written with
 * write() from the stack: a program that is out of memory can still say what has it. */
#include "finding_internal.h"

#include "dropped_internal.h"
#include "guarded_internal.h"
#include "ignore_internal.h"
#include "json_internal.h"
#include "ledger_internal.h"
#include "os.h"
#include "stacks_internal.h"

#define SCHEMA 1

static void put_site(debug_json *w, const hm_site *site)
{
    hm__debug_json_text(w, "file", site && site->file ? site->file : "(unknown)");
    hm__debug_json_number(w, "line", site ? site->line : 0);
    if (site && site->function) {
        hm__debug_json_text(w, "function", site->function);
    }
}

static void write_head(debug_json *w, const debug_host *host)
{
    const hm_core *core = hm__debug.core;
    hm__debug_json_begin(w, "snapshot");
    hm__debug_json_number(w, "schema", SCHEMA);
    hm__debug_json_text(w, "version", core->version);
    hm__debug_json_number(w, "pid", core->process_id());
    hm__debug_json_text(w, "program", hm__os_program());
    hm__debug_json_text(w, "spec", "debug");
    hm__debug_json_number(w, "time_ns", core->now_ns());
    if (host->sample_bytes) {
        hm__debug_json_number(w, "sample_bytes", host->sample_bytes);
    }
    hm__debug_json_end(w);
}

static void put_tally(debug_json *w, const debug_tally *sum)
{
    hm__debug_json_number(w, "live_blocks", sum->blocks - sum->freed_blocks);
    hm__debug_json_number(w, "live_bytes", sum->bytes - sum->freed_bytes);
    hm__debug_json_number(w, "total_blocks", sum->blocks);
    hm__debug_json_number(w, "total_bytes", sum->bytes);
}

/* Under the lock, like the next: what a malloc and a site counted must fit together. */
static void write_mallocs(debug_json *w, const debug_host *host)
{
    for (const debug_malloc *m = host->mallocs; m; m = m->next) {
        debug_tally sum = {0};
        uint64_t held = 0;
        hm__debug_malloc_sum(m, &sum, &held);
        hm__debug_json_begin(w, "malloc");
        hm__debug_json_number(w, "id", m->number);
        hm__debug_json_text(w, "name", m->name);
        put_tally(w, &sum);
        hm__debug_json_number(w, "peak_bytes", hm__debug_malloc_peak(m));
        hm__debug_json_number(w, "held_bytes", held);
        hm__debug_json_number(w, "denied", DEBUG_GET(m->denied));
        hm__debug_json_number(w, "failed", DEBUG_GET(m->failed));
        hm__debug_json_end(w);
    }
}

static uint32_t sites_of(const debug_host *host)
{
    uint32_t count = 0;
    for (const debug_malloc *m = host->mallocs; m; m = m->next) {
        const uint32_t own = hm__debug_malloc_groups(m) * DEBUG_GROUP;
        count = own > count ? own : count;
    }
    return count;
}

static void write_sites(debug_json *w,
                        const debug_host *host,
                        const debug_ignored *ignored,
                        uint32_t ignored_count)
{
    const uint32_t count = sites_of(host);
    for (uint32_t site = 0; site < count; site++) {
        debug_tally sum = {0};
        for (const debug_malloc *m = host->mallocs; m; m = m->next) {
            hm__debug_site_sum(m, site, &sum);
        }
        if (sum.blocks) {
            hm__debug_json_begin(w, "site");
            hm__debug_json_number(w, "id", site);
            put_site(w, hm__debug.core->site_from_id(site));
            put_tally(w, &sum);
            hm__debug_json_number(w, "peak_bytes", sum.peak_bytes);
            if (site < ignored_count && ignored[site].blocks) {
                hm__debug_json_number(w, "ignored_blocks", ignored[site].blocks);
                hm__debug_json_number(w, "ignored_bytes", ignored[site].bytes);
            }
            if (hm__debug_ignores_site(host->patterns,
                                       hm__debug.core->site_from_id(site))) {
                hm__debug_json_put(w, ",\"suppressed\":true");
            }
            hm__debug_json_end(w);
        }
    }
}

static int write_stack(void *context, const debug_stack *stack)
{
    debug_json *w = context;
    char text[1000];
    hm__debug_json_begin(w, "stack");
    hm__debug_json_number(w, "id", stack->number);
    hm__debug_json_number(w, "site", stack->site);
    hm__debug_json_put(w, ",\"frames\":[");
    for (uint32_t i = 0; i < stack->count; i++) {
        hm__debug_json_put(w, i ? "," : "");
        hm__debug_json_quoted(w,
                              hm__debug_frame_text(stack->frames[i], text, sizeof(text)));
        hm__debug_json_room(w);
    }
    hm__debug_json_put(w, "]");
    hm__debug_json_number(w, "live_blocks", stack->live_blocks);
    hm__debug_json_number(w, "live_bytes", stack->live_bytes);
    hm__debug_json_number(w, "total_blocks", (DEBUG_GET(stack->weight) + 128) / 256);
    hm__debug_json_number(w, "total_bytes", (DEBUG_GET(stack->weight_bytes) + 128) / 256);
    hm__debug_json_end(w);
    return 0;
}

static void put_spot(debug_json *w, const char *name, uint32_t site, uint32_t thread)
{
    hm__debug_json_put(w, ",\"");
    hm__debug_json_put(w, name);
    hm__debug_json_put(w, "\":{\"thread\":");
    hm__debug_put_number(&w->text, thread);
    put_site(w, hm__debug.core->site_from_id(site));
    hm__debug_json_put(w, "}");
}

static void write_findings(debug_json *w, const debug_host *host)
{
    for (uint32_t i = 0; i < host->kinds; i++) {
        const debug_seen *seen = &host->seen[i];
        hm__debug_json_begin(w, "finding");
        hm__debug_json_text(w, "kind", seen->what);
        hm__debug_json_text(w, "status", hm__debug.core->status_name(seen->status));
        hm__debug_json_text(w, "malloc", seen->malloc_name);
        hm__debug_json_number(w, "times", seen->times);
        if (seen->known) {
            hm__debug_json_number(w, "bytes", seen->bytes);
            hm__debug_json_number(w, "serial", seen->serial);
            put_spot(w, "allocated", seen->allocated_site, seen->threads[0]);
        }
        if (seen->freed_site) {
            put_spot(w, "freed", seen->freed_site, seen->threads[1]);
        }
        put_spot(w, "here", seen->site, seen->threads[2]);
        hm__debug_json_end(w);
    }
}

static void put_dropped(debug_json *w, const char *what, uint64_t count)
{
    hm__debug_json_begin(w, "dropped");
    hm__debug_json_text(w, "what", what);
    hm__debug_json_number(w, "count", count);
    hm__debug_json_end(w);
}

static void write_dropped(debug_json *w, const debug_host *host)
{
    if (host->kinds == DEBUG_SEEN_MAX) {
        put_dropped(w, "kinds of findings beyond those listed may be missing",
                    host->repeats);
    }
    if (hm__debug_guarded_dropped(host)) {
        put_dropped(w, "blocks without a page of their own, for lack of slots",
                    hm__debug_guarded_dropped(host));
    }
    if (host->frames && hm__debug_stacks_dropped()) {
        put_dropped(w, "blocks without a stack, for lack of room",
                    hm__debug_stacks_dropped());
    }
    for (unsigned i = 0; i < DEBUG_DROPS; i++) {
        const char *what;
        const uint64_t count = hm__debug_dropped(host, i, &what);
        if (count) {
            put_dropped(w, what, count);
        }
    }
}

int hm__debug_snapshot(debug_host *host, int fd)
{
    const hm_core *core = hm__debug.core;
    debug_json w;
    hm__debug_json_start(&w, fd);
    core->lock(&hm__debug.lock);
    const uint32_t count = sites_of(host);
    core->unlock(&hm__debug.lock);
    debug_ignored *ignored = hm__debug_ignored_by_site(host, NULL, count);
    if (host->frames) {
        hm__debug_walk_begin(); /* before the lock: verdicts take it while they walk */
    }
    core->lock(&host->report);
    write_head(&w, host);
    core->lock(&hm__debug.lock);
    write_mallocs(&w, host);
    write_sites(&w, host, ignored, ignored ? count : 0);
    core->unlock(&hm__debug.lock);
    if (ignored) {
        core->pages_unmap(ignored, count * sizeof(*ignored));
    }
    if (host->frames) {
        hm__debug_stacks_live(host);
        hm__debug_stacks_visit(host, write_stack, &w);
    }
    write_findings(&w, host);
    write_dropped(&w, host);
    hm__debug_json_begin(&w, "end");
    hm__debug_json_number(&w, "lines", w.lines);
    hm__debug_json_end(&w);
    hm__debug_text_send(&w.text, fd);
    core->unlock(&host->report);
    if (host->frames) {
        hm__debug_walk_end();
    }
    return w.text.lost;
}
