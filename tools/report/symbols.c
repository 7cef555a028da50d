/* SPDX-License-Identifier: MIT */
/* Which sites want symbols, and what becomes of them. */
#include "symbols.h"

#include <stdlib.h>
#include <string.h>

/* 1: the text is a module and an offset. */
static int split(const char *file, char *module, size_t size, uint64_t *offset)
{
    const char *plus = strrchr(file, '+');
    char *end;
    if (file[0] != '/' || !plus || strncmp(plus, "+0x", 3) != 0 ||
        (size_t)(plus - file) >= size) {
        return 0;
    }
    memcpy(module, file, (size_t)(plus - file));
    module[plus - file] = '\0';
    *offset = strtoull(plus + 3, &end, 16);
    return end != plus + 3 && !*end;
}

/* Texts that no line of the file holds. 0: no memory, and the text is gone. */
static int keep(snapshot *s, char *text)
{
    char **more = text ? realloc(s->texts, (s->text_count + 1) * sizeof *more) : NULL;
    if (!more) {
        free(text);
        return 0;
    }
    s->texts = more;
    s->texts[s->text_count++] = text;
    return 1;
}

static void symbolize(snapshot *s, site_row *row)
{
    char module[4096];
    uint64_t offset;
    symbol found;
    if (row->line || !split(row->file, module, sizeof module, &offset)) {
        return;
    }
    /* The address is where the call returns to, which may be the next line's. */
    symbol_find(module, offset - 1, &found);
    row->file = strrchr(row->file, '/') + 1;
    if (found.function && keep(s, found.function)) {
        row->function = found.function;
    }
    if (found.file && keep(s, found.file)) {
        row->file = found.file;
        row->line = found.line;
    }
}

static void symbolize_frame(snapshot *s, frame_row *row)
{
    char module[4096];
    uint64_t offset;
    symbol found;
    if (!split(row->text, module, sizeof module, &offset)) {
        return;
    }
    symbol_find(module, offset - 1, &found);
    if (found.function && keep(s, found.function)) {
        row->function = found.function;
    }
    if (found.file && keep(s, found.file)) {
        row->file = found.file;
        row->line = found.line;
    }
}

/* Libraries look long for what lies at an address, and stacks have most frames in common: each is looked up once. */
static void symbolize_stacks(snapshot *s)
{
    frame_list all;
    if (!frames_collect(s, &all)) {
        return;
    }
    for (size_t i = 0; i < all.count; i++) {
        symbolize_frame(s, (frame_row *)(uintptr_t)all.frames[i]);
    }
    for (size_t i = 0; i < s->stack_count; i++) {
        for (size_t k = 0; k < s->stacks[i].frame_count; k++) {
            frame_row *frame = &s->stacks[i].frames[k];
            *frame = *all.frames[frame_index(&all, frame)];
        }
    }
    free(all.frames);
}

static json *writable(const json *value, json_kind kind)
{
    return value && value->kind == kind ? (json *)(uintptr_t)value : NULL;
}

static void add_text(json *object, const char *key, char *text)
{
    json *member = calloc(1, sizeof *member);
    char *name = member ? strdup(key) : NULL;
    if (!name) {
        free(member);
        free(text);
        return;
    }
    *member = (json){.kind = JSON_TEXT, .text = text, .key = name, .next = object->item};
    object->item = member;
}

/* Where a mistake was made is read from its line, so it is said there. */
static void symbolize_spot(const json *finding, const char *key)
{
    char module[4096];
    uint64_t offset;
    symbol found;
    json *spot = writable(json_member(finding, key), JSON_OBJECT);
    json *file = writable(json_member(spot, "file"), JSON_TEXT);
    json *line = writable(json_member(spot, "line"), JSON_NUMBER);
    if (!file || !line || line->number ||
        !split(file->text, module, sizeof module, &offset)) {
        return;
    }
    symbol_find(module, offset - 1, &found);
    if (found.file) {
        free(file->text);
        file->text = found.file;
        line->number = found.line;
    }
    if (found.function && !json_member(spot, "function")) {
        add_text(spot, "function", found.function);
    } else {
        free(found.function);
    }
}

static void add(figures *to, const figures *from)
{
    to->live_blocks += from->live_blocks;
    to->live_bytes += from->live_bytes;
    to->total_blocks += from->total_blocks;
    to->total_bytes += from->total_bytes;
    to->peak_bytes += from->peak_bytes;
}

/* Several calls of one line. Stacks go by the number of their site. */
static void merge(snapshot *s)
{
    size_t count = 0;
    uint64_t *kept = calloc(s->site_count + 1, sizeof *kept);
    if (!kept) {
        return;
    }
    snapshot_sort(s, site_by_place);
    for (size_t i = 0; i < s->site_count; i++) {
        const int is_same =
            i && s->sites[i].line && site_by_place(&s->sites[i - 1], &s->sites[i]) == 0;
        kept[i] = is_same ? kept[i - 1] : s->sites[i].id;
    }
    for (size_t i = 0; i < s->stack_count; i++) {
        const site_row *row = snapshot_site(s, s->stacks[i].site);
        s->stacks[i].site = row ? kept[row - s->sites] : s->stacks[i].site;
    }
    for (size_t i = 0; i < s->site_count; i++) {
        if (i && kept[i] == kept[i - 1]) {
            add(&s->sites[count - 1].count, &s->sites[i].count);
            s->sites[count - 1].ignored_blocks += s->sites[i].ignored_blocks;
        } else {
            s->sites[count++] = s->sites[i];
        }
    }
    s->site_count = count;
    free(kept);
    snapshot_sort(s, site_by_live_bytes);
}

void snapshot_symbolize(snapshot *s)
{
    for (size_t i = 0; i < s->site_count; i++) {
        symbolize(s, &s->sites[i]);
    }
    symbolize_stacks(s);
    for (size_t i = 0; i < s->finding_count; i++) {
        symbolize_spot(s->findings[i], "allocated");
        symbolize_spot(s->findings[i], "freed");
        symbolize_spot(s->findings[i], "here");
    }
    symbol_done();
    merge(s);
}
