/* SPDX-License-Identifier: MIT */
/* Where the cases of task memory run: each host in turn, and what only the owner of the memory can answer. */
#ifndef HM_TESTS_OLE_WORLD_H
#define HM_TESTS_OLE_WORLD_H

#ifndef COBJMACROS
#define COBJMACROS
#endif
#include <hostmalloc/bridges/ole.h>

#include "contracts.h"
#include "ole_recorder.h"

/* A group's tables, in numerical order. */
extern const contract ole_malloc_cases[35];   /* 1 to 35 */
extern const contract ole_register_cases[15]; /* 36 to 50 */
extern const contract ole_pair_cases[14];     /* 51 to 64 */
extern const contract ole_duty_cases[11];     /* 65 to 75 */
extern const contract ole_revoke_cases[10];   /* 76 to 85 */

/* All of them, for a main: contracts_main in these worlds. */
int ole_cases_run(int argc,
                  char **argv,
                  const char *const *worlds,
                  size_t world_count,
                  int (*enter)(const char *world, const char **why),
                  void (*leave)(void));

/* The task allocator. */
IMalloc *ole_task(void);

/* Blocks of task memory that are live, as the host counts them. */
size_t ole_live(void);

/* Register a recorder that is ready; gives the case up where that fails. */
void ole_spy_on(recorder *r);

/* The same with a fresh one that puts so many bytes before each block. */
void ole_spy_start(recorder *r, SIZE_T header);

/* Revoke, expecting it to be done at once. */
void ole_spy_off(void);

/* A pointer that nothing points to, to see whether a failing call leaves it. */
#define P0 ((void *)(uintptr_t)0xdeadbeef)

#endif
