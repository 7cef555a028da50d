/* SPDX-License-Identifier: MIT */
/* The steps of the slow path. */
#ifndef HM_DEBUG_STEP_INTERNAL_H
#define HM_DEBUG_STEP_INTERNAL_H

#include "finding_internal.h"
#include "ledger_internal.h"

static inline int hm__debug_is_shared(const debug_malloc *m)
{
    return (m->base.flags & HM_MALLOC_THREADSAFE) != 0;
}

debug_book *hm__debug_book_find(debug_malloc *m); /* made if need be; NULL: no memory */
debug_tally *hm__debug_tally_find(debug_book *book, uint32_t site); /* likewise */
uint64_t hm__debug_thread_low(void);
uint32_t hm__debug_site_number(hm_site *site); /* 0 where headers have no room for it */

/* Room for more bytes under the limit, counted when the malloc is thread-safe; and given up again. */
int hm__debug_limit_take(debug_malloc *m, const debug_book *book, size_t more);
void hm__debug_limit_give(debug_malloc *m, size_t bytes);

/* Returns who is inside already, if that is the calling thread: leave puts that back. */
uint32_t hm__debug_step_enter(debug_malloc *m, hm_site *site);
void hm__debug_step_leave(debug_malloc *m, uint32_t before);

/* Memory for a block, with its place in the map; NULL: none. */
void *hm__debug_block_reserve(debug_malloc *m,
                              size_t size,
                              size_t alignment,
                              hm_level level,
                              int zeroed,
                              void **base);

/* Who counts, and for which site. */
typedef struct debug_account {
    debug_book *book;
    debug_tally *tally;
    uint32_t site;
} debug_account;

/* Count it and write its edges; it is the user's once the map says LIVE. */
void hm__debug_block_seal(debug_malloc *m,
                          const debug_account *account,
                          void *block,
                          void *base,
                          size_t size,
                          size_t alignment);

void hm__debug_count_out(debug_malloc *m, uint32_t site, size_t bytes);
void hm__debug_block_retire(debug_malloc *m,
                            void *block,
                            const debug_shape *shape,
                            uint32_t site);
void hm__debug_block_withdraw(debug_malloc *m,
                              const void *block,
                              const debug_facts *facts);

typedef struct debug_claim_opts {
    size_t size;
    size_t alignment;
    unsigned act; /* DEBUG_ACT_* */
    unsigned to;  /* DEBUG_FREED or DEBUG_MOVING */
    int claimed;  /* in state `to` already, by the caller */
    hm_site *site;
    unsigned from; /* what it was: DEBUG_LIVE or DEBUG_IGNORED */
} debug_claim_opts;

hm_status hm__debug_block_claim(debug_malloc *m,
                                void *block,
                                debug_claim_opts *opts,
                                debug_shape *shape);

#endif
