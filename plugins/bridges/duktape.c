/* SPDX-License-Identifier: MIT */
/* The Duktape bridge: three functions whose user data is the malloc. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/duktape.h>

static hm_site block_site = {"duktape:block", NULL, 0, 0};

void *hm_duktape_alloc(void *m, size_t size)
{
    return size ? hm_alloc_at(m, size, HM_LEVEL_CURRENT, &block_site) : NULL;
}

void hm_duktape_free(void *m, void *block)
{
    hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, &block_site);
}

void *hm_duktape_realloc(void *m, void *block, size_t size)
{
    if (!block) {
        return hm_duktape_alloc(m, size);
    }
    if (!size) {
        hm_duktape_free(m, block);
        return NULL;
    }
    return hm_realloc_at(m, block, HM_SIZE_UNKNOWN, size, HM_LEVEL_CURRENT, NULL);
}
