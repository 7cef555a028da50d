/* SPDX-License-Identifier: MIT */
/* The FreeType bridge: three functions over a malloc that its memory object holds. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/freetype.h>

static hm_site block_site = {"freetype:block", NULL, 0, 0};

void *hm_freetype_alloc(hm_malloc *m, long size)
{
    return size > 0 ? hm_alloc_at(m, (size_t)size, HM_LEVEL_CURRENT, &block_site) : NULL;
}

void hm_freetype_free(hm_malloc *m, void *block)
{
    hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, &block_site);
}

void *hm_freetype_realloc(hm_malloc *m, long old_size, long size, void *block)
{
    if (!block) {
        return hm_freetype_alloc(m, size);
    }
    return size > 0 && old_size >= 0 ? hm_realloc_at(m, block, (size_t)old_size,
                                                     (size_t)size, HM_LEVEL_CURRENT, NULL)
                                     : NULL;
}
