/* SPDX-License-Identifier: MIT */
/**
 * @file malloc.h
 * @brief A malloc object: how a runtime asks its host for memory. Counterpart of IHostMalloc.
 *
 * Made by a host (host.h), wrapped by layers (layer.h), given to a runtime by a bridge (bridges/).
 * Callers start at hm_alloc(); implementers start at hm_malloc_vtbl and take what they do not care to
 * write from hm_core (module.h).
 *
 * Rules for all of it, said once:
 *  - Blocks are aligned to alignof(max_align_t) at every size. Zero bytes give a unique block that
 *    must be freed. NULL means refused; the old block of a refused realloc is untouched.
 *  - Freeing NULL does nothing and is the common case: it is tested first and counted nowhere.
 *  - A block is freed on the malloc it came from, once. Unchecked hosts trust that; checking hosts
 *    (HM_MALLOC_DEBUG in the object's flags, HM_MALLOC_EXACT on request) answer a status instead.
 *  - errno is left as found by every function that frees.
 *  - Sizes are requested bytes. Size arithmetic is checked: SIZE_MAX is refused, never wrapped.
 * Stable since 1.0: slots are only added at the end, and callers of an added slot check `size`.
 */
#ifndef HM_MALLOC_H
#define HM_MALLOC_H

#include <hostmalloc/site.h>
#include <hostmalloc/status.h>

/**
 * What breaks if this allocation fails: the caller's task, its domain (a script, a document, a
 * connection) or the whole process. Counterpart of EMemoryCriticalLevel, same values. A limit lets
 * higher levels use the last memory.
 */
typedef int32_t hm_level;
#define HM_LEVEL_CURRENT \
    ((hm_level)-1) /**< whatever this thread has entered; looked up only when memory is short */
#define HM_LEVEL_TASK    ((hm_level)0)
#define HM_LEVEL_DOMAIN  ((hm_level)1)
#define HM_LEVEL_PROCESS ((hm_level)2)

/* Flags of a malloc object. The low ones are asked for at creation (hm_malloc_opts.flags), HM_MALLOC_DEBUG
   is only ever set by a host in the objects it makes. */
#define HM_MALLOC_THREADSAFE \
    0x1u /**< any thread at any time; without it the caller serialises, and threads may change */
#define HM_MALLOC_EXECUTABLE \
    0x2u /**< blocks may hold code: whole pages, W^X where the OS demands it */
#define HM_MALLOC_SCOPED \
    0x4u /**< the last release frees every block still owned, from whatever thread */
#define HM_MALLOC_ONE_THREAD \
    0x8u /**< only the creating thread ever allocates: the fastest */
#define HM_MALLOC_EXACT \
    0x10u /**< owns, describe and walk are exact, else creation answers HM_E_UNSUPPORTED */
#define HM_MALLOC_DEBUG \
    0x100u /**< this object wants sites and answers verdicts: use the debug pair */

#define HM_SIZE_UNKNOWN \
    ((size_t)-1) /**< for a size argument the caller's runtime does not know */

typedef struct hm_malloc hm_malloc;

/** Everything a rare request may say; hm_malloc_vtbl.request. Zero means "as usual" throughout. */
typedef struct hm_request {
    size_t size;      /**< sizeof(hm_request) as the caller compiled it */
    void *block;      /**< NULL: allocate; else reallocate this block */
    size_t old_bytes; /**< the block's bytes, or HM_SIZE_UNKNOWN */
    size_t bytes;
    size_t alignment; /**< a power of two, or 0 for alignof(max_align_t) */
    hm_level level;
    uint32_t flags; /**< HM_REQUEST_ZEROED */
    uint32_t tag;   /**< the caller's category; hosts that do not know it ignore it */
    uint32_t scope; /**< the caller's lifetime class (Vulkan's); likewise */
    hm_site *site;  /**< NULL allowed */
} hm_request;
#define HM_REQUEST_ZEROED 0x1u /**< bytes beyond the old block read as zero */

#define HM_BLOCK_LIVE    1u
#define HM_BLOCK_FREED   2u /**< freed and held back, so that later misuse can be named */
#define HM_BLOCK_DAMAGED 3u /**< a guard was overwritten; out of circulation */

/** One block as a checking host knows it; filled by describe and walk. */
typedef struct hm_block {
    size_t size; /**< sizeof(hm_block) as the caller compiled it; hosts fill no further */
    const void *address;
    size_t requested;
    size_t usable;
    const hm_site *site; /**< where it was allocated; NULL when unknown */
    uint64_t
        serial; /**< the how-manieth block of its malloc, or of its site where the host says so */
    uint32_t
        thread; /**< the allocating thread's number in this process, 1, 2, 3, ...; 0 unknown */
    uint32_t state; /**< HM_BLOCK_* */
} hm_block;

/** Called per block; a value other than 0 ends the walk. Must not call the malloc that is walked. */
typedef int hm_visit(void *context, const hm_block *block);

/** What a counting malloc knows, in requested bytes. */
typedef struct hm_stats {
    size_t size; /**< sizeof(hm_stats) as the caller compiled it */
    uint64_t live_blocks;
    uint64_t live_bytes;
    uint64_t peak_bytes;
    uint64_t total_blocks;
    uint64_t total_bytes;
    uint64_t denied; /**< refused by a limit or an injected fault */
    uint64_t failed; /**< answered NULL for whatever reason */
    uint64_t
        overhead_bytes; /**< headers, guards and blocks held back, beside live_bytes; 0 when not known */
} hm_stats;

/**
 * The table every malloc implements. All slots of 1.0 are present in every table (the core checks when
 * an object enters it), so a call never tests for NULL. Comments speak to the implementer; every slot
 * may be called from any thread if the object was made with HM_MALLOC_THREADSAFE, else from one at a time.
 */
typedef struct hm_malloc_vtbl {
    size_t size; /**< sizeof(hm_malloc_vtbl) as the implementer compiled it */

    /** Counted; the last release of a HM_MALLOC_SCOPED object frees its blocks. Any thread, always. */
    void (*retain)(hm_malloc *self);
    void (*release)(hm_malloc *self);

    /** The plain pair: nothing but the work. @p level decides who may use the last memory. */
    void *(*alloc)(hm_malloc *self, size_t size, hm_level level);
    void (*free)(hm_malloc *self, void *block);
    /** @p size is the size asked for at allocation; a host may rely on it. */
    void (*free_sized)(hm_malloc *self, void *block, size_t size);

    /** The debug pair: sites in, verdicts out. @p site may be NULL. */
    void *(*debug_alloc)(hm_malloc *self, size_t size, hm_level level, hm_site *site);
    /** @p size HM_SIZE_UNKNOWN and @p alignment 0 when the caller does not know. HM_OK for NULL. */
    hm_status (*debug_free)(
        hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site);

    /** @p block NULL allocates; @p size 0 gives a zero-byte block; a NULL @p site keeps the birth site.
        Never fails when it shrinks. */
    void *(*realloc)(hm_malloc *self,
                     void *block,
                     size_t old_size,
                     size_t size,
                     hm_level level,
                     hm_site *site);
    /** @p count * @p size is checked. */
    void *(*alloc_zeroed)(
        hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site);
    /** @p alignment is a power of two, 1 and 2 included, else NULL; freed like any other block. */
    void *(*alloc_aligned)(
        hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site);
    /** Everything rare. *out is NULL unless HM_OK; HM_E_INVALID for a bad request, HM_E_NOMEM, HM_E_CLOSED. */
    hm_status (*request)(hm_malloc *self, const hm_request *request, void **out);

    /** Usable bytes: O(1), constant for the life of the block, not less than requested, 0 for NULL only.
        Any malloc of a host answers for its siblings' blocks. */
    size_t (*size_of)(hm_malloc *self, const void *block);
    /** size_of(alloc(good_size(n))) >= good_size(n) >= n. */
    size_t (*good_size)(hm_malloc *self, size_t size);
    /** 1 this object's live block, 0 not, -1 cannot tell. Never reads through @p block. */
    int (*owns)(hm_malloc *self, const void *block);
    /** @p out->size set by the caller. HM_E_NOT_OWNED, or HM_E_UNSUPPORTED from hosts that keep no records. */
    hm_status (*describe)(hm_malloc *self, const void *block, hm_block *out);
    /** Every live block, once. HM_E_UNSUPPORTED from hosts that keep no records. */
    hm_status (*walk)(hm_malloc *self, hm_visit *visit, void *context);
    /** @p out->size set by the caller. HM_E_UNSUPPORTED from hosts that count nothing. */
    hm_status (*stats)(hm_malloc *self, hm_stats *out);

    /** Give unused memory back to whoever is below. */
    void (*trim)(hm_malloc *self);
    /** Free every block still owned. HM_E_UNSUPPORTED unless the object knows its blocks. */
    hm_status (*reset)(hm_malloc *self);
    /** Drain: from now on frees work and allocations answer NULL. Twice does nothing. */
    void (*close)(hm_malloc *self);
    /** Reach an interface of this object or of what it wraps: "debug", "limit", ...; *out keeps no reference.
        HM_E_NOT_FOUND and NULL. */
    hm_status (*find)(hm_malloc *self, const char *interface_name, void **out);
} hm_malloc_vtbl;

/** First member of every implementation. */
struct hm_malloc {
    const hm_malloc_vtbl *vtbl;
    uint32_t flags; /**< HM_MALLOC_* as granted */
    uint32_t reserved;
};

HM_STATIC_ASSERT(sizeof(hm_malloc) == sizeof(void *) + 8,
                 "hm_malloc is public and never grows");
HM_STATIC_ASSERT(sizeof(hm_malloc_vtbl) == sizeof(size_t) + 21 * sizeof(void (*)(void)),
                 "21 slots in 1.0");

HM_BEGIN_DECLS

/** Say what breaks if this thread's allocations fail from now on. @return the previous level, for
    hm_level_leave(). Values outside TASK..PROCESS are read as the nearest. @threads any */
HM_API hm_level hm_level_enter(hm_level level);
/** Go back to what hm_level_enter() returned. @threads any */
HM_API void hm_level_leave(hm_level previous);
/** What this thread has entered; HM_LEVEL_TASK before that. @threads any */
HM_API hm_level hm_level_now(void);

/* Callers. The parenthesised slot names keep these alive under headers that define malloc or free as macros. */

static inline void hm_malloc_retain(hm_malloc *m)
{
    HM_LOAD(m->vtbl)->retain(m);
}

/** @p m may be NULL. */
static inline void hm_malloc_release(hm_malloc *m)
{
    if (m) {
        HM_LOAD(m->vtbl)->release(m);
    }
}

static inline void *hm_alloc_at(hm_malloc *m, size_t size, hm_level level, hm_site *site)
{
    if (m->flags & HM_MALLOC_DEBUG) {
        return HM_LOAD(m->vtbl)->debug_alloc(m, size, level, site);
    }
    return (HM_LOAD(m->vtbl)->alloc)(m, size, level);
}

static inline hm_status
hm_free_at(hm_malloc *m, void *block, size_t size, size_t alignment, hm_site *site)
{
    if (!block) {
        return HM_OK;
    }
    if (m->flags & HM_MALLOC_DEBUG) {
        return HM_LOAD(m->vtbl)->debug_free(m, block, size, alignment, site);
    }
    (HM_LOAD(m->vtbl)->free)(m, block);
    return HM_OK;
}

static inline hm_status
hm_free_sized_at(hm_malloc *m, void *block, size_t size, hm_site *site)
{
    if (!block) {
        return HM_OK;
    }
    if (m->flags & HM_MALLOC_DEBUG) {
        return HM_LOAD(m->vtbl)->debug_free(m, block, size, 0, site);
    }
    HM_LOAD(m->vtbl)->free_sized(m, block, size);
    return HM_OK;
}

static inline void *hm_realloc_at(hm_malloc *m,
                                  void *block,
                                  size_t old_size,
                                  size_t size,
                                  hm_level level,
                                  hm_site *site)
{
    return (HM_LOAD(m->vtbl)->realloc)(m, block, old_size, size, level, site);
}

static inline void *
hm_alloc_zeroed_at(hm_malloc *m, size_t count, size_t size, hm_level level, hm_site *site)
{
    return HM_LOAD(m->vtbl)->alloc_zeroed(m, count, size, level, site);
}

static inline void *hm_alloc_aligned_at(
    hm_malloc *m, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    return HM_LOAD(m->vtbl)->alloc_aligned(m, size, alignment, level, site);
}

/** A copy of @p text in a block of @p m; NULL for NULL and when refused. @threads as @p m's */
HM_API char *hm_strdup_at(hm_malloc *m, const char *text, hm_level level, hm_site *site);

/** Allocate @p size bytes. (hm_alloc)(m, size), in parentheses, is always the plain slot. */
static inline void *hm_alloc(hm_malloc *m, size_t size)
{
    return (HM_LOAD(m->vtbl)->alloc)(m, size, HM_LEVEL_CURRENT);
}

/** Free @p block. @return debug_free's verdict, or HM_OK from an unchecked host. */
static inline hm_status hm_free(hm_malloc *m, void *block)
{
    return hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, (hm_site *)0);
}

static inline hm_status hm_free_sized(hm_malloc *m, void *block, size_t size)
{
    return hm_free_sized_at(m, block, size, (hm_site *)0);
}

static inline void *hm_realloc(hm_malloc *m, void *block, size_t size)
{
    return hm_realloc_at(m, block, HM_SIZE_UNKNOWN, size, HM_LEVEL_CURRENT, (hm_site *)0);
}

static inline void *hm_alloc_zeroed(hm_malloc *m, size_t count, size_t size)
{
    return hm_alloc_zeroed_at(m, count, size, HM_LEVEL_CURRENT, (hm_site *)0);
}

static inline void *hm_alloc_aligned(hm_malloc *m, size_t size, size_t alignment)
{
    return hm_alloc_aligned_at(m, size, alignment, HM_LEVEL_CURRENT, (hm_site *)0);
}

static inline char *hm_strdup(hm_malloc *m, const char *text)
{
    return hm_strdup_at(m, text, HM_LEVEL_CURRENT, (hm_site *)0);
}

/* What programs write: the calls above with the caller's own line. An object that does not want sites
   pays one test of a flag in its first cache line; the site is a constant address. */
#define hm_alloc(...)         hm__alloc_here(HM_SITE, __VA_ARGS__)
#define hm_free(...)          hm__free_here(HM_SITE, __VA_ARGS__)
#define hm_free_sized(...)    hm__free_sized_here(HM_SITE, __VA_ARGS__)
#define hm_realloc(...)       hm__realloc_here(HM_SITE, __VA_ARGS__)
#define hm_alloc_zeroed(...)  hm__alloc_zeroed_here(HM_SITE, __VA_ARGS__)
#define hm_alloc_aligned(...) hm__alloc_aligned_here(HM_SITE, __VA_ARGS__)
#define hm_strdup(...)        hm__strdup_here(HM_SITE, __VA_ARGS__)

static inline void *hm__alloc_here(hm_site *site, hm_malloc *m, size_t size)
{
    return hm_alloc_at(m, size, HM_LEVEL_CURRENT, site);
}

static inline hm_status hm__free_here(hm_site *site, hm_malloc *m, void *block)
{
    return hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, site);
}

static inline hm_status
hm__free_sized_here(hm_site *site, hm_malloc *m, void *block, size_t size)
{
    return hm_free_sized_at(m, block, size, site);
}

static inline void *
hm__realloc_here(hm_site *site, hm_malloc *m, void *block, size_t size)
{
    return hm_realloc_at(m, block, HM_SIZE_UNKNOWN, size, HM_LEVEL_CURRENT, site);
}

static inline void *
hm__alloc_zeroed_here(hm_site *site, hm_malloc *m, size_t count, size_t size)
{
    return hm_alloc_zeroed_at(m, count, size, HM_LEVEL_CURRENT, site);
}

static inline void *
hm__alloc_aligned_here(hm_site *site, hm_malloc *m, size_t size, size_t alignment)
{
    return hm_alloc_aligned_at(m, size, alignment, HM_LEVEL_CURRENT, site);
}

static inline char *hm__strdup_here(hm_site *site, hm_malloc *m, const char *text)
{
    return hm_strdup_at(m, text, HM_LEVEL_CURRENT, site);
}

/**
 * IHostMalloc::DebugAlloc's own form, for sites that arrive as arguments. The pair is interned only if
 * @p m wants sites; @p file may be NULL and need not outlive the call.
 */
static inline void *
hm_debug_alloc(hm_malloc *m, size_t size, hm_level level, const char *file, uint32_t line)
{
    if (m->flags & HM_MALLOC_DEBUG) {
        return HM_LOAD(m->vtbl)->debug_alloc(m, size, level,
                                             hm_site_intern(file, (const char *)0, line));
    }
    return (HM_LOAD(m->vtbl)->alloc)(m, size, level);
}

/** Free with the site as arguments; see hm_debug_alloc(). */
static inline hm_status
hm_debug_free(hm_malloc *m, void *block, const char *file, uint32_t line)
{
    if (block && (m->flags & HM_MALLOC_DEBUG)) {
        return HM_LOAD(m->vtbl)->debug_free(m, block, HM_SIZE_UNKNOWN, 0,
                                            hm_site_intern(file, (const char *)0, line));
    }
    return hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, (hm_site *)0);
}

static inline hm_status
hm_malloc_request(hm_malloc *m, const hm_request *request, void **out)
{
    return HM_LOAD(m->vtbl)->request(m, request, out);
}

static inline size_t hm_size_of(hm_malloc *m, const void *block)
{
    return HM_LOAD(m->vtbl)->size_of(m, block);
}

static inline size_t hm_good_size(hm_malloc *m, size_t size)
{
    return HM_LOAD(m->vtbl)->good_size(m, size);
}

static inline int hm_owns(hm_malloc *m, const void *block)
{
    return HM_LOAD(m->vtbl)->owns(m, block);
}

/** @p out is zeroed and sized here. */
static inline hm_status hm_describe(hm_malloc *m, const void *block, hm_block *out)
{
    const hm_block empty = {
        sizeof(hm_block), (const void *)0, 0, 0, (const hm_site *)0, 0, 0, 0};
    *out = empty;
    return HM_LOAD(m->vtbl)->describe(m, block, out);
}

static inline hm_status hm_walk(hm_malloc *m, hm_visit *visit, void *context)
{
    return HM_LOAD(m->vtbl)->walk(m, visit, context);
}

/** @p out is zeroed and sized here. */
static inline hm_status hm_malloc_stats(hm_malloc *m, hm_stats *out)
{
    const hm_stats empty = {sizeof(hm_stats), 0, 0, 0, 0, 0, 0, 0, 0};
    *out = empty;
    return HM_LOAD(m->vtbl)->stats(m, out);
}

static inline void hm_malloc_trim(hm_malloc *m)
{
    HM_LOAD(m->vtbl)->trim(m);
}

static inline hm_status hm_malloc_reset(hm_malloc *m)
{
    return HM_LOAD(m->vtbl)->reset(m);
}

static inline void hm_malloc_close(hm_malloc *m)
{
    (HM_LOAD(m->vtbl)->close)(m);
}

static inline hm_status
hm_malloc_find(hm_malloc *m, const char *interface_name, void **out)
{
    return HM_LOAD(m->vtbl)->find(m, interface_name, out);
}

HM_END_DECLS

#endif
