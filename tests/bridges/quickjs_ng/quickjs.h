/* SPDX-License-Identifier: MIT */
/* As much of quickjs-ng's interface as the bridge uses; see the other quickjs.h. */
#ifndef QUICKJS_H
#define QUICKJS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QUICKJS_NG 1

typedef struct JSRuntime JSRuntime;

typedef struct JSMallocFunctions {
    void *(*js_calloc)(void *opaque, size_t count, size_t size);
    void *(*js_malloc)(void *opaque, size_t size);
    void (*js_free)(void *opaque, void *ptr);
    void *(*js_realloc)(void *opaque, void *ptr, size_t size);
    size_t (*js_malloc_usable_size)(const void *ptr);
} JSMallocFunctions;

JSRuntime *JS_NewRuntime2(const JSMallocFunctions *mf, void *opaque);
void JS_FreeRuntime(JSRuntime *rt);
void JS_SetMemoryLimit(JSRuntime *rt, size_t limit);

#ifdef __cplusplus
}
#endif

#endif
