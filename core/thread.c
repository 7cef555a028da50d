/* SPDX-License-Identifier: MIT */
/* Small numbers for threads, given once and never again. */
#include "lock_internal.h"

static _Thread_local uint32_t own_id;
static uint32_t last_id; /* atomic */

uint32_t hm__thread_id(void)
{
    if (own_id == 0) {
        own_id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
    }
    return own_id;
}
