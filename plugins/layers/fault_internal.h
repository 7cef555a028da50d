/* SPDX-License-Identifier: MIT */
/* What is counted, and which of the counted fail. */
#ifndef HM_LAYER_FAULT_INTERNAL_H
#define HM_LAYER_FAULT_INTERNAL_H

#include <hostmalloc/fault.h>
#include <hostmalloc/layer.h>

#define FAULT_RANGES     32
#define FAULT_SITE_BYTES 256

typedef struct fault_range {
    uint64_t first;
    uint64_t last;
} fault_range;

/* A rule as it is used: never changed once it is published, freed when its host goes. */
typedef struct fault_plan {
    struct fault_plan *before;   /* what was replaced: a thread may still be reading it */
    char site[FAULT_SITE_BYTES]; /* empty: all */
    uint64_t size_min;
    uint64_t size_max;
    int32_t any_level;
    hm_level level;
    fault_range at[FAULT_RANGES];
    unsigned at_count;
    uint64_t every;
    uint64_t chance; /* of 2^64 */
    uint64_t seed;
    uint32_t persistent;
    uint32_t fork;
    /* Since it was set; atomic. */
    uint64_t counted;
    uint64_t failed;
    uint64_t last_failed;
    const hm_site *last_site;
    uint64_t copies;
    uint64_t copies_died;
} fault_plan;

/* HM_E_INVALID, with what was found at which character in err. */
hm_status hm__fault_plan_read(const hm_core *core,
                              const hm_fault_rule *rule,
                              fault_plan *plan,
                              hm_error *err);
int hm__fault_applies(const hm_core *core,
                      const fault_plan *plan,
                      size_t size,
                      hm_level level,
                      const hm_site *site);
int hm__fault_chosen(const fault_plan *plan, uint64_t number);

#endif
