/* SPDX-License-Identifier: MIT */
/* Reading a snapshot: line by line, so that a file that was cut still shows what it has. */
#include "snapshot.h"

#include <hostmalloc/live.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *read_all(FILE *from, size_t *length)
{
    size_t room = 1 << 16, used = 0;
    char *text = malloc(room);
    while (text) {
        used += fread(text + used, 1, room - used, from);
        if (used < room) {
            break;
        }
        room *= 2;
        char *more = realloc(text, room);
        if (!more) {
            free(text);
        }
        text = more;
    }
    *length = used;
    return text;
}

static figures read_figures(const json *line)
{
    const figures count = {
        json_number(line, "live_blocks"), json_number(line, "live_bytes"),
        json_number(line, "total_blocks"), json_number(line, "total_bytes"),
        json_number(line, "peak_bytes")};
    return count;
}

static int is_type(const json *line, const char *type)
{
    return strcmp(json_text(line, "type", ""), type) == 0;
}

static size_t count_type(const json *lines, const char *type)
{
    size_t count = 0;
    for (; lines; lines = lines->next) {
        count += (size_t)is_type(lines, type);
    }
    return count;
}

static const json **collect(const json *lines, const char *type, size_t *count)
{
    *count = count_type(lines, type);
    const json **list = calloc(*count + 1, sizeof(json *));
    size_t at = 0;
    for (; list && lines; lines = lines->next) {
        if (is_type(lines, type)) {
            list[at++] = lines;
        }
    }
    return list;
}

int site_by_live_bytes(const void *a, const void *b)
{
    const figures *x = &((const site_row *)a)->count;
    const figures *y = &((const site_row *)b)->count;
    if (x->live_bytes != y->live_bytes) {
        return x->live_bytes < y->live_bytes ? 1 : -1;
    }
    return x->total_bytes == y->total_bytes  ? 0
           : x->total_bytes < y->total_bytes ? 1
                                             : -1;
}

static int fill_frames(stack_row *row, const json *list)
{
    const json *item = list && list->kind == JSON_LIST ? list->item : NULL;
    for (const json *at = item; at; at = at->next) {
        row->frame_count++;
    }
    row->frames = calloc(row->frame_count + 1, sizeof *row->frames);
    for (size_t i = 0; row->frames && i < row->frame_count; i++, item = item->next) {
        row->frames[i].text = item->kind == JSON_TEXT ? item->text : "?";
    }
    return row->frames != NULL;
}

const char *frame_name(const frame_row *frame)
{
    const char *slash = strrchr(frame->text, '/');
    return frame->function ? frame->function : slash ? slash + 1 : frame->text;
}

static int fill(snapshot *s)
{
    s->sites = calloc(count_type(s->lines, "site") + 1, sizeof *s->sites);
    s->stacks = calloc(count_type(s->lines, "stack") + 1, sizeof *s->stacks);
    s->mallocs = collect(s->lines, "malloc", &s->malloc_count);
    s->findings = collect(s->lines, "finding", &s->finding_count);
    s->drops = collect(s->lines, "dropped", &s->drop_count);
    if (!s->sites || !s->stacks || !s->mallocs || !s->findings || !s->drops ||
        !site_index_make(&s->index, count_type(s->lines, "site"))) {
        return 0;
    }
    for (const json *line = s->lines; line; line = line->next) {
        if (is_type(line, "site")) {
            site_row *row = &s->sites[s->site_count++];
            row->id = json_number(line, "id");
            row->file = json_text(line, "file", "(unknown)");
            row->function = json_text(line, "function", NULL);
            row->line = json_number(line, "line");
            row->count = read_figures(line);
            row->ignored_blocks = json_number(line, "ignored_blocks");
            const json *suppressed = json_member(line, "suppressed");
            row->is_suppressed = suppressed && suppressed->kind == JSON_TRUE;
            s->sum.live_blocks += row->count.live_blocks;
            s->sum.live_bytes += row->count.live_bytes;
            s->sum.total_blocks += row->count.total_blocks;
            s->sum.total_bytes += row->count.total_bytes;
            s->sum.peak_bytes += row->count.peak_bytes;
        } else if (is_type(line, "stack")) {
            stack_row *row = &s->stacks[s->stack_count++];
            row->site = json_number(line, "site");
            if (!fill_frames(row, json_member(line, "frames"))) {
                return 0;
            }
            row->count = read_figures(line);
        }
    }
    snapshot_sort(s, site_by_live_bytes);
    return 1;
}

/* Line 0 is the file as a whole. */
static int refuse(const char *path, unsigned long line, const char *what)
{
    if (line) {
        fprintf(stderr, "hostmalloc: %s:%lu: %s\n", path, line, what);
    } else {
        fprintf(stderr, "hostmalloc: %s: %s\n", path, what);
    }
    return 0;
}

/* The last line may be half a line when the writer was killed. */
static int parse_lines(snapshot *s, const char *text, size_t length)
{
    json **end = &s->lines;
    unsigned long number = 0;
    const char *at = text, *stop = text + length;
    while (at < stop) {
        const char *eol = memchr(at, '\n', (size_t)(stop - at));
        const char *next = eol ? eol + 1 : stop;
        size_t where;
        number++;
        *end = json_parse(at, (size_t)((eol ? eol : stop) - at), &where);
        if (!*end) {
            if (!eol && number > 1) {
                break;
            }
            char what[100];
            snprintf(what, sizeof what,
                     "not understood at column %zu, expected JSON lines", where + 1);
            return refuse(s->path, number, what);
        }
        if (number == 1 && !is_type(*end, "snapshot")) {
            return refuse(s->path, number, "not a snapshot of the debug host");
        }
        if (number == 1 && json_number(*end, "schema") != SNAPSHOT_SCHEMA) {
            char what[100];
            snprintf(what, sizeof what, "schema %llu, this command reads %d",
                     (unsigned long long)json_number(*end, "schema"), SNAPSHOT_SCHEMA);
            return refuse(s->path, number, what);
        }
        end = &(*end)->next;
        at = next;
    }
    return number ? 1 : refuse(s->path, 1, "empty, expected a snapshot");
}

#define LIVE_TRIES 20

/* A live file is read while it is written: again, when figures moved inside it meanwhile. */
static char *read_live(FILE *from, char *text, size_t *length)
{
    char after[sizeof(hm_live_header)];
    for (int i = 0; text && i < LIVE_TRIES && *length >= sizeof after; i++) {
        const struct timespec pause = {0, 1000000};
        rewind(from);
        if (fread(after, 1, sizeof after, from) < sizeof after ||
            !live_is_moving(text, after)) {
            break;
        }
        free(text);
        nanosleep(&pause, NULL);
        rewind(from);
        text = read_all(from, length);
    }
    return text;
}

/* The text of a live file becomes that of its snapshot. NULL: refused, and said why. */
static char *live_lines(const char *path, char *text, size_t *length)
{
    char *lines = NULL;
    FILE *to = open_memstream(&lines, length);
    const char *why = "no memory to read it";
    if (to) {
        const char *wrong = live_write(text, *length, to);
        why = fclose(to) == 0 ? wrong : why;
    }
    free(text);
    if (why) {
        free(lines);
        refuse(path, 0, why);
        return NULL;
    }
    return lines;
}

int snapshot_read(const char *path, snapshot *out)
{
    memset(out, 0, sizeof *out);
    const int is_input = strcmp(path, "-") == 0;
    out->path = is_input ? "standard input" : path;
    FILE *from = is_input ? stdin : fopen(path, "rb");
    if (!from) {
        fprintf(stderr, "hostmalloc: %s: %s\n", path, strerror(errno));
        return 0;
    }
    size_t length;
    char *text = read_all(from, &length);
    if (text && ferror(from)) {
        fprintf(stderr, "hostmalloc: %s: %s\n", out->path, strerror(errno));
        free(text);
        if (!is_input) {
            fclose(from);
        }
        return 0;
    }
    const int is_live = text && live_is(text, length);
    if (is_live && !is_input) {
        text = read_live(from, text, &length);
    }
    if (!is_input) {
        fclose(from);
    }
    if (!text) {
        return refuse(out->path, 0, "no memory to read it");
    }
    if (is_live && !(text = live_lines(out->path, text, &length))) {
        return 0;
    }
    const int parsed = parse_lines(out, text, length);
    free(text);
    if (!parsed || !fill(out)) {
        snapshot_free(out);
        return 0;
    }
    out->program = json_text(out->lines, "program", "?");
    out->spec = json_text(out->lines, "spec", "?");
    out->version = json_text(out->lines, "version", "?");
    out->pid = json_number(out->lines, "pid");
    out->sample_bytes = json_number(out->lines, "sample_bytes");
    out->is_cut = count_type(out->lines, "end") == 0;
    return 1;
}

void snapshot_free(snapshot *s)
{
    json_free(s->lines);
    for (size_t i = 0; i < s->text_count; i++) {
        free(s->texts[i]);
    }
    free(s->texts);
    free(s->sites);
    site_index_free(&s->index);
    for (size_t i = 0; i < s->stack_count; i++) {
        free(s->stacks[i].frames);
    }
    free(s->stacks);
    free(s->mallocs);
    free(s->findings);
    free(s->drops);
    memset(s, 0, sizeof *s);
}

const site_row *snapshot_site(const snapshot *s, uint64_t id)
{
    return site_index_find(&s->index, s->sites, id);
}

void snapshot_sort(snapshot *s, int (*order)(const void *a, const void *b))
{
    qsort(s->sites, s->site_count, sizeof *s->sites, order);
    site_index_fill(&s->index, s->sites, s->site_count);
}

const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

void print_place(FILE *to, const char *file, uint64_t line)
{
    if (line) {
        fprintf(to, "%s:%llu", file, (unsigned long long)line);
    } else {
        fputs(file, to);
    }
}

static int same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

int site_by_place(const void *a, const void *b)
{
    const site_row *x = a, *y = b;
    const int files = strcmp(x->file, y->file);
    if (files) {
        return files;
    }
    if (x->line != y->line) {
        return x->line < y->line ? -1 : 1;
    }
    return same_text(x->function, y->function) ? 0
           : !x->function                      ? -1
           : !y->function                      ? 1
                                               : strcmp(x->function, y->function);
}

static int is_known(const snapshot *baseline, const site_row *row)
{
    const site_row *was =
        bsearch(row, baseline->sites, baseline->site_count, sizeof *row, site_by_place);
    return was && was->count.live_blocks;
}

void snapshot_forgive(snapshot *s, snapshot *baseline)
{
    snapshot_sort(baseline, site_by_place);
    for (size_t i = 0; i < s->stack_count; i++) {
        const site_row *row = snapshot_site(s, s->stacks[i].site);
        if (row && is_known(baseline, row)) {
            s->stacks[i].count.live_blocks = s->stacks[i].count.live_bytes = 0;
        }
    }
    for (size_t i = 0; i < s->site_count; i++) {
        figures *count = &s->sites[i].count;
        if (count->live_blocks && is_known(baseline, &s->sites[i])) {
            s->sum.live_blocks -= count->live_blocks;
            s->sum.live_bytes -= count->live_bytes;
            count->live_blocks = count->live_bytes = 0;
        }
    }
}
