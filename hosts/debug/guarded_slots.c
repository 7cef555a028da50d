/* SPDX-License-Identifier: MIT */
/* Pages of guarded blocks and what is known of them. */
#include "guarded_internal.h"

#include "os.h"

#include <hostmalloc/host.h>

#include <string.h>

#define BUCKETS 4096u

uint32_t hm__debug_guarded_some;

static hm_lock slots_lock; /* under it nobody is called; guards all below */
static debug_slot *buckets[BUCKETS];

static void lock(void)
{
    hm__debug.core->lock(&slots_lock);
}

static void unlock(void)
{
    hm__debug.core->unlock(&slots_lock);
}

void hm__debug_slots_child(void)
{
    slots_lock.word = 0;
}

static debug_slot **bucket_of(const void *block)
{
    const uint64_t mixed = (uintptr_t)block * UINT64_C(0x9E3779B97F4A7C15);
    return &buckets[mixed >> 52];
}

static debug_slot *find(const void *block)
{
    debug_slot *slot = *bucket_of(block);
    while (slot && slot->block != block) {
        slot = slot->next;
    }
    return slot;
}

debug_slot *hm__debug_slot_of(const void *block)
{
    if (!DEBUG_GET(hm__debug_guarded_some)) {
        return NULL;
    }
    lock();
    debug_slot *slot = find(block);
    unlock();
    return slot;
}

static void unlink_slot(const debug_slot *slot)
{
    debug_slot **place = bucket_of(slot->block);
    while (*place && *place != slot) {
        place = &(*place)->next;
    }
    if (*place) {
        *place = slot->next;
    }
}

/* Its oldest freed one leaves a host, the map and the table; NULL: there is none. Lock held. */
static debug_slot *oldest_take(debug_guarded *guarded)
{
    debug_slot *slot = guarded->freed;
    if (slot) {
        guarded->freed = slot->newer;
        hm__block_map_set(&hm__debug.map, slot->block, DEBUG_GONE);
        unlink_slot(slot);
    }
    return slot;
}

static int pages_take(debug_slot *slot, size_t size)
{
    const size_t page = hm__os()->page_size;
    slot->data_bytes = size ? (size + page - 1) & ~(page - 1) : page;
    slot->run_bytes = slot->data_bytes + 2 * page;
    slot->run = hm__os_pages_reserve(NULL, slot->run_bytes);
    if (!slot->run) {
        return 0;
    }
    slot->data = slot->run + page;
    if (!hm__os_pages_commit(slot->data, slot->data_bytes, HM_PAGE_READWRITE)) {
        hm__os_pages_unmap(slot->run, slot->run_bytes);
        slot->run = NULL;
        return 0;
    }
    return 1;
}

debug_slot *hm__debug_slot_take(debug_host *host, size_t size, size_t alignment)
{
    const hm_core *core = hm__debug.core;
    debug_guarded *guarded = host->guarded;
    debug_slot *slot = NULL;
    const int possible = alignment <= hm__os()->page_size && size < DEBUG_BYTES_MAX;
    lock();
    const int fresh = possible && guarded->used < guarded->slots;
    guarded->used += (uint64_t)fresh;
    if (possible && !fresh) {
        slot = oldest_take(guarded);
    }
    unlock();
    if (fresh) {
        slot = core->memory_alloc(sizeof(*slot));
    } else if (slot) {
        hm__os_pages_unmap(slot->run, slot->run_bytes);
        memset(slot, 0, sizeof(*slot));
    }
    if (slot) {
        slot->host = host;
        slot->alignment = alignment;
        if (pages_take(slot, size)) {
            return slot;
        }
        core->memory_free(slot, sizeof(*slot));
    }
    lock();
    guarded->used -= (uint64_t)(fresh || slot);
    guarded->dropped++;
    unlock();
    return NULL;
}

void hm__debug_slot_publish(debug_slot *slot)
{
    lock();
    debug_slot **place = bucket_of(slot->block);
    slot->next = *place;
    *place = slot;
    DEBUG_SET(hm__debug_guarded_some, 1);
    unlock();
}

void hm__debug_slot_drop(debug_slot *slot)
{
    lock();
    slot->host->guarded->used--;
    unlock();
    hm__os_pages_unmap(slot->run, slot->run_bytes);
    hm__debug.core->memory_free(slot, sizeof(*slot));
}

/* Walkers read the pages of live blocks: they are waited for. Where the system refuses, the pages stay readable. */
void hm__debug_slot_retire(debug_slot *slot, uint32_t site, uint32_t thread)
{
    debug_guarded *guarded = slot->host->guarded;
    hm__debug_walk_begin();
    hm__os_pages_decommit(slot->data, slot->data_bytes);
    lock();
    slot->freed_site = site;
    slot->freed_thread = thread;
    slot->is_freed = 1;
    slot->newer = NULL;
    if (guarded->freed) {
        guarded->freed_last->newer = slot;
    } else {
        guarded->freed = slot;
    }
    guarded->freed_last = slot;
    unlock();
    hm__debug_walk_end();
}

const debug_slot *hm__debug_slot_around(const void *address)
{
    const char *at = address;
    const debug_slot *found = NULL;
    if (!DEBUG_GET(hm__debug_guarded_some)) {
        return NULL;
    }
    lock();
    for (uint32_t i = 0; i < BUCKETS && !found; i++) {
        for (found = buckets[i];
             found && (at < found->run || at >= found->run + found->run_bytes);
             found = found->next) {
        }
    }
    unlock();
    return found;
}

void hm__debug_slots_drop(debug_host *host, uint32_t number)
{
    debug_slot *gone = NULL;
    if (!host->guarded) {
        return;
    }
    lock();
    for (uint32_t i = 0; i < BUCKETS; i++) {
        debug_slot **place = &buckets[i];
        while (*place) {
            debug_slot *slot = *place;
            if (slot->host == host &&
                (!number || hm__debug_high_owner(slot->high) == number)) {
                *place = slot->next;
                hm__block_map_set(&hm__debug.map, slot->block, DEBUG_GONE);
                slot->next = gone;
                gone = slot;
            } else {
                place = &slot->next;
            }
        }
    }
    debug_slot **freed = &host->guarded->freed;
    debug_slot *last = NULL;
    while (*freed) {
        if (!number || hm__debug_high_owner((*freed)->high) == number) {
            *freed = (*freed)->newer;
        } else {
            last = *freed;
            freed = &last->newer;
        }
    }
    host->guarded->freed_last = last;
    unlock();
    while (gone) {
        debug_slot *next = gone->next;
        hm__debug_slot_drop(gone);
        gone = next;
    }
}

int hm__debug_slot_forget(const void *block)
{
    debug_slot *slot = hm__debug_slot_of(block);
    if (slot) {
        lock();
        unlink_slot(slot);
        unlock();
        hm__block_map_set(&hm__debug.map, block, DEBUG_GONE);
        hm__debug_slot_drop(slot);
    }
    return slot != NULL;
}

int hm__debug_slot_facts(const void *block, debug_facts *facts)
{
    debug_slot slot = {0};
    if (!DEBUG_GET(hm__debug_guarded_some)) {
        return 0;
    }
    lock();
    const debug_slot *found = find(block);
    if (found) {
        slot = *found;
    }
    unlock();
    if (!found) {
        return 0;
    }
    *facts = (debug_facts){.block = block,
                           .state = slot.is_freed ? DEBUG_FREED : DEBUG_LIVE,
                           .intact = 1,
                           .bytes = slot.bytes,
                           .site_id = hm__debug_low_site(slot.low),
                           .thread = hm__debug_low_thread(slot.low),
                           .serial = hm__debug_high_serial(slot.high),
                           .mark = hm__debug_high_generation(slot.high),
                           .number = hm__debug_high_owner(slot.high),
                           .freed_known = slot.is_freed != 0,
                           .freed_thread = slot.freed_thread};
    facts->site = hm__debug.core->site_from_id(facts->site_id);
    facts->owner = hm__debug_malloc_of(facts->number);
    facts->freed_site =
        slot.is_freed ? hm__debug.core->site_from_id(slot.freed_site) : NULL;
    return 1;
}

int hm__debug_slot_shape(const void *block, debug_shape *shape)
{
    const debug_slot *slot = hm__debug_slot_of(block);
    if (!slot) {
        return 0;
    }
    shape->bytes = slot->bytes;
    shape->alignment = slot->alignment;
    shape->base = NULL;
    shape->edge = DEBUG_GUARD_BYTES;
    shape->hash = slot->hash;
    return 1;
}
