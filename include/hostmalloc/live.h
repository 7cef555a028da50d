/* SPDX-License-Identifier: MIT */
/**
 * @file live.h
 * @brief What "debug:live=FILE" keeps in a mapped file: the figures of every site, as the program counts them.
 *
 * The program's threads count inside the file, so another process sees the figures as they are, and so does whoever
 * opens the file after the program was killed:
 *
 *     hm_live_header | hm_live_finding[finding_room] | hm_live_malloc[malloc_room] | hm_live_site[site_room]
 *     | hm_live_group[group_room]
 *
 * A group is what one writer (an unsynchronised malloc, or one thread on a thread-safe one) counted for
 * HM_LIVE_GROUP_SITES sites with numbers in a row; figures of a site are the sum over its groups. While a thread's figures
 * are added to others' as it exits, header.shape is odd. Numbers are in the byte order of the machine that wrote them.
 * `hostmalloc report` reads such files.
 * Stable since 1.0: a changed layout gets another HM_LIVE_VERSION, and readers refuse versions they do not know.
 */
#ifndef HM_LIVE_H
#define HM_LIVE_H

#include <hostmalloc/abi.h>

#include <stdint.h>

#define HM_LIVE_MAGIC        "hm-live" /**< with its terminator: the first eight bytes */
#define HM_LIVE_BYTE_ORDER   0x01020304u
#define HM_LIVE_VERSION      1u
#define HM_LIVE_HEADER_BYTES 4096u
#define HM_LIVE_GROUP_SITES  16u

#define HM_LIVE_RUNNING 1u
#define HM_LIVE_ENDED   2u /**< the host was released, or the process ended by itself */

/** The first 4096 bytes of the file are this, then zeros. */
typedef struct hm_live_header {
    char magic[8];
    uint32_t byte_order;   /**< HM_LIVE_BYTE_ORDER as the writer's machine stores it */
    uint32_t version;      /**< HM_LIVE_VERSION */
    uint32_t header_bytes; /**< where the findings begin; the tables follow one another */
    uint32_t finding_room;
    uint32_t malloc_room;
    uint32_t site_room;
    uint32_t group_room;
    uint32_t process;
    uint32_t state;      /**< atomic: HM_LIVE_RUNNING or HM_LIVE_ENDED */
    uint32_t shape;      /**< atomic: odd while figures move from one group to another */
    uint64_t started_ns; /**< monotonic */
    uint64_t errors;     /**< atomic: mistakes that were printed */
    uint64_t repeats;    /**< atomic: mistakes like an earlier one, which were not */
    uint32_t finding_count; /**< atomic */
    uint32_t site_count;    /**< atomic: sites with their names written, from number 1 */
    uint32_t group_count;   /**< atomic: places of groups that were ever in use */
    uint32_t
        mallocs_dropped; /**< atomic: without a place; their figures are there, the name is not */
    uint32_t groups_dropped; /**< atomic: figures that are not in the file */
    uint32_t error_sequence; /**< atomic: odd while error is being written */
    char program[64];
    char library[16]; /**< the version of hostmalloc */
    char error[2048]; /**< the report of the last mistake; empty: none */
} hm_live_header;

/** A kind of mistake at its places, as snapshots list them. */
typedef struct hm_live_finding {
    uint32_t state; /**< atomic: 1 when it is whole */
    int32_t status; /**< hm_status */
    char kind[80];
    char malloc_name[40];
    uint64_t times; /**< atomic */
    uint64_t bytes;
    uint32_t serial;
    uint32_t
        known; /**< 1: there is a block, and bytes, serial and allocated_site are its */
    uint32_t allocated_site; /**< numbers of sites; 0 unknown */
    uint32_t freed_site;
    uint32_t here_site;
    uint32_t allocated_thread;
    uint32_t freed_thread;
    uint32_t here_thread;
    char status_name[24];
} hm_live_finding;

/** A malloc object. */
typedef struct hm_live_malloc {
    uint32_t number; /**< atomic: as in hm_live_group; 0: the place is free */
    uint32_t reserved;
    char name[40];
    uint64_t spare[2];
} hm_live_malloc;

/** The name of site number i + 1, at place i. */
typedef struct hm_live_site {
    uint32_t line;
    uint32_t reserved;
    char file[160];    /**< the end of it, where it is longer */
    char function[88]; /**< cut at the end; empty when unknown */
} hm_live_site;

/** What one writer counted for one site, in requested bytes. Freed is what this writer freed, whoever allocated it. */
typedef struct hm_live_tally {
    uint64_t blocks; /**< atomic, as all of these */
    uint64_t bytes;
    uint64_t freed_bytes;
    uint64_t peak_bytes; /**< as found by frees; bytes - freed_bytes may be more */
    uint64_t freed_blocks;
    uint64_t reserved[3];
} hm_live_tally;

typedef struct hm_live_group {
    uint32_t malloc_number; /**< atomic: 0: the place is free */
    uint32_t group;         /**< of sites group * HM_LIVE_GROUP_SITES and on */
    uint32_t thread;        /**< the writer; 0: the malloc's own, or common */
    uint32_t next;          /**< the writer's */
    uint64_t spare[6];
    hm_live_tally tallies[HM_LIVE_GROUP_SITES];
} hm_live_group;

HM_STATIC_ASSERT(sizeof(hm_live_header) <= HM_LIVE_HEADER_BYTES, "part of the format");
HM_STATIC_ASSERT(sizeof(hm_live_finding) == 200, "part of the format");
HM_STATIC_ASSERT(sizeof(hm_live_malloc) == 64, "part of the format");
HM_STATIC_ASSERT(sizeof(hm_live_site) == 256, "part of the format");
HM_STATIC_ASSERT(sizeof(hm_live_group) == 1088,
                 "part of the format: figures on cache lines of their own");

#endif
