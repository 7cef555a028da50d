/* SPDX-License-Identifier: MIT */
/* Blocks that are no leaks: by pointer, by scope, by pattern. */
#ifndef HM_DEBUG_IGNORE_INTERNAL_H
#define HM_DEBUG_IGNORE_INTERNAL_H

#include "debug_internal.h"

/* What a host keeps of its file of patterns: its text, each pattern ended in place. */
struct debug_patterns {
    size_t bytes; /* of this and the text */
    size_t length;
    char text[];
};

/* Open the file at path for a host; patterns stay NULL where it has none. */
hm_status
hm__debug_patterns_read(debug_patterns **patterns, const char *path, hm_error *err);
void hm__debug_patterns_free(debug_patterns *patterns);
/* 1: a pattern matches one of the site's function, file, "file:line"; or the name of a malloc. */
int hm__debug_ignores_site(const debug_patterns *patterns, const hm_site *site);
int hm__debug_ignores_name(const debug_patterns *patterns, const char *name);

/* A live block of host, and of only where that is not NULL. */
hm_status hm__debug_ignore(debug_host *host, const debug_malloc *only, const void *block);
/* A fresh block of the host: LIVE to IGNORED. */
void hm__debug_ignore_fresh(debug_host *host, const void *block);

/* Ignored live blocks of a host by site, for as long as the rows are kept. */
typedef struct debug_ignored {
    uint64_t blocks;
    uint64_t bytes;
} debug_ignored;

/* One row for each of count sites; NULL: nothing is ignored, or no memory. Freed with pages_unmap. Locks nothing but
   the walk. Blocks of mallocs with no_leaks are left out. */
debug_ignored *
hm__debug_ignored_by_site(const debug_host *host, const debug_malloc *only, size_t count);

#endif
