/* SPDX-License-Identifier: MIT */
/**
 * @file vulkan.h
 * @brief The bridge to Vulkan: what the loader and a driver take on the host's side, from a malloc.
 *
 *     const VkAllocationCallbacks memory = hm_vulkan_callbacks(m);
 *     vkCreateInstance(&info, &memory, &instance);
 *     ... vkDestroyInstance(instance, &memory);
 *
 * Scope of the hook: one call; what is created with callbacks is destroyed with the same.
 * Window: each call of its own.
 * What Vulkan does not tell: sizes at the free, and who asks. It tells an alignment and how long a block is meant to live
 * (VkSystemAllocationScope), which is the block's site ("vulkan:object") and hm_request.scope.
 *
 * Memory of the device (vkAllocateMemory) is not in it, nor executable memory and whatever else a driver takes by itself.
 * The malloc stays the caller's, must be HM_MALLOC_THREADSAFE unless all is done from one thread, and must outlive all
 * that was made with it. A refused allocation is VK_ERROR_OUT_OF_HOST_MEMORY.
 * Stable since 1.0.
 */
#ifndef HM_BRIDGES_VULKAN_H
#define HM_BRIDGES_VULKAN_H

#include <hostmalloc/malloc.h>

HM_BEGIN_DECLS

/* The hooks without Vulkan's types. @p alignment is a power of two, else NULL. @p scope as VkSystemAllocationScope.
   Realloc to zero bytes frees and answers NULL; the alignment must be the block's own. @threads as the malloc's */
void *hm_vulkan_alloc(hm_malloc *m, size_t size, size_t alignment, uint32_t scope);
void *hm_vulkan_realloc(
    hm_malloc *m, void *block, size_t size, size_t alignment, uint32_t scope);
void hm_vulkan_free(hm_malloc *m, void *block);

HM_END_DECLS

#ifndef HM_BRIDGE_PLAIN

#include <vulkan/vulkan_core.h>

static inline void *VKAPI_PTR hm__vulkan_alloc(void *m,
                                               size_t size,
                                               size_t alignment,
                                               VkSystemAllocationScope scope)
{
    return hm_vulkan_alloc((hm_malloc *)m, size, alignment, (uint32_t)scope);
}

static inline void *VKAPI_PTR hm__vulkan_realloc(
    void *m, void *block, size_t size, size_t alignment, VkSystemAllocationScope scope)
{
    return hm_vulkan_realloc((hm_malloc *)m, block, size, alignment, (uint32_t)scope);
}

static inline void VKAPI_PTR hm__vulkan_free(void *m, void *block)
{
    hm_vulkan_free((hm_malloc *)m, block);
}

/** For every vkCreate and vkDestroy; may be copied, and need not outlive the call. @threads any */
static inline VkAllocationCallbacks hm_vulkan_callbacks(hm_malloc *m)
{
    const VkAllocationCallbacks made = {m,
                                        hm__vulkan_alloc,
                                        hm__vulkan_realloc,
                                        hm__vulkan_free,
                                        (PFN_vkInternalAllocationNotification)0,
                                        (PFN_vkInternalFreeNotification)0};
    return made;
}

#endif

#endif
