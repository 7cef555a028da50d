/* SPDX-License-Identifier: MIT */
/* The options that say how much is looked for. A mode is a set of them; each is also an option of its own, which
 * overrides what the mode says. Hosts of a mode as it stands get tables made for it, any other mixture the ones that
 * look (malloc.c). */
#include "mode_internal.h"

#include <string.h>

#define HELD_ENTRIES_MAX 32768u

const hm_option hm__debug_option_mode = {
    sizeof(hm_option),
    "mode",
    HM_OPTION_CHOICE,
    0,
    "checked",
    "stats: what is live, by line; checked: and what was done wrong; full: all bytes of "
    "freed blocks are looked at, and many are held back",
    "stats|checked|full"};
const hm_option hm__debug_option_edges = {
    sizeof(hm_option),
    "edges",
    HM_OPTION_BOOL,
    0,
    NULL,
    "8 guard bytes behind each block; stats: no, checked and full: yes",
    NULL};
const hm_option hm__debug_option_fill = {
    sizeof(hm_option),
    "fill",
    HM_OPTION_CHOICE,
    0,
    NULL,
    "pattern in fresh and freed blocks: none (stats), the first and last 16 bytes of "
    "fresh and 32 of freed ones (checked), or all (full)",
    "none|ends|all"};
const hm_option hm__debug_option_quarantine = {
    sizeof(hm_option),
    "quarantine",
    HM_OPTION_NUMBER,
    0,
    NULL,
    "freed blocks held back by each malloc and thread, to name double frees, at most "
    "32768; stats: 0, checked: 16, full: 4096",
    NULL};
const hm_option hm__debug_option_quarantine_bytes = {
    sizeof(hm_option),
    "quarantine_bytes",
    HM_OPTION_BYTES,
    0,
    NULL,
    "and at most so many bytes of them; checked: 64K, full: a quarter of the live ones, "
    "but 64K",
    NULL};

typedef struct mode {
    const char *name;
    uint32_t kind;
    uint32_t edge;
    uint32_t fill;
    uint32_t held_entries;
    uint64_t held_bytes;
} mode;

static const mode modes[] = {
    {"stats", DEBUG_KIND_STATS, 0, DEBUG_FILL_NONE, 0, DEBUG_HELD_LEAST},
    {"checked", DEBUG_KIND_CHECKED, DEBUG_GUARD_BYTES, DEBUG_FILL_ENDS, 16,
     DEBUG_HELD_LEAST},
    {"full", DEBUG_KIND_FULL, DEBUG_GUARD_BYTES, DEBUG_FILL_ALL, 4096,
     DEBUG_HELD_QUARTER},
};

static uint32_t fill_of(const char *text)
{
    return strcmp(text, "none") == 0  ? DEBUG_FILL_NONE
           : strcmp(text, "all") == 0 ? DEBUG_FILL_ALL
                                      : DEBUG_FILL_ENDS;
}

hm_status
hm__debug_mode_read(debug_host *host, const hm_option_values *values, hm_error *err)
{
    const hm_core *core = hm__debug.core;
    const char *name = core->option_text(values, "mode");
    const mode *as = modes;
    while (strcmp(as->name, name) != 0) {
        as++;
    }
    mode own = *as;
    if (core->option_given(values, "edges")) {
        own.edge = core->option_bool(values, "edges") ? DEBUG_GUARD_BYTES : 0;
    }
    if (core->option_given(values, "fill")) {
        own.fill = fill_of(core->option_text(values, "fill"));
    }
    if (core->option_given(values, "quarantine")) {
        const uint64_t entries = core->option_number(values, "quarantine");
        if (entries > HELD_ENTRIES_MAX) {
            return core->error_set(err, HM_E_INVALID, "host:debug",
                                   "quarantine: %llu blocks, expected at most %u",
                                   (unsigned long long)entries, HELD_ENTRIES_MAX);
        }
        own.held_entries = (uint32_t)entries;
    }
    if (core->option_given(values, "quarantine_bytes")) {
        own.held_bytes = core->option_number(values, "quarantine_bytes");
        if (own.held_bytes > DEBUG_BYTES_MAX) {
            return core->error_set(err, HM_E_INVALID, "host:debug",
                                   "quarantine_bytes: %llu, expected at most %llu",
                                   (unsigned long long)own.held_bytes,
                                   (unsigned long long)DEBUG_BYTES_MAX);
        }
    }
    /* The tables of checked and full ask for the length of the list as they go; those of stats have none. */
    const int as_it_is = own.edge == as->edge && own.fill == as->fill &&
                         (as->held_entries ? 1 : !own.held_entries);
    host->kind = as_it_is ? as->kind : DEBUG_KIND_MIXED;
    host->edge = own.edge;
    host->fill = own.fill;
    host->held_entries = own.held_entries;
    host->held_bytes = own.held_entries ? own.held_bytes : 0;
    return HM_OK;
}
