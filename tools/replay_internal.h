/* SPDX-License-Identifier: MIT */
/* A recording made ready to be replayed: what `hostmalloc replay` reads, runs and prints. */
#ifndef HM_TOOLS_REPLAY_INTERNAL_H
#define HM_TOOLS_REPLAY_INTERNAL_H

#include <hostmalloc/hostmalloc.h>
#include <hostmalloc/trace.h>

#define NO_BLOCK UINT32_MAX

/* One call to make. */
typedef struct replay_event {
    uint64_t number; /* of its record: calls are ordered by it */
    uint64_t bytes;
    uint32_t malloc; /* index */
    uint32_t epoch;  /* how many barriers its malloc has seen before it */
    uint32_t in;     /* index of the block that goes in, or NO_BLOCK */
    uint32_t out;    /* of the block that comes out */
    uint32_t site;   /* index into sites, + 1; 0 none */
    uint8_t kind;    /* HM_TRACE_* */
    int8_t level;
    uint8_t alignment_log2;
} replay_event;

typedef struct replay_thread {
    replay_event *events;
    size_t count;
    size_t room;
} replay_thread;

typedef struct replay_malloc {
    uint32_t number; /* in the recording */
    uint32_t flags;  /* to ask for */
    uint64_t limit;
    uint32_t thread; /* the only one that uses it, while `shared` is 0 */
    int shared;
    int created;     /* its creation is the first of its events */
    int used;        /* while the recording is read: has events */
    uint32_t epochs; /* barriers so far, while the recording is read */
    uint64_t live;   /* requested bytes, likewise */
} replay_malloc;

/* Calls that can be replayed, counted alike in the recording and in the replay. */
typedef struct replay_counts {
    uint64_t calls[HM_TRACE_KINDS];
    uint64_t bytes; /* asked for by allocations */
} replay_counts;

typedef struct replay_trace {
    hm_trace_header header;
    replay_thread *threads;
    uint32_t thread_count;
    replay_malloc *mallocs;
    uint32_t malloc_count;
    uint64_t *block_bytes; /* requested, by index */
    uint32_t block_count;
    hm_site **sites;
    uint32_t site_count;
    replay_counts counts;
    uint64_t peak_bytes;  /* requested and live at once, in the order of the recording */
    uint64_t overwritten; /* records that the ring lost */
    uint64_t torn;        /* records cut off while they were written */
    uint64_t unfinished;  /* calls that never came back */
    uint64_t
        refused; /* calls that came back without a block, and creations that failed */
    uint64_t misused; /* frees that the host answered with a verdict and did not do */
    uint64_t unknown; /* blocks freed or moved whose allocation is not there */
} replay_trace;

typedef struct replay_result {
    replay_counts counts; /* done */
    uint64_t failed;      /* allocations and creations the host refused */
    uint64_t damaged;     /* blocks that did not hold what was written into them */
    uint64_t nanoseconds;
    uint64_t
        grown; /* bytes of the process's peak above where it stood; 0 when not known */
    uint64_t left; /* blocks that were still live at the end, and were freed after it */
} replay_result;

/* replay_read.c: 1, or 0 with the reason on standard error; *missing is 1 when there is no such file. */
int replay_read(const char *path, replay_trace *trace, int *missing);
void replay_drop(replay_trace *trace); /* also a half-read one */

/* replay_run.c: 1, or 0 with the reason on standard error. */
int replay_run(const replay_trace *trace, hm_host *host, replay_result *result);

#endif
