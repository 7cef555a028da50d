/* SPDX-License-Identifier: MIT */
/* debug:live=FILE: the tallies of a host lie in a mapped file. Who counts writes where it always wrote, only that the memory is
 * shared; so nothing is copied, nothing is late, and a killed process has said all it knew. */
#include "live_file_internal.h"

#include "os.h"

#define FINDINGS_AT HM_LIVE_HEADER_BYTES
#define MALLOCS_AT  (FINDINGS_AT + DEBUG_SEEN_MAX * sizeof(hm_live_finding))
#define SITES_AT    (MALLOCS_AT + DEBUG_LIVE_MALLOCS * sizeof(hm_live_malloc))
#define GROUPS_AT   (SITES_AT + DEBUG_LIVE_SITES * sizeof(hm_live_site))
#define FILE_BYTES \
    ((GROUPS_AT + DEBUG_LIVE_GROUPS * sizeof(hm_live_group) + 4095) & ~(size_t)4095)

static void place_tables(debug_live *live, char *pages)
{
    live->bytes = FILE_BYTES;
    live->header = (hm_live_header *)(void *)pages;
    live->findings = (hm_live_finding *)(void *)(pages + FINDINGS_AT);
    live->mallocs = (hm_live_malloc *)(void *)(pages + MALLOCS_AT);
    live->sites = (hm_live_site *)(void *)(pages + SITES_AT);
    live->groups = (hm_live_group *)(void *)(pages + GROUPS_AT);
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
    hm__debug_live_text(live->path, sizeof(live->path), path);
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
                                     .malloc_room = DEBUG_LIVE_MALLOCS,
                                     .site_room = DEBUG_LIVE_SITES,
                                     .group_room = DEBUG_LIVE_GROUPS,
                                     .process = core->process_id(),
                                     .state = HM_LIVE_RUNNING,
                                     .started_ns = core->now_ns()};
    hm__debug_live_text(live->header->program, sizeof(live->header->program),
                        hm__os_program());
    hm__debug_live_text(live->header->library, sizeof(live->header->library),
                        core->version);
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

static void book_follow(debug_book *book, const debug_live *from, const char *to)
{
    for (uint32_t i = 0; i < book->group_count; i++) {
        if (book->groups[i] && hm__debug_live_holds(from, book->groups[i])) {
            const size_t at =
                (size_t)((const char *)book->groups[i] - (const char *)from->header);
            book->groups[i] = (debug_tally *)(uintptr_t)(to + at);
        }
    }
}

/* Frees before allocations, as everybody reads them: what the parent's threads count meanwhile then never looks like more frees. */
static void copy_groups(hm_live_group *to, const hm_live_group *from, uint32_t count)
{
    memcpy(to, from, count * sizeof(*to));
    for (int made = 0; made < 2; made++) {
        for (uint32_t i = 0; i < count * HM_LIVE_GROUP_SITES; i++) {
            const uint32_t group = i / HM_LIVE_GROUP_SITES, at = i % HM_LIVE_GROUP_SITES;
            const hm_live_tally *parents = &from[group].tallies[at];
            hm_live_tally *tally = &to[group].tallies[at];
            if (made) {
                tally->blocks = DEBUG_GET(parents->blocks);
                tally->bytes = DEBUG_GET(parents->bytes);
            } else {
                tally->freed_blocks =
                    __atomic_load_n(&parents->freed_blocks, __ATOMIC_ACQUIRE);
                tally->freed_bytes =
                    __atomic_load_n(&parents->freed_bytes, __ATOMIC_ACQUIRE);
            }
        }
    }
}

static void copy_tables(debug_live *to, const debug_live *from)
{
    const size_t magic = sizeof(from->header->magic);
    const size_t fixed = (size_t)((const char *)from->sites - (const char *)from->header);
    memcpy((char *)to->header + magic, (const char *)from->header + magic, fixed - magic);
    memcpy(to->sites, from->sites, to->header->site_count * sizeof(*to->sites));
    copy_groups(to->groups, from->groups, to->header->group_count);
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
