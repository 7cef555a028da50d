/* SPDX-License-Identifier: MIT */
/**
 * @file bridge.h
 * @brief What all bridges to a process-wide hook share: how they are installed, and what they answer.
 *
 * Programs start at the bridge of their runtime: hm_sqlite_install() in sqlite.h and so on. What stands here
 * serves who installs bridges into a process that was not built for them: each such bridge has a table,
 * `hm_NAME_bridge`, and finds its runtime's functions by name, so that nothing of the runtime is linked.
 *
 * Rules for all of them, said once:
 *  - A hook of the whole process has no user data, so there is one malloc per bridge (CPython: one per domain),
 *    and it is kept for good: runtimes free at exit, from destructors and from other threads.
 *  - The malloc must be HM_MALLOC_THREADSAFE; a bridge that makes its own asks for it.
 *  - A bridge is installed once. A refused install changes nothing, and may be tried again.
 *  - HM_BRIDGE_PLAIN, defined before the include, leaves out all that needs the runtime's own headers.
 *  - Link hostmalloc::bridge_NAME before hostmalloc::hostmalloc.
 * Stable since 1.0: structs grow at the end and carry their size.
 */
#ifndef HM_BRIDGES_BRIDGE_H
#define HM_BRIDGES_BRIDGE_H

#include <hostmalloc/host.h>

/** The address of the runtime's function or variable @p name, as dlsym() answers it; NULL: there is none. */
typedef void *hm_bridge_lookup(void *context, const char *name);

/**
 * The site for a caller's address, where the runtime tells no line. Called for each block of a malloc that
 * wants sites, so it must be quick, and may not call the runtime. NULL: the bridge's own site.
 */
typedef hm_site *hm_bridge_caller(void *context, void *address);

#define HM_BRIDGE_REPLACE \
    0x1u /**< take the hook from somebody else, who must have no block live */
#define HM_BRIDGE_NO_PROBE \
    0x2u /**< do not ask the runtime for memory to see whether the hook is live; see each bridge */

/** How to install. Zero everywhere but `size`, `lookup` and one of `m` and `host` is usual. */
typedef struct hm_bridge_opts {
    size_t size;   /**< sizeof(hm_bridge_opts) as the caller compiled it */
    hm_malloc *m;  /**< the malloc to take from; the bridge adds a reference */
    hm_host *host; /**< instead of `m`: make the malloc here, with the bridge's name */
    hm_bridge_lookup *lookup;
    void *lookup_context;
    hm_bridge_caller
        *caller; /**< NULL: blocks without a line carry the bridge's own site */
    void *caller_context;
    uint32_t flags; /**< HM_BRIDGE_*; unknown bits: HM_E_INVALID */
    uint32_t reserved;
} hm_bridge_opts;

HM_STATIC_ASSERT(sizeof(hm_bridge_opts) == sizeof(size_t) + 6 * sizeof(void *) + 8,
                 "as of 1.0");

/** A bridge as a value: what a list of bridges is made of. */
typedef struct hm_bridge {
    size_t size;      /**< sizeof(hm_bridge) as the bridge was compiled */
    const char *name; /**< "sqlite" */
    const char
        *symbol; /**< "sqlite3_config": the runtime is there when lookup finds this */
    /**
     * Put the hook in place.
     * @return HM_OK; HM_E_NOT_FOUND the lookup misses a function; HM_E_STARTED too late: the runtime has blocks
     *         of its own allocator; HM_E_NOT_OWNED somebody else owns the hook (see HM_BRIDGE_REPLACE);
     *         HM_E_UNSUPPORTED the hook is there and does nothing in this build of the runtime; HM_E_EXISTS
     *         installed already; HM_E_INVALID for the options; what making the malloc answers
     * @threads startup
     */
    hm_status (*install)(const hm_bridge_opts *opts, hm_error *err);
    /**
     * Is the hook in place, now?
     * @param[out] first the site of the first block that came through; NULL before it. NULL allowed
     * @param[out] err   what was found, unless HM_OK. NULL allowed
     * @return HM_OK installed; HM_E_NOT_OWNED somebody else has taken the hook since, or had it before;
     *         HM_E_NOT_FOUND nobody tried to install; else what the last install answered
     * @threads any
     */
    hm_status (*verify)(const hm_site **first, hm_error *err);
} hm_bridge;

/** A function of the runtime for hm_bridge_linked(). */
typedef struct hm_bridge_symbol {
    const char *name; /**< NULL ends a list */
    uintptr_t address;
} hm_bridge_symbol;

HM_BEGIN_DECLS

/** A hm_bridge_lookup over a list of hm_bridge_symbol, its context: for programs that link the runtime.
    @threads any */
static inline void *hm_bridge_linked(void *context, const char *name)
{
    const hm_bridge_symbol *at = (const hm_bridge_symbol *)context;
    for (; at->name; at++) {
        const char *a = at->name;
        const char *b = name;
        while (*a && *a == *b) {
            a++;
            b++;
        }
        if (*a == *b) {
            return (void *)at->address;
        }
    }
    return (void *)0;
}

/** Install @p bridge over @p m with functions that are linked. @p symbols is read during the call only.
    @threads startup */
static inline hm_status hm_bridge_install_linked(const hm_bridge *bridge,
                                                 hm_malloc *m,
                                                 hm_bridge_symbol *symbols,
                                                 hm_error *err)
{
    const hm_bridge_opts opts = {sizeof(hm_bridge_opts),
                                 m,
                                 (hm_host *)0,
                                 hm_bridge_linked,
                                 symbols,
                                 (hm_bridge_caller *)0,
                                 (void *)0,
                                 0,
                                 0};
    return bridge->install(&opts, err);
}

HM_END_DECLS

#endif
