/* SPDX-License-Identifier: MIT */
/* One-word locks, thread numbers and what happens around fork().
 *
 * Lock order, outermost first: runtime, clients, registry, hosts (debug, wrap), trees, site table, virtual memory, memory. A
 * thread that holds one may take those to its right only. Fork takes them in this order. */
#ifndef HM_CORE_LOCK_INTERNAL_H
#define HM_CORE_LOCK_INTERNAL_H

#include <hostmalloc/module.h>

void hm__lock(hm_lock *lock);
void hm__unlock(hm_lock *lock);
void hm__lock_reset(hm_lock *lock); /* in the child of a fork: nobody holds it */

uint32_t hm__thread_id(void);

/* Ranks of the core's own hooks; see hm_fork_hooks. */
#define HM__FORK_RUNTIME  100
#define HM__FORK_CLIENT   150
#define HM__FORK_REGISTRY 200
#define HM__FORK_PRESSURE 300
#define HM__FORK_WRAP     1500
#define HM__FORK_TREE     8500
#define HM__FORK_SITE     9000
#define HM__FORK_VIRTUAL  9050
#define HM__FORK_GUARD    9070
#define HM__FORK_MEMORY   9100
void hm__at_fork(
    hm_fork_hooks *hooks); /* hooks that are there already are left as they are */

/* Before the first use of what the hooks guard; known is set only once they are in place. */
static inline void hm__at_fork_once(uint32_t *known, hm_fork_hooks *hooks)
{
    if (!__atomic_load_n(known, __ATOMIC_ACQUIRE)) {
        hm__at_fork(hooks);
        __atomic_store_n(known, 1, __ATOMIC_RELEASE);
    }
}

#endif
