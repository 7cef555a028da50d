/* SPDX-License-Identifier: MIT */
/* debug:live=FILE: the tallies of a host lie in a mapped file. Who counts writes where it always wrote, only that the memory is
 * shared; so nothing is copied, nothing is late, and a killed process has said all it knew. */
#include "live_internal.h"

#include "os.h"

#include <hostmalloc/live.h>

#include <string.h>

#define MALLOC_ROOM 1024u
#define SITE_ROOM   8192u
#define GROUP_ROOM  4096u

_Static_assert(
    sizeof(debug_tally) == sizeof(hm_live_tally) &&
        offsetof(debug_tally, blocks) == offsetof(hm_live_tally, blocks) &&
        offsetof(debug_tally, bytes) == offsetof(hm_live_tally, bytes) &&
        offsetof(debug_tally, freed_bytes) == offsetof(hm_live_tally, freed_bytes) &&
        offsetof(debug_tally, peak_bytes) == offsetof(hm_live_tally, peak_bytes) &&
        offsetof(debug_tally, freed_blocks) == offsetof(hm_live_tally, freed_blocks) &&
        DEBUG_GROUP == HM_LIVE_GROUP_SITES,
    "figures are counted in the file");

struct debug_live {
    hm_live_header *header;
    hm_live_finding *findings;
    hm_live_malloc *mallocs;
    hm_live_site *sites;
    hm_live_group *groups;
    size_t bytes;
    uint32_t free_group; /* place + 1 of the first of a list; 0: none; guarded by lock */
    uint32_t in_memory;  /* a child that could have no file */
    hm_lock names;
    char path[1024]; /* as written, "%p" in it */
};

#define FINDINGS_AT HM_LIVE_HEADER_BYTES
#define MALLOCS_AT  (FINDINGS_AT + DEBUG_SEEN_MAX * sizeof(hm_live_finding))
#define SITES_AT    (MALLOCS_AT + MALLOC_ROOM * sizeof(hm_live_malloc))
#define GROUPS_AT   (SITES_AT + SITE_ROOM * sizeof(hm_live_site))
#define FILE_BYTES \
    ((GROUPS_AT + GROUP_ROOM * sizeof(hm_live_group) + 4095) & ~(size_t)4095)

static void place_tables(debug_live *live, char *pages)
{
    live->bytes = FILE_BYTES;
    live->header = (hm_live_header *)(void *)pages;
    live->findings = (hm_live_finding *)(void *)(pages + FINDINGS_AT);
    live->mallocs = (hm_live_malloc *)(void *)(pages + MALLOCS_AT);
    live->sites = (hm_live_site *)(void *)(pages + SITES_AT);
    live->groups = (hm_live_group *)(void *)(pages + GROUPS_AT);
}

/* Strings longer than their room keep what says most: a path its end. */
static void copy_end(char *to, size_t size, const char *from)
{
    const size_t length = strlen(from);
    const size_t kept = length < size ? length : size - 1;
    memcpy(to, from + (length - kept), kept);
    to[kept] = '\0';
}

static void copy_start(char *to, size_t size, const char *from)
{
    const size_t length = strlen(from);
    const size_t kept = length < size ? length : size - 1;
    memcpy(to, from, kept);
    to[kept] = '\0';
}

/* Last: a file whose magic is there has a whole header. */
static void write_magic(hm_live_header *header)
{
    uint64_t magic;
    memcpy(&magic, HM_LIVE_MAGIC, sizeof(magic));
    __atomic_store_n((uint64_t *)(void *)header->magic, magic, __ATOMIC_RELEASE);
}

hm_status hm__debug_live_open(debug_host *host, const char *path, hm_error *err)
{
    const hm_core *core = hm__debug.core;
    char expanded[1024];
    debug_live *live = core->memory_alloc(sizeof(*live));
    if (!live) {
        return core->error_set(err, HM_E_NOMEM, "host:debug", "no memory for live=");
    }
    if (strlen(path) >= sizeof(live->path) ||
        !hm__debug_path(expanded, sizeof(expanded), path)) {
        core->memory_free(live, sizeof(*live));
        return core->error_set(err, HM_E_INVALID, "host:debug",
                               "live: the path is longer than %u characters",
                               (unsigned)sizeof(expanded) - 1);
    }
    copy_start(live->path, sizeof(live->path), path);
    char *pages = core->file_map(expanded, FILE_BYTES);
    if (!pages) {
        core->memory_free(live, sizeof(*live));
        return core->error_set(err, HM_E_OS, "host:debug", "live: cannot map %s",
                               expanded);
    }
    place_tables(live, pages);
    *live->header = (hm_live_header){.byte_order = HM_LIVE_BYTE_ORDER,
                                     .version = HM_LIVE_VERSION,
                                     .header_bytes = HM_LIVE_HEADER_BYTES,
                                     .finding_room = DEBUG_SEEN_MAX,
                                     .malloc_room = MALLOC_ROOM,
                                     .site_room = SITE_ROOM,
                                     .group_room = GROUP_ROOM,
                                     .process = core->process_id(),
                                     .state = HM_LIVE_RUNNING,
                                     .started_ns = core->now_ns()};
    copy_start(live->header->program, sizeof(live->header->program), hm__os_program());
    copy_start(live->header->library, sizeof(live->header->library), core->version);
    write_magic(live->header);
    host->live = live;
    return HM_OK;
}

void hm__debug_live_ended(debug_host *host)
{
    if (host->live) {
        hm__debug_live_names(host->live);
        DEBUG_SET(host->live->header->state, HM_LIVE_ENDED);
    }
}

static void unmap(debug_live *live, void *pages)
{
    if (live->in_memory) {
        hm__debug.core->pages_unmap(pages, live->bytes);
    } else {
        hm__debug.core->file_unmap(pages, live->bytes);
    }
}

/* The mallocs are gone by now, and none of their figures lie here any more. */
void hm__debug_live_close(debug_host *host)
{
    if (host->live) {
        unmap(host->live, host->live->header);
        hm__debug.core->memory_free(host->live, sizeof(*host->live));
        host->live = NULL;
    }
}

static int is_in_file(const debug_live *live, const void *at)
{
    return (const char *)at >= (const char *)live->groups &&
           (const char *)at < (const char *)(live->groups + GROUP_ROOM);
}

static hm_live_group *group_take(debug_live *live)
{
    hm_live_header *header = live->header;
    hm_live_group *taken = NULL;
    if (live->free_group) {
        taken = &live->groups[live->free_group - 1];
        live->free_group = taken->next;
        memset(taken, 0, sizeof(*taken));
    } else if (header->group_count < GROUP_ROOM) {
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
    if (!live || !is_in_file(live, tallies)) {
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
    for (uint32_t i = 0; i < MALLOC_ROOM; i++) {
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
        copy_start(place->name, sizeof(place->name), m->name);
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

/* Whoever comes first names all; another goes on, for they are named then. */
void hm__debug_live_names(debug_live *live)
{
    const hm_core *core = hm__debug.core;
    core->lock(&live->names);
    uint32_t count = live->header->site_count;
    const hm_site *site = count < SITE_ROOM ? core->site_from_id(count + 1) : NULL;
    for (; site; site = count < SITE_ROOM ? core->site_from_id(count + 1) : NULL) {
        hm_live_site *name = &live->sites[count++];
        name->line = site->line;
        copy_end(name->file, sizeof(name->file), site->file ? site->file : "?");
        copy_start(name->function, sizeof(name->function),
                   site->function ? site->function : "");
        __atomic_store_n(&live->header->site_count, count, __ATOMIC_RELEASE);
    }
    core->unlock(&live->names);
}

uint32_t hm__debug_live_named(const debug_live *live)
{
    const uint32_t count = DEBUG_GET(live->header->site_count);
    return count < SITE_ROOM ? count : UINT32_MAX;
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
        copy_start(shown->kind, sizeof(shown->kind), seen->what);
        copy_start(shown->malloc_name, sizeof(shown->malloc_name), seen->malloc_name);
        copy_start(shown->status_name, sizeof(shown->status_name),
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

static void book_follow(debug_book *book, const debug_live *from, const char *to)
{
    for (uint32_t i = 0; i < book->group_count; i++) {
        if (book->groups[i] && is_in_file(from, book->groups[i])) {
            const size_t at =
                (size_t)((const char *)book->groups[i] - (const char *)from->header);
            book->groups[i] = (debug_tally *)(uintptr_t)(to + at);
        }
    }
}

static void copy_tables(debug_live *to, const debug_live *from)
{
    const size_t magic = sizeof(from->header->magic);
    const size_t fixed = (size_t)((const char *)from->sites - (const char *)from->header);
    memcpy((char *)to->header + magic, (const char *)from->header + magic, fixed - magic);
    memcpy(to->sites, from->sites, to->header->site_count * sizeof(*to->sites));
    memcpy(to->groups, from->groups, to->header->group_count * sizeof(*to->groups));
}

/* A name without %p is the parent's: then the child counts in memory. Threads of the parent go on counting while this copies,
   so figures of theirs may be a little later than the fork. Without any memory the child counts in the parent's file. */
void hm__debug_live_child(debug_host *host)
{
    const hm_core *core = hm__debug.core;
    debug_live *live = host->live;
    char path[1024];
    if (!live) {
        return;
    }
    live->names.word = 0;
    const debug_live before = *live;
    const int own = strstr(live->path, "%p") &&
                    hm__debug_path(path, sizeof(path), live->path) && !before.in_memory;
    char *pages = own ? core->file_map(path, live->bytes) : NULL;
    const uint32_t in_memory = pages == NULL;
    pages = pages ? pages : core->pages_map(live->bytes);
    if (!pages) {
        return;
    }
    place_tables(live, pages);
    copy_tables(live, &before);
    live->header->process = core->process_id();
    live->header->shape &= ~1u;
    live->header->error_sequence &= ~1u;
    write_magic(live->header);
    for (debug_malloc *m = host->mallocs; m; m = m->next) {
        for (debug_book *book = m->books; book; book = book->next) {
            book_follow(book, &before, pages);
        }
    }
    debug_live old = before;
    unmap(&old, before.header);
    live->in_memory = in_memory;
}
