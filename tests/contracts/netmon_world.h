/* SPDX-License-Identifier: MIT */
/* Where the cases of Network Monitor experts run: each host in turn, with two keys at hand. */
#ifndef HM_TESTS_NETMON_WORLD_H
#define HM_TESTS_NETMON_WORLD_H

#include <hostmalloc/bridges/netmon.h>

#include "contracts.h"

/* A group's tables, in numerical order. */
extern const contract netmon_memory_cases[11]; /* 183 to 193 */
extern const contract netmon_run_cases[6];     /* 194 to 199 */

#define NETMON_BUDGET 4096 /* of netmon_key */

extern HEXPERTKEY netmon_key;
extern HEXPERTKEY netmon_other;

/* Blocks that a key has live. */
uint64_t netmon_live(HEXPERTKEY key);

/* A run under netmon_key. */
hm_netmon_result netmon_run(PEXPERTRUNPROC run, PEXPERTCONFIG config);

/* What the library wrote to standard error during a run. */
hm_netmon_result netmon_run_heard(PEXPERTRUNPROC run, char *text, size_t size);

/* Does this world's host know lines of source? */
int netmon_knows_sites(void);

#endif
