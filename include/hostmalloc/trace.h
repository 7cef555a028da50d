/* SPDX-License-Identifier: MIT */
/**
 * @file trace.h
 * @brief What the trace layer writes: the format of a recording, and how to reach one that is being made.
 *
 * "trace:file=app-%p.trace+mimalloc" records every call in a ring of fixed records inside a mapped file:
 *
 *     hm_trace_header | hm_trace_site[site_room] | hm_trace_record[record_count]
 *
 * A record is begun before the call goes to the host underneath and finished with its result, so the file is
 * good at every instant, also after SIGKILL: a call that never came back stands there as begun. Numbers are
 * in the byte order of the machine that wrote them. `hostmalloc replay` reads such files.
 *
 * How a record is written: its number i comes from header.next and its place is i % record_count. `state`
 * becomes WRITING while the call is put down, BEGUN when it stands, FINISHING while the result is put down and
 * FINISHED last. A writer that finds its place still taken by one a whole ring behind drops its record.
 * Stable since 1.0: a changed layout gets another HM_TRACE_VERSION, and readers refuse versions they do not know.
 */
#ifndef HM_TRACE_H
#define HM_TRACE_H

#include <hostmalloc/host.h>

#define HM_TRACE_MAGIC      "hmtrace" /**< with its terminator: the first eight bytes */
#define HM_TRACE_BYTE_ORDER 0x01020304u
#define HM_TRACE_VERSION    1u

#define HM_TRACE_TIMES 0x1u /**< header.flags: records carry times */

/** The first 4096 bytes of the file are this, then zeros. */
typedef struct hm_trace_header {
    char magic[8];
    uint32_t byte_order;   /**< HM_TRACE_BYTE_ORDER as the writer's machine stores it */
    uint32_t version;      /**< HM_TRACE_VERSION */
    uint32_t header_bytes; /**< where the sites begin */
    uint32_t site_bytes;   /**< sizeof(hm_trace_site) */
    uint32_t site_room;
    uint32_t record_bytes; /**< sizeof(hm_trace_record) */
    uint64_t records_at;   /**< where the records begin */
    uint64_t record_count; /**< a power of two */
    uint32_t process;
    uint32_t flags;      /**< HM_TRACE_* */
    uint64_t started_ns; /**< monotonic, as the times of the records */
    uint64_t
        next; /**< atomic: calls so far; more than record_count: the ring has wrapped */
    uint64_t dropped;       /**< atomic: records that found their place taken */
    uint64_t site_overflow; /**< atomic: records whose site has no room in the table */
    uint32_t malloc_count; /**< atomic: malloc objects so far; they are numbered from 1 */
    uint32_t reserved;
} hm_trace_header;

#define HM_TRACE_HEADER_BYTES 4096u

/** The name of site number i + 1, at place i. */
typedef struct hm_trace_site {
    uint32_t state; /**< atomic: HM_TRACE_SITE_* */
    uint32_t line;
    char file[168];    /**< the end of it, where it is longer */
    char function[80]; /**< cut at the end; empty when unknown */
} hm_trace_site;

#define HM_TRACE_SITE_EMPTY   0u
#define HM_TRACE_SITE_WRITING 1u
#define HM_TRACE_SITE_WHOLE   2u

/* hm_trace_record.kind */
#define HM_TRACE_ALLOC         1u
#define HM_TRACE_ZEROED        2u /**< bytes: count * size, UINT64_MAX when that overflows */
#define HM_TRACE_ALIGNED       3u
#define HM_TRACE_REALLOC       4u
#define HM_TRACE_FREE          5u /**< NULL is not recorded, here and below */
#define HM_TRACE_FREE_SIZED    6u
#define HM_TRACE_CREATE_MALLOC 7u /**< bytes: the flags asked for; block: the limit */
#define HM_TRACE_RELEASE       8u /**< the last reference of a malloc object */
#define HM_TRACE_RESET         9u
#define HM_TRACE_CLOSE         10u
#define HM_TRACE_KINDS         11u

#define HM_TRACE_STATE_EMPTY     0u
#define HM_TRACE_STATE_WRITING   1u
#define HM_TRACE_STATE_BEGUN     2u
#define HM_TRACE_STATE_FINISHING 3u
#define HM_TRACE_STATE_FINISHED  4u
/** (number + 1) and HM_TRACE_STATE_* in one word. */
#define HM_TRACE_STATE(number, step) ((((uint64_t)(number) + 1u) << 3) | (step))
#define HM_TRACE_STEP(state)         ((uint32_t)((state)&7u))
#define HM_TRACE_NUMBER(state)       (((state) >> 3) - 1u)

#define HM_TRACE_NOT_ALIGNED 255u /**< alignment_log2 of what is no power of two */

/** One call. */
typedef struct hm_trace_record {
    uint64_t state; /**< atomic, written last at each step */
    uint64_t time;  /**< ns, when the call began; 0 without times */
    uint64_t
        bytes; /**< asked for; of a free: as the caller said, UINT64_MAX when it did not */
    uint64_t block; /**< address of the block that comes in; 0: none */
    uint64_t
        result; /**< address of the block that goes out, or a hm_status (of frees, objects) */
    /** header.next as the call came back. A block that came out of a call with finished <= n was there
        before the free with number n began: so calls that use one address again are told apart. */
    uint64_t finished;
    uint32_t thread; /**< 1, 2, 3, ... in this process */
    uint32_t malloc_number;
    uint32_t site; /**< its number; 0 unknown */
    uint8_t kind;  /**< HM_TRACE_* */
    int8_t level;  /**< hm_level; HM_LEVEL_CURRENT where it was not said */
    uint8_t alignment_log2;
    uint8_t reserved;
} hm_trace_record;

HM_STATIC_ASSERT(sizeof(hm_trace_site) == 256, "part of the format");
HM_STATIC_ASSERT(sizeof(hm_trace_record) == 64, "part of the format: one cache line");
HM_STATIC_ASSERT(sizeof(hm_trace_header) <= HM_TRACE_HEADER_BYTES, "part of the format");

/** What find("trace") of a trace layer's host or malloc gives. @threads any */
typedef struct hm_trace {
    size_t size;
    void *self;
    /** The recording as it stands in memory, laid out like the file; NULL when there is none (a forked
        child that could not have its own). Valid while the layer's host is. */
    const hm_trace_header *(*header)(void *self);
} hm_trace;

HM_BEGIN_DECLS

/** The recording of the outermost trace layer in @p host; NULL when there is none. @threads any */
static inline const hm_trace_header *hm_trace_header_of(hm_host *host)
{
    void *found = (void *)0;
    if (hm_host_find(host, "trace", &found) != HM_OK) {
        return (const hm_trace_header *)0;
    }
    const hm_trace *trace = (const hm_trace *)found;
    return trace->header(trace->self);
}

HM_END_DECLS

#endif
