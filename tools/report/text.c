/* SPDX-License-Identifier: MIT */
/* For people: findings first, then sites by live bytes, then one line that says it all. */
#include "snapshot.h"

#include <stdlib.h>
#include <string.h>

static void print_spot(FILE *to, const char *label, const json *spot)
{
    if (!spot || spot->kind != JSON_OBJECT) {
        return;
    }
    fprintf(to, "  %-11s ", label);
    print_place(to, json_text(spot, "file", "(unknown)"), json_number(spot, "line"));
    const char *function = json_text(spot, "function", NULL);
    if (function) {
        fprintf(to, " (%s)", function);
    }
    if (json_number(spot, "thread")) {
        fprintf(to, ", thread %llu", (unsigned long long)json_number(spot, "thread"));
    }
    fputc('\n', to);
}

void print_finding(FILE *to, const json *finding, size_t number)
{
    fprintf(to, "ERROR #%zu %s (%s), malloc \"%s\"", number,
            json_text(finding, "kind", "?"), json_text(finding, "status", "?"),
            json_text(finding, "malloc", "?"));
    const unsigned long long times = (unsigned long long)json_number(finding, "times");
    fprintf(to, times > 1 ? ", %llu times\n" : "\n", times);
    if (json_member(finding, "bytes")) {
        fprintf(to, "  block       %llu bytes, #%llu of its site\n",
                (unsigned long long)json_number(finding, "bytes"),
                (unsigned long long)json_number(finding, "serial"));
    }
    print_spot(to, "allocated", json_member(finding, "allocated"));
    print_spot(to, "freed", json_member(finding, "freed"));
    print_spot(to, "here", json_member(finding, "here"));
}

static int by_live_stack(const void *a, const void *b)
{
    const stack_row *x = a, *y = b;
    return x->count.live_bytes == y->count.live_bytes  ? 0
           : x->count.live_bytes < y->count.live_bytes ? 1
                                                       : -1;
}

#define STACKS_SHOWN 20

static void print_stacks(FILE *to, const snapshot *s)
{
    stack_row *sorted = malloc((s->stack_count + 1) * sizeof *sorted);
    if (!sorted) {
        return;
    }
    memcpy(sorted, s->stacks, s->stack_count * sizeof *sorted);
    qsort(sorted, s->stack_count, sizeof *sorted, by_live_stack);
    for (size_t i = 0; i < s->stack_count && i < STACKS_SHOWN; i++) {
        const stack_row *row = &sorted[i];
        const site_row *site = snapshot_site(s, row->site);
        if (!row->count.live_blocks) {
            break;
        }
        fprintf(to, "%s%llu block%s and %llu byte%s live of ",
                s->sample_bytes ? "about " : "",
                (unsigned long long)row->count.live_blocks,
                plural(row->count.live_blocks), (unsigned long long)row->count.live_bytes,
                plural(row->count.live_bytes));
        print_place(to, site ? site->file : "(unknown)", site ? site->line : 0);
        fputs(" came by\n", to);
        for (size_t k = 0; k < row->frame_count; k++) {
            const frame_row *frame = &row->frames[k];
            fprintf(to, "  #%zu %s", k, frame->function ? frame->function : frame->text);
            if (frame->file) {
                fputc(' ', to);
                print_place(to, frame->file, frame->line);
            }
            fputc('\n', to);
        }
    }
    if (s->stack_count && s->sample_bytes) {
        fprintf(to,
                "figures of stacks are estimates, from a sample of one in %llu bytes\n",
                (unsigned long long)s->sample_bytes);
    }
    free(sorted);
}

void write_text(const snapshot *s, FILE *to)
{
    if (snapshot_run(s)) {
        write_run_text(s, to);
        return;
    }
    fprintf(to, "%s (pid %llu), host %s, hostmalloc %s\n", s->program,
            (unsigned long long)s->pid, s->spec, s->version);
    for (size_t i = 0; i < s->finding_count; i++) {
        print_finding(to, s->findings[i], i + 1);
    }
    fprintf(to, "%12s %14s %14s %14s  %s\n", "live blocks", "live bytes", "all blocks",
            "all bytes", "site");
    for (size_t i = 0; i < s->site_count; i++) {
        const site_row *row = &s->sites[i];
        fprintf(to, "%12llu %14llu %14llu %14llu  ",
                (unsigned long long)row->count.live_blocks,
                (unsigned long long)row->count.live_bytes,
                (unsigned long long)row->count.total_blocks,
                (unsigned long long)row->count.total_bytes);
        print_place(to, row->file, row->line);
        if (row->function) {
            fprintf(to, " (%s)", row->function);
        }
        if (row->ignored_blocks) {
            fprintf(to, ", %llu ignored", (unsigned long long)row->ignored_blocks);
        }
        fputs(row->is_suppressed ? ", suppressed\n" : "\n", to);
    }
    print_stacks(to, s);
    for (size_t i = 0; i < s->drop_count; i++) {
        fprintf(to, "dropped: %llu %s\n",
                (unsigned long long)json_number(s->drops[i], "count"),
                json_text(s->drops[i], "what", "?"));
    }
    if (s->is_cut) {
        fputs(SNAPSHOT_CUT "\n", to);
    }
    const figures *sum = &s->sum;
    fprintf(to, "SUMMARY: %zu error%s, %llu block%s and %llu byte%s live at %zu site%s\n",
            s->finding_count, plural(s->finding_count),
            (unsigned long long)sum->live_blocks, plural(sum->live_blocks),
            (unsigned long long)sum->live_bytes, plural(sum->live_bytes), s->site_count,
            plural(s->site_count));
}

/* One line a site with live bytes: program;file:line bytes. Frames of stacks come root first. */
static void print_frame(FILE *to, const char *name)
{
    for (; *name; name++) {
        fputc(*name == ';' || *name == ' ' ? '_' : *name, to);
    }
}

static void print_frames(FILE *to, const stack_row *row)
{
    for (size_t i = row->frame_count; i; i--) {
        fputc(';', to);
        print_frame(to, frame_name(&row->frames[i - 1]));
    }
}

static void print_last(FILE *to, const char *file, uint64_t line, uint64_t bytes)
{
    fputc(';', to);
    print_frame(to, file);
    if (line) {
        fprintf(to, ":%llu", (unsigned long long)line);
    }
    fprintf(to, " %llu\n", (unsigned long long)bytes);
}

void write_folded(const snapshot *s, FILE *to)
{
    for (size_t i = 0; i < s->stack_count; i++) {
        const stack_row *row = &s->stacks[i];
        const site_row *site = snapshot_site(s, row->site);
        if (row->count.live_bytes) {
            print_frame(to, s->program);
            print_frames(to, row);
            print_last(to, site ? site->file : "(unknown)", site ? site->line : 0,
                       row->count.live_bytes);
        }
    }
    for (size_t i = 0; s->stack_count == 0 && i < s->site_count; i++) {
        const site_row *row = &s->sites[i];
        if (row->count.live_bytes) {
            print_frame(to, s->program);
            if (row->function) {
                fputc(';', to);
                print_frame(to, row->function);
            }
            print_last(to, row->file, row->line, row->count.live_bytes);
        }
    }
}
