/* SPDX-License-Identifier: MIT */
/* Reading headers of blocks that are not one's own, while others give theirs back to inner mallocs.
 *
 * Whoever gives blocks back says so first (evicting) and then looks for walkers, who read headers of blocks not their own. No
 * barrier is between the two: a walker makes all other threads pass one (hm__os_barrier_others) after it has said that it
 * walks, then waits for those that had said so before. Where the system has no such call, walkers is never 0, and
 * everybody takes the way with a barrier. */
#ifndef HM_DEBUG_WALK_INTERNAL_H
#define HM_DEBUG_WALK_INTERNAL_H

#include "debug_internal.h"

/* In debug_process.walkers. */
#define DEBUG_WALK_ON     1u /* blocks must stay where they are */
#define DEBUG_WALK_FENCED 2u /* hm__os_barrier_others does not work here */

/* Around anything that gives memory of blocks back to an inner malloc. Whoever walks says nothing: nobody else does meanwhile, and
   the book may be another thread's. */
void hm__debug_evict_enter(debug_book *book);
void hm__debug_evict_leave(debug_book *book);
/* The same in a hurry. 1: entered. 0: somebody walks, or barriers are needed; ask hm__debug_evict_enter. */
DEBUG_INLINE int hm__debug_evict_try(debug_book *book)
{
    DEBUG_ADD(book->evicting, 1u);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (DEBUG_RARE(DEBUG_GET(hm__debug.walkers) != 0)) {
        DEBUG_ADD(book->evicting, -1u);
        return 0;
    }
    return 1;
}
DEBUG_INLINE void hm__debug_evict_done(debug_book *book)
{
    DEBUG_ADD_LAST(book->evicting, -1u);
}
/* In the child of a fork: nobody else waits for a walk to end. */
void hm__debug_walk_child(void);
/* The calling thread is the one that gives blocks of this book back. */
int hm__debug_evicts_here(const debug_book *book);

#endif
