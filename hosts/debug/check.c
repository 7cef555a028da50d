/* SPDX-License-Identifier: MIT */
/* A look at the edges of every block, whoever uses it meanwhile. Blocks of a thread-safe malloc are MOVING while they are resized in
 * place. Those of an unsynchronised one stay LIVE, with a header that is neither the old one nor the new: they are looked at
 * again when their thread is out. */
#include "finding_internal.h"

#include "os.h"

/* How often a check looks again at what a thread is writing, which may be stuck there: for some two seconds. */
#define PATIENCE 15000u

typedef struct check_state {
    const debug_host *host;
    const debug_malloc *only;
    uint64_t damaged;
    uint32_t patience;
} check_state;

/* How often it must look damaged with nobody inside. A thread may be in and out again between two looks, and each time in the middle
 * of a write: as often as this it is not. */
#define LOOKS      2u
#define LOOKS_BUSY 16u

/* The malloc that a live block with such a header belongs to, if it is an unsynchronised one; else NULL. */
static const debug_malloc *busy_owner(const void *block)
{
    const uint64_t high = hm__debug_load(&hm__debug_header(block)->high);
    const debug_malloc *m = hm__debug_malloc_of(hm__debug_high_owner(high));
    return m && m->book ? m : NULL;
}

/* Another thread is in there, and does not just wait for this walk to end. */
static int is_in_use(const debug_malloc *m)
{
    const uint32_t inside = __atomic_load_n(&m->inside, __ATOMIC_ACQUIRE);
    return inside && inside != hm__debug.core->thread_id() && !DEBUG_GET(m->book->waits);
}

/* Whenever it does not look so any more, it is not. */
static int is_damaged(check_state *check, const void *block)
{
    uint32_t looks = LOOKS;
    for (uint32_t seen = 0; seen < looks;) {
        const unsigned state = hm__block_map_state(&hm__debug.map, block);
        if (!hm__debug_is_live(state) || !hm__debug_is_damaged(block)) {
            return 0;
        }
        const debug_malloc *owner = state == DEBUG_LIVE ? busy_owner(block) : NULL;
        looks = owner ? LOOKS_BUSY : LOOKS;
        if (owner && check->patience && is_in_use(owner)) {
            check->patience--;
            hm__os_sleep_ns(100000);
        } else {
            seen++;
        }
    }
    return 1;
}

/* A header nobody can read belongs to whoever asks: its malloc is not known any more. */
static int check_one(void *context, void *block, unsigned state)
{
    check_state *check = context;
    debug_facts facts;
    if (!hm__debug_is_damaged(block) || !is_damaged(check, block)) {
        return 0;
    }
    hm__debug_facts_read(block, state, &facts);
    debug_malloc *m = facts.intact ? hm__debug_malloc_of(facts.number)
                                   : (debug_malloc *)(uintptr_t)check->only;
    if (!m) {
        m = check->host->mallocs;
    }
    if (m && m->host == check->host && (!check->only || m == check->only)) {
        hm__debug_judge_damage(m, block, DEBUG_ACT_CHECK, NULL);
        check->damaged++;
    }
    return 0;
}

hm_status
hm__debug_check(const debug_host *host, const debug_malloc *only, uint64_t *damaged)
{
    check_state state = {host, only, 0, PATIENCE};
    hm__debug_walk_begin();
    hm__block_map_walk(&hm__debug.map, DEBUG_LIVE_STATES, check_one, &state);
    hm__debug_walk_end();
    if (damaged) {
        *damaged = state.damaged;
    }
    return state.damaged ? HM_E_CORRUPT : HM_OK;
}
