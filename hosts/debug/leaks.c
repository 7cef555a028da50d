/* SPDX-License-Identifier: MIT */
/* What is live, by site, sorted by bytes: on request, and as the leak report when a host goes. */
#include "finding_internal.h"

#include "dropped_internal.h"
#include "files_internal.h"
#include "guarded_internal.h"
#include "leaks_internal.h"
#include "stacks_internal.h"

static void put_share(debug_text *t, uint64_t part, uint64_t whole)
{
    const uint64_t permille =
        whole ? (part > UINT64_MAX / 1000 ? part / (whole / 1000) : part * 1000 / whole)
              : 0;
    hm__debug_put_right(t, permille / 10, 30);
    hm__debug_put(t, ".");
    hm__debug_put_number(t, permille % 10);
    hm__debug_put(t, "%");
}

static void put_list(debug_text *t, int fd, debug_list *list)
{
    hm__debug_put(t, "    blocks         bytes    share  site\n");
    hm__debug_list_sort(list);
    for (size_t i = 0; i < list->count; i++) {
        const debug_row *row = &list->rows[i];
        hm__debug_put_right(t, row->blocks, 10);
        hm__debug_put_right(t, row->bytes, 24);
        put_share(t, row->bytes, list->bytes);
        hm__debug_put(t, "  ");
        hm__debug_put_site(t, hm__debug.core->site_from_id(row->site));
        hm__debug_put(t, "\n");
        if (t->length > sizeof(t->text) - 1024) {
            hm__debug_text_send(t, fd);
        }
    }
    if (list->count < list->sites) {
        hm__debug_put(t, "    (no memory to list the sites)\n");
    }
    hm__debug_put_right(t, list->blocks, 10);
    hm__debug_put_right(t, list->bytes, 24);
    hm__debug_put(t, "           total of ");
    hm__debug_put_count(t, list->sites, "site\n", "sites\n");
    if (list->lost) {
        hm__debug_put(t, "    among them ");
        hm__debug_put_count(t, list->lost, "block", "blocks");
        hm__debug_put(t, " freed with the header overwritten: the site is not known\n");
    }
}

/* Mistakes that were only counted, because one like them had been printed. */
static void put_repeats(debug_text *t, int fd, const debug_host *host)
{
    for (uint32_t i = 0; i < host->kinds; i++) {
        const debug_seen *seen = &host->seen[i];
        if (seen->times > 1) {
            hm__debug_put(t, "==hostmalloc== ");
            hm__debug_put_number(t, seen->times - 1);
            hm__debug_put(t, " more like ERROR #");
            hm__debug_put_number(t, seen->number);
            hm__debug_put(t, " ");
            hm__debug_put(t, seen->what);
            hm__debug_put(t, "\n");
        }
        if (t->length > sizeof(t->text) - 1024) {
            hm__debug_text_send(t, fd);
        }
    }
}

static void put_dropped(debug_text *t, const debug_host *host)
{
    const uint64_t dropped = hm__debug_guarded_dropped(host);
    if (dropped) {
        hm__debug_put(t, "==hostmalloc== ");
        hm__debug_put_count(t, dropped, "block", "blocks");
        hm__debug_put(t, " found no slot of guard_slots= and had no page of their own\n");
    }
}

/* Only beside something else: a program that did nothing wrong is not told. */
static void put_bounds(debug_text *t, const debug_host *host)
{
    for (unsigned i = 0; i < DEBUG_DROPS; i++) {
        const char *what;
        const uint64_t count = hm__debug_dropped(host, i, &what);
        if (count) {
            hm__debug_put(t, "==hostmalloc== dropped: ");
            hm__debug_put_number(t, count);
            hm__debug_put(t, " (");
            hm__debug_put(t, what);
            hm__debug_put(t, ")\n");
        }
    }
}

static void put_summary(debug_text *t,
                        const debug_host *host,
                        const debug_list *list,
                        const char *kind)
{
    hm__debug_put(t, "==hostmalloc== SUMMARY: ");
    hm__debug_put_count(t, host->findings + host->repeats, "error", "errors");
    hm__debug_put(t, ", ");
    hm__debug_put_count(t, list->blocks, "block", "blocks");
    hm__debug_put(t, " and ");
    hm__debug_put_count(t, list->bytes, "byte ", "bytes ");
    hm__debug_put(t, kind);
    hm__debug_put(t, " at ");
    hm__debug_put_count(t, list->sites, "site", "sites");
    if (list->ignored) {
        hm__debug_put(t, ", ");
        hm__debug_put_count(t, list->ignored, "block", "blocks");
        hm__debug_put(t, " ignored");
    }
    if (list->suppressed) {
        hm__debug_put(t, ", ");
        hm__debug_put_count(t, list->suppressed, "block", "blocks");
        hm__debug_put(t, " suppressed");
    }
    hm__debug_put(t, "\n");
}

/* A line for each function, or file where that is not known, that would have kept a row from being listed. */
static void put_suppressions(debug_text *t, int fd, const debug_list *list)
{
    hm__debug_put(t, "==hostmalloc== lines for debug:ignore=FILE\n");
    for (size_t i = 0; i < list->count; i++) {
        const hm_site *site = hm__debug.core->site_from_id(list->rows[i].site);
        const char *name = !site ? NULL : site->function ? site->function : site->file;
        if (name) {
            hm__debug_put(t, "leak:^");
            hm__debug_put(t, name);
            hm__debug_put(t, "$\n");
        }
        if (t->length > sizeof(t->text) - 1024) {
            hm__debug_text_send(t, fd);
        }
    }
}

static int report(debug_host *host, int fd, const debug_malloc *only, int leaks)
{
    const char *title = leaks ? "LEAK: blocks never freed" : "LIVE blocks";
    const hm_core *core = hm__debug.core;
    debug_list list;
    debug_text text;
    hm__debug_list_collect(&list, host, only, leaks);
    host->leaked = leaks ? list.blocks : host->leaked;
    if (host->frames) {
        hm__debug_walk_begin(); /* before the lock: verdicts take it while they walk */
    }
    core->lock(&host->report);
    hm__debug_text_start(&text);
    /* Mistakes alone bring a report of a host that is not asked for leaks. */
    if (list.blocks && (!leaks || host->leaks)) {
        hm__debug_put(&text, "==hostmalloc== ");
        hm__debug_put(&text, title);
        if (only) {
            hm__debug_put(&text, ", malloc \"");
            hm__debug_put(&text, only->name);
            hm__debug_put(&text, "\"");
        }
        hm__debug_put(&text, "\n");
        put_list(&text, fd, &list);
        if (host->frames) {
            hm__debug_put_stacks(&text, fd, host, &list);
        }
        if (leaks && host->suppressions) {
            put_suppressions(&text, fd, &list);
        }
    }
    put_repeats(&text, fd, host);
    put_dropped(&text, host);
    if (list.blocks || list.ignored || list.suppressed || host->findings ||
        host->repeats) {
        put_bounds(&text, host);
        put_summary(&text, host, &list, leaks ? "leaked" : "live");
    }
    if (text.length) {
        hm__debug_text_send(&text, fd);
    }
    core->unlock(&host->report);
    if (host->frames) {
        hm__debug_walk_end();
    }
    hm__debug_list_free(&list);
    return text.lost;
}

int hm__debug_report_live(debug_host *host, int fd, const debug_malloc *only)
{
    return report(host, fd, only, 0);
}

void hm__debug_report_closing(debug_host *host)
{
    debug_file *file = &host->report_file;
    hm__debug_file_lost(file, report(host, hm__debug_file_of(file), NULL, 1));
}

/* The figures of a malloc without what is no leak; 0: there is nothing else. */
static int leaked(const debug_malloc *m, uint64_t *blocks, uint64_t *bytes)
{
    const debug_host *host = m->host;
    if (host->patterns || DEBUG_GET(host->ignores)) {
        debug_list list;
        hm__debug_list_collect(&list, host, m, 1);
        hm__debug_list_free(&list);
        *blocks = list.blocks;
        *bytes = list.bytes;
    }
    return *blocks != 0;
}

void hm__debug_report_unreleased(debug_malloc *m, uint64_t blocks, uint64_t bytes)
{
    debug_host *host = m->host;
    debug_text text;
    if (!host->leaks || !leaked(m, &blocks, &bytes)) {
        return;
    }
    hm__debug_text_start(&text);
    hm__debug_put(&text, "==hostmalloc== malloc \"");
    hm__debug_put(&text, m->name);
    hm__debug_put(&text, "\" was released with ");
    hm__debug_put_count(&text, blocks, "block", "blocks");
    hm__debug_put(&text, " of ");
    hm__debug_put_count(&text, bytes, "byte", "bytes");
    hm__debug_put(&text, " live\n");
    hm__debug_file_send(&host->report_file, &text);
}
