/* SPDX-License-Identifier: MIT */
/* Reads a recording of the trace layer and finds out which block each call is about.
 *
 * Addresses are used again, so an address alone names no block. Two orders help: frees in the order in which
 * they began, and allocations in the order in which they came back; a block was there before a free began if
 * its call had finished by then (hm_trace_record.finished). Walking both orders as one, each free meets the
 * block that last came out at its address. The format is <hostmalloc/trace.h>. */
#include "replay_internal.h"
#include "replay_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MOST (UINT64_C(1) << 32)

typedef struct reading {
    const char *path;
    FILE *file;
    replay_trace *trace;
    hm_trace_record *records; /* those that tell something, by number */
    size_t count;
    struct step *steps;
    size_t step_count;
    uint32_t *in;  /* by record: block that goes in, NO_BLOCK */
    uint32_t *out; /* and comes out */
    replay_map threads;
    replay_map mallocs;
    replay_map blocks; /* by address: the live one; NO_BLOCK for none */
} reading;

/* A block comes out (at the record's `finished`), or goes in (at its number, after those). */
typedef struct step {
    uint64_t key;
    uint32_t comes;
    uint32_t record;
} step;

static int refuse(const reading *r, const char *found, const char *expected)
{
    fprintf(stderr, "hostmalloc: replay: %s: found %s, expected %s\n", r->path, found,
            expected);
    return 0;
}

static int no_memory(const reading *r)
{
    fprintf(stderr, "hostmalloc: replay: %s: out of memory\n", r->path);
    return 0;
}

static int
refuse_number(const reading *r, const char *what, uint64_t found, uint64_t good)
{
    fprintf(stderr, "hostmalloc: replay: %s: found %s %llu, expected %llu\n", r->path,
            what, (unsigned long long)found, (unsigned long long)good);
    return 0;
}

static int check_header(const reading *r, size_t had, uint64_t bytes)
{
    const hm_trace_header *h = &r->trace->header;
    if (had < sizeof *h) {
        return refuse_number(r, "a file of bytes:", bytes, HM_TRACE_HEADER_BYTES);
    }
    if (memcmp(h->magic, HM_TRACE_MAGIC, sizeof h->magic) != 0) {
        return refuse(r, "no recording (the first bytes are others)",
                      "\"" HM_TRACE_MAGIC
                      "\" at the start, as the trace layer writes it");
    }
    if (h->byte_order != HM_TRACE_BYTE_ORDER) {
        return refuse(r, "the byte order of another machine", "this one's");
    }
    if (h->version != HM_TRACE_VERSION) {
        return refuse_number(r, "version", h->version, HM_TRACE_VERSION);
    }
    if (h->record_bytes != sizeof(hm_trace_record)) {
        return refuse_number(r, "record bytes", h->record_bytes, sizeof(hm_trace_record));
    }
    if (h->site_bytes != sizeof(hm_trace_site)) {
        return refuse_number(r, "site bytes", h->site_bytes, sizeof(hm_trace_site));
    }
    if (h->header_bytes != HM_TRACE_HEADER_BYTES) {
        return refuse_number(r, "header bytes", h->header_bytes, HM_TRACE_HEADER_BYTES);
    }
    const uint64_t records_at =
        HM_TRACE_HEADER_BYTES + (uint64_t)h->site_room * sizeof(hm_trace_site);
    if (h->records_at != records_at) {
        return refuse_number(r, "records at", h->records_at, records_at);
    }
    if (h->record_count == 0 || h->record_count > COUNT_MOST ||
        (h->record_count & (h->record_count - 1))) {
        return refuse(r, "a record count that is no power of two", "one up to 2^32");
    }
    const uint64_t whole = records_at + h->record_count * sizeof(hm_trace_record);
    return bytes == whole || refuse_number(r, "a file of bytes:", bytes, whole);
}

static int read_sites(reading *r)
{
    replay_trace *trace = r->trace;
    const uint32_t room = trace->header.site_room;
    hm_trace_site site;
    trace->sites = calloc(room + 1u, sizeof(hm_site *));
    if (!trace->sites) {
        return no_memory(r);
    }
    for (uint32_t i = 0; i < room; i++) {
        if (fread(&site, sizeof site, 1, r->file) != 1) {
            return refuse(r, "an end among the sites", "all of the file");
        }
        site.file[sizeof site.file - 1] = '\0';
        site.function[sizeof site.function - 1] = '\0';
        if (site.state == HM_TRACE_SITE_WHOLE) {
            trace->sites[i] = hm_site_intern(
                site.file, site.function[0] ? site.function : NULL, site.line);
        }
    }
    trace->site_count = room;
    return 1;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = HM_TRACE_NUMBER(((const hm_trace_record *)a)->state);
    const uint64_t y = HM_TRACE_NUMBER(((const hm_trace_record *)b)->state);
    return (x > y) - (x < y);
}

static int is_allocation(uint32_t kind)
{
    return kind == HM_TRACE_ALLOC || kind == HM_TRACE_ZEROED ||
           kind == HM_TRACE_ALIGNED || kind == HM_TRACE_REALLOC;
}

static int is_free(uint32_t kind)
{
    return kind == HM_TRACE_FREE || kind == HM_TRACE_FREE_SIZED;
}

/* After it nothing of what the malloc had is there, or it gives nothing more. */
static int is_barrier(uint32_t kind)
{
    return kind == HM_TRACE_RELEASE || kind == HM_TRACE_RESET || kind == HM_TRACE_CLOSE;
}

/* 1 for a record that can be replayed; the others are counted by what is the matter. */
static int is_whole(replay_trace *trace, const hm_trace_record *record, uint64_t place)
{
    const hm_trace_header *h = &trace->header;
    const uint32_t state = HM_TRACE_STEP(record->state);
    const uint64_t number = HM_TRACE_NUMBER(record->state);
    if (record->state == 0) {
        return 0;
    }
    if (h->next > h->record_count && number < h->next - h->record_count) {
        return 0; /* of a lap before: what should stand here was dropped, and counted there */
    }
    if (state == HM_TRACE_STATE_BEGUN || state == HM_TRACE_STATE_FINISHING) {
        trace->unfinished++;
        return 0;
    }
    if (state != HM_TRACE_STATE_FINISHED || number >= h->next ||
        (number & (h->record_count - 1)) != place || record->kind == 0 ||
        record->kind >= HM_TRACE_KINDS || record->thread == 0 ||
        record->finished <= number || record->finished > h->next) {
        trace->torn++;
        return 0;
    }
    const int64_t status = (int64_t)record->result;
    if (is_allocation(record->kind) ? record->result == 0
                                    : !is_free(record->kind) && status != HM_OK) {
        trace->refused++;
        return 0;
    }
    if (is_free(record->kind) && status != HM_OK && status != HM_E_CORRUPT) {
        trace->misused++;
        return 0;
    }
    return 1;
}

static int read_records(reading *r)
{
    replay_trace *trace = r->trace;
    const hm_trace_header *h = &trace->header;
    const uint64_t most = h->next < h->record_count ? h->next : h->record_count;
    hm_trace_record record;
    r->records = malloc((size_t)(most ? most : 1) * sizeof *r->records);
    if (!r->records) {
        return no_memory(r);
    }
    for (uint64_t i = 0; i < most; i++) {
        if (fread(&record, sizeof record, 1, r->file) != 1) {
            return refuse(r, "an end among the records", "all of the file");
        }
        if (is_whole(trace, &record, i)) {
            r->records[r->count++] = record;
        }
    }
    trace->overwritten = h->next > h->record_count ? h->next - h->record_count : 0;
    qsort(r->records, r->count, sizeof *r->records, by_number);
    return 1;
}

static int by_key(const void *a, const void *b)
{
    const step *x = a;
    const step *y = b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    if (x->comes != y->comes) {
        return x->comes ? -1 : 1;
    }
    return (x->record > y->record) - (x->record < y->record);
}

static int order_steps(reading *r)
{
    r->steps = malloc((2 * r->count + 1) * sizeof *r->steps);
    r->in = malloc((r->count + 1) * sizeof *r->in);
    r->out = malloc((r->count + 1) * sizeof *r->out);
    if (!r->steps || !r->in || !r->out) {
        return no_memory(r);
    }
    for (size_t i = 0; i < r->count; i++) {
        const hm_trace_record *record = &r->records[i];
        r->in[i] = r->out[i] = NO_BLOCK;
        if (is_allocation(record->kind)) {
            r->steps[r->step_count++] = (step){record->finished, 1, (uint32_t)i};
        }
        if (is_free(record->kind) || is_barrier(record->kind) ||
            (record->kind == HM_TRACE_REALLOC && record->block)) {
            r->steps[r->step_count++] =
                (step){HM_TRACE_NUMBER(record->state), 0, (uint32_t)i};
        }
    }
    qsort(r->steps, r->step_count, sizeof *r->steps, by_key);
    return 1;
}

/* Index of the malloc with that number; UINT32_MAX: no memory. */
static uint32_t malloc_index(reading *r, const hm_trace_record *record)
{
    replay_trace *trace = r->trace;
    const uint64_t key = (uint64_t)record->malloc_number + 1;
    const uint32_t *found = replay_map_find(&r->mallocs, key);
    if (found) {
        return *found;
    }
    const uint32_t count = trace->malloc_count;
    replay_malloc *wide = realloc(trace->mallocs, (count + 1u) * sizeof *wide);
    if (!wide) {
        return UINT32_MAX;
    }
    trace->mallocs = wide;
    if (!replay_map_set(&r->mallocs, key, count)) {
        return UINT32_MAX;
    }
    wide[count] = (replay_malloc){.number = record->malloc_number};
    trace->malloc_count++;
    return count;
}

static void malloc_use(replay_malloc *m, const hm_trace_record *record)
{
    if (record->kind == HM_TRACE_CREATE_MALLOC && !m->thread) {
        m->created = 1;
        m->flags = (uint32_t)record->bytes &
                   (HM_MALLOC_SCOPED | HM_MALLOC_EXECUTABLE | HM_MALLOC_EXACT |
                    HM_MALLOC_ONE_THREAD | HM_MALLOC_THREADSAFE);
        m->limit = record->block;
    }
    m->shared |= m->thread && m->thread != record->thread;
    m->thread = record->thread;
}

/* Callers that took turns did so by means the recording does not show. */
static void mallocs_settle(replay_trace *trace)
{
    for (uint32_t i = 0; i < trace->malloc_count; i++) {
        replay_malloc *m = &trace->mallocs[i];
        if (m->shared || !m->created) {
            m->flags = (m->flags & ~HM_MALLOC_ONE_THREAD) | HM_MALLOC_THREADSAFE;
        }
    }
}

static int comes_out(reading *r, const hm_trace_record *record, uint32_t at)
{
    replay_trace *trace = r->trace;
    if (trace->block_count == NO_BLOCK) {
        return 0;
    }
    r->out[at] = trace->block_count;
    trace->block_bytes[trace->block_count] = record->bytes;
    return replay_map_set(&r->blocks, record->result, trace->block_count++);
}

static uint32_t goes_in(reading *r, const hm_trace_record *record)
{
    uint32_t *found = replay_map_find(&r->blocks, record->block);
    const uint32_t block = found ? *found : NO_BLOCK;
    if (block == NO_BLOCK) {
        r->trace->unknown++;
    } else {
        *found = NO_BLOCK;
    }
    return block;
}

/* Who is about which block, and how much is live at once. */
static int resolve(reading *r)
{
    replay_trace *trace = r->trace;
    uint64_t live = 0;
    trace->block_bytes = malloc((r->count + 1) * sizeof *trace->block_bytes);
    if (!trace->block_bytes) {
        return no_memory(r);
    }
    for (size_t i = 0; i < r->step_count; i++) {
        const uint32_t at = r->steps[i].record;
        const hm_trace_record *record = &r->records[at];
        const uint32_t index = malloc_index(r, record);
        if (index == UINT32_MAX) {
            return no_memory(r);
        }
        replay_malloc *m = &trace->mallocs[index];
        uint64_t gone = 0;
        if (r->steps[i].comes) {
            if (!comes_out(r, record, at)) {
                return no_memory(r);
            }
            m->live += record->bytes;
            live += record->bytes;
            trace->peak_bytes = live > trace->peak_bytes ? live : trace->peak_bytes;
        } else if (record->kind == HM_TRACE_RESET ||
                   (record->kind == HM_TRACE_RELEASE && m->flags & HM_MALLOC_SCOPED)) {
            gone = m->live;
        } else if (!is_barrier(record->kind)) {
            r->in[at] = goes_in(r, record);
            gone = r->in[at] == NO_BLOCK ? 0 : trace->block_bytes[r->in[at]];
            gone = gone > m->live ? m->live : gone;
        }
        m->live -= gone;
        live -= gone;
    }
    return 1;
}

static replay_thread *thread_of(reading *r, uint32_t number)
{
    replay_trace *trace = r->trace;
    const uint32_t *found = replay_map_find(&r->threads, number);
    if (found) {
        return &trace->threads[*found];
    }
    replay_thread *wide =
        realloc(trace->threads, (trace->thread_count + 1u) * sizeof *wide);
    if (!wide) {
        return NULL;
    }
    trace->threads = wide;
    if (!replay_map_set(&r->threads, number, trace->thread_count)) {
        return NULL;
    }
    wide[trace->thread_count] = (replay_thread){NULL, 0, 0};
    return &wide[trace->thread_count++];
}

static replay_event *event_add(replay_thread *thread)
{
    if (thread->count == thread->room) {
        const size_t room = thread->room ? 2 * thread->room : 256;
        replay_event *wide = realloc(thread->events, room * sizeof *wide);
        if (!wide) {
            return NULL;
        }
        thread->events = wide;
        thread->room = room;
    }
    return &thread->events[thread->count++];
}

static int add_events(reading *r)
{
    replay_trace *trace = r->trace;
    for (size_t i = 0; i < r->count; i++) {
        const hm_trace_record *record = &r->records[i];
        uint32_t kind = record->kind;
        const uint32_t index = malloc_index(r, record);
        if ((is_free(kind) && r->in[i] == NO_BLOCK) ||
            (kind == HM_TRACE_CREATE_MALLOC && index != UINT32_MAX &&
             trace->mallocs[index].used)) {
            continue;
        }
        if (kind == HM_TRACE_REALLOC && r->in[i] == NO_BLOCK) {
            kind = HM_TRACE_ALLOC; /* of NULL, or of a block that is not known */
        }
        replay_thread *thread = thread_of(r, record->thread);
        replay_event *event = index == UINT32_MAX || !thread ? NULL : event_add(thread);
        if (!event) {
            return no_memory(r);
        }
        replay_malloc *m = &trace->mallocs[index];
        m->used = 1;
        const uint32_t site = record->site <= trace->site_count ? record->site : 0;
        *event = (replay_event){.number = HM_TRACE_NUMBER(record->state),
                                .bytes = record->bytes,
                                .malloc = index,
                                .epoch = m->epochs,
                                .in = r->in[i],
                                .out = r->out[i],
                                .site = site,
                                .kind = (uint8_t)kind,
                                .level = record->level,
                                .alignment_log2 = record->alignment_log2};
        m->epochs += (uint32_t)is_barrier(kind);
        trace->counts.calls[kind]++;
        trace->counts.bytes += is_allocation(kind) ? record->bytes : 0;
    }
    return 1;
}

static int use_mallocs(reading *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const uint32_t index = malloc_index(r, &r->records[i]);
        if (index == UINT32_MAX) {
            return no_memory(r);
        }
        malloc_use(&r->trace->mallocs[index], &r->records[i]);
    }
    mallocs_settle(r->trace);
    return 1;
}

static int read_all(reading *r)
{
    fseek(r->file, 0, SEEK_END);
    const long bytes = ftell(r->file);
    rewind(r->file);
    memset(&r->trace->header, 0, sizeof r->trace->header);
    const size_t had = fread(&r->trace->header, 1, sizeof r->trace->header, r->file);
    return check_header(r, had, bytes < 0 ? 0 : (uint64_t)bytes) &&
           fseek(r->file, HM_TRACE_HEADER_BYTES, SEEK_SET) == 0 && read_sites(r) &&
           read_records(r) && use_mallocs(r) && order_steps(r) && resolve(r) &&
           add_events(r);
}

int replay_read(const char *path, replay_trace *trace, int *missing)
{
    reading r = {.path = path, .file = fopen(path, "rb"), .trace = trace};
    memset(trace, 0, sizeof *trace);
    *missing = !r.file;
    if (!r.file) {
        fprintf(stderr, "hostmalloc: replay: ");
        perror(path);
        return 0;
    }
    const int good = read_all(&r);
    fclose(r.file);
    free(r.records);
    free(r.steps);
    free(r.in);
    free(r.out);
    replay_map_drop(&r.threads);
    replay_map_drop(&r.mallocs);
    replay_map_drop(&r.blocks);
    return good;
}

void replay_drop(replay_trace *trace)
{
    for (uint32_t i = 0; i < trace->thread_count; i++) {
        free(trace->threads[i].events);
    }
    free(trace->threads);
    free(trace->mallocs);
    free(trace->block_bytes);
    free(trace->sites);
    memset(trace, 0, sizeof *trace);
}
