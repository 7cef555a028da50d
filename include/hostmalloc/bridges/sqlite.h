/* SPDX-License-Identifier: MIT */
/**
 * @file sqlite.h
 * @brief The bridge to SQLite 3: all of its memory from a malloc.
 *
 *     hm_sqlite_install(m, &err);          first thing in main(), m made with HM_MALLOC_THREADSAFE
 *     ... sqlite3_open() as ever ...
 *
 * Scope of the hook: the process; connections cannot be told apart.
 * Window: before sqlite3_initialize(), which every sqlite3_open() does, or after sqlite3_shutdown().
 * What SQLite does not tell: who asks. Sizes are whole multiples of 8, rounded up by the malloc's own
 * good_size; SQLite asks for the usable bytes of most blocks and uses all of them.
 *
 * A refused allocation ends the statement with SQLITE_NOMEM; the connection stays usable. So a malloc with a
 * limit is a memory cap for all of SQLite. A page cache given by SQLITE_CONFIG_PAGECACHE or lookaside memory
 * given by the program does not come through here, and a library built with SQLITE_ZERO_MALLOC has no hook.
 * SQLite calls one at a time while SQLITE_CONFIG_MEMSTATUS is on; with it off, from any thread.
 * After sqlite3_shutdown() nothing is live; the bridge stays installed for the next sqlite3_initialize().
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_SQLITE_H
#define HM_BRIDGES_SQLITE_H

#include <hostmalloc/bridges/bridge.h>

HM_BEGIN_DECLS

/** Wants sqlite3_config(). HM_BRIDGE_REPLACE replaces methods that the program has set before; HM_BRIDGE_NO_PROBE
    has no effect. */
extern const hm_bridge hm_sqlite_bridge;

/** hm_bridge.verify. @threads distinct from sqlite3_config() */
hm_status hm_sqlite_verify(const hm_site **first, hm_error *err);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <sqlite3.h>

/** hm_bridge.install with the SQLite this program is linked with. @threads startup */
static inline hm_status hm_sqlite_install(hm_malloc *m, hm_error *err)
{
    hm_bridge_symbol symbols[] = {{"sqlite3_config", (uintptr_t)&sqlite3_config},
                                  {(const char *)0, 0}};
    return hm_bridge_install_linked(&hm_sqlite_bridge, m, symbols, err);
}

#endif

#endif
