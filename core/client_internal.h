/* SPDX-License-Identifier: MIT */
/* Clients: what their files share, and what runtimes and clients ask of each other.
 *
 * A client's struct is kept for good and used again, so a key is judged by looking at one that is surely there. Each has
 * its own lock, under which no foreign code runs but the visitor of a walk; calls under way are counted, and the
 * last one out of a closed client takes it down. Lock order: the list of clients, one client; both before any host. */
#ifndef HM_CORE_CLIENT_INTERNAL_H
#define HM_CORE_CLIENT_INTERNAL_H

#include <hostmalloc/client.h>
#include <hostmalloc/module.h>

#include "os.h"

#define HM__CLIENT_FIRST_BUCKETS 16

/* A live block, or a place for one. */
typedef struct hm__client_block {
    struct hm__client_block *chain; /* the next in its bucket */
    struct hm__client_block *newer, *older;
    void *address;
    size_t bytes;
    uint64_t serial;
    uint32_t site; /* its number; 0 none */
    uint32_t thread;
} hm__client_block;

/* By address, and by age. Guarded by the client's lock. */
typedef struct hm__client_blocks {
    hm__client_block **buckets; /* bucket_count; first, or private memory */
    size_t bucket_count;        /* a power of two */
    size_t count;
    hm__client_block *newest;
    hm__client_block *first[HM__CLIENT_FIRST_BUCKETS];
} hm__client_blocks;

typedef struct hm__client {
    hm_lock lock;      /* guards all but index */
    hm_lock host_lock; /* around calls of the malloc, where it wants that; before lock */
    uint32_t index;
    uint32_t calls;  /* under way */
    uint32_t serial; /* the malloc wants one call at a time */
    uint32_t stopped;
    uint32_t closed;
    uint32_t reclaims;
    hm_client_key key; /* 0 while nobody's */
    uintptr_t uses;    /* how often this struct was a client */
    hm_runtime *runtime;
    hm_malloc *malloc_object; /* one reference */
    hm__os_guard *guard;      /* of what runs; NULL */
    size_t budget;
    size_t held;          /* of the budget, calls under way included */
    size_t moving_blocks; /* that a realloc has in hand */
    size_t moving_bytes;
    hm_stats stats;
    hm__client_blocks blocks;
    struct hm__client *next_free; /* guarded by the list's lock */
    char name[64];
} hm__client;

/* client_blocks.c; all but _free under the client's lock. A fresh set is all zero. */
void hm__client_blocks_add(hm__client_blocks *set, hm__client_block *block);
hm__client_block *hm__client_blocks_find(const hm__client_blocks *set,
                                         const void *address);
/* Take one out; NULL: not here. */
hm__client_block *hm__client_blocks_take(hm__client_blocks *set, const void *address);
/* Take all out; by older from what is answered. */
hm__client_block *hm__client_blocks_take_all(hm__client_blocks *set);
void hm__client_blocks_free(hm__client_blocks *set);

/* client_memory.c: around calls of its malloc, with c locked before and after, and not in between. */
void hm__client_host_begin(hm__client *c);
void hm__client_host_end(hm__client *c);
hm_block hm__client_block_shown(const hm__client_block *block); /* with c locked */

/* client.c: the client with this key, locked, with a call counted; NULL: there is none. */
hm__client *hm__client_enter(hm_client_key key);
/* With it locked: the call is over, and with it the client when that was closed. Unlocks. */
void hm__client_leave(hm__client *c);

/* Close every client of a runtime that closes, adding what they owned to leaks. */
void hm__client_close_all(const hm_runtime *rt, hm_leaks *leaks);

/* runtime.c: a client of rt is about to be; *host is the host it gets memory from, referenced. From now on the host does
   not change. HM_E_CLOSED. After HM_OK rt stays until hm__runtime_joined. */
hm_status hm__runtime_join(hm_runtime *rt, hm_host **host, hm_error *err);

/* Whatever came of it: a NULL c came to nothing. Else enlist is called while rt cannot begin to close, so that whoever closes it
   finds the client; HM_E_CLOSED, and it was not called: it closes already. */
hm_status hm__runtime_joined(hm_runtime *rt,
                             hm__client *c,
                             hm_client_key (*enlist)(hm__client *c, hm_runtime *rt),
                             hm_client_key *key,
                             hm_error *err);

#endif
