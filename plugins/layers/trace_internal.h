/* SPDX-License-Identifier: MIT */
/* The ring of the trace layer, as its files share it. The format is <hostmalloc/trace.h>. */
#ifndef HM_LAYER_TRACE_INTERNAL_H
#define HM_LAYER_TRACE_INTERNAL_H

#include <hostmalloc/layer.h>
#include <hostmalloc/trace.h>

#define TRACE_SITE_ROOM 4096u
#define TRACE_PATH_ROOM 512u

typedef struct trace_ring {
    hm_trace_header *header;
    hm_trace_site *sites;
    hm_trace_record *records;
    uint64_t mask;
    size_t bytes; /* of the whole mapping */
    int has_file;
    int times;
} trace_ring;

typedef struct trace_host {
    hm_layer_host layer;
    trace_ring *ring; /* atomic; NULL: nothing is recorded */
    hm_trace questions;
    struct trace_host *next; /* guarded by the list's lock, as the next */
    struct trace_host *previous;
    uint64_t record_count;
    int times;
    int sites;
    char path[TRACE_PATH_ROOM]; /* as given; empty: private pages */
} trace_host;

/* A record under way. */
typedef struct trace_mark {
    trace_ring *ring; /* NULL: not recorded */
    uint64_t number;
} trace_mark;

/* What is recorded of a call as it begins. */
typedef struct trace_call {
    uint32_t kind;
    uint32_t malloc_number;
    uint64_t bytes;
    const void *block;
    size_t alignment;
    hm_level level;
    hm_site *site;
} trace_call;

/* trace_ring.c */
trace_ring *hm__trace_ring_open(const hm_core *core, const trace_host *host);
void hm__trace_ring_close(const hm_core *core, trace_ring *ring); /* NULL does nothing */
trace_mark
hm__trace_begin(const hm_core *core, const trace_host *host, const trace_call *call);
void hm__trace_finish(const trace_host *host, trace_mark mark, uint64_t result);

/* trace_malloc.c */
void hm__trace_tables(const hm_core *core);
hm_status hm__trace_create_malloc(hm_host *self,
                                  const hm_malloc_opts *opts,
                                  hm_malloc **out,
                                  hm_error *err);

#endif
