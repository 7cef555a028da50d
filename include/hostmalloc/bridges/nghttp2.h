/* SPDX-License-Identifier: MIT */
/**
 * @file nghttp2.h
 * @brief The bridge to nghttp2: HTTP/2 sessions that take their memory from a malloc.
 *
 *     nghttp2_mem mem = hm_nghttp2_mem(m);
 *     nghttp2_session_client_new3(&session, callbacks, user_data, NULL, &mem);
 *
 * Scope of the hook: one session, one header compressor; each may have a malloc of its own.
 * Window: its creation.
 * What nghttp2 does not tell: sizes at the free, and who asks. Options and callbacks are libc's.
 *
 * The malloc stays the caller's and must outlive the session. A refused allocation is NGHTTP2_ERR_NOMEM.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_NGHTTP2_H
#define HM_BRIDGES_NGHTTP2_H

#include <hostmalloc/malloc.h>

HM_BEGIN_DECLS

/* The hooks; `m` is a hm_malloc. @threads as the malloc's */
void *hm_nghttp2_alloc(size_t size, void *m);
void hm_nghttp2_free(void *block, void *m);
void *hm_nghttp2_alloc_zeroed(size_t count, size_t size, void *m);
void *hm_nghttp2_realloc(void *block, size_t size, void *m);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <nghttp2/nghttp2.h>

/** For nghttp2_session_client_new3() and the others, which copy it. @threads any */
static inline nghttp2_mem hm_nghttp2_mem(hm_malloc *m)
{
    const nghttp2_mem made = {m, hm_nghttp2_alloc, hm_nghttp2_free,
                              hm_nghttp2_alloc_zeroed, hm_nghttp2_realloc};
    return made;
}

#endif

#endif
