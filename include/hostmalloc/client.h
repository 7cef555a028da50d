/* SPDX-License-Identifier: MIT */
/**
 * @file client.h
 * @brief A client of a runtime: whoever gets memory under a key, within a budget, and may be cleaned up after.
 *
 *     hm_client_open(rt, &opts, &key, &err);
 *     hm_client_run(key, plugin_main, NULL, &ending, &err);     it may crash; it may forget
 *     hm_client_reclaim(key, &leaks);                           what it still owns goes back at once
 *     hm_client_close(key, NULL, &err);
 *
 * For parts of a program that are trusted with memory but not to give it back: plug-ins, scripts, experts
 * (bridges/netmon.h). The key is a number that nothing is read through, so a wrong or an old one is answered, and so is
 * every pointer that is not a live block of that very client. Sizes and owners are exact on every host.
 *
 * Memory comes from the host of the runtime that the client was opened with; each client has a malloc of its own there,
 * by its name. A runtime that closes closes its clients, and counts their blocks as leaks.
 * Lines of source are remembered where the host wants them (the debug host does).
 * Stable since 1.0.
 */
#ifndef HM_CLIENT_H
#define HM_CLIENT_H

#include <hostmalloc/runtime.h>

/** Which client; 0 is none. Not given twice until a counter of machine words comes around. */
typedef uintptr_t hm_client_key;

typedef struct hm_client_opts {
    size_t size;       /**< sizeof(hm_client_opts) as the caller compiled it */
    const char *name;  /**< for reports; copied, cut to 63 bytes; NULL is "client" */
    size_t budget;     /**< requested bytes that may be live; 0: no bound */
    uint32_t flags;    /**< 0 */
    uint32_t reserved; /**< 0 */
} hm_client_opts;

#define HM_CLIENT_RETURNED 0u /**< what was run came back */
#define HM_CLIENT_RAISED   1u /**< it raised a signal or an exception */
#define HM_CLIENT_ENDED    2u /**< its thread was ended: by itself, cancelled, or killed */

/** How hm_client_run() ended. */
typedef struct hm_client_ending {
    size_t size;  /**< sizeof(hm_client_ending) as the caller compiled it */
    uint32_t how; /**< HM_CLIENT_* */
    uint32_t
        code; /**< HM_CLIENT_RAISED: the system's number of the signal or exception; else 0 */
    hm_leaks leaks; /**< what was reclaimed afterwards; empty when it returned */
} hm_client_ending;

HM_BEGIN_DECLS

/**
 * Open a client of @p rt.
 * @param opts NULL: no name, no budget
 * @param[out] out its key; 0 unless HM_OK
 * @return HM_E_INVALID, HM_E_NOMEM, HM_E_CLOSED while @p rt closes, and what its host says to a malloc
 * @threads any
 */
HM_API hm_status hm_client_open(hm_runtime *rt,
                                const hm_client_opts *opts,
                                hm_client_key *out,
                                hm_error *err);

/**
 * Allocate. Zero bytes give a block of its own.
 * @param site   who asks, NULL allowed
 * @param[out] status HM_OK; HM_E_NOMEM the host or the budget refused; HM_E_CLOSED it was stopped; HM_E_NOT_FOUND no
 *               such client; NULL allowed
 * @return NULL unless HM_OK
 * @threads any; clients do not wait for each other
 */
HM_API void *
hm_client_alloc(hm_client_key key, size_t bytes, hm_site *site, hm_status *status);

/**
 * Resize, keeping the contents. A refused block stays as it is; shrinking is never refused, unless the client is stopped.
 * @param block NULL allocates
 * @param bytes 0 leaves a block of no bytes
 * @param[out] status as hm_client_alloc(), and HM_E_NOT_OWNED or HM_E_FREED for a block that is not this client's;
 *               HM_E_CLOSED, too, when it was reclaimed meanwhile; NULL allowed
 * @threads any, one at a time for one block
 */
HM_API void *hm_client_realloc(
    hm_client_key key, void *block, size_t bytes, hm_site *site, hm_status *status);

/**
 * Free. Works after hm_client_stop().
 * @param block NULL does nothing
 * @return HM_OK; HM_E_NOT_FOUND no such client; HM_E_NOT_OWNED not a live block of this client, nothing was done; a
 *         checking host knows more: HM_E_FREED, HM_E_CORRUPT (which it took)
 * @threads any, one at a time for one block
 */
HM_API hm_status hm_client_free(hm_client_key key, void *block, hm_site *site);

/** Bytes that were asked for; 0 for NULL. HM_E_NOT_FOUND, HM_E_NOT_OWNED; HM_E_INVALID for a NULL @p bytes.
    @threads any */
HM_API hm_status hm_client_size(hm_client_key key, const void *block, size_t *bytes);

/** From now on alloc and realloc answer HM_E_CLOSED; the rest works, so that the client can clean up.
    HM_E_NOT_FOUND. @threads any */
HM_API hm_status hm_client_stop(hm_client_key key);

/** Is the client stopped? HM_E_CLOSED, HM_OK, HM_E_NOT_FOUND. @threads any */
HM_API hm_status hm_client_state(hm_client_key key);

/** Requested bytes and blocks; @p out is zeroed and sized here. HM_E_NOT_FOUND, HM_E_INVALID. @threads any */
HM_API hm_status hm_client_stats(hm_client_key key, hm_stats *out);

/** The leak list: every live block, the newest first. @p visit must not call a client. HM_E_NOT_FOUND, HM_E_INVALID.
    @threads any */
HM_API hm_status hm_client_walk(hm_client_key key, hm_visit *visit, void *context);

/**
 * Write what is live, by site, to the descriptor @p fd: 'client "NAME" WHAT with 2 blocks of 30 bytes live', then a line
 * for each of the places that hold most, where the host keeps places. Nothing when nothing is live. Allocates nothing.
 * @param kind NULL is "client"
 * @param what NULL is "goes on"
 * @return HM_OK; HM_E_NOT_FOUND; HM_E_OS when not all of it could be written
 * @threads any
 */
HM_API hm_status hm_client_report(hm_client_key key,
                                  const char *kind,
                                  const char *what,
                                  int fd);

/**
 * Give back everything the client owns, in time that grows with its blocks. What it allocates afterwards is its own
 * again; a call of another thread that is under way ends first or finds its block gone. Needs no memory.
 * @param[out] leaks what that was, size set by the caller; NULL allowed
 * @return HM_OK; HM_E_NOT_FOUND; HM_E_INVALID for leaks without a size
 * @threads any
 */
HM_API hm_status hm_client_reclaim(hm_client_key key, hm_leaks *leaks);

/**
 * Call @p run on a thread of its own and wait for it. When it raises (an invalid access, an arithmetic fault, abort(),
 * an uncaught C++ exception) or its thread ends in the middle, everything the client owns is reclaimed and the program
 * goes on; what else it held (files, locks, memory of others) is lost. When it returns nothing is reclaimed.
 * A fault inside a function of this header is not caught: what it guards may be broken.
 * Signals other than those faults are blocked on that thread.
 * @param[out] ending how it ended, size set by the caller; NULL allowed
 * @return HM_OK however it ended; HM_E_NOT_FOUND; HM_E_INVALID; HM_E_STARTED while this client runs already;
 *         HM_E_NOMEM or HM_E_OS, no thread was to be had
 * @threads any
 */
HM_API hm_status hm_client_run(hm_client_key key,
                               void (*run)(void *context),
                               void *context,
                               hm_client_ending *ending,
                               hm_error *err);

/**
 * End what hm_client_run() runs, wherever it is; the call ends with HM_CLIENT_ENDED and reclaims. A function of this
 * header that is under way ends first, another run with what it runs. It is the last resort, after hm_client_stop(): a
 * lock that the thread holds, of libc's allocator too, stays held.
 * @return HM_OK it is being ended; HM_E_NOT_FOUND; HM_E_STARTED nothing runs (any more); HM_E_UNSUPPORTED where the
 *         system has no way
 * @threads any
 */
HM_API hm_status hm_client_kill(hm_client_key key);

/** The malloc underneath, for questions (hm_debug_of_malloc()); a block taken there is not the client's. No reference
    is given: valid until the client closes. NULL: no such client. @threads any */
HM_API hm_malloc *hm_client_malloc(hm_client_key key);

/**
 * The client as a malloc, to hand to whatever takes one: a Lua state (bridges/lua.h) made on it is within the client's
 * budget and reclaimed with it. Any thread may use it at any time; it knows its blocks and counts them; wider alignments
 * than max_align_t's it refuses. Once the client is stopped or closed its allocations fail; frees after a reclaim or a
 * close do nothing.
 * @param[out] out one reference, or NULL; it may outlive the client
 * @return HM_OK; HM_E_INVALID, HM_E_NOT_FOUND, HM_E_NOMEM
 * @threads any
 */
HM_API hm_status hm_client_as_malloc(hm_client_key key, hm_malloc **out, hm_error *err);

/**
 * Reclaim, and forget the key: from now on it is unknown.
 * @param[out] leaks as hm_client_reclaim()
 * @return HM_OK; HM_E_NOT_FOUND, the second time too; HM_E_STARTED while it runs; HM_E_INVALID
 * @threads any
 */
HM_API hm_status hm_client_close(hm_client_key key, hm_leaks *leaks, hm_error *err);

HM_END_DECLS

#endif
