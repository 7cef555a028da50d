/* SPDX-License-Identifier: MIT */
/* Blocks without a header to say whose they are, when a host goes: their marks in the block map must not outlive their memory, or
 * the next walk reads where nothing is mapped. */
#include "broken_internal.h"

#include "os.h"

typedef struct search {
    debug_broken *found;
    int is_only; /* no other host has blocks */
} search;

/* What has no room in the list keeps its mark. */
static void keep(debug_broken *list, void *block)
{
    const hm_core *core = hm__debug.core;
    if (list->count == list->room) {
        const size_t room = list->room ? 2 * list->room : 64;
        void **more = core->memory_alloc(room * sizeof(*more));
        if (!more) {
            return;
        }
        for (size_t i = 0; i < list->count; i++) {
            more[i] = list->blocks[i];
        }
        core->memory_free(list->blocks, list->room * sizeof(*more));
        list->blocks = more;
        list->room = room;
    }
    list->blocks[list->count++] = block;
}

static int note_one(void *context, void *block, unsigned state)
{
    const search *s = context;
    debug_facts facts;
    hm__debug_facts_read(block, state, &facts);
    if (!facts.intact) {
        if (s->is_only) {
            hm__block_map_set(&hm__debug.map, block, DEBUG_GONE);
        } else {
            keep(s->found, block);
        }
    }
    return 0;
}

static int may_have_broken(const debug_host *host)
{
    int may = 0;
    for (debug_malloc *m = host->mallocs; m && !may; m = m->next) {
        hm_stats stats = {.size = sizeof(stats)};
        may = m->damaged ||
              (hm__debug_stats(&m->base, &stats) == HM_OK && stats.live_blocks);
    }
    return may;
}

void hm__debug_broken_begin(const debug_host *host, debug_broken *list)
{
    *list = (debug_broken){0};
    if (may_have_broken(host)) {
        hm__debug.core->lock(&hm__debug.lock);
        search s = {list, hm__debug.hosts == NULL};
        hm__debug.core->unlock(&hm__debug.lock);
        hm__debug_walk_begin();
        hm__block_map_walk(&hm__debug.map, DEBUG_LIVE_STATES | 1u << DEBUG_DAMAGED,
                           note_one, &s);
        hm__debug_walk_end();
    }
}

void hm__debug_broken_end(debug_broken *list)
{
    for (size_t i = 0; i < list->count; i++) {
        void *block = list->blocks[i];
        const unsigned state = hm__block_map_state(&hm__debug.map, block);
        if ((hm__debug_is_live(state) || state == DEBUG_DAMAGED) &&
            !hm__os_is_mapped(hm__debug_header(block))) {
            hm__block_map_set(&hm__debug.map, block, DEBUG_GONE);
        }
    }
    if (list->blocks) {
        hm__debug.core->memory_free(list->blocks, list->room * sizeof(*list->blocks));
    }
}
