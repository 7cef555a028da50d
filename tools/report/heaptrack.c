/* SPDX-License-Identifier: MIT */
/* heaptrack's interpreted format, version 3, as heaptrack_print and heaptrack_gui read it: numbers in hex, strings,
 * instructions and traces counted from 1, allocations from 0.
 *
 * It is a list of events, and a snapshot has none: each live block becomes one, of the average size of its site, the
 * rest of the division spread so that the bytes are exact. Blocks freed before are shown as allocated and freed
 * again, as long as that is not more than a million events. */
#include "snapshot.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX 1000000u

static void print_string(FILE *to, const char *text)
{
    fprintf(to, "s %zx %s\n", strlen(text), text);
}

/* Blocks of bytes in all, as events; *next is the number of the next allocation. */
static void print_blocks(
    FILE *to, uint64_t blocks, uint64_t bytes, size_t trace, uint64_t *next, int freed)
{
    if (!blocks) {
        return;
    }
    const uint64_t larger = bytes % blocks;
    const uint64_t counts[2] = {larger, blocks - larger};
    for (int i = 0; i < 2; i++) {
        if (!counts[i]) {
            continue;
        }
        const unsigned long long id = (unsigned long long)(*next)++;
        fprintf(to, "a %llx %zx\n", (unsigned long long)(bytes / blocks + (i == 0)),
                trace);
        for (uint64_t n = 0; n < counts[i]; n++) {
            fprintf(to, "+ %llx\n", id);
            if (freed) {
                fprintf(to, "- %llx\n", id);
            }
        }
    }
}

static void
print_figures(FILE *to, const figures *c, int all, size_t trace, uint64_t *next)
{
    if (all) {
        print_blocks(to, c->total_blocks - c->live_blocks, c->total_bytes - c->live_bytes,
                     trace, next, 1);
    }
    print_blocks(to, c->live_blocks, c->live_bytes, trace, next, 0);
}

/* Frames are instructions after those of the sites, and each stack is a path of its own from the root to its site. */
static void print_stacks(
    const snapshot *s, FILE *to, const frame_list *all, size_t *trace, size_t *traces)
{
    for (size_t i = 0; i < s->stack_count; i++) {
        const stack_row *row = &s->stacks[i];
        const site_row *site = snapshot_site(s, row->site);
        size_t parent = 0;
        for (size_t k = row->frame_count; k; k--) {
            fprintf(to, "t %zx %zx\n",
                    s->site_count + frame_index(all, &row->frames[k - 1]) + 1, parent);
            parent = ++*traces;
        }
        if (site) {
            fprintf(to, "t %zx %zx\n", (size_t)(site - s->sites) + 1, parent);
            parent = ++*traces;
        }
        trace[i] = parent;
    }
}

void write_heaptrack(const snapshot *s, FILE *to)
{
    const int all = s->sum.total_blocks <= EVENTS_MAX;
    uint64_t next = 0;
    size_t traces = 0;
    frame_list frames;
    size_t *trace = calloc(s->stack_count + 1, sizeof *trace);
    if (!frames_collect(s, &frames) || !trace) {
        fprintf(stderr, "hostmalloc: no memory to write the profile\n");
        free(trace);
        return;
    }
    fprintf(to, "v 10400 3\nX %s\nI 1000 100000\n", s->program);
    print_string(to, s->program); /* 1: the module */
    for (size_t i = 0; i < s->site_count; i++) {
        const site_row *row = &s->sites[i];
        print_string(to, row->function ? row->function : "(unknown)");
        print_string(to, row->file);
        fprintf(to, "i %zx 1 %zx %zx %llx\n", 0x1000 + i, 2 + 2 * i, 3 + 2 * i,
                (unsigned long long)row->line);
    }
    for (size_t i = 0; i < frames.count; i++) {
        const frame_row *row = frames.frames[i];
        const size_t at = s->site_count + i;
        print_string(to, frame_name(row));
        print_string(to, row->file ? row->file : row->text);
        fprintf(to, "i %zx 1 %zx %zx %llx\n", 0x1000 + at, 2 + 2 * at, 3 + 2 * at,
                (unsigned long long)row->line);
    }
    for (size_t i = 0; !s->stack_count && i < s->site_count; i++) {
        fprintf(to, "t %zx 0\n", i + 1);
        print_figures(to, &s->sites[i].count, all, ++traces, &next);
    }
    print_stacks(s, to, &frames, trace, &traces);
    for (size_t i = 0; i < s->stack_count; i++) {
        print_figures(to, &s->stacks[i].count, all, trace[i], &next);
    }
    fprintf(to, "c 1\n");
    free(frames.frames);
    free(trace);
}
