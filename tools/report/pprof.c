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

static void put_site(buffer *out, buffer *scratch, const site_row *row, size_t index)
{
    const uint64_t id = index + 1;
    const uint64_t values[4] = {row->count.total_blocks, row->count.total_bytes,
                                row->count.live_blocks, row->count.live_bytes};
    buffer packed = {0};
    put_varint(&packed, id);
    put_message(scratch, 1, &packed);
    for (int i = 0; i < 4; i++) {
        put_varint(&packed, values[i]);
    }
    put_message(scratch, 2, &packed);
    put_message(out, PROFILE_SAMPLE, scratch);

    put_field(&packed, 1, id);
    put_field(&packed, 2, row->line);
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
    for (size_t i = 0; i < s->site_count; i++) {
        put_site(&out, &scratch, &s->sites[i], i);
    }
    for (size_t i = 0; i < FIXED_COUNT; i++) {
        put_string(&out, fixed[i]);
    }
    for (size_t i = 0; i < s->site_count; i++) {
        char place[512];
        const site_row *row = &s->sites[i];
        snprintf(place, sizeof place, "%s:%llu", row->file,
                 (unsigned long long)row->line);
        put_string(&out, row->function ? row->function : place);
        put_string(&out, row->file);
    }
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
