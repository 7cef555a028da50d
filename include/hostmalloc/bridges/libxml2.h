/* SPDX-License-Identifier: MIT */
/**
 * @file libxml2.h
 * @brief The bridge to libxml2, and with it libxslt: all of its memory from a malloc.
 *
 *     hm_libxml2_install(m, &err);         first thing in main(), m made with HM_MALLOC_THREADSAFE
 *     ... xmlReadFile() as ever ...
 *
 * Scope of the hook: the process.
 * Window: before any other call of libxml2, which accepts it at any time and then frees through it what it
 * took elsewhere. The bridge refuses once xmlInitParser() has run, which every parser calls.
 * What libxml2 does not tell: sizes at the free, and who asks. Blocks come as "libxml2:block", text without
 * pointers as "libxml2:text", copies of strings as "libxml2:string", unless the installer names callers.
 *
 * Strings that libxml2 returns are freed with xmlFree(), which is then the malloc's. xmlCleanupParser() leaves
 * nothing live; at exit libxml2 frees nothing by itself when it has foreign functions.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_LIBXML2_H
#define HM_BRIDGES_LIBXML2_H

#include <hostmalloc/bridges/bridge.h>

HM_BEGIN_DECLS

/** Wants xmlGcMemSetup() and xmlGcMemGet(); with "free" it knows whether the hook was libc's, with "xmlXPathPINF"
    whether libxml2 was initialised. HM_BRIDGE_NO_PROBE has no effect. */
extern const hm_bridge hm_libxml2_bridge;

/** hm_bridge.verify. On a malloc that checks, a block of before that comes back is HM_E_STARTED. @threads any */
hm_status hm_libxml2_verify(const hm_site **first, hm_error *err);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <libxml/globals.h>
#include <libxml/xmlmemory.h>
#include <libxml/xpath.h>
#include <stdlib.h>

/** hm_bridge.install with the libxml2 this program is linked with. @threads startup */
static inline hm_status hm_libxml2_install(hm_malloc *m, hm_error *err)
{
    hm_bridge_symbol symbols[] = {{"xmlGcMemSetup", (uintptr_t)&xmlGcMemSetup},
                                  {"xmlGcMemGet", (uintptr_t)&xmlGcMemGet},
                                  {"xmlXPathPINF", (uintptr_t)&xmlXPathPINF},
                                  {"free", (uintptr_t) & (free)},
                                  {(const char *)0, 0}};
    return hm_bridge_install_linked(&hm_libxml2_bridge, m, symbols, err);
}

#endif

#endif
