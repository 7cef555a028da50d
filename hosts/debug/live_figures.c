/* SPDX-License-Identifier: MIT */
/* What is written into the file of debug:live= while the program runs: tallies by groups of sites, the names of mallocs and sites,
 * and what was found. */
#include "live_file_internal.h"

static hm_live_group *group_take(debug_live *live)
{
    hm_live_header *header = live->header;
    hm_live_group *taken = NULL;
    if (live->free_group) {
        taken = &live->groups[live->free_group - 1];
        live->free_group = taken->next;
        memset(taken, 0, sizeof(*taken));
    } else if (header->group_count < DEBUG_LIVE_GROUPS) {
        taken = &live->groups[header->group_count];
        DEBUG_SET(header->group_count, header->group_count + 1);
    }
    return taken;
}

debug_tally *hm__debug_live_group(const debug_book *book, uint32_t group)
{
    debug_live *live = book->owner->host->live;
    hm_live_group *taken = live ? group_take(live) : NULL;
    if (!taken) {
        debug_tally *apart =
            hm__debug.core->memory_alloc(DEBUG_GROUP * sizeof(debug_tally));
        if (live && apart) {
            DEBUG_SET(live->header->groups_dropped, live->header->groups_dropped + 1);
        }
        return apart;
    }
    hm__debug_live_names(live);
    taken->group = group;
    taken->thread = book->thread ? book->thread->id : 0;
    __atomic_store_n(&taken->malloc_number, book->owner->number, __ATOMIC_RELEASE);
    return (debug_tally *)(void *)taken->tallies;
}

void hm__debug_live_group_free(const debug_book *book, debug_tally *tallies)
{
    debug_live *live = book->owner->host->live;
    if (!live || !hm__debug_live_holds(live, tallies)) {
        hm__debug.core->memory_free(tallies, DEBUG_GROUP * sizeof(debug_tally));
        return;
    }
    hm_live_group *group =
        (hm_live_group *)(void *)((char *)tallies - offsetof(hm_live_group, tallies));
    /* What a host had at its end is what the file is read for. */
    if (DEBUG_GET(live->header->state) == HM_LIVE_RUNNING) {
        __atomic_store_n(&group->malloc_number, 0, __ATOMIC_RELEASE);
        group->next = live->free_group;
        live->free_group = (uint32_t)(group - live->groups) + 1;
    }
}

static void shape_change(const debug_malloc *m)
{
    if (m->host->live) {
        __atomic_add_fetch(&m->host->live->header->shape, 1, __ATOMIC_ACQ_REL);
    }
}

void hm__debug_live_fold_begin(const debug_malloc *m)
{
    shape_change(m);
}

void hm__debug_live_fold_end(const debug_malloc *m)
{
    shape_change(m);
}

static hm_live_malloc *malloc_place(const debug_live *live, uint32_t number)
{
    for (uint32_t i = 0; i < DEBUG_LIVE_MALLOCS; i++) {
        if (live->mallocs[i].number == number) {
            return &live->mallocs[i];
        }
    }
    return NULL;
}

void hm__debug_live_malloc(const debug_malloc *m)
{
    const debug_live *live = m->host->live;
    hm_live_malloc *place = live ? malloc_place(live, 0) : NULL;
    if (place) {
        hm__debug_live_text(place->name, sizeof(place->name), m->name);
        __atomic_store_n(&place->number, m->number, __ATOMIC_RELEASE);
    } else if (live) {
        DEBUG_SET(live->header->mallocs_dropped, live->header->mallocs_dropped + 1);
    }
}

void hm__debug_live_malloc_gone(const debug_malloc *m)
{
    const debug_live *live = m->host->live;
    if (live && DEBUG_GET(live->header->state) == HM_LIVE_RUNNING) {
        hm_live_malloc *place = malloc_place(live, m->number);
        if (place) {
            __atomic_store_n(&place->number, 0, __ATOMIC_RELEASE);
        }
    }
}

/* What says most of a path is its end. */
static void copy_end(char *to, size_t size, const char *from)
{
    const size_t length = strlen(from);
    const size_t kept = length < size ? length : size - 1;
    memcpy(to, from + (length - kept), kept);
    to[kept] = '\0';
}

/* Whoever comes first names all; another goes on, for they are named then. */
void hm__debug_live_names(debug_live *live)
{
    const hm_core *core = hm__debug.core;
    core->lock(&live->names);
    uint32_t count = live->header->site_count;
    const hm_site *site = count < DEBUG_LIVE_SITES ? core->site_from_id(count + 1) : NULL;
    for (; site; site = count < DEBUG_LIVE_SITES ? core->site_from_id(count + 1) : NULL) {
        hm_live_site *name = &live->sites[count++];
        name->line = site->line;
        copy_end(name->file, sizeof(name->file), site->file ? site->file : "?");
        hm__debug_live_text(name->function, sizeof(name->function),
                            site->function ? site->function : "");
        __atomic_store_n(&live->header->site_count, count, __ATOMIC_RELEASE);
    }
    core->unlock(&live->names);
}

uint32_t hm__debug_live_named(const debug_live *live)
{
    const uint32_t count = DEBUG_GET(live->header->site_count);
    return count < DEBUG_LIVE_SITES ? count : UINT32_MAX;
}

static void write_error(hm_live_header *header, const char *text, size_t length)
{
    const size_t kept =
        length < sizeof(header->error) ? length : sizeof(header->error) - 1;
    __atomic_add_fetch(&header->error_sequence, 1, __ATOMIC_ACQ_REL);
    memcpy(header->error, text, kept);
    header->error[kept] = '\0';
    __atomic_add_fetch(&header->error_sequence, 1, __ATOMIC_ACQ_REL);
}

void hm__debug_live_finding(debug_host *host,
                            uint32_t place,
                            const char *text,
                            size_t length)
{
    debug_live *live = host->live;
    if (!live) {
        return;
    }
    hm_live_header *header = live->header;
    hm__debug_live_names(live);
    DEBUG_SET(header->errors, host->findings);
    DEBUG_SET(header->repeats, host->repeats);
    if (place >= host->kinds) {
        return;
    }
    const debug_seen *seen = &host->seen[place];
    hm_live_finding *shown = &live->findings[place];
    DEBUG_SET(shown->times, seen->times);
    if (text) {
        write_error(header, text, length);
        shown->status = seen->status;
        hm__debug_live_text(shown->kind, sizeof(shown->kind), seen->what);
        hm__debug_live_text(shown->malloc_name, sizeof(shown->malloc_name),
                            seen->malloc_name);
        hm__debug_live_text(shown->status_name, sizeof(shown->status_name),
                            hm__debug.core->status_name(seen->status));
        shown->bytes = seen->bytes;
        shown->serial = seen->serial;
        shown->known = seen->known;
        shown->allocated_site = seen->allocated_site;
        shown->freed_site = seen->freed_site;
        shown->here_site = seen->site;
        shown->allocated_thread = seen->threads[0];
        shown->freed_thread = seen->threads[1];
        shown->here_thread = seen->threads[2];
        __atomic_store_n(&shown->state, 1, __ATOMIC_RELEASE);
        DEBUG_SET(header->finding_count, host->kinds);
    }
}
