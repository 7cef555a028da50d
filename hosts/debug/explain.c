/* SPDX-License-Identifier: MIT */
/* What an address is, for whoever stopped at a fault: the block it is in or beside, with its sites. No lock of a host is needed
 * by a thread that faulted in its own code, so a signal handler may ask. */
#include "guarded_internal.h"

static void put_distance(debug_text *t, const char *at, const debug_facts *facts)
{
    const char *start = facts->block;
    const char *end = start + facts->bytes;
    const char *freed = facts->state == DEBUG_FREED ? " a freed block\n" : " a block\n";
    if (at < start) {
        hm__debug_put_count(t, (uint64_t)(start - at), "byte", "bytes");
        hm__debug_put(t, " before the start of");
    } else if (at < end) {
        hm__debug_put_count(t, (uint64_t)(at - start), "byte", "bytes");
        hm__debug_put(t, " inside");
    } else {
        hm__debug_put_count(t, (uint64_t)(at - end), "byte", "bytes");
        hm__debug_put(t, " past the end of");
    }
    hm__debug_put(t, freed);
}

/* In none: whose end was overrun is told as verdicts tell it. */
static void put_before(debug_text *t, const void *address)
{
    debug_facts facts;
    hm__debug_facts_before(address, &facts);
    hm__debug_put(t, " is in no block that is known");
    if (facts.block && facts.intact) {
        hm__debug_put(t, ", ");
        put_distance(t, address, &facts);
    } else {
        hm__debug_put(t, "\n");
    }
    if (facts.block) {
        hm__debug_put_block(t, facts.block == address ? "block" : "block before", &facts);
    }
}

hm_status hm__debug_explain(const void *address, int fd)
{
    debug_facts facts;
    debug_text text;
    hm__debug_text_start(&text);
    hm__debug_put(&text, "==hostmalloc== address ");
    hm__debug_put_hex(&text, (uintptr_t)address);
    hm__debug_walk_begin();
    const debug_slot *slot = hm__debug_slot_around(address);
    const int known = slot ? hm__debug_slot_facts(slot->block, &facts)
                           : hm__debug_facts_around(address, &facts);
    if (known) {
        hm__debug_put(&text, " is ");
        put_distance(&text, address, &facts);
        hm__debug_put_block(&text, "block", &facts);
    } else {
        put_before(&text, address);
    }
    hm__debug_walk_end();
    hm__debug_text_send(&text, fd);
    return !known ? HM_E_NOT_FOUND : text.lost ? HM_E_OS : HM_OK;
}
