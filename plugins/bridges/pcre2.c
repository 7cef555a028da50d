/* SPDX-License-Identifier: MIT */
/* The PCRE2 bridge: two functions whose user data, which comes last, is the malloc. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/pcre2.h>

static hm_site block_site = {"pcre2:block", NULL, 0, 0};

void *hm_pcre2_alloc(size_t size, void *m)
{
    return hm_alloc_at(m, size, HM_LEVEL_CURRENT, &block_site);
}

void hm_pcre2_free(void *block, void *m)
{
    hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, &block_site);
}
