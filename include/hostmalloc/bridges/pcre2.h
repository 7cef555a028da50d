/* SPDX-License-Identifier: MIT */
/**
 * @file pcre2.h
 * @brief The bridge to PCRE2: patterns and matches that take their memory from a malloc.
 *
 *     #define PCRE2_CODE_UNIT_WIDTH 8
 *     #include <hostmalloc/bridges/pcre2.h>
 *     pcre2_general_context *general = hm_pcre2_context(m);
 *     pcre2_compile_context *compile = pcre2_compile_context_create(general);
 *
 * Scope of the hook: what is made from one general context: patterns, match data, other contexts.
 * Window: the context's creation.
 * What PCRE2 does not tell: sizes at the free, and who asks. Machine code of pcre2_jit_compile() is not in it.
 *
 * The malloc stays the caller's and must outlive all that was made with it. A refused allocation is a NULL or
 * PCRE2_ERROR_NOMEMORY.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_PCRE2_H
#define HM_BRIDGES_PCRE2_H

#include <hostmalloc/malloc.h>

HM_BEGIN_DECLS

/* The hooks; `m` is a hm_malloc. @threads as the malloc's */
void *hm_pcre2_alloc(size_t size, void *m);
void hm_pcre2_free(void *block, void *m);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <pcre2.h>

#ifdef PCRE2_CODE_UNIT_WIDTH
/** A general context over @p m; NULL when there is no memory for it. @threads as the malloc's */
static inline pcre2_general_context *hm_pcre2_context(hm_malloc *m)
{
    return pcre2_general_context_create(hm_pcre2_alloc, hm_pcre2_free, m);
}
#endif

#endif

#endif
