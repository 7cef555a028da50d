/* SPDX-License-Identifier: MIT */
/* How the file of debug:live= is laid out: its tables one behind another, each with a fixed number of entries. */
#ifndef HM_DEBUG_LIVE_FILE_INTERNAL_H
#define HM_DEBUG_LIVE_FILE_INTERNAL_H

#include "live_internal.h"

#include <hostmalloc/live.h>

#include <string.h>

#define DEBUG_LIVE_MALLOCS 1024u
#define DEBUG_LIVE_SITES   8192u
#define DEBUG_LIVE_GROUPS  4096u

_Static_assert(
    sizeof(debug_tally) == sizeof(hm_live_tally) &&
        offsetof(debug_tally, blocks) == offsetof(hm_live_tally, blocks) &&
        offsetof(debug_tally, bytes) == offsetof(hm_live_tally, bytes) &&
        offsetof(debug_tally, freed_bytes) == offsetof(hm_live_tally, freed_bytes) &&
        offsetof(debug_tally, peak_bytes) == offsetof(hm_live_tally, peak_bytes) &&
        offsetof(debug_tally, freed_blocks) == offsetof(hm_live_tally, freed_blocks) &&
        DEBUG_GROUP == HM_LIVE_GROUP_SITES,
    "figures are counted in the file");

struct debug_live {
    hm_live_header *header;
    hm_live_finding *findings;
    hm_live_malloc *mallocs;
    hm_live_site *sites;
    hm_live_group *groups;
    size_t bytes;
    uint32_t free_group; /* place + 1 of the first of a list; 0: none; guarded by lock */
    uint32_t in_memory;  /* a child that could have no file */
    hm_lock names;
    char path[1024]; /* as written, "%p" in it */
};

static inline int hm__debug_live_holds(const debug_live *live, const void *at)
{
    return (const char *)at >= (const char *)live->groups &&
           (const char *)at < (const char *)(live->groups + DEBUG_LIVE_GROUPS);
}

/* A text longer than its room keeps its start; live_figures.c keeps the ends of paths. */
static inline void hm__debug_live_text(char *to, size_t size, const char *from)
{
    const size_t length = strlen(from);
    const size_t kept = length < size ? length : size - 1;
    memcpy(to, from, kept);
    to[kept] = '\0';
}

#endif
