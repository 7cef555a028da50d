/* SPDX-License-Identifier: MIT */
/* The Vulkan bridge: the only hook that asks for an alignment and tells how long a block is meant to live. */
#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/vulkan.h>

#define SMALLEST sizeof(void *) /* drivers ask for an alignment of 1, too */

static hm_site scope_sites[] = {
    {"vulkan:command", NULL, 0, 0},  {"vulkan:object", NULL, 0, 0},
    {"vulkan:cache", NULL, 0, 0},    {"vulkan:device", NULL, 0, 0},
    {"vulkan:instance", NULL, 0, 0}, {"vulkan:block", NULL, 0, 0}};

#define SCOPES (sizeof(scope_sites) / sizeof(scope_sites[0]) - 1)

static hm_site *site_of(uint32_t scope)
{
    return &scope_sites[scope < SCOPES ? scope : SCOPES];
}

static void *ask(hm_malloc *m,
                 void *block,
                 size_t size,
                 size_t alignment,
                 uint32_t scope,
                 hm_site *site)
{
    void *made = NULL;
    const hm_request request = {.size = sizeof(request),
                                .block = block,
                                .old_bytes = HM_SIZE_UNKNOWN,
                                .bytes = size,
                                .alignment = alignment < SMALLEST ? SMALLEST : alignment,
                                .level = HM_LEVEL_CURRENT,
                                .scope = scope,
                                .site = site};
    /* 0 would be taken for the usual alignment, and what is no power of two below the smallest for one. */
    if (alignment && !(alignment & (alignment - 1))) {
        hm_malloc_request(m, &request, &made);
    }
    return made;
}

void *hm_vulkan_alloc(hm_malloc *m, size_t size, size_t alignment, uint32_t scope)
{
    return ask(m, NULL, size, alignment, scope, site_of(scope));
}

void hm_vulkan_free(hm_malloc *m, void *block)
{
    hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, site_of(SCOPES));
}

void *hm_vulkan_realloc(
    hm_malloc *m, void *block, size_t size, size_t alignment, uint32_t scope)
{
    if (!size) {
        hm_vulkan_free(m, block);
        return NULL;
    }
    return ask(m, block, size, alignment, scope, block ? NULL : site_of(scope));
}
