/* SPDX-License-Identifier: MIT */
/* The profile.proto of pprof, written by hand: four kinds of values, one location a site, uncompressed (readers
 * look for gzip's magic and take it as it is otherwise). */
#include "snapshot.h"

#include <stdlib.h>
#include <string.h>

typedef struct buffer {
    unsigned char *at;
    size_t length;
    size_t room;
    int failed;
} buffer;

static void put_bytes(buffer *b, const void *bytes, size_t count)
{
    if (b->length + count > b->room) {
        const size_t room = (b->length + count) * 2;
        unsigned char *more = realloc(b->at, room);
        b->failed = b->failed || !more;
        if (!more) {
            return;
        }
        b->at = more;
        b->room = room;
    }
    if (count) {
        memcpy(b->at + b->length, bytes, count);
        b->length += count;
    }
}

static void put_varint(buffer *b, uint64_t value)
{
    do {
        const unsigned char byte =
            (unsigned char)((value & 127) | (value > 127 ? 128 : 0));
        put_bytes(b, &byte, 1);
        value >>= 7;
    } while (value);
}

static void put_field(buffer *b, unsigned field, uint64_t value)
{
    put_varint(b, field << 3);
    put_varint(b, value);
}

static void put_piece(buffer *b, unsigned field, const void *bytes, size_t count)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, count);
    put_bytes(b, bytes, count);
}

/* Ends a message: into what it is part of, and empty again. */
static void put_message(buffer *into, unsigned field, buffer *message)
{
    put_piece(into, field, message->at, message->length);
    into->failed = into->failed || message->failed;
    message->length = 0;
}

/* profile.proto's field numbers. */
enum {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE = 2,
    PROFILE_LOCATION = 4,
    PROFILE_FUNCTION = 5,
    PROFILE_STRING = 6,
    PROFILE_PERIOD_TYPE = 11,
    PROFILE_PERIOD = 12,
    PROFILE_DEFAULT_TYPE = 14
};

/* The first strings have fixed places; a site adds two. */
static const char *const fixed[] = {
    "",      "alloc_objects", "alloc_space", "inuse_objects", "inuse_space",
    "count", "bytes",         "space"};
#define FIXED_COUNT (sizeof fixed / sizeof fixed[0])

static void
put_value_type(buffer *out, buffer *scratch, unsigned field, unsigned type, unsigned unit)
{
    put_field(scratch, 1, type);
    put_field(scratch, 2, unit);
    put_message(out, field, scratch);
}

/* A sample of locations, the innermost first. */
static void put_sample(
    buffer *out, buffer *scratch, const figures *count, const uint64_t *ids, size_t depth)
{
    const uint64_t values[4] = {count->total_blocks, count->total_bytes,
                                count->live_blocks, count->live_bytes};
    buffer packed = {0};
    for (size_t i = 0; i < depth; i++) {
        put_varint(&packed, ids[i]);
    }
    put_message(scratch, 1, &packed);
    for (int i = 0; i < 4; i++) {
        put_varint(&packed, values[i]);
    }
    put_message(scratch, 2, &packed);
    put_message(out, PROFILE_SAMPLE, scratch);
    out->failed = out->failed || packed.failed;
    free(packed.at);
}

/* Location and function number index + 1; their two strings are at the same index. */
static void put_location(buffer *out, buffer *scratch, uint64_t line, size_t index)
{
    const uint64_t id = index + 1;
    buffer packed = {0};
    put_field(&packed, 1, id);
    put_field(&packed, 2, line);
    put_field(scratch, 1, id);
    put_message(scratch, 4, &packed);
    put_message(out, PROFILE_LOCATION, scratch);

    put_field(scratch, 1, id);
    put_field(scratch, 2, FIXED_COUNT + 2 * index);
    put_field(scratch, 3, FIXED_COUNT + 2 * index);
    put_field(scratch, 4, FIXED_COUNT + 2 * index + 1);
    put_message(out, PROFILE_FUNCTION, scratch);
    out->failed = out->failed || packed.failed;
    free(packed.at);
}

/* One sample a stack: its site, then its frames, whose locations follow those of the sites. */
static void
put_stacks(buffer *out, buffer *scratch, const snapshot *s, const frame_list *all)
{
    for (size_t i = 0; i < s->stack_count; i++) {
        const stack_row *row = &s->stacks[i];
        const site_row *site = snapshot_site(s, row->site);
        uint64_t *ids = calloc(row->frame_count + 1, sizeof *ids);
        size_t depth = 0;
        if (!ids) {
            out->failed = 1;
            return;
        }
        if (site) {
            ids[depth++] = (uint64_t)(site - s->sites) + 1;
        }
        for (size_t k = 0; k < row->frame_count; k++) {
            ids[depth++] = s->site_count + frame_index(all, &row->frames[k]) + 1;
        }
        put_sample(out, scratch, &row->count, ids, depth);
        free(ids);
    }
}

static void put_string(buffer *out, const char *text)
{
    put_piece(out, PROFILE_STRING, text, strlen(text));
}

void write_pprof(const snapshot *s, FILE *to)
{
    buffer out = {0}, scratch = {0};
    for (unsigned i = 0; i < 4; i++) {
        put_value_type(&out, &scratch, PROFILE_SAMPLE_TYPE, i + 1, i % 2 ? 6 : 5);
    }
    frame_list all;
    out.failed = !frames_collect(s, &all);
    for (size_t i = 0; i < s->site_count; i++) {
        const uint64_t id = i + 1;
        put_location(&out, &scratch, s->sites[i].line, i);
        if (!s->stack_count) {
            put_sample(&out, &scratch, &s->sites[i].count, &id, 1);
        }
    }
    for (size_t i = 0; i < all.count; i++) {
        put_location(&out, &scratch, all.frames[i]->line, s->site_count + i);
    }
    put_stacks(&out, &scratch, s, &all);
    for (size_t i = 0; i < FIXED_COUNT; i++) {
        put_string(&out, fixed[i]);
    }
    for (size_t i = 0; i < s->site_count; i++) {
        char place[512];
        const site_row *row = &s->sites[i];
        snprintf(place, sizeof place, "%s:%llu", row->file,
                 (unsigned long long)row->line);
        json_clean(place);
        put_string(&out, row->function ? row->function : place);
        put_string(&out, row->file);
    }
    for (size_t i = 0; i < all.count; i++) {
        put_string(&out, frame_name(all.frames[i]));
        put_string(&out, all.frames[i]->file ? all.frames[i]->file : all.frames[i]->text);
    }
    free(all.frames);
    put_value_type(&out, &scratch, PROFILE_PERIOD_TYPE, 7, 6);
    put_field(&out, PROFILE_PERIOD, 1);
    put_field(&out, PROFILE_DEFAULT_TYPE, 4);
    if (out.failed || scratch.failed) {
        fprintf(stderr, "hostmalloc: no memory to write the profile\n");
    } else {
        fwrite(out.at, 1, out.length, to);
    }
    free(out.at);
    free(scratch.at);
}
