/* SPDX-License-Identifier: MIT */
/* What `hostmalloc run` says at the end: who was served, what was done wrong, and every place, the heaviest first. */
#include "snapshot.h"

#include <stdlib.h>
#include <string.h>

static int is_type(const json *line, const char *type)
{
    return strcmp(json_text(line, "type", ""), type) == 0;
}

const json *snapshot_run(const snapshot *s)
{
    const json *line = s->lines;
    while (line && !is_type(line, "run")) {
        line = line->next;
    }
    return line;
}

/* Where the library comes from is its file's name; the folders are mostly the system's. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void print_bridge(FILE *to, const json *bridge)
{
    const char *status = json_text(bridge, "status", "?");
    fprintf(to, "  %-10s ", json_text(bridge, "name", "?"));
    if (strcmp(status, "HM_OK") != 0) {
        fprintf(to, "not installed in %s: %s (%s)\n",
                base_name(json_text(bridge, "object", "?")),
                json_text(bridge, "what", "?"), status);
        return;
    }
    fprintf(to, "installed in %s, ", base_name(json_text(bridge, "object", "?")));
    const char *file = json_text(bridge, "file", NULL);
    if (file) {
        fputs("first asked at ", to);
        print_place(to, base_name(file), json_number(bridge, "line"));
        fputc('\n', to);
    } else {
        fputs("never asked\n", to);
    }
}

static int by_all_bytes(const void *a, const void *b)
{
    const figures *x = &((const site_row *)a)->count;
    const figures *y = &((const site_row *)b)->count;
    if (x->total_bytes != y->total_bytes) {
        return x->total_bytes < y->total_bytes ? 1 : -1;
    }
    return x->total_blocks == y->total_blocks  ? site_by_place(a, b)
           : x->total_blocks < y->total_blocks ? 1
                                               : -1;
}

/* What was allocated matters here: in an order of its own, others' stays. */
static void print_sites(const snapshot *s, FILE *to)
{
    site_row *sorted = malloc((s->site_count + 1) * sizeof *sorted);
    if (!sorted) {
        fputs("no memory to list the sites\n", to);
        return;
    }
    memcpy(sorted, s->sites, s->site_count * sizeof *sorted);
    qsort(sorted, s->site_count, sizeof *sorted, by_all_bytes);
    fprintf(to, "%12s %14s %14s %12s %14s  %s\n", "all blocks", "all bytes", "peak bytes",
            "live blocks", "live bytes", "site");
    for (size_t i = 0; i < s->site_count; i++) {
        const site_row *row = &sorted[i];
        fprintf(to, "%12llu %14llu %14llu %12llu %14llu  ",
                (unsigned long long)row->count.total_blocks,
                (unsigned long long)row->count.total_bytes,
                (unsigned long long)row->count.peak_bytes,
                (unsigned long long)row->count.live_blocks,
                (unsigned long long)row->count.live_bytes);
        print_place(to, row->file, row->line);
        fprintf(to, row->function ? " (%s)\n" : "\n", row->function);
    }
    free(sorted);
}

void write_run_text(const snapshot *s, FILE *to)
{
    const json *run = snapshot_run(s);
    fprintf(to, "hostmalloc run: %s (pid %llu), host %s, hostmalloc %s\n", s->program,
            (unsigned long long)s->pid, json_text(run, "spec", "?"), s->version);
    static const char *const whose[] = {"libc's", "the host's",
                                        "of a library that was preloaded before"};
    const uint64_t malloc_is = json_number(run, "malloc");
    fprintf(to, "  %-10s %s\n", "malloc", malloc_is < 3 ? whose[malloc_is] : "?");
    for (const json *line = s->lines; line; line = line->next) {
        if (is_type(line, "bridge")) {
            print_bridge(to, line);
        }
    }
    for (size_t i = 0; i < s->finding_count; i++) {
        print_finding(to, s->findings[i], i + 1);
    }
    if (!json_number(run, "records")) {
        fputs("This host records no places: debug does.\n", to);
        return;
    }
    print_sites(s, to);
    const unsigned long long dropped = (unsigned long long)json_number(run, "dropped");
    if (dropped) {
        fprintf(to, "dropped: %llu calls from more places than are kept apart\n",
                dropped);
    }
    const figures *sum = &s->sum;
    fprintf(to,
            "SUMMARY: %zu error%s, %llu block%s and %llu byte%s in all, %llu block%s and "
            "%llu byte%s live, %zu site%s\n",
            s->finding_count, plural(s->finding_count),
            (unsigned long long)sum->total_blocks, plural(sum->total_blocks),
            (unsigned long long)sum->total_bytes, plural(sum->total_bytes),
            (unsigned long long)sum->live_blocks, plural(sum->live_blocks),
            (unsigned long long)sum->live_bytes, plural(sum->live_bytes), s->site_count,
            plural(s->site_count));
}
