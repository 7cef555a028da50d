/* SPDX-License-Identifier: MIT */
/* The bridge under a real Vulkan, on every host: a driver that needs no device (Mesa's lavapipe), which the environment
 * names. Instances, devices, buffers and recorded commands, and each allocation of what runs failing once. */
#include <hostmalloc/bridges/vulkan.h>

#include <vulkan/vulkan.h>

#include "over_hosts.h"

#define BUFFERS  500
#define COMMANDS 40
#define BYTES    4096

typedef struct scene {
    VkAllocationCallbacks callbacks;
    const VkAllocationCallbacks *memory; /* NULL: Vulkan's own */
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
} scene;

static void scene_close(scene *all)
{
    if (all->device) {
        vkDestroyDevice(all->device, all->memory);
    }
    if (all->instance) {
        vkDestroyInstance(all->instance, all->memory);
    }
}

static int scene_open(scene *all, hm_malloc *m)
{
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {.sType =
                                               VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkDeviceCreateInfo device = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                       .queueCreateInfoCount = 1,
                                       .pQueueCreateInfos = &queue};
    const VkInstanceCreateInfo instance = {.sType =
                                               VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
    uint32_t count = 1;
    memset(all, 0, sizeof(*all));
    if (m) {
        all->callbacks = hm_vulkan_callbacks(m);
        all->memory = &all->callbacks;
    }
    if (vkCreateInstance(&instance, all->memory, &all->instance) == VK_SUCCESS &&
        vkEnumeratePhysicalDevices(all->instance, &count, &all->physical) >= 0 &&
        count == 1 &&
        vkCreateDevice(all->physical, &device, all->memory, &all->device) == VK_SUCCESS) {
        vkGetDeviceQueue(all->device, 0, 0, &all->queue);
        return 1;
    }
    return 0;
}

static VkBuffer make_buffer(const scene *all)
{
    VkBuffer made = VK_NULL_HANDLE;
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = BYTES,
                                     .usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_DST_BIT};
    return vkCreateBuffer(all->device, &info, all->memory, &made) == VK_SUCCESS
               ? made
               : VK_NULL_HANDLE;
}

static VkDeviceMemory back_buffer(const scene *all, VkBuffer buffer)
{
    VkMemoryRequirements needs;
    VkDeviceMemory made = VK_NULL_HANDLE;
    vkGetBufferMemoryRequirements(all->device, buffer, &needs);
    const VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                       .allocationSize = needs.size};
    if (vkAllocateMemory(all->device, &info, all->memory, &made) != VK_SUCCESS) {
        return VK_NULL_HANDLE;
    }
    if (vkBindBufferMemory(all->device, buffer, made, 0) != VK_SUCCESS) {
        vkFreeMemory(all->device, made, all->memory);
        return VK_NULL_HANDLE;
    }
    return made;
}

/* Fills a buffer in pieces, copies some over others, and answers what is in it then. */
static uint64_t compute(const scene *all, VkCommandPool pool, VkBuffer buffer)
{
    VkCommandBuffer commands;
    const VkCommandBufferAllocateInfo allocate = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = pool,
        .commandBufferCount = 1};
    const VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    if (vkAllocateCommandBuffers(all->device, &allocate, &commands) != VK_SUCCESS) {
        return 0;
    }
    int ran = vkBeginCommandBuffer(commands, &begin) == VK_SUCCESS;
    for (uint32_t i = 0; ran && i < COMMANDS; i++) {
        const VkBufferCopy copy = {i * 16, BYTES - 64 - i * 16, 16};
        vkCmdFillBuffer(commands, buffer, i * 64, 64, i * 2654435761u);
        vkCmdCopyBuffer(commands, buffer, buffer, 1, &copy);
    }
    const VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                 .commandBufferCount = 1,
                                 .pCommandBuffers = &commands};
    ran = ran && vkEndCommandBuffer(commands) == VK_SUCCESS &&
          vkQueueSubmit(all->queue, 1, &submit, VK_NULL_HANDLE) == VK_SUCCESS &&
          vkQueueWaitIdle(all->queue) == VK_SUCCESS;
    vkFreeCommandBuffers(all->device, pool, 1, &commands);
    return (uint64_t)ran;
}

static uint64_t fill(const scene *all)
{
    VkCommandPool pool = VK_NULL_HANDLE;
    const VkCommandPoolCreateInfo info = {.sType =
                                              VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
    void *bytes;
    uint64_t digest = 0;
    const VkBuffer buffer = make_buffer(all);
    const VkDeviceMemory backing = buffer ? back_buffer(all, buffer) : VK_NULL_HANDLE;
    if (backing &&
        vkCreateCommandPool(all->device, &info, all->memory, &pool) == VK_SUCCESS &&
        compute(all, pool, buffer) &&
        vkMapMemory(all->device, backing, 0, BYTES, 0, &bytes) == VK_SUCCESS) {
        digest = work_digest(WORK_DIGEST, bytes, COMMANDS * 64);
        vkUnmapMemory(all->device, backing);
    }
    vkDestroyCommandPool(all->device, pool, all->memory);
    vkDestroyBuffer(all->device, buffer, all->memory);
    vkFreeMemory(all->device, backing, all->memory);
    return digest;
}

static uint64_t work(hm_malloc *m)
{
    static VkBuffer buffers[BUFFERS];
    scene all;
    uint64_t digest = 0;
    if (scene_open(&all, m)) {
        for (int i = 0; i < BUFFERS; i++) {
            buffers[i] = make_buffer(&all);
        }
        digest = fill(&all);
        for (int i = 0; i < BUFFERS; i++) {
            vkDestroyBuffer(all.device, buffers[i], all.memory);
        }
    }
    scene_close(&all);
    return digest;
}

static void vulkan__works_as_ever(void **state)
{
    (void)state;
    assert_int_not_equal(work(NULL), 0);
    work_everywhere("vulkan", work,
                    WORK_NOT_FAILED | HM_MALLOC_THREADSAFE); /* see next */
}

/* Without recorded commands, for which lavapipe reads through NULL where there was no memory. */
static int survive(void *context)
{
    const scene *const all = context;
    const VkCommandPoolCreateInfo info = {.sType =
                                              VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
    const VkFenceCreateInfo fence_info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VkCommandPool pool = VK_NULL_HANDLE;
    VkFence fence = VK_NULL_HANDLE;
    const VkBuffer buffer = make_buffer(all);
    const VkDeviceMemory backing = buffer ? back_buffer(all, buffer) : VK_NULL_HANDLE;
    if (vkCreateCommandPool(all->device, &info, all->memory, &pool) == VK_SUCCESS) {
        const VkCommandBufferAllocateInfo allocate = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
            .commandPool = pool,
            .commandBufferCount = 3};
        VkCommandBuffer commands[3];
        if (vkAllocateCommandBuffers(all->device, &allocate, commands) == VK_SUCCESS) {
            vkFreeCommandBuffers(all->device, pool, 3, commands);
        }
        vkDestroyCommandPool(all->device, pool, all->memory);
    }
    if (vkCreateFence(all->device, &fence_info, all->memory, &fence) == VK_SUCCESS) {
        vkDestroyFence(all->device, fence, all->memory);
    }
    vkDestroyBuffer(all->device, buffer, all->memory);
    vkFreeMemory(all->device, backing, all->memory);
    return 0;
}

/* What runs on a device; the loader and the drivers are not all up to failures while they start. */
static void vulkan__every_allocation_fails(void **state)
{
    hm_host *host;
    hm_malloc *m;
    hm_fault_count last;
    scene all;
    hm_stats stats;
    (void)state;
    assert_int_equal(hm_host_open("fault+debug", &host, NULL), HM_OK);
    assert_int_equal(
        hm_host_create_malloc(host, "vulkan", HM_MALLOC_THREADSAFE, &m, NULL), HM_OK);
    assert_true(scene_open(&all, m));
    assert_int_equal(hm_fault_sweep(host, NULL, survive, &all, &last), HM_OK);
    assert_true(last.counted >= 6);
    assert_int_not_equal(fill(&all), 0);
    scene_close(&all);
    assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
    assert_int_equal(stats.live_blocks, 0);
    hm_malloc_release(m);
    hm_host_release(host);
}

/* A device that was not destroyed is found by how long its blocks were meant to live. */
static int count_scopes(void *context, const hm_block *block)
{
    static const char *const names[] = {"vulkan:command", "vulkan:object", "vulkan:cache",
                                        "vulkan:device", "vulkan:instance"};
    for (size_t i = 0; i < COUNT(names); i++) {
        ((int *)context)[i] += strcmp(block->site->file, names[i]) == 0;
    }
    return 0;
}

static void vulkan__sites_are_scopes(void **state)
{
    hm_host *host;
    hm_malloc *m;
    scene all;
    int live[5] = {0};
    (void)state;
    assert_int_equal(hm_host_open("debug", &host, NULL), HM_OK);
    assert_int_equal(
        hm_host_create_malloc(host, "vulkan", HM_MALLOC_THREADSAFE, &m, NULL), HM_OK);
    assert_true(scene_open(&all, m));
    const VkBuffer buffer = make_buffer(&all);
    assert_int_equal(hm_walk(m, count_scopes, live), HM_OK);
    assert_int_equal(live[0], 0);
    assert_true(live[1] > 0 && live[3] > 0 && live[4] > 0);
    vkDestroyBuffer(all.device, buffer, all.memory);
    scene_close(&all);
    memset(live, 0, sizeof(live));
    assert_int_equal(hm_walk(m, count_scopes, live), HM_OK);
    assert_int_equal(live[0] + live[1] + live[2] + live[3] + live[4], 0);
    hm_malloc_release(m);
    hm_host_release(host);
}

/* The rules of the three functions, at their edges, as a driver might ask. */
static uint64_t edges(hm_malloc *m)
{
    static const size_t alignments[] = {1, 2, 8, 16, 64, 4096};
    if (!m) {
        return 1;
    }
    const VkAllocationCallbacks memory = hm_vulkan_callbacks(m);
    for (size_t i = 0; i < COUNT(alignments); i++) {
        const size_t a = alignments[i];
        unsigned char *block = memory.pfnReallocation(m, NULL, 100, a, 1);
        assert_int_equal((uintptr_t)block % (a > 8 ? a : 8), 0);
        memset(block, 5, 100);
        block = memory.pfnReallocation(m, block, 10000, a, 1);
        assert_int_equal((uintptr_t)block % (a > 8 ? a : 8), 0);
        assert_true(block[0] == 5 && block[99] == 5);
        assert_null(memory.pfnReallocation(m, block, SIZE_MAX, a, 1));
        assert_null(memory.pfnReallocation(m, block, SIZE_MAX - 100, a, 1));
        assert_true(block[0] == 5 && block[99] == 5); /* and stays */
        assert_null(memory.pfnReallocation(m, block, 0, a, 1));
    }
    assert_null(memory.pfnReallocation(m, NULL, 0, 8, 1));
    assert_null(memory.pfnAllocation(m, SIZE_MAX, 8, 0));
    assert_null(memory.pfnAllocation(m, 8, 0, 0));
    assert_null(memory.pfnAllocation(m, 8, 3, 0));
    assert_null(memory.pfnAllocation(m, 8, 24, 0));
    void *const empty = memory.pfnAllocation(m, 0, 1, 77);
    assert_non_null(empty); /* NULL would be a failure */
    memory.pfnFree(m, empty);
    memory.pfnFree(m, NULL);
    return 1;
}

static void vulkan__edges(void **state)
{
    hm_host *host;
    hm_malloc *m;
    (void)state;
    work_everywhere("edges", edges, WORK_NOT_FAILED);
    /* A mistake to the debug host, and no memory to any. */
    assert_int_equal(hm_host_open("default", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, "edges", 0, &m, NULL), HM_OK);
    const VkAllocationCallbacks memory = hm_vulkan_callbacks(m);
    assert_null(memory.pfnAllocation(m, 8, SIZE_MAX / 2 + 1, 0));
    hm_malloc_release(m);
    hm_host_release(host);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(vulkan__works_as_ever),
        cmocka_unit_test(vulkan__every_allocation_fails),
        cmocka_unit_test(vulkan__sites_are_scopes), cmocka_unit_test(vulkan__edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
