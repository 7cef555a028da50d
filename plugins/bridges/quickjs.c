/* SPDX-License-Identifier: MIT */
/* The QuickJS bridge: blocks that know their own size, because QuickJS asks for it by the address alone. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/quickjs.h>

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

typedef struct front {
    alignas(max_align_t) size_t size; /* as asked for, without the front */
} front;

HM_STATIC_ASSERT(sizeof(front) <= HM_QUICKJS_OVERHEAD &&
                     HM_QUICKJS_OVERHEAD % alignof(max_align_t) == 0,
                 "the block behind it keeps the alignment of the front");

static hm_site block_site = {"quickjs:block", NULL, 0, 0};

static front *front_of(const void *block)
{
    return (front *)((uintptr_t)block - HM_QUICKJS_OVERHEAD);
}

static void *behind(front *made, size_t size)
{
    if (!made) {
        return NULL;
    }
    made->size = size;
    return (char *)made + HM_QUICKJS_OVERHEAD;
}

static int fits(size_t size)
{
    return size > 0 && size <= SIZE_MAX - HM_QUICKJS_OVERHEAD;
}

void *hm_quickjs_alloc(hm_malloc *m, size_t size)
{
    return fits(size) ? behind(hm_alloc_at(m, size + HM_QUICKJS_OVERHEAD,
                                           HM_LEVEL_CURRENT, &block_site),
                               size)
                      : NULL;
}

void *hm_quickjs_calloc(hm_malloc *m, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) {
        return NULL;
    }
    const size_t bytes = count * size;
    return fits(bytes) ? behind(hm_alloc_zeroed_at(m, 1, bytes + HM_QUICKJS_OVERHEAD,
                                                   HM_LEVEL_CURRENT, &block_site),
                                bytes)
                       : NULL;
}

size_t hm_quickjs_size(const void *block)
{
    return block ? front_of(block)->size : 0;
}

void hm_quickjs_free(hm_malloc *m, void *block)
{
    if (block) {
        hm_free_sized_at(m, front_of(block), front_of(block)->size + HM_QUICKJS_OVERHEAD,
                         &block_site);
    }
}

void *hm_quickjs_realloc(hm_malloc *m, void *block, size_t size)
{
    if (!block) {
        return hm_quickjs_alloc(m, size);
    }
    if (!size) {
        hm_quickjs_free(m, block);
        return NULL;
    }
    return fits(size)
               ? behind(hm_realloc_at(m, front_of(block),
                                      front_of(block)->size + HM_QUICKJS_OVERHEAD,
                                      size + HM_QUICKJS_OVERHEAD, HM_LEVEL_CURRENT, NULL),
                        size)
               : NULL;
}
