/* SPDX-License-Identifier: MIT */
/* Where the cases of CLR hosting run: each host in turn, presented to a runtime. */
#ifndef HM_TESTS_CLR_WORLD_H
#define HM_TESTS_CLR_WORLD_H

#include "clr_recorder.h"
#include "contracts.h"
#include "sim_clr.h"

/* A group's tables, in numerical order. */
extern const contract clr_wiring_cases[16]; /* 86 to 101 */
extern const contract clr_malloc_cases[13]; /* 102 to 114 */
extern const contract clr_page_cases[22];   /* 115 to 136 */
extern const contract clr_load_cases[13];   /* 137 to 149 */

/* All of them, for a main: contracts_main in these worlds. */
int clr_cases_run(int argc,
                  char **argv,
                  const char *const *worlds,
                  size_t world_count,
                  int (*enter)(const char *world, const char **why),
                  void (*leave)(void));

/* This world's: its host, and that as a runtime sees it. No references are given. */
hm_host *clr_world_host(void);
IHostControl *clr_world_control(void);
IHostMemoryManager *clr_world_manager(void);
/* 1: blocks below are checked, so that misuse is told and lines are known. */
int clr_world_checks(void);

/* One reference. */
IHostMalloc *clr_world_malloc(DWORD type);

/* A host as a control; one reference. Gives the case up where that fails. */
IHostControl *clr_present(hm_host *host);

/* This world's host with a budget of so many bytes for each malloc; one reference. */
hm_host *clr_world_with_budget(size_t bytes);

/* A pointer that nothing points to, to see whether a failing call leaves it. */
#define P0 ((void *)(uintptr_t)0xdeadbeef)

#endif
