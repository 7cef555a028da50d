/* SPDX-License-Identifier: MIT */
/* The ring of the trace layer: mapped once, then written by all threads without a lock.
 *
 * Nothing here waits. A record's place is claimed by moving its state word from whatever old record stands there
 * to WRITING; where another writer is at work in it, which takes one that slept for a whole lap, the younger
 * record is dropped and counted. The result is put down the same way, so it never lands in a record that has
 * taken the place meanwhile. */
#include "trace_internal.h"

#include <string.h>

/* "%p" becomes the process number. 0: the path is too long. */
static int expand_path(const char *from, uint32_t process, char *to, size_t size)
{
    char digits[12];
    size_t length = 0, count = 0;
    do {
        digits[count++] = (char)('0' + process % 10);
        process /= 10;
    } while (process);
    for (; *from; from++) {
        if (from[0] == '%' && from[1] == 'p') {
            for (size_t i = count; i > 0 && length < size; i--) {
                to[length++] = digits[i - 1];
            }
            from++;
        } else if (length < size) {
            to[length++] = *from;
        }
    }
    if (length >= size) {
        return 0;
    }
    to[length] = '\0';
    return 1;
}

static void *map(const hm_core *core, const trace_host *host, size_t bytes)
{
    char path[TRACE_PATH_ROOM];
    if (host->path[0] == '\0') {
        return core->pages_map(bytes);
    }
    return expand_path(host->path, core->process_id(), path, sizeof path)
               ? core->file_map(path, bytes)
               : NULL;
}

trace_ring *hm__trace_ring_open(const hm_core *core, const trace_host *host)
{
    const size_t sites_bytes = (size_t)TRACE_SITE_ROOM * sizeof(hm_trace_site);
    const size_t records_at = HM_TRACE_HEADER_BYTES + sites_bytes;
    const size_t bytes =
        records_at + (size_t)host->record_count * sizeof(hm_trace_record);
    trace_ring *ring = core->memory_alloc(sizeof *ring);
    if (!ring) {
        return NULL;
    }
    char *pages = map(core, host, bytes);
    if (!pages) {
        core->memory_free(ring, sizeof *ring);
        return NULL;
    }
    ring->header = (hm_trace_header *)pages;
    ring->sites = (hm_trace_site *)(pages + HM_TRACE_HEADER_BYTES);
    ring->records = (hm_trace_record *)(pages + records_at);
    ring->mask = host->record_count - 1;
    ring->bytes = bytes;
    ring->has_file = host->path[0] != '\0';
    ring->times = host->times;
    const hm_trace_header header = {.byte_order = HM_TRACE_BYTE_ORDER,
                                    .version = HM_TRACE_VERSION,
                                    .header_bytes = HM_TRACE_HEADER_BYTES,
                                    .site_bytes = sizeof(hm_trace_site),
                                    .site_room = TRACE_SITE_ROOM,
                                    .record_bytes = sizeof(hm_trace_record),
                                    .records_at = records_at,
                                    .record_count = host->record_count,
                                    .process = core->process_id(),
                                    .flags = host->times ? HM_TRACE_TIMES : 0,
                                    .started_ns = core->now_ns()};
    *ring->header = header;
    /* Last: a file whose magic is there has a whole header. */
    uint64_t magic;
    memcpy(&magic, HM_TRACE_MAGIC, sizeof magic);
    __atomic_store_n((uint64_t *)(void *)ring->header->magic, magic, __ATOMIC_RELEASE);
    return ring;
}

void hm__trace_ring_close(const hm_core *core, trace_ring *ring)
{
    if (!ring) {
        return;
    }
    if (ring->has_file) {
        core->file_unmap(ring->header, ring->bytes);
    } else {
        core->pages_unmap(ring->header, ring->bytes);
    }
    core->memory_free(ring, sizeof *ring);
}

/* Strings longer than their room keep what says most: a path its end. */
static void copy_end(char *to, size_t size, const char *from)
{
    const size_t length = strlen(from);
    const size_t kept = length < size ? length : size - 1;
    memcpy(to, from + (length - kept), kept);
}

static void copy_start(char *to, size_t size, const char *from)
{
    const size_t length = strlen(from);
    memcpy(to, from, length < size ? length : size - 1);
}

static void name_site(const hm_core *core, trace_ring *ring, uint32_t id)
{
    hm_trace_site *place = &ring->sites[id - 1];
    uint32_t empty = HM_TRACE_SITE_EMPTY;
    const hm_site *site = core->site_from_id(id);
    if (!site ||
        !__atomic_compare_exchange_n(&place->state, &empty, HM_TRACE_SITE_WRITING, 0,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return;
    }
    place->line = site->line;
    copy_end(place->file, sizeof place->file, site->file ? site->file : "?");
    copy_start(place->function, sizeof place->function,
               site->function ? site->function : "");
    __atomic_store_n(&place->state, HM_TRACE_SITE_WHOLE, __ATOMIC_RELEASE);
}

/* The number that goes into the record; its name is written when it is seen first. */
static uint32_t site_number(const hm_core *core, trace_ring *ring, hm_site *site)
{
    const uint32_t id = site ? core->site_id(site) : 0;
    if (id > TRACE_SITE_ROOM) {
        __atomic_fetch_add(&ring->header->site_overflow, 1, __ATOMIC_RELAXED);
    } else if (id && __atomic_load_n(&ring->sites[id - 1].state, __ATOMIC_RELAXED) ==
                         HM_TRACE_SITE_EMPTY) {
        name_site(core, ring, id);
    }
    return id;
}

static uint8_t log2_of(size_t alignment)
{
    if (alignment & (alignment - 1)) {
        return HM_TRACE_NOT_ALIGNED;
    }
    return alignment ? (uint8_t)__builtin_ctzll((unsigned long long)alignment) : 0;
}

/* The record to write into, or NULL: somebody a whole lap away is at work in it, or has been there already. */
static hm_trace_record *claim(trace_ring *ring, uint64_t number)
{
    hm_trace_record *record = &ring->records[number & ring->mask];
    uint64_t old = __atomic_load_n(&record->state, __ATOMIC_RELAXED);
    for (;;) {
        const uint32_t step = HM_TRACE_STEP(old);
        if (step == HM_TRACE_STATE_WRITING || step == HM_TRACE_STATE_FINISHING ||
            old >= HM_TRACE_STATE(number, 0)) {
            __atomic_fetch_add(&ring->header->dropped, 1, __ATOMIC_RELAXED);
            return NULL;
        }
        if (__atomic_compare_exchange_n(&record->state, &old,
                                        HM_TRACE_STATE(number, HM_TRACE_STATE_WRITING), 1,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            return record;
        }
    }
}

trace_mark
hm__trace_begin(const hm_core *core, const trace_host *host, const trace_call *call)
{
    trace_mark mark = {__atomic_load_n(&host->ring, __ATOMIC_ACQUIRE), 0};
    trace_ring *ring = mark.ring;
    if (!ring) {
        return mark;
    }
    const uint32_t site = site_number(core, ring, call->site);
    mark.number = __atomic_fetch_add(&ring->header->next, 1, __ATOMIC_ACQ_REL);
    hm_trace_record *record = claim(ring, mark.number);
    if (!record) {
        mark.ring = NULL;
        return mark;
    }
    record->time = ring->times ? core->now_ns() : 0;
    record->bytes = call->bytes;
    record->block = (uint64_t)(uintptr_t)call->block;
    record->result = 0;
    record->finished = 0;
    record->thread = core->thread_id();
    record->malloc_number = call->malloc_number;
    record->site = site;
    record->kind = (uint8_t)call->kind;
    record->level = (int8_t)call->level;
    record->alignment_log2 = log2_of(call->alignment);
    __atomic_store_n(&record->state, HM_TRACE_STATE(mark.number, HM_TRACE_STATE_BEGUN),
                     __ATOMIC_RELEASE);
    return mark;
}

/* In a child that was forked during the call the ring is another: the record is the parent's to finish. */
void hm__trace_finish(const trace_host *host, trace_mark mark, uint64_t result)
{
    trace_ring *ring = mark.ring;
    if (!ring || ring != __atomic_load_n(&host->ring, __ATOMIC_RELAXED)) {
        return;
    }
    hm_trace_record *record = &ring->records[mark.number & ring->mask];
    uint64_t mine = HM_TRACE_STATE(mark.number, HM_TRACE_STATE_BEGUN);
    if (!__atomic_compare_exchange_n(
            &record->state, &mine, HM_TRACE_STATE(mark.number, HM_TRACE_STATE_FINISHING),
            0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return; /* overwritten by a later lap */
    }
    record->result = result;
    record->finished = __atomic_load_n(&ring->header->next, __ATOMIC_ACQUIRE);
    __atomic_store_n(&record->state, HM_TRACE_STATE(mark.number, HM_TRACE_STATE_FINISHED),
                     __ATOMIC_RELEASE);
}
