/* SPDX-License-Identifier: MIT */
/**
 * @file quickjs.h
 * @brief The bridge to QuickJS and quickjs-ng: a JavaScript runtime that takes all of its memory from a malloc.
 *
 *     JSRuntime *rt = hm_quickjs_new_runtime(m);
 *     ... JS_NewContext(rt) as ever, at the end JS_FreeRuntime(rt) ...
 *
 * Scope of the hook: one runtime with all its contexts; any number of runtimes, each with its own malloc.
 * Window: creation.
 * What QuickJS does not tell: sizes at the free, and who asks. It asks for the size of a block by the address alone, so each
 * block carries its own, HM_QUICKJS_OVERHEAD bytes before it: what QuickJS counts is what it asked for, on every host.
 *
 * QuickJS starts collecting by what its hook counts, and has its memory limit kept there; the bridge does both, and counts
 * the overhead. quickjs-ng counts by itself. A limit of 0 or of SIZE_MAX is none.
 * The malloc stays the caller's and must outlive the runtime. A refused allocation is a JavaScript exception.
 * This follows QuickJS's header of 2026 and quickjs-ng 0.16; Debian has neither, so it is tested over a stand-in.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_QUICKJS_H
#define HM_BRIDGES_QUICKJS_H

#include <hostmalloc/malloc.h>

HM_BEGIN_DECLS

#define HM_QUICKJS_OVERHEAD ((size_t)16) /**< of each block; keeps its alignment */

/* The hooks without QuickJS's types. Zero bytes: NULL, after freeing; what overflows: NULL. @threads as the malloc's */
void *hm_quickjs_alloc(hm_malloc *m, size_t size);
void *hm_quickjs_calloc(hm_malloc *m, size_t count, size_t size);
void *hm_quickjs_realloc(hm_malloc *m, void *block, size_t size);
void hm_quickjs_free(hm_malloc *m, void *block);
/** The bytes that @p block was asked for with; 0 for NULL. @threads any */
size_t hm_quickjs_size(const void *block);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <quickjs.h>

#if defined(QUICKJS_NG) || defined(QJS_VERSION_MAJOR)

static inline void *hm__quickjs_calloc(void *m, size_t count, size_t size)
{
    return hm_quickjs_calloc((hm_malloc *)m, count, size);
}

static inline void *hm__quickjs_malloc(void *m, size_t size)
{
    return hm_quickjs_alloc((hm_malloc *)m, size);
}

static inline void hm__quickjs_free(void *m, void *block)
{
    hm_quickjs_free((hm_malloc *)m, block);
}

static inline void *hm__quickjs_realloc(void *m, void *block, size_t size)
{
    return hm_quickjs_realloc((hm_malloc *)m, block, size);
}

#else

/* The books of @p s allow @p more bytes than it has. */
static inline int hm__quickjs_allows(const JSMallocState *s, size_t more)
{
    const size_t limit = s->malloc_limit ? s->malloc_limit : (size_t)-1;
    return s->malloc_size <= limit && more <= limit - s->malloc_size;
}

static inline void *hm__quickjs_malloc(JSMallocState *s, size_t size)
{
    void *block = (void *)0;
    if (size <= (size_t)-1 - HM_QUICKJS_OVERHEAD &&
        hm__quickjs_allows(s, size + HM_QUICKJS_OVERHEAD)) {
        block = hm_quickjs_alloc((hm_malloc *)s->opaque, size);
    }
    if (block) {
        s->malloc_count++;
        s->malloc_size += size + HM_QUICKJS_OVERHEAD;
    }
    return block;
}

static inline void hm__quickjs_free(JSMallocState *s, void *block)
{
    if (block) {
        s->malloc_count--;
        s->malloc_size -= hm_quickjs_size(block) + HM_QUICKJS_OVERHEAD;
        hm_quickjs_free((hm_malloc *)s->opaque, block);
    }
}

static inline void *hm__quickjs_realloc(JSMallocState *s, void *block, size_t size)
{
    if (!block) {
        return hm__quickjs_malloc(s, size);
    }
    if (!size) {
        hm__quickjs_free(s, block);
        return (void *)0;
    }
    const size_t old_size = hm_quickjs_size(block);
    if (size > old_size && !hm__quickjs_allows(s, size - old_size)) {
        return (void *)0;
    }
    void *const moved = hm_quickjs_realloc((hm_malloc *)s->opaque, block, size);
    if (moved) {
        s->malloc_size += size - old_size;
    }
    return moved;
}

#endif

/** JS_NewRuntime2() over @p m; NULL when there is no memory for it. @threads distinct */
static inline JSRuntime *hm_quickjs_new_runtime(hm_malloc *m)
{
    JSMallocFunctions functions;
#if defined(QUICKJS_NG) || defined(QJS_VERSION_MAJOR)
    functions.js_calloc = hm__quickjs_calloc;
#endif
    functions.js_malloc = hm__quickjs_malloc;
    functions.js_free = hm__quickjs_free;
    functions.js_realloc = hm__quickjs_realloc;
    functions.js_malloc_usable_size = hm_quickjs_size;
    return JS_NewRuntime2(&functions, m);
}

#endif

#endif
