/* SPDX-License-Identifier: MIT */
/* The mruby bridge: one function that allocates, resizes and frees, whose user data is the malloc. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/mruby.h>

static hm_site block_site = {"mruby:block", NULL, 0, 0};

void *hm_mruby_realloc(hm_malloc *m, void *block, size_t size)
{
    if (!size) {
        hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, &block_site);
        return NULL;
    }
    return block ? hm_realloc_at(m, block, HM_SIZE_UNKNOWN, size, HM_LEVEL_CURRENT, NULL)
                 : hm_alloc_at(m, size, HM_LEVEL_CURRENT, &block_site);
}
