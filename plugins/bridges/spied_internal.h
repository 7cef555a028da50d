/* SPDX-License-Identifier: MIT */
/* A spied malloc: who spies on it, since when, and the pairs of calls around the work. spied.c owns the object
 * and who comes and goes, spied_pairs.c the calls. */
#ifndef HM_PLUGINS_SPIED_INTERNAL_H
#define HM_PLUGINS_SPIED_INTERNAL_H

#include "spied_set_internal.h"

#include <hostmalloc/bridges/spy.h>
#include <hostmalloc/layer.h>

typedef struct hm__spied {
    hm_layer_malloc layer; /* host is NULL: this layer is made over a malloc */
    hm_malloc **place;     /* NULL, or the variable to exchange */
    /* The rest is guarded by the spies' lock. */
    hm_spy *spy;       /* one reference; NULL while nobody spies */
    hm__spied_set set; /* its blocks */
    uint32_t inside;  /* pairs under way, all on one thread, each within the one before */
    uint32_t leaving; /* revoked, and waiting for its last block */
} hm__spied;

/* One lock for all spied mallocs, which a thread may take again: a spy may use any malloc, spied ones included,
   and no order between several locks would suit every spy. */
void hm__spies_enter(void);
void hm__spies_leave(void);

/* With the lock held: let a spy go whose time has come, and release it; 1 if it was. Whoever finds no spy after that
   knows that the last call of it is over. */
int hm__spied_settle(hm__spied *s);

/* Replace, in a copy of the pass-through table, what a spy has a say in. */
void hm__spied_pairs(hm_malloc_vtbl *table);

/* What was asked for where the malloc knows, else what there is; HM_SIZE_UNKNOWN for NULL and strangers. */
size_t hm__malloc_bytes(hm_malloc *m, const void *block);

static inline hm__spied *hm__spied_from(hm_malloc *m)
{
    return (hm__spied *)m; /* layer.base is the first member */
}

#endif
