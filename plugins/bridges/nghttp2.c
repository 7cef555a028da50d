/* SPDX-License-Identifier: MIT */
/* The nghttp2 bridge: four functions whose user data, which comes last, is the malloc. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/nghttp2.h>

static hm_site block_site = {"nghttp2:block", NULL, 0, 0};

void *hm_nghttp2_alloc(size_t size, void *m)
{
    return hm_alloc_at(m, size, HM_LEVEL_CURRENT, &block_site);
}

void hm_nghttp2_free(void *block, void *m)
{
    hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, &block_site);
}

void *hm_nghttp2_alloc_zeroed(size_t count, size_t size, void *m)
{
    return hm_alloc_zeroed_at(m, count, size, HM_LEVEL_CURRENT, &block_site);
}

void *hm_nghttp2_realloc(void *block, size_t size, void *m)
{
    return block ? hm_realloc_at(m, block, HM_SIZE_UNKNOWN, size, HM_LEVEL_CURRENT, NULL)
                 : hm_nghttp2_alloc(size, m);
}
