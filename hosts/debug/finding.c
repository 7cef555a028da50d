/* SPDX-License-Identifier: MIT */
/* The text of one finding, and the memory of which were printed already. */
#include "files_internal.h"
#include "finding_internal.h"
#include "live_internal.h"
#include "stacks_internal.h"
#include "tell_internal.h"

#include <string.h>

#define LABEL_COLUMN 15u
#define FRAMES_SHOWN 8u

/* The entry of this kind at these places: a new one when it is to be printed, NULL when it is only counted. */
static debug_seen *
seen_first(debug_host *host, debug_finding *f, uint32_t site, uint32_t *place)
{
    for (uint32_t i = 0; i < host->kinds; i++) {
        debug_seen *seen = &host->seen[i];
        if (seen->what == f->what && seen->allocated_site == f->facts.site_id &&
            seen->site == site) {
            f->times = ++seen->times;
            host->repeats++;
            *place = i;
            return NULL;
        }
    }
    *place = host->kinds;
    if (host->kinds == DEBUG_SEEN_MAX) {
        host->repeats++;
        return NULL;
    }
    f->times = 1;
    debug_seen *fresh = &host->seen[host->kinds++];
    *fresh =
        (debug_seen){.what = f->what,
                     .allocated_site = f->facts.site_id,
                     .site = site,
                     .number = ++host->findings,
                     .status = f->status,
                     .times = 1,
                     .bytes = f->facts.bytes,
                     .serial = f->facts.serial,
                     .freed_site = f->facts.freed_site ? f->facts.freed_site->id : 0,
                     .threads = {f->facts.thread, f->facts.freed_thread, f->here.thread},
                     .known = f->facts.block && f->facts.intact};
    memcpy(fresh->malloc_name, f->m->name, sizeof(fresh->malloc_name));
    return fresh;
}

void hm__debug_put_label(debug_text *t, const char *label)
{
    hm__debug_put(t, "  ");
    hm__debug_put(t, label);
    hm__debug_put_column(t, LABEL_COLUMN);
}

static void put_thread(debug_text *t, uint32_t thread)
{
    hm__debug_put(t, ", thread ");
    if (thread == 0) {
        hm__debug_put(t, "unknown");
    } else {
        hm__debug_put_number(t, thread);
        hm__debug_put(t, thread == DEBUG_THREAD_MAX ? " or later" : "");
    }
}

static void
put_place(debug_text *t, const char *label, const hm_site *site, uint32_t thread)
{
    hm__debug_put_label(t, label);
    hm__debug_put_site(t, site);
    put_thread(t, thread);
    hm__debug_put(t, "\n");
}

void hm__debug_put_block(debug_text *t, const char *label, const debug_facts *facts)
{
    hm__debug_put_label(t, label);
    hm__debug_put_hex(t, (uintptr_t)facts->block);
    if (!facts->intact) {
        hm__debug_put(t, ", size and site are overwritten\n");
        return;
    }
    hm__debug_put(t, ", ");
    hm__debug_put_count(t, facts->bytes, "byte", "bytes");
    hm__debug_put(t, ", #");
    hm__debug_put_number(t, facts->serial);
    hm__debug_put(t, " of its site");
    if (facts->owner) {
        hm__debug_put(t, ", malloc \"");
        hm__debug_put(t, facts->owner->name);
        hm__debug_put(t, "\"");
    }
    hm__debug_put(t, "\n");
    put_place(t, "allocated", facts->site, facts->thread);
    const debug_stack *stack = hm__debug_stack_of(facts);
    if (stack) {
        hm__debug_put_frames(t, -1, stack, FRAMES_SHOWN);
    }
    if (facts->freed_known) {
        put_place(t, "freed", facts->freed_site, facts->freed_thread);
    }
}

static void put_finding(debug_text *t, const debug_finding *f, uint32_t number)
{
    hm__debug_put(t, "==hostmalloc== ERROR #");
    hm__debug_put_number(t, number);
    hm__debug_put(t, " ");
    hm__debug_put(t, f->what);
    if (f->status != HM_OK) {
        hm__debug_put(t, " (");
        hm__debug_put(t, hm__debug.core->status_name(f->status));
        hm__debug_put(t, ")");
    }
    hm__debug_put(t, ", malloc \"");
    hm__debug_put(t, f->m->name);
    hm__debug_put(t, "\"\n");
    if (f->pointer && f->pointer != f->facts.block) {
        hm__debug_put_label(t, "address");
        hm__debug_put_hex(t, (uintptr_t)f->pointer);
        hm__debug_put(t, "\n");
    }
    if (f->facts.block) {
        hm__debug_put_block(t, "block", &f->facts);
    }
    if (f->detail) {
        f->detail(t, f);
    }
    if (f->before.label) {
        put_place(t, f->before.label, f->before.site, f->before.thread);
    }
    if (f->here.label) {
        put_place(t, f->here.label, f->here.site, f->here.thread);
    }
    if (f->culprit.block) {
        hm__debug_put_block(t, "block before", &f->culprit);
    }
    if (f->hint) {
        hm__debug_put_label(t, "hint");
        hm__debug_put(t, f->hint);
        hm__debug_put(t, "\n");
    }
}

debug_place hm__debug_place_here(const char *label, hm_site *site)
{
    return (debug_place){label, site, hm__debug.core->thread_id()};
}

void hm__debug_found(debug_finding *f)
{
    const hm_core *core = hm__debug.core;
    debug_host *host = f->m->host;
    const uint32_t site = f->here.site ? f->here.site->id : 0;
    core->lock(&host->report);
    uint32_t place;
    const debug_seen *fresh = seen_first(host, f, site, &place);
    if (fresh) {
        debug_text text;
        hm__debug_text_start(&text);
        put_finding(&text, f, fresh->number);
        hm__debug_live_finding(host, place, text.text, text.length);
        hm__debug_file_send(&host->report_file, &text);
    } else {
        hm__debug_live_finding(host, place, NULL, 0);
    }
    core->unlock(&host->report);
    hm__debug_tell(f);
}
