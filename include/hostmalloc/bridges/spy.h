/* SPDX-License-Identifier: MIT */
/**
 * @file spy.h
 * @brief A spy on a malloc: called before and after every call, free to change sizes and pointers. Counterpart
 *        of IMallocSpy, for any hm_malloc.
 *
 *     hm_spy *guard;
 *     hm_malloc *spied;
 *     hm_spied_create(m, NULL, &spied, &err);      a malloc over m that can be spied on
 *     hm_spy_guard_create(NULL, NULL, &guard);     bytes before and after each block, verified
 *     hm_spied_register(spied, guard);
 *     ... use spied ...
 *     hm_spied_revoke(spied);                      HM_E_STARTED: blocks live; it leaves with the last of them
 *
 * A spied malloc passes every call on until somebody registers; then one table is exchanged for another. The
 * rules of IMallocSpy hold:
 *  - From the entry of a pre function to the return of its post function no other call's pair interleaves, on
 *    any thread, in any spied malloc: spies need no locks and may carry state from pre to post.
 *  - A block is "spied" when it was allocated, or successfully reallocated, under the present spy. A spy
 *    stays until the last such block is freed, so it sees each one leave.
 *  - hm_realloc() of a block to zero bytes is shown as one byte: to a spy zero bytes mean that the block goes.
 *  - pre answers 0 for a request that is not 0: the call fails, post is not called, a block to be
 *    reallocated stays as it is. When the malloc itself refuses, post is called with NULL.
 *  - A function of a spy may use the malloc it spies on: blocks it takes there are not spied, and calls about blocks
 *    that are not spied do not come back to it. A spied block freed in there comes with its pair.
 *  - NULL is never asked about: no calls for freeing it, for its size or for whether it is owned.
 *  - Requests for an alignment beyond alignof(max_align_t) pass by unspied, because a spy may move the start.
 *  - walk, stats, limits and sites are those of the malloc underneath and show what the spy made of a request.
 * In libhostmalloc_bridge_ole. Stable since 1.0: slots are only added at the end.
 */
#ifndef HM_BRIDGES_SPY_H
#define HM_BRIDGES_SPY_H

#include <hostmalloc/host.h>

typedef struct hm_spy hm_spy;

/** What a spy implements; all slots are present. @p spied says whether the block is one of this spy's. */
typedef struct hm_spy_vtbl {
    size_t size; /**< sizeof(hm_spy_vtbl) as the implementer compiled it */

    /** Counted; a registration holds one reference. */
    void (*retain)(hm_spy *self);
    void (*release)(hm_spy *self);

    /** Bytes to ask for instead: @p bytes or more. 0 refuses, unless @p bytes is 0. */
    size_t (*pre_alloc)(hm_spy *self, size_t bytes);
    /** The pointer for the caller. @p actual is NULL when the malloc refused. */
    void *(*post_alloc)(hm_spy *self, void *actual);
    /** The block to free in place of @p block. */
    void *(*pre_free)(hm_spy *self, void *block, int spied);
    void (*post_free)(hm_spy *self, int spied);
    /** As pre_alloc. *actual is the block to reallocate; it holds @p block until written. */
    size_t (*pre_realloc)(
        hm_spy *self, void *block, size_t bytes, void **actual, int spied);
    /** As post_alloc; @p spied as in pre_realloc. */
    void *(*post_realloc)(hm_spy *self, void *actual, int spied);
    /** The block whose size to ask for. */
    const void *(*pre_size)(hm_spy *self, const void *block, int spied);
    /** The size for the caller. @p actual is HM_SIZE_UNKNOWN for a block that is not the malloc's. */
    size_t (*post_size)(hm_spy *self, size_t actual, int spied);
    /** The block to ask about. */
    const void *(*pre_owns)(hm_spy *self, const void *block, int spied);
    /** The answer for the caller about @p block, which is what the caller asked about. */
    int (*post_owns)(hm_spy *self, const void *block, int spied, int answer);
    void (*pre_trim)(hm_spy *self);
    void (*post_trim)(hm_spy *self);
} hm_spy_vtbl;

/** First member of every implementation. */
struct hm_spy {
    const hm_spy_vtbl *vtbl;
};

HM_STATIC_ASSERT(sizeof(hm_spy_vtbl) == sizeof(size_t) + 14 * sizeof(void (*)(void)),
                 "14 slots in 1.0");

HM_BEGIN_DECLS

/**
 * A malloc over @p inner that can be spied on; takes a reference to @p inner.
 * @param place NULL, or the variable through which somebody reaches @p inner and which outlives the spied malloc.
 *              It is set to the spied malloc while somebody spies and back to @p inner after that, atomically, so that
 *              such a user pays nothing for the possibility. Read it with HM_LOAD().
 * @param[out] out one reference, or NULL; HM_E_INVALID, HM_E_NOMEM
 * @threads any
 */
hm_status
hm_spied_create(hm_malloc *inner, hm_malloc **place, hm_malloc **out, hm_error *err);

/** The spied malloc in @p m: itself, or one it wraps. HM_E_NOT_FOUND and NULL. @threads any */
hm_status hm_spied_find(hm_malloc *m, hm_malloc **out);

/** From now on @p spy sees every call; takes a reference to it. HM_E_EXISTS while another does, revoked or not.
    HM_E_INVALID for a @p m that hm_spied_create() did not make, and for a table with a slot missing. @threads any */
hm_status hm_spied_register(hm_malloc *m, hm_spy *spy);

/**
 * The spy leaves, and its reference is given back.
 * @return HM_E_STARTED while blocks it has seen born are live, or while one of its functions is being called:
 *         it goes on as before and leaves by itself when the last of them is freed. HM_E_NOT_FOUND without a spy.
 * @threads any
 */
hm_status hm_spied_revoke(hm_malloc *m);

/** 1 while a spy is registered. @threads any */
int hm_spied_now(hm_malloc *m);

/** Blocks the present spy has seen born. @threads any */
size_t hm_spied_blocks(hm_malloc *m);

/** hm_realloc_at(), but zero bytes free the block and answer what the spy makes of NULL: as IMalloc::Realloc
    does. A NULL @p block allocates. @threads as @p m's */
void *hm_spied_resize(hm_malloc *m, void *block, size_t bytes, hm_site *site);

/** The bytes asked for, as the present spy says; HM_SIZE_UNKNOWN for NULL and for a block that is not the
    malloc's. Exact where the malloc underneath describes its blocks. @threads as @p m's */
size_t hm_spied_size(hm_malloc *m, const void *block);

static inline void hm_spy_retain(hm_spy *spy)
{
    spy->vtbl->retain(spy);
}

/** @p spy may be NULL. */
static inline void hm_spy_release(hm_spy *spy)
{
    if (spy) {
        spy->vtbl->release(spy);
    }
}

/** A table that changes nothing, to copy and replace parts of. Its retain and release do nothing, which suits a
    spy that is never destroyed. @threads any */
const hm_spy_vtbl *hm_spy_forward(void);

/* Ready-made spies. Each create answers one reference, or HM_E_NOMEM and NULL. One spy watches one malloc at a
   time; it may be registered again after it was revoked. */

/** What a counting spy saw. */
typedef struct hm_spy_counts {
    size_t size; /**< sizeof(hm_spy_counts) as the caller compiled it */
    uint64_t allocs;
    uint64_t frees;
    uint64_t reallocs;
    uint64_t sizes; /**< questions for a size */
    uint64_t owns;  /**< questions for an owner */
    uint64_t trims;
    uint64_t refused; /**< allocations and reallocations the malloc refused */
    uint64_t bytes;   /**< asked for in all */
    uint64_t live;    /**< spied blocks */
    uint64_t peak;    /**< of live */
} hm_spy_counts;

/** Counts and changes nothing. @threads any */
hm_status hm_spy_count_create(hm_spy **out);
/** @p out->size set by the caller. HM_E_INVALID for another kind of spy. @threads any */
hm_status hm_spy_count_read(hm_spy *spy, hm_spy_counts *out);

#define HM_SPY_BEFORE 1 /**< bytes before the block were overwritten */
#define HM_SPY_AFTER  2 /**< bytes after it */

/** Told of damage, between pre and post: must not free or reallocate. @p bytes as asked for, 0 when the header that
    said so is gone. */
typedef void hm_spy_damage(void *context, const void *block, size_t bytes, int side);

/**
 * Puts 16 bytes before and 16 after each block and verifies them whenever the block is seen; no byte next to a
 * block is 0. A damaged block is freed like any other, once it was reported.
 * @param damage NULL: only counted
 * @threads any
 */
hm_status hm_spy_guard_create(hm_spy_damage *damage, void *context, hm_spy **out);
/** How often damage was seen; 0 for another kind of spy. @threads any */
uint64_t hm_spy_guard_found(hm_spy *spy);

/**
 * Refuses allocations and reallocations by number.
 * @param first the how-manieth from now on, 1 the next; 0 none
 * @param count how many from there on; UINT64_MAX all
 * @threads any
 */
hm_status hm_spy_fail_create(uint64_t first, uint64_t count, hm_spy **out);
/** Start counting anew. HM_E_INVALID for another kind of spy. @threads any */
hm_status hm_spy_fail_set(hm_spy *spy, uint64_t first, uint64_t count);
/** How many it saw since it was set, refused ones included. @threads any */
uint64_t hm_spy_fail_seen(hm_spy *spy);

HM_END_DECLS

#endif
