/* SPDX-License-Identifier: MIT */
/* A file of debug:live= as the snapshot it stands for: every format is made from that. */
#include "snapshot.h"

#include <hostmalloc/live.h>

#include <stdlib.h>
#include <string.h>

typedef struct live_file {
    const hm_live_header *header;
    const hm_live_finding *findings;
    const hm_live_malloc *mallocs;
    const hm_live_site *sites;
    const hm_live_group *groups;
    uint32_t group_count;
} live_file;

typedef struct tally {
    uint64_t blocks;
    uint64_t bytes;
    uint64_t freed_blocks;
    uint64_t freed_bytes;
    uint64_t peak_bytes;
} tally;

int live_is(const char *text, size_t length)
{
    return length >= sizeof HM_LIVE_MAGIC &&
           memcmp(text, HM_LIVE_MAGIC, sizeof HM_LIVE_MAGIC) == 0;
}

static const char *live_open(const char *text, size_t length, live_file *out)
{
    const hm_live_header *h = (const hm_live_header *)(const void *)text;
    if (length < sizeof *h || h->byte_order != HM_LIVE_BYTE_ORDER) {
        return "a live file of another machine, or cut";
    }
    if (h->version != HM_LIVE_VERSION || h->header_bytes < sizeof *h) {
        return "a live file of another version";
    }
    const uint64_t findings = h->header_bytes;
    const uint64_t mallocs = findings + (uint64_t)h->finding_room * sizeof *out->findings;
    const uint64_t sites = mallocs + (uint64_t)h->malloc_room * sizeof *out->mallocs;
    const uint64_t groups = sites + (uint64_t)h->site_room * sizeof *out->sites;
    if (groups + (uint64_t)h->group_room * sizeof *out->groups > length) {
        return "a live file that was cut";
    }
    out->header = h;
    out->findings = (const hm_live_finding *)(const void *)(text + findings);
    out->mallocs = (const hm_live_malloc *)(const void *)(text + mallocs);
    out->sites = (const hm_live_site *)(const void *)(text + sites);
    out->groups = (const hm_live_group *)(const void *)(text + groups);
    out->group_count = h->group_count < h->group_room ? h->group_count : h->group_room;
    return NULL;
}

/* The program looks for peaks when it frees: before that there may be more. */
static uint64_t peak_of(const hm_live_tally *part)
{
    const uint64_t freed = part->freed_bytes;
    const uint64_t bytes = part->bytes;
    const uint64_t live = bytes > freed ? bytes - freed : 0;
    return live > part->peak_bytes ? live : part->peak_bytes;
}

static void add(tally *sum, const hm_live_tally *part)
{
    sum->freed_blocks += part->freed_blocks;
    sum->freed_bytes += part->freed_bytes;
    sum->blocks += part->blocks;
    sum->bytes += part->bytes;
    sum->peak_bytes += peak_of(part);
}

/* The file is read while its program counts: more must never seem freed than was allocated. */
static void put_tally(FILE *to, const tally *sum)
{
    const uint64_t blocks =
        sum->blocks > sum->freed_blocks ? sum->blocks - sum->freed_blocks : 0;
    const uint64_t bytes =
        sum->bytes > sum->freed_bytes ? sum->bytes - sum->freed_bytes : 0;
    fprintf(to,
            ",\"live_blocks\":%llu,\"live_bytes\":%llu,\"total_blocks\":%llu,"
            "\"total_bytes\":%llu,\"peak_bytes\":%llu",
            (unsigned long long)blocks, (unsigned long long)bytes,
            (unsigned long long)sum->blocks, (unsigned long long)sum->bytes,
            (unsigned long long)sum->peak_bytes);
}

/* Texts of the file end within their room, whatever is in there. */
static void put_text(FILE *to, const char *name, const char *text, size_t room)
{
    char kept[256];
    const size_t most = room < sizeof kept ? room : sizeof kept;
    const size_t length = strnlen(text, most - 1);
    memcpy(kept, text, length);
    kept[length] = '\0';
    fprintf(to, ",\"%s\":", name);
    print_json_text(to, kept);
}

static void put_site(FILE *to, const live_file *f, uint32_t number)
{
    const int named =
        number && number <= f->header->site_count && number <= f->header->site_room;
    if (!named) {
        char unnamed[32] = "(unknown)";
        if (number) {
            snprintf(unnamed, sizeof unnamed, "(site %u)", number);
        }
        fprintf(to, ",\"file\":\"%s\",\"line\":0", unnamed);
        return;
    }
    const hm_live_site *site = &f->sites[number - 1];
    put_text(to, "file", site->file, sizeof site->file);
    fprintf(to, ",\"line\":%u", site->line);
    if (site->function[0]) {
        put_text(to, "function", site->function, sizeof site->function);
    }
}

static void write_mallocs(const live_file *f, FILE *to, unsigned long *lines)
{
    for (uint32_t i = 0; i < f->header->malloc_room; i++) {
        const hm_live_malloc *m = &f->mallocs[i];
        tally sum = {0};
        if (!m->number) {
            continue;
        }
        for (uint32_t k = 0; k < f->group_count; k++) {
            if (f->groups[k].malloc_number == m->number) {
                for (unsigned n = 0; n < HM_LIVE_GROUP_SITES; n++) {
                    add(&sum, &f->groups[k].tallies[n]);
                }
            }
        }
        fprintf(to, "{\"type\":\"malloc\",\"id\":%u", m->number);
        put_text(to, "name", m->name, sizeof m->name);
        put_tally(to, &sum);
        fprintf(to, "}\n");
        ++*lines;
    }
}

static int write_sites(const live_file *f, FILE *to, unsigned long *lines)
{
    uint32_t most = 0;
    for (uint32_t k = 0; k < f->group_count; k++) {
        if (f->groups[k].malloc_number && f->groups[k].group >= most) {
            most = f->groups[k].group + 1;
        }
    }
    if (most > (1u << 20) / HM_LIVE_GROUP_SITES) {
        return 0;
    }
    tally *sums = calloc((size_t)most * HM_LIVE_GROUP_SITES + 1, sizeof *sums);
    for (uint32_t k = 0; sums && k < f->group_count; k++) {
        const hm_live_group *g = &f->groups[k];
        for (unsigned n = 0; g->malloc_number && n < HM_LIVE_GROUP_SITES; n++) {
            add(&sums[(size_t)g->group * HM_LIVE_GROUP_SITES + n], &g->tallies[n]);
        }
    }
    for (uint32_t id = 0; sums && id < most * HM_LIVE_GROUP_SITES; id++) {
        if (sums[id].blocks) {
            fprintf(to, "{\"type\":\"site\",\"id\":%u", id);
            put_site(to, f, id);
            put_tally(to, &sums[id]);
            fprintf(to, "}\n");
            ++*lines;
        }
    }
    free(sums);
    return sums != NULL;
}

static void
put_spot(FILE *to, const live_file *f, const char *name, uint32_t site, uint32_t thread)
{
    fprintf(to, ",\"%s\":{\"thread\":%u", name, thread);
    put_site(to, f, site);
    fprintf(to, "}");
}

static void write_findings(const live_file *f, FILE *to, unsigned long *lines)
{
    for (uint32_t i = 0; i < f->header->finding_room; i++) {
        const hm_live_finding *seen = &f->findings[i];
        if (seen->state != 1) {
            continue;
        }
        fprintf(to, "{\"type\":\"finding\"");
        put_text(to, "kind", seen->kind, sizeof seen->kind);
        put_text(to, "status", seen->status_name, sizeof seen->status_name);
        put_text(to, "malloc", seen->malloc_name, sizeof seen->malloc_name);
        fprintf(to, ",\"times\":%llu", (unsigned long long)seen->times);
        if (seen->known) {
            fprintf(to, ",\"bytes\":%llu,\"serial\":%u", (unsigned long long)seen->bytes,
                    seen->serial);
            put_spot(to, f, "allocated", seen->allocated_site, seen->allocated_thread);
        }
        if (seen->freed_site) {
            put_spot(to, f, "freed", seen->freed_site, seen->freed_thread);
        }
        put_spot(to, f, "here", seen->here_site, seen->here_thread);
        fprintf(to, "}\n");
        ++*lines;
    }
}

static void
write_dropped(FILE *to, const char *what, uint32_t count, unsigned long *lines)
{
    if (count) {
        fprintf(to, "{\"type\":\"dropped\",\"what\":\"%s\",\"count\":%u}\n", what, count);
        ++*lines;
    }
}

const char *live_write(const char *text, size_t length, FILE *to)
{
    live_file f;
    unsigned long lines = 1;
    const char *why = live_open(text, length, &f);
    if (why) {
        return why;
    }
    const hm_live_header *h = f.header;
    fprintf(to, "{\"type\":\"snapshot\",\"schema\":%d", SNAPSHOT_SCHEMA);
    put_text(to, "version", h->library, sizeof h->library);
    fprintf(to, ",\"pid\":%u", h->process);
    put_text(to, "program", h->program, sizeof h->program);
    fprintf(to, ",\"spec\":\"debug:live, %s\"}\n",
            h->state == HM_LIVE_ENDED ? "ended" : "running or killed");
    write_mallocs(&f, to, &lines);
    if (!write_sites(&f, to, &lines)) {
        return "more sites than there can be, or no memory for them";
    }
    write_findings(&f, to, &lines);
    write_dropped(to, "mallocs without a name in the file", h->mallocs_dropped, &lines);
    write_dropped(to, "groups of sites that did not fit into the file", h->groups_dropped,
                  &lines);
    write_dropped(to,
                  "figures were being added up as a thread exited: some may count twice",
                  h->shape & 1, &lines);
    fprintf(to, "{\"type\":\"end\",\"lines\":%lu}\n", lines);
    return NULL;
}

int live_is_moving(const char *before, const char *after)
{
    const hm_live_header *a = (const hm_live_header *)(const void *)before;
    const hm_live_header *b = (const hm_live_header *)(const void *)after;
    return (a->shape & 1) || a->shape != b->shape;
}
