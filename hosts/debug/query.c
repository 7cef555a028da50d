/* SPDX-License-Identifier: MIT */
/* What is asked of a malloc: sizes, ownership, descriptions, figures. A block that its holder asks about stays where it is;
 * walks and blocks already freed need hm__debug_walk_begin. */
#include "debug_internal.h"

#include <string.h>

#include "finding_internal.h"
#include "ledger_internal.h"

/* A block of no bytes has no byte to write to, but 0 is the answer for NULL alone. */
static size_t usable_of(size_t bytes)
{
    return bytes ? bytes : 1;
}

/* Some runtimes ask for the size with each allocation and each free: of m's own blocks, if they are neither large nor aligned,
   guarded or ignored, the header alone says it. */
static int is_common(const debug_malloc *m, const void *block, size_t *bytes)
{
    const uint8_t *state =
        (uintptr_t)block & 15 ? NULL : hm__block_map_byte(&hm__debug.map, block);
    if (!state || DEBUG_GET(*state) != DEBUG_LIVE) {
        return 0;
    }
    const debug_header *header = hm__debug_header(block);
    const uint64_t low = hm__debug_load(&header->low);
    const uint64_t high = hm__debug_load(&header->high);
    const uint64_t expected =
        m->kind == DEBUG_KIND_STATS
            ? m->high
            : hm__debug_sealed(m->high, hm__debug_mix(block, low, high));
    *bytes = hm__debug_low_size(low);
    return !((high ^ expected) & DEBUG_HIGH_FIXED) && *bytes != DEBUG_LONG;
}

size_t hm__debug_size_of(hm_malloc *self, const void *block)
{
    debug_shape shape;
    size_t bytes;
    if (is_common(hm__debug_from(self), block, &bytes)) {
        return usable_of(bytes);
    }
    if (!block || !hm__debug_is_live(hm__block_map_state(&hm__debug.map, block)) ||
        !hm__debug_shape_read(block, &shape)) {
        return 0;
    }
    return usable_of(shape.bytes);
}

size_t hm__debug_good_size(hm_malloc *self, size_t size)
{
    (void)self;
    return usable_of(size);
}

int hm__debug_owns(hm_malloc *self, const void *block)
{
    debug_facts facts;
    if (!block || !hm__debug_is_live(hm__block_map_state(&hm__debug.map, block))) {
        return 0;
    }
    hm__debug_facts_read(block, DEBUG_LIVE, &facts);
    return facts.intact && facts.number == hm__debug_from(self)->number;
}

static void block_fill(hm_block *out, const debug_facts *facts)
{
    const uint32_t state = hm__debug_is_live(facts->state) ? HM_BLOCK_LIVE
                           : facts->state == DEBUG_FREED   ? HM_BLOCK_FREED
                                                           : HM_BLOCK_DAMAGED;
    const hm_block full = {.size = sizeof(full),
                           .address = facts->block,
                           .requested = facts->bytes,
                           .usable = usable_of(facts->bytes),
                           .site = facts->site,
                           .serial = facts->serial,
                           .thread = facts->thread,
                           .state = state};
    const size_t room = out->size < sizeof(full) ? out->size : sizeof(full);
    if (room > sizeof(full.size)) {
        memcpy((char *)out + sizeof(full.size), (const char *)&full + sizeof(full.size),
               room - sizeof(full.size));
    }
}

hm_status hm__debug_describe_block(hm_malloc *self, const void *block, hm_block *out)
{
    debug_facts facts;
    if (!out) {
        return HM_E_INVALID;
    }
    hm_status status = HM_E_NOT_OWNED;
    hm__debug_walk_begin();
    const unsigned state = hm__block_map_state(&hm__debug.map, block);
    if (hm__debug_is_live(state) || state == DEBUG_FREED || state == DEBUG_DAMAGED) {
        hm__debug_facts_read(block, state, &facts);
        if (facts.intact && facts.number == hm__debug_from(self)->number) {
            block_fill(out, &facts);
            status = HM_OK;
        }
    }
    hm__debug_walk_end();
    return status;
}

typedef struct walk_state {
    const debug_malloc *m;
    hm_visit *visit;
    void *context;
} walk_state;

static int walk_one(void *context, void *block, unsigned state)
{
    const walk_state *walk = context;
    debug_facts facts;
    hm__debug_facts_read(block, state, &facts);
    if (!facts.intact || facts.number != walk->m->number) {
        return 0;
    }
    hm_block shown = {.size = sizeof(shown)};
    block_fill(&shown, &facts);
    return walk->visit(walk->context, &shown);
}

hm_status hm__debug_walk(hm_malloc *self, hm_visit *visit, void *context)
{
    walk_state walk = {hm__debug_from(self), visit, context};
    if (!visit) {
        return HM_E_INVALID;
    }
    hm__debug_walk_begin();
    hm__block_map_walk(&hm__debug.map, DEBUG_LIVE_STATES, walk_one, &walk);
    hm__debug_walk_end();
    return HM_OK;
}

hm_status hm__debug_stats(hm_malloc *self, hm_stats *out)
{
    debug_malloc *m = hm__debug_from(self);
    if (!out) {
        return HM_E_INVALID;
    }
    debug_tally sum;
    uint64_t held = 0;
    hm__debug.core->lock(&hm__debug.lock);
    hm__debug_malloc_sum(m, &sum, &held);
    const uint64_t peak = hm__debug_malloc_peak(m);
    hm__debug.core->unlock(&hm__debug.lock);
    const hm_stats full = {
        .size = sizeof(full),
        .live_blocks = sum.blocks - sum.freed_blocks,
        .live_bytes = sum.bytes - sum.freed_bytes,
        .peak_bytes = peak,
        .total_blocks = sum.blocks,
        .total_bytes = sum.bytes,
        .denied = DEBUG_GET(m->denied),
        .failed = DEBUG_GET(m->failed),
        .overhead_bytes =
            (sum.blocks - sum.freed_blocks) * (DEBUG_HEADER_BYTES + m->edge) + held};
    const size_t room = out->size < sizeof(full) ? out->size : sizeof(full);
    if (room > sizeof(full.size)) {
        memcpy((char *)out + sizeof(full.size), (const char *)&full + sizeof(full.size),
               room - sizeof(full.size));
    }
    return HM_OK;
}

hm_status hm__debug_find(hm_malloc *self, const char *interface_name, void **out)
{
    debug_malloc *m = hm__debug_from(self);
    if (!out || !interface_name) {
        return HM_E_INVALID;
    }
    *out = NULL;
    if (strcmp(interface_name, "debug") == 0) {
        *out = &m->ask;
        return HM_OK;
    }
    return m->inner ? HM_LOAD(m->inner->vtbl)->find(m->inner, interface_name, out)
                    : HM_E_NOT_FOUND;
}
