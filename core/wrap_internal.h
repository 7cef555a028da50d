/* SPDX-License-Identifier: MIT */
/* The ready-made wrapping malloc: what its three files share.
 *
 * A block lies behind a header in memory of the wrapped allocator:
 *
 *     raw ... header | caller's bytes ...
 *
 * The header is read only after the block map, which lives elsewhere, has said that a block starts there and
 * has let exactly one caller hold it.
 *
 * Locks, outermost first: the list of objects, the allocators from the newest to the oldest (an allocator that
 * is called under its lock may use older mallocs), one object. No foreign code runs under an object's lock but
 * the visitor of a walk. */
#ifndef HM_CORE_WRAP_INTERNAL_H
#define HM_CORE_WRAP_INTERNAL_H

#include <hostmalloc/module.h>
#include <stdalign.h>

#include "block_map_internal.h"

#define HM__WRAP_ALIGNMENT ((size_t)16)

/* States of a start in the map. FREED stays until the address is handed out again. */
#define HM__WRAP_LIVE   1u
#define HM__WRAP_FREED  2u
#define HM__WRAP_HELD   3u /* for a few instructions, under the lock of some object */
#define HM__WRAP_MOVING 4u /* a realloc copies it elsewhere, under no lock */

typedef struct hm__wrapped hm__wrapped;

typedef struct hm__wrap_block {
    alignas(16) struct hm__wrap_block *next; /* both guarded by the owner's lock */
    struct hm__wrap_block *previous;
    hm__wrapped *owner;
    size_t requested;
    size_t usable; /* for the life of the block */
    void *raw;
    size_t raw_bytes;
    uint64_t serial;
    uint32_t site; /* its number */
    uint32_t thread;
} hm__wrap_block;

/* One wrapped allocator, shared by the objects made over it. */
typedef struct hm__wrap_source {
    hm_allocator allocator;
    hm_lock lock;        /* around its calls, unless it is thread-safe */
    uint32_t references; /* guarded by the lock of the list of objects */
    struct hm__wrap_source *next;
} hm__wrap_source;

struct hm__wrapped {
    hm_malloc base;
    hm__wrap_source *source;
    hm_host *host; /* may be NULL */
    size_t limit;

    hm_lock lock; /* guards from here to references */
    int closed;
    hm__wrap_block *blocks; /* newest first */
    hm_stats stats;
    size_t reserved; /* of the limit, by allocations under way */
    size_t moving;

    uint32_t references; /* atomic: callers' */
    size_t
        holds; /* atomic: one for all callers, one per block; the last one frees the object */
    hm__wrapped *next, *previous; /* guarded by the lock of the list of objects */
};

extern hm__block_map hm__wrap_map;

/* wrap_registry.c: a set-up object becomes known; 1 done, 0 no memory. And what undoes it. */
int hm__wrap_add(hm__wrapped *m, const hm_allocator *allocator);
void hm__wrap_remove(hm__wrapped *m);

/* wrap_block.c. A status other than HM_OK means nothing was done. */
hm_status
hm__wrap_get(hm__wrapped *m, size_t size, size_t alignment, hm_site *site, void **out);
hm_status hm__wrap_resize(hm__wrapped *m,
                          void *address,
                          size_t size,
                          size_t alignment,
                          hm_site *site,
                          void **out,
                          size_t *old_requested);
hm_status hm__wrap_put(hm__wrapped *m, void *address, size_t size);
void hm__wrap_put_all(hm__wrapped *m);
/* Under m's lock: the block that starts at address, whose ever it is, held until dropped. */
hm_status
hm__wrap_hold(const hm__wrapped *owner, const void *address, hm__wrap_block **out);
void hm__wrap_drop(const hm__wrap_block *block, unsigned state);
void *hm__wrap_address(const hm__wrap_block *block);
void hm__wrap_let_go(hm__wrapped *m, size_t holds);

#endif
