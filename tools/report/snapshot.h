/* SPDX-License-Identifier: MIT */
/* A snapshot of the debug host, read back: what every report format is made from.
 *
 * The file is JSON lines, schema 1. Each line is an object with a "type":
 *   snapshot  first line: "schema" 1, "version", "pid", "program", "spec"
 *   malloc    "id", "name", and figures
 *   site      "id", "file", "line", "function", and figures
 *   stack     "id", "site", "frames": list of texts, innermost first; and figures
 *   finding   "kind", "status", "malloc", "bytes", "serial", "times"; places "allocated", "freed", "here": objects
 *             of "file", "line", "function", "thread"
 *   dropped   "what", "count": a bound was reached
 *   end       last line: "lines", how many came before it; without it the file was cut
 * Figures are live_blocks, live_bytes, total_blocks, total_bytes, peak_bytes. Members and types that are not known
 * are passed over, so a newer writer of schema 1 can be read. */
#ifndef HM_TOOLS_SNAPSHOT_H
#define HM_TOOLS_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "json.h"
#include "site_index.h"

#define SNAPSHOT_SCHEMA 1
#define SNAPSHOT_CUT    "the file ends early: what follows its last whole line is missing"

typedef struct figures {
    uint64_t live_blocks;
    uint64_t live_bytes;
    uint64_t total_blocks;
    uint64_t total_bytes;
    uint64_t peak_bytes;
} figures;

struct site_row {
    uint64_t id;
    const char *file;
    const char *function; /* NULL unknown */
    uint64_t line;
    figures count;
    uint64_t ignored_blocks; /* of the live ones; they are no leaks */
    int is_suppressed;       /* by a pattern of the program's own: none are */
};

/* "/lib/libx.so+0x1234", or what symbols say of it. */
typedef struct frame_row {
    const char *text;
    const char *function; /* NULL unknown */
    const char *file;     /* NULL unknown */
    uint64_t line;
} frame_row;

typedef struct stack_row {
    uint64_t site;
    frame_row *frames; /* innermost first */
    size_t frame_count;
    figures count;
} stack_row;

typedef struct snapshot {
    const char *path;
    json *lines; /* owns every text below */
    const char *program;
    const char *spec;
    const char *version;
    uint64_t pid;
    site_row *sites;
    size_t site_count;
    site_index index; /* of sites */
    stack_row *stacks;
    size_t stack_count;
    uint64_t sample_bytes; /* stacks are estimates from one in so many bytes; 0: exact */
    const json **mallocs;
    size_t malloc_count;
    const json **findings;
    size_t finding_count;
    const json **drops;
    size_t drop_count;
    char **texts; /* of symbols; see symbols.h */
    size_t text_count;
    figures sum; /* over sites */
    int is_cut;  /* no end line: what is there is shown, and this said */
} snapshot;

/* 0 when the file cannot be read or is not a snapshot; the reason is on standard error. "-" is standard input. */
int snapshot_read(const char *path, snapshot *out);
void snapshot_free(snapshot *s);
const site_row *snapshot_site(const snapshot *s,
                              uint64_t id); /* NULL when there is none */

/* Order of site rows for snapshot_sort and bsearch: by place, not by number, which is given in order of first use and differs
   between runs. */
int site_by_place(const void *a, const void *b);
/* And as they are shown: what holds most first. */
int site_by_live_bytes(const void *a, const void *b);
void snapshot_sort(snapshot *s, int (*order)(const void *a, const void *b));
/* What is live at places where the baseline, which is sorted for it, has something live too is not counted. */
void snapshot_forgive(snapshot *s, snapshot *baseline);

/* "file:line", or the file alone where there is no line. */
void print_place(FILE *to, const char *file, uint64_t line);

/* live.c: files of debug:live=. They are turned into the lines of a snapshot; NULL, or why they cannot be. */
int live_is(const char *text, size_t length);
const char *live_write(const char *text, size_t length, FILE *to);
/* Between two looks at a header of sizeof(hm_live_header) bytes figures moved, or they move now. */
int live_is_moving(const char *before, const char *after);

/* The line that `hostmalloc run` adds after the end line, before one "bridge" for each library with a hook: "spec",
   "records", "malloc", "dropped". NULL: it was not a run. */
const json *snapshot_run(const snapshot *s);
void write_run_text(const snapshot *s, FILE *to);
/* One mistake, for people. */
void print_finding(FILE *to, const json *finding, size_t number);

/* "s", but for one. */
const char *plural(uint64_t count);

/* The function of a frame, or where it lies. */
const char *frame_name(const frame_row *frame);

/* frames.c: each frame of the stacks once. 0: no memory; frames are freed by the caller. */
typedef struct frame_list {
    const frame_row **frames;
    size_t count;
} frame_list;
int frames_collect(const snapshot *s, frame_list *out);
size_t frame_index(const frame_list *list, const frame_row *frame); /* one of them */

/* Ways to write a snapshot; 0 when something could not be written. */
void write_text(const snapshot *s, FILE *to);
void write_json(const snapshot *s, FILE *to);
void write_folded(const snapshot *s, FILE *to);
void write_pprof(const snapshot *s, FILE *to);
void write_heaptrack(const snapshot *s, FILE *to);
void write_sarif(const snapshot *s, FILE *to);
void write_junit(const snapshot *s, FILE *to);

/* A text inside JSON's or XML's quotes. */
void print_json_text(FILE *to, const char *text);
void print_xml_text(FILE *to, const char *text);

#endif
