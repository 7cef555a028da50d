/* SPDX-License-Identifier: MIT */
/**
 * @file debug.h
 * @brief Questions to the debug host: who holds what, is anything damaged, report now.
 *
 * Every call takes an hm_debug, reached from a host or from one of its mallocs; what is asked of a malloc
 * is answered for that malloc alone. Under another host hm_debug_of_host() answers NULL, and every call
 * with NULL answers HM_E_UNSUPPORTED, so a program keeps its questions whatever host it runs on:
 *
 *     hm_debug_report(hm_debug_of_host(host), 2);
 *
 * Stable since 1.0: slots are only added at the end, and callers of an added slot check `size`.
 */
#ifndef HM_DEBUG_H
#define HM_DEBUG_H

#include <hostmalloc/host.h>

typedef struct hm_debug hm_debug;

/** What one place in the source allocated, in requested bytes. */
typedef struct hm_debug_site {
    size_t size;         /**< sizeof(hm_debug_site) as the host compiled it */
    const hm_site *site; /**< NULL: blocks allocated without a site */
    uint64_t live_blocks;
    uint64_t live_bytes;
    uint64_t total_blocks;
    uint64_t total_bytes;
    uint64_t
        peak_bytes; /**< exact per malloc used by one thread; else the sum of threads' peaks */
} hm_debug_site;

/** Called per site; a value other than 0 ends it. May allocate. */
typedef int hm_debug_visit(void *context, const hm_debug_site *site);

/** A mistake as hm_debug_on_finding() tells it. Sites are NULL and threads 0 where they are not known; text is valid
    during the call only. */
typedef struct hm_debug_finding {
    size_t size; /**< sizeof(hm_debug_finding) as the host compiled it */
    hm_status
        status; /**< the verdict; HM_OK for what no call answers, such as an overlap */
    const char *kind; /**< "double free", as reports say it */
    const char *malloc_name;
    uint64_t
        times; /**< 1: the first at these places, which was printed; 0: more kinds than are kept apart */
    const void *pointer; /**< as the program gave it */
    const void *block;   /**< the start of the block it is about; NULL: none */
    uint64_t bytes;      /**< the block's; 0 where its header is lost */
    uint64_t serial;
    const hm_site *allocated;
    const hm_site *freed;
    const hm_site *
        before; /**< the other thread's place of an overlap; where a no-allocation scope began */
    const hm_site *here;
    uint32_t allocated_thread;
    uint32_t freed_thread;
    uint32_t before_thread;
    uint32_t here_thread;
} hm_debug_finding;

typedef void hm_debug_tell(void *context, const hm_debug_finding *finding);

#define HM_DEBUG_SCOPE_NOALLOC 1u /**< hm_debug_noalloc_begin() */
#define HM_DEBUG_SCOPE_SITE    2u /**< hm_debug_site_begin() */
#define HM_DEBUG_SCOPE_IGNORE  3u /**< hm_debug_ignore_begin() */

/** The table behind an hm_debug. Any thread, any time. */
typedef struct hm_debug_vtbl {
    size_t size; /**< sizeof(hm_debug_vtbl) as the implementer compiled it */
    hm_status (*report)(hm_debug *self, int fd);
    hm_status (*check)(hm_debug *self, uint64_t *damaged);
    hm_status (*sites)(hm_debug *self, hm_debug_visit *visit, void *context);
    hm_status (*findings)(hm_debug *self, uint64_t *count);
    hm_status (*snapshot)(hm_debug *self, int fd);
    hm_status (*checkpoint)(hm_debug *self, uint32_t *mark);
    hm_status (*since)(
        hm_debug *self, uint32_t from, uint32_t to, hm_debug_visit *visit, void *context);
    hm_status (*scope_begin)(hm_debug *self, uint32_t kind, hm_site *site);
    hm_status (*scope_end)(hm_debug *self, uint32_t kind);
    hm_status (*ignore)(hm_debug *self, const void *block);
    hm_status (*on_finding)(hm_debug *self, hm_debug_tell *tell, void *context);
    hm_status (*explain)(hm_debug *self, const void *address, int fd);
} hm_debug_vtbl;

struct hm_debug {
    const hm_debug_vtbl *vtbl;
};

/** 1 when @p debug answers a question that came after 1.0. */
#define HM_DEBUG_ASKS(debug, slot) \
    ((debug) && HM_HAS((debug)->vtbl, hm_debug_vtbl, slot) && (debug)->vtbl->slot)

HM_BEGIN_DECLS

/** The debug host in the stack of @p host; NULL when there is none. Keeps no reference. @threads any */
static inline hm_debug *hm_debug_of_host(hm_host *host)
{
    void *found = (void *)0;
    return host && hm_host_find(host, "debug", &found) == HM_OK ? (hm_debug *)found
                                                                : (hm_debug *)0;
}

/** Likewise for one malloc object. @threads any */
static inline hm_debug *hm_debug_of_malloc(hm_malloc *m)
{
    void *found = (void *)0;
    return m && hm_malloc_find(m, "debug", &found) == HM_OK ? (hm_debug *)found
                                                            : (hm_debug *)0;
}

/**
 * Write what is live by site, sorted by bytes, and what was found so far, to the descriptor @p fd.
 * @return HM_OK, also when there is nothing to say; HM_E_OS when not all of it could be written; HM_E_UNSUPPORTED for
 *         NULL
 * @threads any
 */
static inline hm_status hm_debug_report(hm_debug *debug, int fd)
{
    return debug ? debug->vtbl->report(debug, fd) : HM_E_UNSUPPORTED;
}

/**
 * Verify the guards of every block now; each damaged one is reported as a free would report it, and stays live.
 * @param[out] damaged how many; NULL allowed
 * @return HM_OK or HM_E_CORRUPT; HM_E_UNSUPPORTED for NULL
 * @threads any
 */
static inline hm_status hm_debug_check(hm_debug *debug, uint64_t *damaged)
{
    return debug ? debug->vtbl->check(debug, damaged) : HM_E_UNSUPPORTED;
}

/**
 * Show every site that ever allocated, in no particular order.
 * @return HM_OK; HM_E_NOMEM when there was no memory for the list; HM_E_UNSUPPORTED for NULL
 * @threads any
 */
static inline hm_status
hm_debug_sites(hm_debug *debug, hm_debug_visit *visit, void *context)
{
    return debug ? debug->vtbl->sites(debug, visit, context) : HM_E_UNSUPPORTED;
}

/**
 * How many mistakes were found so far, repeated ones included; leaks are none until somebody closes.
 * @return HM_OK; HM_E_UNSUPPORTED for NULL
 * @threads any
 */
static inline hm_status hm_debug_findings(hm_debug *debug, uint64_t *count)
{
    return debug ? debug->vtbl->findings(debug, count) : HM_E_UNSUPPORTED;
}

/**
 * Write everything known by site to the descriptor @p fd, as JSON lines that `hostmalloc report` and `hostmalloc diff`
 * read. Of a malloc: its whole host.
 * @return HM_OK; HM_E_OS when not all of it could be written; HM_E_UNSUPPORTED for NULL
 * @threads any
 */
static inline hm_status hm_debug_snapshot(hm_debug *debug, int fd)
{
    return debug ? debug->vtbl->snapshot(debug, fd) : HM_E_UNSUPPORTED;
}

/**
 * Draw a line in time: hm_debug_since() tells what was allocated after it. Of a malloc: of its whole host.
 * @param[out] mark the line's number: 1, 2, 3, ...
 * @return HM_OK; HM_E_UNSUPPORTED for NULL, and after 255 lines, when *mark is the last one
 * @threads any
 */
static inline hm_status hm_debug_checkpoint(hm_debug *debug, uint32_t *mark)
{
    return debug ? debug->vtbl->checkpoint(debug, mark) : HM_E_UNSUPPORTED;
}

/**
 * Show, by site, the blocks allocated after mark @p from and before mark @p to that are live now, in live_blocks and
 * live_bytes. A block keeps its birth when it is resized in place. One walk over everything live.
 * @param from 0: since the start
 * @param to 0: until now
 * @return HM_OK; HM_E_INVALID for marks in the wrong order or never drawn, when nothing is shown; HM_E_NOMEM;
 *         HM_E_UNSUPPORTED for NULL
 * @threads any
 */
static inline hm_status hm_debug_since(
    hm_debug *debug, uint32_t from, uint32_t to, hm_debug_visit *visit, void *context)
{
    return debug ? debug->vtbl->since(debug, from, to, visit, context) : HM_E_UNSUPPORTED;
}

/**
 * From here to its end this thread must not allocate: an allocation, or a resize that grows a block, is a finding with
 * both places, and goes on. Of a malloc: from that malloc alone. Scopes of all kinds nest, the same one too. Outside
 * scopes nothing is slower for there being any; inside, every call takes the long way. A scope still open when its
 * thread or its host ends does nothing more.
 * @param site the scope's, for the report: HM_SITE
 * @return HM_OK; HM_E_NOMEM; HM_E_UNSUPPORTED for NULL
 * @threads any; the scope is the calling thread's
 */
static inline hm_status hm_debug_noalloc_begin(hm_debug *debug, hm_site *site)
{
    return HM_DEBUG_ASKS(debug, scope_begin)
               ? debug->vtbl->scope_begin(debug, HM_DEBUG_SCOPE_NOALLOC, site)
               : HM_E_UNSUPPORTED;
}

/**
 * End the innermost no-allocation scope that this thread began with the same @p debug.
 * @return HM_OK; HM_E_NOT_FOUND when there is none; HM_E_UNSUPPORTED for NULL
 * @threads any
 */
static inline hm_status hm_debug_noalloc_end(hm_debug *debug)
{
    return HM_DEBUG_ASKS(debug, scope_end)
               ? debug->vtbl->scope_end(debug, HM_DEBUG_SCOPE_NOALLOC)
               : HM_E_UNSUPPORTED;
}

/**
 * From here to its end what this thread allocates, resizes and frees is attributed to @p site: for wrappers, which
 * hand on their caller's place. Of nested ones the innermost holds, so a wrapper that calls another one through its own
 * scope passes the site it was given. The rest is as with hm_debug_noalloc_begin().
 * @param site NULL: to no place
 * @threads any; the scope is the calling thread's
 */
static inline hm_status hm_debug_site_begin(hm_debug *debug, hm_site *site)
{
    return HM_DEBUG_ASKS(debug, scope_begin)
               ? debug->vtbl->scope_begin(debug, HM_DEBUG_SCOPE_SITE, site)
               : HM_E_UNSUPPORTED;
}

/** End the innermost site scope that this thread began with the same @p debug; answers as hm_debug_noalloc_end().
    @threads any */
static inline hm_status hm_debug_site_end(hm_debug *debug)
{
    return HM_DEBUG_ASKS(debug, scope_end)
               ? debug->vtbl->scope_end(debug, HM_DEBUG_SCOPE_SITE)
               : HM_E_UNSUPPORTED;
}

/**
 * From here to its end what this thread allocates or resizes is no leak, as with hm_debug_ignore(). The rest is as with
 * hm_debug_noalloc_begin().
 * @threads any; the scope is the calling thread's
 */
static inline hm_status hm_debug_ignore_begin(hm_debug *debug)
{
    return HM_DEBUG_ASKS(debug, scope_begin)
               ? debug->vtbl->scope_begin(debug, HM_DEBUG_SCOPE_IGNORE, (hm_site *)0)
               : HM_E_UNSUPPORTED;
}

/** End the innermost ignore scope that this thread began with the same @p debug; answers as hm_debug_noalloc_end().
    @threads any */
static inline hm_status hm_debug_ignore_end(hm_debug *debug)
{
    return HM_DEBUG_ASKS(debug, scope_end)
               ? debug->vtbl->scope_end(debug, HM_DEBUG_SCOPE_IGNORE)
               : HM_E_UNSUPPORTED;
}

/**
 * A live block is no leak: leak reports count it apart ("1 block ignored"). Everything else stays as it is: it is
 * checked, shown by hm_debug_report() and hm_debug_sites(), and freed or resized like any other; resized it stays
 * ignored. Patterns do the same for whole sites and mallocs: debug:ignore=FILE.
 * @param block the start of a live block of this host, or of this malloc
 * @return HM_OK, also when it was ignored before; HM_E_INVALID for NULL; HM_E_NOT_OWNED for anything else;
 *         HM_E_UNSUPPORTED when @p debug is NULL
 * @threads any
 */
static inline hm_status hm_debug_ignore(hm_debug *debug, const void *block)
{
    return HM_DEBUG_ASKS(debug, ignore) ? debug->vtbl->ignore(debug, block)
                                        : HM_E_UNSUPPORTED;
}

/**
 * Call @p tell after each finding, repeated ones included, in the thread that made it and before its call returns.
 * Leaks are none. It may allocate, free and ask; what it does wrong itself is reported, but not told. One found while
 * freed blocks go back, or during a walk, is told when that is over, and is lost when there is no memory to keep it.
 * It must not wait for other threads, and while the host itself is being released it may only ask.
 * A host has one: the last call counts, of a malloc too.
 * @param tell NULL: nobody any more; other threads are out of the former one when this returns
 * @return HM_OK; HM_E_UNSUPPORTED for NULL
 * @threads any
 */
static inline hm_status
hm_debug_on_finding(hm_debug *debug, hm_debug_tell *tell, void *context)
{
    return HM_DEBUG_ASKS(debug, on_finding)
               ? debug->vtbl->on_finding(debug, tell, context)
               : HM_E_UNSUPPORTED;
}

/**
 * Write what an address is to the descriptor @p fd: the block it lies in, or beside where that is guarded
 * (debug:guard=), with the places of its allocation and free. Of one in no block, the block before it and how far it is
 * past that one's end, up to 1 MiB. The address need not be readable, and a handler of SIGSEGV may ask about the one
 * that faulted in the program's own code.
 * @return HM_OK; HM_E_NOT_FOUND when it is in no block of a debug host; HM_E_OS when it is in one, but not all of that
 *         could be written; HM_E_UNSUPPORTED for NULL
 * @threads any
 */
static inline hm_status hm_debug_explain(hm_debug *debug, const void *address, int fd)
{
    return HM_DEBUG_ASKS(debug, explain) ? debug->vtbl->explain(debug, address, fd)
                                         : HM_E_UNSUPPORTED;
}

/**
 * Does nothing: a place for a debugger to stop at. Called with the block that debug:break=FILE:LINE#N waits for, from
 * the allocation that made it, N counted as reports do ("#3 of its site"): by each malloc, and by each thread of a
 * thread-safe one. FILE:LINE is the end of the place, from the start of a name. debug:abort aborts after it.
 * @threads any
 */
HM_API void hm_debug_break(const void *block);

HM_END_DECLS

#endif
