/* SPDX-License-Identifier: MIT */
/* Where the cases of MAPI's memory run: each host in turn, and what only the owner of the memory can answer. */
#ifndef HM_TESTS_MAPI_WORLD_H
#define HM_TESTS_MAPI_WORLD_H

#ifndef COBJMACROS
#define COBJMACROS
#endif
#include <hostmalloc/bridges/mapi.h>

#include "contracts.h"

/* A group's tables, in numerical order. */
extern const contract mapi_malloc_cases[7];   /* 150 to 156 */
extern const contract mapi_property_cases[6]; /* 157 to 162 */
extern const contract mapi_buffer_cases[13];  /* 163 to 175 */
extern const contract mapi_row_cases[7];      /* 176 to 182 */

/* All of them, for a main: contracts_main in these worlds. */
int mapi_cases_run(int argc,
                   char **argv,
                   const char *const *worlds,
                   size_t world_count,
                   int (*enter)(const char *world, const char **why),
                   void (*leave)(void));

/* Blocks that are live, as the host counts them. */
size_t mapi_live(void);

/* What the heap underneath says of a block of the default allocator. */
SIZE_T mapi_heap_size(void *block);

/* Before the first call of a case: no more than so many bytes from now on. */
void mapi_budget(size_t bytes);

/* What a provider is given, and what only some systems have. */
HRESULT
mapi_routines(LPALLOCATEBUFFER *allocate, LPALLOCATEMORE *more, LPFREEBUFFER *release);
SCODE mapi_reallocate(LPVOID buffer, ULONG bytes, LPVOID *out);

/* A buffer; gives the case up where that fails. */
void *mapi_root(ULONG bytes);
void *mapi_more(ULONG bytes, void *root);

/* A pointer that nothing points to, to see whether a failing call leaves it. */
#define P0 ((void *)(uintptr_t)0xdeadbeef)

#endif
