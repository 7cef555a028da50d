/* SPDX-License-Identifier: MIT */
/**
 * @file duktape.h
 * @brief The bridge to Duktape: a JavaScript heap that takes all of its memory from a malloc.
 *
 *     duk_context *ctx = hm_duktape_create_heap(m, fatal);
 *     ... duk_peval_string(ctx, script) as ever, duk_destroy_heap(ctx) ...
 *
 * Scope of the hook: one heap with all its threads; any number of heaps, each with its own malloc.
 * Window: creation.
 * What Duktape does not tell: sizes at the free, what a block is for.
 *
 * The malloc stays the caller's and must outlive the heap; a HM_MALLOC_SCOPED one frees at its end what a heap
 * that was not destroyed has left. A refused allocation makes Duktape collect up to ten times; only then does the
 * script see an Error. Half of all frees are of NULL.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_DUKTAPE_H
#define HM_BRIDGES_DUKTAPE_H

#include <hostmalloc/malloc.h>

HM_BEGIN_DECLS

/* The hooks; `m` is a hm_malloc. Zero bytes: NULL, after freeing. @threads as the malloc's */
void *hm_duktape_alloc(void *m, size_t size);
void *hm_duktape_realloc(void *m, void *block, size_t size);
void hm_duktape_free(void *m, void *block);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <duktape.h>

/** duk_create_heap() over @p m. @param fatal NULL: Duktape's own, which aborts. @return NULL when there is no
    memory for it. @threads distinct */
static inline duk_context *hm_duktape_create_heap(hm_malloc *m, duk_fatal_function fatal)
{
    return duk_create_heap(hm_duktape_alloc, hm_duktape_realloc, hm_duktape_free, m,
                           fatal);
}

#endif

#endif
