/* SPDX-License-Identifier: MIT */
/* Budgets of the limit layer: nested counts of requested bytes with three lines each. */
#ifndef HM_LAYER_LIMIT_INTERNAL_H
#define HM_LAYER_LIMIT_INTERNAL_H

#include <hostmalloc/layer.h>
#include <hostmalloc/limit.h>

#define LIMIT_DEPTH 3 /* malloc, host, process */

typedef struct limit_budget {
    struct limit_budget *parent; /* checked too; NULL at the outermost */
    uint32_t nested;             /* atomic: some budget has this one as parent */
    uint64_t live;               /* atomic, as all below */
    uint64_t peak;
    uint64_t soft;
    uint64_t hard;
    uint64_t reserve;
    uint64_t denied;
} limit_budget;

/* Once, before any budget is charged: forked children find them whole. */
void hm__limit_budgets_begin(const hm_core *core);

/* Take bytes from a budget and all its parents, or from none. Of interleaved charges none ever lifts live above
   a line, and none is refused that would fit. NULL, or the budget that refused. */
limit_budget *hm__limit_charge(const hm_core *core,
                               limit_budget *budget,
                               uint64_t bytes,
                               hm_level level);
void hm__limit_discharge(limit_budget *budget, uint64_t bytes);

/* Where a level stops. */
uint64_t hm__limit_line(const limit_budget *budget, hm_level level);

/* The layer's host: one budget, who hears of it, and the reserve. */
typedef struct limit_host {
    hm_layer_host layer;
    limit_budget budget;
    uint64_t per_malloc; /* hard line of each malloc; 0 none */
    hm_limit questions;
    hm_subscribers subscribers;
    int32_t pressure;       /* atomic: what was told last */
    uint32_t reserve_state; /* atomic: RESERVE_* */
    void *reserve_pages;
    size_t reserve_bytes;
    uint64_t failed; /* atomic */
} limit_host;

#define RESERVE_NONE  0u
#define RESERVE_READY 1u
#define RESERVE_BUSY  2u /* being taken or given back */

/* limit_pressure.c: the edges of the outermost lines, and the reserve behind them. */
void hm__limit_rose(const hm_core *core, limit_host *host);
void hm__limit_fell(const hm_core *core, limit_host *host);
size_t hm__limit_refused(const hm_core *core,
                         limit_host *host); /* bytes that were given back */
void hm__limit_reserve_take(const hm_core *core, limit_host *host);
void hm__limit_reserve_give(const hm_core *core, limit_host *host);

/* limit_malloc.c */
void hm__limit_tables(const hm_core *core);
hm_status hm__limit_create_malloc(hm_host *self,
                                  const hm_malloc_opts *opts,
                                  hm_malloc **out,
                                  hm_error *err);

static inline uint64_t hm__limit_load(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
