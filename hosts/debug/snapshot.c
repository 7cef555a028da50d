/* SPDX-License-Identifier: MIT */
/* Everything known by site as JSON lines, schema 1, which the command turns into every other format. Written with
 * write() from the stack: a program that is out of memory can still say what has it. */
#include "finding_internal.h"

#include "dropped_internal.h"
#include "guarded_internal.h"
#include "ignore_internal.h"
#include "ledger_internal.h"
#include "os.h"
#include "stacks_internal.h"

#include <string.h>

#define SCHEMA   1
#define TEXT_MAX 1000 /* characters of one name */
#define ROOM_MAX 1024 /* what may follow before the text is looked at again */

typedef struct writer {
    debug_text text;
    int fd;
    uint64_t lines;
} writer;

static void put(writer *w, const char *text)
{
    hm__debug_put(&w->text, text);
}

/* A line may be longer than the text has room for. */
static void make_room(writer *w)
{
    if (w->text.length > sizeof(w->text.text) - ROOM_MAX) {
        hm__debug_text_send(&w->text, w->fd);
    }
}

/* Names are whatever the program said, and may have been cut inside a character: JSON is UTF-8 all the same. */
static void put_quoted(writer *w, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    put(w, "\"");
    for (size_t i = 0; text[i] && i < TEXT_MAX;) {
        const unsigned char c = (unsigned char)text[i];
        const size_t bytes = hm__debug_character(text + i);
        char piece[8] = {'?', '\0'};
        if (c == '"' || c == '\\') {
            piece[0] = '\\';
            piece[1] = (char)c;
        } else if (c < 0x20) {
            memcpy(piece, "\\u00", 4);
            piece[4] = hex[c >> 4];
            piece[5] = hex[c & 15];
        } else if (bytes) {
            memcpy(piece, text + i, bytes);
        }
        put(w, piece);
        make_room(w);
        i += bytes ? bytes : 1;
    }
    put(w, "\"");
}

static void put_member(writer *w, const char *name, uint64_t value)
{
    put(w, ",\"");
    put(w, name);
    put(w, "\":");
    hm__debug_put_number(&w->text, value);
}

static void put_member_text(writer *w, const char *name, const char *value)
{
    put(w, ",\"");
    put(w, name);
    put(w, "\":");
    put_quoted(w, value);
}

static void begin(writer *w, const char *type)
{
    put(w, "{\"type\":");
    put_quoted(w, type);
}

/* The last line is not one of those it counts. */
static void end(writer *w)
{
    put(w, "}\n");
    w->lines++;
    make_room(w);
}

static void put_site(writer *w, const hm_site *site)
{
    put_member_text(w, "file", site && site->file ? site->file : "(unknown)");
    put_member(w, "line", site ? site->line : 0);
    if (site && site->function) {
        put_member_text(w, "function", site->function);
    }
}

static void write_head(writer *w, const debug_host *host)
{
    const hm_core *core = hm__debug.core;
    begin(w, "snapshot");
    put_member(w, "schema", SCHEMA);
    put_member_text(w, "version", core->version);
    put_member(w, "pid", core->process_id());
    put_member_text(w, "program", hm__os_program());
    put_member_text(w, "spec", "debug");
    put_member(w, "time_ns", core->now_ns());
    if (host->sample_bytes) {
        put_member(w, "sample_bytes", host->sample_bytes);
    }
    end(w);
}

static void put_tally(writer *w, const debug_tally *sum)
{
    put_member(w, "live_blocks", sum->blocks - sum->freed_blocks);
    put_member(w, "live_bytes", sum->bytes - sum->freed_bytes);
    put_member(w, "total_blocks", sum->blocks);
    put_member(w, "total_bytes", sum->bytes);
}

/* Under the lock, like the next: what a malloc and a site counted must fit together. */
static void write_mallocs(writer *w, const debug_host *host)
{
    for (const debug_malloc *m = host->mallocs; m; m = m->next) {
        debug_tally sum = {0};
        uint64_t held = 0;
        hm__debug_malloc_sum(m, &sum, &held);
        begin(w, "malloc");
        put_member(w, "id", m->number);
        put_member_text(w, "name", m->name);
        put_tally(w, &sum);
        put_member(w, "peak_bytes", hm__debug_malloc_peak(m));
        put_member(w, "held_bytes", held);
        put_member(w, "denied", DEBUG_GET(m->denied));
        put_member(w, "failed", DEBUG_GET(m->failed));
        end(w);
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

static void write_sites(writer *w,
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
            begin(w, "site");
            put_member(w, "id", site);
            put_site(w, hm__debug.core->site_from_id(site));
            put_tally(w, &sum);
            put_member(w, "peak_bytes", sum.peak_bytes);
            if (site < ignored_count && ignored[site].blocks) {
                put_member(w, "ignored_blocks", ignored[site].blocks);
                put_member(w, "ignored_bytes", ignored[site].bytes);
            }
            if (hm__debug_ignores_site(host->patterns,
                                       hm__debug.core->site_from_id(site))) {
                put(w, ",\"suppressed\":true");
            }
            end(w);
        }
    }
}

static int write_stack(void *context, const debug_stack *stack)
{
    writer *w = context;
    char text[1000];
    begin(w, "stack");
    put_member(w, "id", stack->number);
    put_member(w, "site", stack->site);
    put(w, ",\"frames\":[");
    for (uint32_t i = 0; i < stack->count; i++) {
        put(w, i ? "," : "");
        put_quoted(w, hm__debug_frame_text(stack->frames[i], text, sizeof(text)));
        make_room(w);
    }
    put(w, "]");
    put_member(w, "live_blocks", stack->live_blocks);
    put_member(w, "live_bytes", stack->live_bytes);
    put_member(w, "total_blocks", (DEBUG_GET(stack->weight) + 128) / 256);
    put_member(w, "total_bytes", (DEBUG_GET(stack->weight_bytes) + 128) / 256);
    end(w);
    return 0;
}

static void put_spot(writer *w, const char *name, uint32_t site, uint32_t thread)
{
    put(w, ",\"");
    put(w, name);
    put(w, "\":{\"thread\":");
    hm__debug_put_number(&w->text, thread);
    put_site(w, hm__debug.core->site_from_id(site));
    put(w, "}");
}

static void write_findings(writer *w, const debug_host *host)
{
    for (uint32_t i = 0; i < host->kinds; i++) {
        const debug_seen *seen = &host->seen[i];
        begin(w, "finding");
        put_member_text(w, "kind", seen->what);
        put_member_text(w, "status", hm__debug.core->status_name(seen->status));
        put_member_text(w, "malloc", seen->malloc_name);
        put_member(w, "times", seen->times);
        if (seen->known) {
            put_member(w, "bytes", seen->bytes);
            put_member(w, "serial", seen->serial);
            put_spot(w, "allocated", seen->allocated_site, seen->threads[0]);
        }
        if (seen->freed_site) {
            put_spot(w, "freed", seen->freed_site, seen->threads[1]);
        }
        put_spot(w, "here", seen->site, seen->threads[2]);
        end(w);
    }
}

static void write_dropped(writer *w, const debug_host *host)
{
    for (unsigned i = 0; i < DEBUG_DROPS; i++) {
        const char *what;
        const uint64_t count = hm__debug_dropped(host, i, &what);
        if (count) {
            begin(w, "dropped");
            put_member_text(w, "what", what);
            put_member(w, "count", count);
            end(w);
        }
    }
}

void hm__debug_snapshot(debug_host *host, int fd)
{
    const hm_core *core = hm__debug.core;
    writer w;
    w.fd = fd;
    w.lines = 0;
    hm__debug_text_start(&w.text);
    core->lock(&host->report);
    write_head(&w, host);
    core->lock(&hm__debug.lock);
    const uint32_t count = sites_of(host);
    core->unlock(&hm__debug.lock);
    debug_ignored *ignored = hm__debug_ignored_by_site(host, NULL, count);
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
    if (host->kinds == DEBUG_SEEN_MAX) {
        begin(&w, "dropped");
        put_member_text(&w, "what",
                        "kinds of findings beyond those listed may be missing");
        put_member(&w, "count", host->repeats);
        end(&w);
    }
    if (hm__debug_guarded_dropped(host)) {
        begin(&w, "dropped");
        put_member_text(&w, "what",
                        "blocks without a page of their own, for lack of slots");
        put_member(&w, "count", hm__debug_guarded_dropped(host));
        end(&w);
    }
    if (host->frames && hm__debug_stacks_dropped()) {
        begin(&w, "dropped");
        put_member_text(&w, "what", "blocks without a stack, for lack of room");
        put_member(&w, "count", hm__debug_stacks_dropped());
        end(&w);
    }
    write_dropped(&w, host);
    begin(&w, "end");
    put_member(&w, "lines", w.lines);
    end(&w);
    hm__debug_text_send(&w.text, fd);
    core->unlock(&host->report);
}
