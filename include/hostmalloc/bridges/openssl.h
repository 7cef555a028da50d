/* SPDX-License-Identifier: MIT */
/**
 * @file openssl.h
 * @brief The bridge to OpenSSL 1.1 and 3: its memory from a malloc, every block with OpenSSL's own file and line.
 *
 *     hm_openssl_install(m, &err);         first thing in main(), m made with HM_MALLOC_THREADSAFE
 *     ... SSL_CTX_new() as ever ...
 *
 * Scope of the hook: the process, every library that allocates by OPENSSL_malloc() included.
 * Window: before libcrypto's first allocation; it refuses from then on.
 * What OpenSSL does not tell: sizes at the free, and OPENSSL_clear_free()'s neither.
 *
 * Releases carry file and line as they stand ("crypto/lhash/lhash.c:215"), so a host that wants sites knows the
 * line of every block of a stock libcrypto. A realloc moves its block to the line that grew it. A request for zero
 * bytes is answered NULL, as OpenSSL does by itself.
 * OpenSSL frees at exit, from destructors of threads, and what another thread allocated. The secure heap
 * (CRYPTO_secure_malloc_init()) is memory of its own. LibreSSL keeps the names and does nothing: HM_E_UNSUPPORTED.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_OPENSSL_H
#define HM_BRIDGES_OPENSSL_H

#include <hostmalloc/bridges/bridge.h>

HM_BEGIN_DECLS

/** Wants CRYPTO_set_mem_functions(), CRYPTO_get_mem_functions(), CRYPTO_malloc() and OpenSSL_version_num().
    HM_BRIDGE_REPLACE takes the hook from whoever set it before: OpenSSL allows that even with their blocks live.
    hm_bridge_opts.caller is asked only for blocks without a file, HM_BRIDGE_NO_PROBE has no effect. */
extern const hm_bridge hm_openssl_bridge;

/** hm_bridge.verify. @threads any */
hm_status hm_openssl_verify(const hm_site **first, hm_error *err);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <openssl/crypto.h>

/** hm_bridge.install with the libcrypto this program is linked with. @threads startup */
static inline hm_status hm_openssl_install(hm_malloc *m, hm_error *err)
{
    hm_bridge_symbol symbols[] = {
        {"CRYPTO_set_mem_functions", (uintptr_t)&CRYPTO_set_mem_functions},
        {"CRYPTO_get_mem_functions", (uintptr_t)&CRYPTO_get_mem_functions},
        {"CRYPTO_malloc", (uintptr_t)&CRYPTO_malloc},
        {"OpenSSL_version_num", (uintptr_t)&OpenSSL_version_num},
        {(const char *)0, 0}};
    return hm_bridge_install_linked(&hm_openssl_bridge, m, symbols, err);
}

#endif

#endif
