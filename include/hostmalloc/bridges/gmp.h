/* SPDX-License-Identifier: MIT */
/**
 * @file gmp.h
 * @brief The bridge to GMP, and with it MPFR: numbers that take their memory from a malloc.
 *
 *     hm_gmp_install(m, &err);             first thing in main(), m made with HM_MALLOC_THREADSAFE
 *     ... mpz_init() as ever ...
 *
 * Scope of the hook: the process, every library that uses GMP included; several set it for themselves, which
 * hm_gmp_verify() tells.
 * Window: before GMP's first allocation. GMP cannot be asked; on a malloc that checks, a number of before that is
 * freed makes hm_gmp_verify() answer HM_E_STARTED.
 * What GMP does not tell: who asks. Sizes are exact at realloc and free, so blocks are freed by size, and a debug
 * host verifies each one. Text from mpz_get_str() is freed through the hook, with its length and one.
 *
 * GMP never looks whether it got memory. Where there is none, the function of hm_gmp_on_exhausted() is called, which may
 * make room and return, once, or leave by longjmp(); then the process is told and aborted.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_GMP_H
#define HM_BRIDGES_GMP_H

#include <hostmalloc/bridges/bridge.h>

/** Called when @p bytes were refused. */
typedef void hm_gmp_exhausted(void *context, size_t bytes);

HM_BEGIN_DECLS

/** Wants __gmp_set_memory_functions() and __gmp_get_memory_functions(), as they are called in the library; with
    "__gmp_default_allocate" it knows whether the hook was GMP's own. HM_BRIDGE_NO_PROBE has no effect. */
extern const hm_bridge hm_gmp_bridge;

/** hm_bridge.verify. @threads any */
hm_status hm_gmp_verify(const hm_site **first, hm_error *err);

/** What to do before giving up; NULL: nothing. @threads startup */
void hm_gmp_on_exhausted(hm_gmp_exhausted *exhausted, void *context);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <gmp.h>

/** hm_bridge.install with the GMP this program is linked with. @threads startup */
static inline hm_status hm_gmp_install(hm_malloc *m, hm_error *err)
{
    hm_bridge_symbol symbols[] = {
        {"__gmp_set_memory_functions", (uintptr_t)&mp_set_memory_functions},
        {"__gmp_get_memory_functions", (uintptr_t)&mp_get_memory_functions},
        {(const char *)0, 0}};
    return hm_bridge_install_linked(&hm_gmp_bridge, m, symbols, err);
}

#endif

#endif
