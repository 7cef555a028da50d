/* SPDX-License-Identifier: MIT */
/* What the files of the arena host share. */
#ifndef HM_PLUGINS_HOSTS_ARENA_INTERNAL_H
#define HM_PLUGINS_HOSTS_ARENA_INTERNAL_H

#include "exact_internal.h"

#define ALIGNMENT ((size_t)16)

typedef struct arena_chunk {
    struct arena_chunk *next;
    size_t bytes;
} arena_chunk;

/* Before each block. */
typedef struct arena_block {
    size_t requested;
    size_t usable;
} arena_block;

HM_STATIC_ASSERT(sizeof(arena_chunk) == ALIGNMENT && sizeof(arena_block) == ALIGNMENT,
                 "blocks are aligned because headers are");

typedef struct arena_host {
    hm_host base;
    uint32_t references; /* atomic */
    size_t chunk_bytes;  /* option */
} arena_host;

typedef struct arena_malloc {
    hm_malloc base;
    hm_lock lock;        /* thread-safe objects only: guards from here to references */
    char *next;          /* free room of the chunk in front */
    char *end;           /* its end */
    char *last;          /* the block cut last, if it still can be given back */
    arena_chunk *chunks; /* the one in front first; those of large blocks behind it */
    size_t limit;        /* SIZE_MAX: none */
    hm_stats stats;
    uint32_t references; /* atomic */
    hm_host *host;       /* one reference */
    struct arena_malloc *newer,
        *older; /* guarded by list_lock; thread-safe objects only */
} arena_malloc;

extern const hm_core *hm__arena_core;

/* arena_malloc.c: the slots, and the list of thread-safe objects. */
void hm__arena_start(void);
void hm__arena_setup(arena_malloc *m, hm_host *host, const hm_malloc_opts *wanted);
size_t hm__arena_plain_size(const void *block); /* of a block of a plain object */

#endif
