/* SPDX-License-Identifier: MIT */
/* Which block came from which stack. Nobody tells this table of frees: an entry is believed while the block at its address has the
 * serial number and site it had, and goes when the table is full and the block map knows no such block. */
#include "stacks_internal.h"

#include <string.h>

#define SHARDS       64u
#define FIRST_ROOM   256u
#define SHARD_BLOCKS (1u << 20) /* entries at most */

typedef struct entry {
    const void *block; /* NULL: free */
    debug_stack *stack;
    uint32_t serial;
    uint32_t reserved;
} entry;

typedef struct shard {
    hm_lock lock; /* under it nobody is called but for pages */
    uint32_t count;
    uint32_t room; /* a power of two, or 0 */
    uint32_t reserved;
    entry *entries;
} shard;

static shard shards[SHARDS];
static uint64_t dropped; /* atomic */

static uint64_t mixed(const void *block)
{
    return (uintptr_t)block * UINT64_C(0x9E3779B97F4A7C15);
}

static shard *shard_of(const void *block)
{
    return &shards[mixed(block) >> 58];
}

static entry *place_of(const shard *s, const void *block)
{
    uint32_t at = (uint32_t)(mixed(block) >> 20) & (s->room - 1);
    while (s->entries[at].block && s->entries[at].block != block) {
        at = (at + 1) & (s->room - 1);
    }
    return &s->entries[at];
}

static int is_wanted(const entry *e, const debug_host *but)
{
    const unsigned state = hm__block_map_state(&hm__debug.map, e->block);
    return (!but || __atomic_load_n(&e->stack->host, __ATOMIC_RELAXED) != but) &&
           (hm__debug_is_live(state) || state == DEBUG_FREED ||
            state == DEBUG_GUARD_FREED);
}

/* Those that are wanted, into a table with as much room again. 0: no memory, or as large as it may be. */
static int rebuild(shard *s, const debug_host *but)
{
    const hm_core *core = hm__debug.core;
    entry *const old = s->entries;
    const uint32_t old_room = s->room;
    uint32_t wanted = 0;
    for (uint32_t i = 0; i < old_room; i++) {
        wanted += old[i].block && is_wanted(&old[i], but);
    }
    uint32_t room = FIRST_ROOM;
    while (room < wanted * 2 + FIRST_ROOM / 2) {
        room *= 2;
    }
    entry *entries = room <= SHARD_BLOCKS ? core->pages_map(room * sizeof(entry)) : NULL;
    if (!entries) {
        return 0;
    }
    s->entries = entries;
    DEBUG_SET(s->room, room);
    s->count = 0;
    for (uint32_t i = 0; i < old_room; i++) {
        if (old[i].block && is_wanted(&old[i], but)) {
            *place_of(s, old[i].block) = old[i];
            s->count++;
        }
    }
    if (old) {
        core->pages_unmap(old, old_room * sizeof(entry));
    }
    return 1;
}

void hm__debug_stack_drop(void)
{
    __atomic_add_fetch(&dropped, 1, __ATOMIC_RELAXED);
}

uint64_t hm__debug_stacks_dropped(void)
{
    return DEBUG_GET(dropped);
}

void hm__debug_stack_keep(const void *block, uint32_t serial, debug_stack *stack)
{
    shard *s = shard_of(block);
    hm__debug.core->lock(&s->lock);
    if (s->count + 1 > s->room / 4 * 3 && !rebuild(s, NULL)) {
        hm__debug_stack_drop();
    } else {
        entry *e = place_of(s, block);
        s->count += e->block == NULL;
        *e = (entry){block, stack, serial, 0};
    }
    hm__debug.core->unlock(&s->lock);
}

debug_stack *hm__debug_stack_of(const debug_facts *facts)
{
    shard *s = shard_of(facts->block);
    debug_stack *stack = NULL;
    if (!DEBUG_GET(s->room) || !facts->intact) {
        return NULL;
    }
    hm__debug.core->lock(&s->lock);
    const entry *e = place_of(s, facts->block);
    if (e->block && e->serial == facts->serial && e->stack->site == facts->site_id) {
        stack = e->stack;
    }
    hm__debug.core->unlock(&s->lock);
    return stack;
}

void hm__debug_stack_blocks_forget(const debug_host *host)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        shard *s = &shards[i];
        hm__debug.core->lock(&s->lock);
        if (s->room && !rebuild(s, host)) {
            memset(s->entries, 0, s->room * sizeof(entry));
            s->count = 0;
        }
        hm__debug.core->unlock(&s->lock);
    }
}

void hm__debug_stack_blocks_hold(void)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        hm__debug.core->lock(&shards[i].lock);
    }
}

void hm__debug_stack_blocks_let_go(void)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        hm__debug.core->unlock(&shards[i].lock);
    }
}

void hm__debug_stack_blocks_child(void)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        shards[i].lock.word = 0;
    }
}
