/* SPDX-License-Identifier: MIT */
/**
 * @file curl.h
 * @brief The bridge to libcurl: its memory from a malloc.
 *
 *     hm_curl_install(m, CURL_GLOBAL_DEFAULT, &err);     instead of curl_global_init()
 *     ... curl_easy_init() as ever ...
 *     curl_global_cleanup();
 *
 * Scope of the hook: the process. The libraries below libcurl (TLS, HTTP/2, compression) have memory of their own.
 * Window: the call that initialises libcurl is the one that sets the hook; on an initialised libcurl it answers
 * success and does nothing, which the bridge finds out and answers HM_E_STARTED.
 * What libcurl does not tell: sizes at the free, and who asks. Nine of ten frees are of NULL.
 *
 * The functions stay until the last curl_global_cleanup(), after which nothing is live; a later curl_global_init()
 * goes back to libc, and hm_curl_verify() says so. Where the call fails, libcurl keeps the functions all the same: they
 * serve it from the malloc of that install, HM_E_NOMEM, until a later one is in place.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_CURL_H
#define HM_BRIDGES_CURL_H

#include <hostmalloc/bridges/bridge.h>

HM_BEGIN_DECLS

/** Wants curl_global_init_mem(), curl_global_cleanup(), curl_maprintf() and curl_free(). Calls the first with
    CURL_GLOBAL_ALL and leaves libcurl initialised. libcurl cannot tell one owner from another, so HM_BRIDGE_REPLACE
    has no effect; with HM_BRIDGE_NO_PROBE install does not find out that it came too late. */
extern const hm_bridge hm_curl_bridge;

/** As hm_curl_bridge.install, with flags for curl_global_init_mem(). */
hm_status hm_curl_install_flags(const hm_bridge_opts *opts, long flags, hm_error *err);

/** hm_bridge.verify; has libcurl make and free one small block. @threads as curl_maprintf(): any, while libcurl is
    initialised */
hm_status hm_curl_verify(const hm_site **first, hm_error *err);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <curl/curl.h>
#include <curl/mprintf.h>

/** hm_bridge.install with the libcurl this program is linked with. @threads startup */
static inline hm_status hm_curl_install(hm_malloc *m, long flags, hm_error *err)
{
    hm_bridge_symbol symbols[] = {
        {"curl_global_init_mem", (uintptr_t)&curl_global_init_mem},
        {"curl_global_cleanup", (uintptr_t)&curl_global_cleanup},
        {"curl_maprintf", (uintptr_t)&curl_maprintf},
        {"curl_free", (uintptr_t) & (curl_free)},
        {(const char *)0, 0}};
    const hm_bridge_opts opts = {sizeof(hm_bridge_opts),
                                 m,
                                 (hm_host *)0,
                                 hm_bridge_linked,
                                 symbols,
                                 (hm_bridge_caller *)0,
                                 (void *)0,
                                 0,
                                 0};
    return hm_curl_install_flags(&opts, flags, err);
}

#endif

#endif
