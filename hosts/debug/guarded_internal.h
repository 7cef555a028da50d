/* SPDX-License-Identifier: MIT */
/* Chosen blocks on pages of their own: a read or write past their end, or after the free, faults where it happens.
 *
 *     protected page | pattern | the user's bytes | pattern, up to 15 bytes | protected page      align right
 *     protected page | the user's bytes | pattern                           | protected page      align left
 *
 * What is known of such a block lies in a slot, never beside it: states GUARDED and GUARD_FREED in the block map lead
 * there. A freed block's pages stay protected until its slot is needed again, the oldest first. */
#ifndef HM_DEBUG_GUARDED_INTERNAL_H
#define HM_DEBUG_GUARDED_INTERNAL_H

#include "finding_internal.h"
#include "ledger_internal.h"
#include "step_internal.h"

#define DEBUG_GUARD_ALL    1u
#define DEBUG_GUARD_SITE   2u
#define DEBUG_GUARD_SIZE   3u
#define DEBUG_GUARD_SAMPLE 4u

#define DEBUG_ALIGN_AUTO  0u /* right; every eighth of a sample left */
#define DEBUG_ALIGN_RIGHT 1u
#define DEBUG_ALIGN_LEFT  2u

typedef struct debug_slot debug_slot;

struct debug_guarded {
    uint32_t kind; /* DEBUG_GUARD_* */
    uint32_t align;
    uint64_t number; /* of bytes, or one of so many blocks */
    uint64_t slots;  /* at most */
    char place[256]; /* "file.c:42" */
    /* guarded by the lock of all slots: */
    uint64_t used;
    uint64_t made;
    uint64_t dropped;  /* blocks that were wanted and found no slot */
    debug_slot *freed; /* oldest first */
    debug_slot *freed_last;
};

/* guarded_choose.c: which blocks */
hm_status hm__debug_guarded_open(debug_host *host,
                                 const char *which,
                                 const char *align,
                                 uint64_t slots,
                                 hm_error *err);
void hm__debug_guarded_close(debug_host *host);
int hm__debug_guarded_wants(const debug_malloc *m, size_t size, const hm_site *site);
int hm__debug_guarded_left(
    debug_guarded *guarded); /* the next one is to be on the left */
/* Blocks that were wanted and found no slot. */
uint64_t hm__debug_guarded_dropped(const debug_host *host);

/* guarded.c: 0: there is no slot for it, and nothing has happened. */
int hm__debug_guarded_alloc(debug_malloc *m,
                            size_t size,
                            size_t alignment,
                            hm_site *site,
                            int zeroed,
                            void **out);
/* The answer of hm__debug_block_claim for a block that is none of the others. 0: it is not guarded either. */
int hm__debug_guarded_claim(debug_malloc *m,
                            void *block,
                            debug_claim_opts *opts,
                            debug_shape *shape,
                            hm_status *status);
/* 0: the block is not guarded, here and below. */
int hm__debug_guarded_free(debug_malloc *m, void *block, uint32_t site);
int hm__debug_guarded_move(
    debug_malloc *m, void *block, size_t size, hm_level level, hm_site *site, void **out);
int hm__debug_guarded_ignore(const void *block);
int hm__debug_guarded_is_ignored(const void *block);
/* What is wrong with its edges goes into f, which may be NULL. */
int hm__debug_guarded_damage(const void *block, debug_finding *f, int *damaged);

/* guarded_slots.c */
struct debug_slot {
    char *run; /* with its protected pages */
    size_t run_bytes;
    char *data; /* what is between them */
    size_t data_bytes;
    void *block;
    size_t bytes;
    size_t alignment;
    uint64_t low;  /* as a header's, without size */
    uint64_t high; /* without seal */
    uint64_t hash;
    uint32_t freed_site;
    uint32_t freed_thread;
    uint32_t is_freed;
    uint32_t ignored;
    debug_host *host;
    debug_slot *next;  /* in its bucket */
    debug_slot *newer; /* of the host's freed ones */
};
/* Pages for a block, readable and writable, filled with nothing; NULL: none to be had. */
debug_slot *hm__debug_slot_take(debug_host *host, size_t size, size_t alignment);
void hm__debug_slot_publish(
    debug_slot *slot); /* block, low and high are set; edges are written */
void hm__debug_slot_drop(debug_slot *slot); /* never published, or out of the map */
void hm__debug_slot_retire(debug_slot *slot, uint32_t site, uint32_t thread);
debug_slot *hm__debug_slot_of(const void *block); /* NULL: none starts there */
/* The slot whose pages, the protected ones too, hold an address. */
const debug_slot *hm__debug_slot_around(const void *address);
/* All of a malloc's (number), or of a host's where that is 0. */
void hm__debug_slots_drop(debug_host *host, uint32_t number);
int hm__debug_slot_forget(const void *block); /* 1: it was guarded, and is no more */
void hm__debug_slots_child(void);
int hm__debug_slot_facts(const void *block, debug_facts *facts);

/* explain.c */
hm_status hm__debug_explain(const void *address, int fd);

#endif
