/* SPDX-License-Identifier: MIT */
/* The parts of the swap layer: a host that changes, its mallocs, and the slots in which they keep one malloc of
 * each host that still has blocks. */
#ifndef HM_LAYER_SWAP_INTERNAL_H
#define HM_LAYER_SWAP_INTERNAL_H

#include <hostmalloc/layer.h>
#include <hostmalloc/swap.h>

#define SWAP_STRIPES    16u
#define SWAP_NAME_ROOM  64u
#define SWAP_TEXT_ROOM  512u
#define SWAP_NOTE_BYTES 16u

#define SLOT_FREE    0u /* no inner malloc: to be used again */
#define SLOT_CURRENT 1u /* new blocks come from here */
#define SLOT_OLD     2u /* released when its last block goes */

typedef struct swap_malloc swap_malloc;

/* One inner malloc and how many of its blocks live. Threads may look at a slot that has been given up and taken
   again: its memory stays until the malloc goes. */
typedef struct swap_slot {
    hm_malloc *inner;
    swap_malloc *owner;
    struct swap_slot *next; /* of its owner */
    uint32_t index;         /* among all slots, as notes have it */
    uint32_t state;         /* atomic: SLOT_* */
    struct {
        int64_t
            held; /* atomic: blocks, and calls about to make one; only the sum means something */
        char rest[56];
    } stripes[SWAP_STRIPES];
} swap_slot;

typedef struct swap_host {
    hm_layer_host layer;
    hm_lock lock; /* orders swaps, creations and last releases; before any malloc's */
    hm_host *now; /* where new blocks come from; one reference */
    swap_malloc *mallocs;
    struct swap_host *next; /* guarded by the list's lock, as the next */
    struct swap_host *previous;
    hm_swap questions;
    uint64_t swaps;   /* atomic */
    uint64_t refused; /* atomic */
    int watches;      /* something but a call can ask for a swap */
    uint32_t busy;    /* atomic: a thread is at a swap that was asked for from outside */
    const uint32_t *signals;   /* atomic counter of arrivals; NULL: none watched */
    uint32_t signals_seen;     /* guarded by busy, as the next three */
    int away;                  /* on `to`, by signal */
    char last[SWAP_TEXT_ROOM]; /* what the control file said last */
    uint64_t next_look;        /* atomic: ns */
    uint32_t ticks;            /* atomic, and lost ones do not matter */
    char to[SWAP_TEXT_ROOM];
    char file[SWAP_TEXT_ROOM];
} swap_host;

struct swap_malloc {
    hm_layer_malloc layer; /* inner is not used: see current */
    swap_host *host;
    swap_malloc *next; /* guarded by the host's lock, as the next */
    swap_malloc *previous;
    swap_slot *fresh;   /* made for a swap that is under way */
    swap_slot *current; /* atomic */
    hm_lock lock; /* guards slots' inner, states, and calls that are about all of them */
    swap_slot *slots;
    int closed;
    uint32_t counts;      /* 0: nothing below is counted */
    uint64_t limit;       /* requested bytes; 0 none */
    uint64_t live_blocks; /* atomic, as all below */
    uint64_t live_bytes;
    uint64_t peak_bytes;
    uint64_t total_blocks;
    uint64_t total_bytes;
    uint64_t denied;
    uint64_t failed;
    uint32_t flags; /* to ask for */
    char name[SWAP_NAME_ROOM];
};

/* A block of this layer, as its note says. */
typedef struct swap_block {
    swap_slot *slot;
    char *raw;     /* the inner block */
    size_t offset; /* of the user's bytes in it */
    size_t bytes;  /* asked for */
} swap_block;

/* swap_slot.c */
void hm__swap_slots_begin(const hm_core *core);
void hm__swap_slots_lock(void); /* around fork: the last lock there is */
void hm__swap_slots_unlock(void);
/* A slot that holds inner, not yet current; NULL: no memory. The malloc's lock is held, or nobody knows it yet. */
swap_slot *hm__swap_slot_take(swap_malloc *m, hm_malloc *inner);
void hm__swap_slots_drop(swap_malloc *m); /* with their inner mallocs */
swap_slot *hm__swap_pin(swap_malloc *m);  /* the current one, one more held */
void hm__swap_unpin(swap_slot *slot);  /* one less: a block has gone, or did not come */
void hm__swap_retire(swap_slot *slot); /* it was current until now */
int hm__swap_is_waiting(const swap_slot *slot);
int64_t hm__swap_held(const swap_slot *slot);

void *hm__swap_note_write(swap_slot *slot, void *raw, size_t bytes, size_t offset);
/* 1: user is a block of a slot, and where it stands. Reads the 16 bytes before it. */
int hm__swap_note_read(const void *user, swap_block *out);
void hm__swap_note_spoil(void *user); /* and again to mend */
/* As note_read, for a block of m; an exact malloc's host is asked before anything is read. */
int hm__swap_find(swap_malloc *m, const void *user, swap_block *out);

/* What the host underneath is asked for: a block of zero bytes has one, its usable bytes are not 0. */
static inline size_t hm__swap_room(size_t bytes, size_t offset)
{
    return offset + (bytes ? bytes : 1);
}

static inline swap_malloc *hm__swap_from(hm_malloc *self)
{
    return (swap_malloc *)self; /* layer is the first member, base is its first */
}

/* Answers for its blocks, as HM_MALLOC_DEBUG and EXACT promise. */
static inline int hm__swap_is_exact(const hm_malloc *self)
{
    return (self->flags & (HM_MALLOC_DEBUG | HM_MALLOC_EXACT)) != 0;
}

/* swap_malloc.c, swap_query.c */
void hm__swap_tables(const hm_core *core);
void hm__swap_query_slots(const hm_core *core, hm_malloc_vtbl *table);
hm_status hm__swap_create_malloc(hm_host *self,
                                 const hm_malloc_opts *opts,
                                 hm_malloc **out,
                                 hm_error *err);
hm_status
hm__swap_inner(const swap_malloc *m, hm_host *host, hm_malloc **out, hm_error *err);

/* swap.c */
hm_status hm__swap_to(swap_host *host, const char *spec, hm_error *err);

/* swap_watch.c */
hm_status hm__swap_watch(const hm_core *core,
                         swap_host *host,
                         const char *signal_name,
                         hm_error *err);
void hm__swap_look(const hm_core *core, swap_host *host, int at_once);

#endif
