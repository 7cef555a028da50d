/* SPDX-License-Identifier: MIT */
/* What the two files of the guard host share. */
#ifndef HM_PLUGINS_HOSTS_GUARD_INTERNAL_H
#define HM_PLUGINS_HOSTS_GUARD_INTERNAL_H

#include <hostmalloc/module.h>

typedef struct guard_slab guard_slab;
typedef struct guard_freed guard_freed;

#define GUARD_CLASSES 48 /* runs of 2, 4, 8, ... pages */

/* Freed runs of one size, oldest first. */
typedef struct guard_queue {
    guard_freed *oldest, *newest;
} guard_queue;

typedef struct guard_host {
    hm_host base;
    uint32_t references; /* atomic */
    size_t page;
    uint64_t space;    /* option: bytes of addresses before old ones are used again */
    uint64_t mappings; /* option */

    hm_lock
        lock; /* guards from here to unguarded; nothing is locked before it but the hosts' list */
    guard_slab *slabs; /* newest, and so largest, first */
    guard_queue queues[GUARD_CLASSES];
    uint64_t reserved;  /* bytes of all slabs */
    uint64_t mapped;    /* mappings in use */
    uint64_t unguarded; /* blocks that got no guard */

    struct guard_host *next, *previous; /* guarded by the lock of the list */
} guard_host;

extern const hm_core *hm__guard_core;

/* guard_runs.c: runs of pages, each followed by one that cannot be touched. */
int hm__guard_page_find(guard_host *host); /* 1 done */
void *hm__guard_alloc(void *host, size_t bytes);
void hm__guard_release(void *host, void *block, size_t bytes);
void hm__guard_slabs_drop(guard_host *host);

#endif
