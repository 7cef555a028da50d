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

/* Another thread is inside the malloc of a block with such a header, and does not just wait for this walk to end. */
static int is_in_use(uint64_t high)
{
    const debug_malloc *m = hm__debug_malloc_of(hm__debug_high_owner(high));
    const uint32_t inside =
        m && m->book ? __atomic_load_n(&m->inside, __ATOMIC_ACQUIRE) : 0;
    return inside && inside != hm__debug.core->thread_id() && !DEBUG_GET(m->book->waits);
}

/* Twice in a row, with the same header and nobody inside. */
static int is_damaged(check_state *check, const void *block)
{
    debug_header last = {0};
    for (uint32_t seen = 0; seen < 2;) {
        const unsigned state = hm__block_map_state(&hm__debug.map, block);
        if (!hm__debug_is_live(state) || !hm__debug_is_damaged(block)) {
            return 0;
        }
        debug_header now = {0};
        if (state == DEBUG_LIVE) {
            now.low = hm__debug_load(&hm__debug_header(block)->low);
            now.high = hm__debug_load(&hm__debug_header(block)->high);
        }
        if (state != DEBUG_LIVE || !check->patience) {
            seen++;
        } else if (is_in_use(now.high)) {
            seen = 0;
            check->patience--;
            hm__os_sleep_ns(100000);
        } else if (now.low == last.low && now.high == last.high) {
            seen++;
        } else {
            seen = 1;
            check->patience--;
        }
        last = now;
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
