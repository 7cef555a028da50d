/* SPDX-License-Identifier: MIT */
/* As much of QuickJS's interface as the bridge uses, declared from its documentation, so that the bridge is compiled where
 * no QuickJS is packaged. test_quickjs.c is the QuickJS behind it. */
#ifndef QUICKJS_H
#define QUICKJS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct JSRuntime JSRuntime;

typedef struct JSMallocState {
    size_t malloc_count;
    size_t malloc_size;
    size_t malloc_limit;
    void *opaque;
} JSMallocState;

typedef struct JSMallocFunctions {
    void *(*js_malloc)(JSMallocState *s, size_t size);
    void (*js_free)(JSMallocState *s, void *ptr);
    void *(*js_realloc)(JSMallocState *s, void *ptr, size_t size);
    size_t (*js_malloc_usable_size)(const void *ptr);
} JSMallocFunctions;

JSRuntime *JS_NewRuntime2(const JSMallocFunctions *mf, void *opaque);
void JS_FreeRuntime(JSRuntime *rt);
void JS_SetMemoryLimit(JSRuntime *rt, size_t limit);

#ifdef __cplusplus
}
#endif

#endif
