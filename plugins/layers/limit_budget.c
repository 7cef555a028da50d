/* SPDX-License-Identifier: MIT */
/* Charging nested budgets. A budget that stands alone is charged with one compare-and-swap; where several must
 * agree, the lock of the outermost keeps a charge that is taken back again from being seen. */
#include "limit_internal.h"

#include <stddef.h>

#define FORK_RANK 2000
#define LOCKS     16u

/* Shared by all outermost budgets, so that fork finds them. Nothing else is taken while one is held. */
static hm_lock locks[LOCKS];

static hm_lock *lock_of(const limit_budget *outermost)
{
    return &locks[(uintptr_t)outermost / sizeof *outermost % LOCKS];
}

static void fork_prepare(void *context)
{
    for (size_t i = 0; i < LOCKS; i++) {
        ((const hm_core *)context)->lock(&locks[i]);
    }
}

/* The one thread of the child is the one that took them. */
static void fork_done(void *context)
{
    for (size_t i = 0; i < LOCKS; i++) {
        ((const hm_core *)context)->unlock(&locks[i]);
    }
}

void hm__limit_budgets_begin(const hm_core *core)
{
    static hm_fork_hooks hooks = {.size = sizeof hooks,
                                  .rank = FORK_RANK,
                                  .prepare = fork_prepare,
                                  .parent = fork_done,
                                  .child = fork_done};
    hooks.context = (void *)(uintptr_t)core;
    core->at_fork(&hooks);
}

uint64_t hm__limit_line(const limit_budget *budget, hm_level level)
{
    const uint64_t soft = hm__limit_load(&budget->soft);
    const uint64_t hard = hm__limit_load(&budget->hard);
    const uint64_t reserve = hm__limit_load(&budget->reserve);
    if (level <= HM_LEVEL_TASK && soft) {
        return soft;
    }
    if (!hard) {
        return UINT64_MAX;
    }
    return level >= HM_LEVEL_PROCESS && reserve <= UINT64_MAX - hard ? hard + reserve
                                                                     : hard;
}

/* The level matters only once the lowest line is passed, so it is looked up only then. */
static int
fits(const hm_core *core, const limit_budget *budget, uint64_t after, hm_level *level)
{
    if (after <= hm__limit_line(budget, HM_LEVEL_TASK)) {
        return 1;
    }
    if (*level == HM_LEVEL_CURRENT) {
        *level = core->level_now();
    }
    return after <= hm__limit_line(budget, *level);
}

static void raise_peak(limit_budget *budget, uint64_t live)
{
    uint64_t peak = hm__limit_load(&budget->peak);
    while (live > peak &&
           !__atomic_compare_exchange_n(&budget->peak, &peak, live, 1, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
}

/* 0 when a line stands in the way; else what is live now. */
static int take(const hm_core *core,
                limit_budget *budget,
                uint64_t bytes,
                hm_level *level,
                uint64_t *after)
{
    uint64_t live = hm__limit_load(&budget->live);
    do {
        if (bytes > UINT64_MAX - live || !fits(core, budget, live + bytes, level)) {
            __atomic_fetch_add(&budget->denied, 1, __ATOMIC_RELAXED);
            return 0;
        }
    } while (!__atomic_compare_exchange_n(&budget->live, &live, live + bytes, 1,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    *after = live + bytes;
    return 1;
}

static limit_budget *outermost(limit_budget *budget)
{
    while (budget->parent) {
        budget = budget->parent;
    }
    return budget;
}

/* From the inside out, so that the outermost, which others may charge without the lock, is never taken back. */
static limit_budget *
take_all(const hm_core *core, limit_budget *budget, uint64_t bytes, hm_level *level)
{
    uint64_t after[LIMIT_DEPTH];
    unsigned depth = 0;
    for (limit_budget *b = budget; b; b = b->parent) {
        if (!take(core, b, bytes, level, &after[depth++])) {
            for (limit_budget *back = budget; back != b; back = back->parent) {
                __atomic_fetch_sub(&back->live, bytes, __ATOMIC_RELAXED);
            }
            return b;
        }
    }
    depth = 0;
    for (limit_budget *b = budget; b; b = b->parent) {
        raise_peak(b, after[depth++]);
    }
    return NULL;
}

limit_budget *hm__limit_charge(const hm_core *core,
                               limit_budget *budget,
                               uint64_t bytes,
                               hm_level level)
{
    limit_budget *top = outermost(budget);
    if (!__atomic_load_n(&top->nested, __ATOMIC_ACQUIRE)) {
        return take_all(core, budget, bytes, &level);
    }
    core->lock(lock_of(top));
    limit_budget *refused = take_all(core, budget, bytes, &level);
    core->unlock(lock_of(top));
    return refused;
}

/* Giving back can only make room, at whatever moment it is seen: no lock. */
void hm__limit_discharge(limit_budget *budget, uint64_t bytes)
{
    for (limit_budget *b = budget; b; b = b->parent) {
        __atomic_fetch_sub(&b->live, bytes, __ATOMIC_RELAXED);
    }
}
