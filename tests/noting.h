/* SPDX-License-Identifier: MIT */
/* A malloc and a host that write down how they were called; for one file, which checks the notes. */
#ifndef HM_TESTS_NOTING_H
#define HM_TESTS_NOTING_H

#include <hostmalloc/host.h>
#include <stdio.h>

#include "check.h"

/* The last call that reached the inner object: its name and arguments, in order. */
static char last_call[256];
static int inner_references;
static int inner_host_references;

#define CALLED(...) ((void)snprintf(last_call, sizeof(last_call), __VA_ARGS__))
#define SOMEWHERE   ((void *)(uintptr_t)0x1000)
#define BLOCK       ((void *)(uintptr_t)0x2000)

static void note_retain(hm_malloc *self)
{
    (void)self;
    inner_references++;
}

static void note_release(hm_malloc *self)
{
    (void)self;
    inner_references--;
}

static void *note_alloc(hm_malloc *self, size_t size, hm_level level)
{
    (void)self;
    CALLED("alloc %zu %d", size, level);
    return SOMEWHERE;
}

static void note_free(hm_malloc *self, void *block)
{
    (void)self;
    CALLED("free %p", block);
}

static void note_free_sized(hm_malloc *self, void *block, size_t size)
{
    (void)self;
    CALLED("free_sized %p %zu", block, size);
}

static void *note_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    (void)self;
    CALLED("debug_alloc %zu %d %p", size, level, (void *)site);
    return SOMEWHERE;
}

static hm_status note_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    (void)self;
    CALLED("debug_free %p %zu %zu %p", block, size, alignment, (void *)site);
    return HM_E_CORRUPT;
}

static void *note_realloc(hm_malloc *self,
                          void *block,
                          size_t old_size,
                          size_t size,
                          hm_level level,
                          hm_site *site)
{
    (void)self;
    CALLED("realloc %p %zu %zu %d %p", block, old_size, size, level, (void *)site);
    return SOMEWHERE;
}

static void *note_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    (void)self;
    CALLED("alloc_zeroed %zu %zu %d %p", count, size, level, (void *)site);
    return SOMEWHERE;
}

static void *note_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    (void)self;
    CALLED("alloc_aligned %zu %zu %d %p", size, alignment, level, (void *)site);
    return SOMEWHERE;
}

static hm_status note_request(hm_malloc *self, const hm_request *request, void **out)
{
    (void)self;
    CALLED("request %p %p", (const void *)request, (void *)out);
    return HM_E_TIMEOUT;
}

static size_t note_size_of(hm_malloc *self, const void *block)
{
    (void)self;
    CALLED("size_of %p", block);
    return 71;
}

static size_t note_good_size(hm_malloc *self, size_t size)
{
    (void)self;
    CALLED("good_size %zu", size);
    return 72;
}

static int note_owns(hm_malloc *self, const void *block)
{
    (void)self;
    CALLED("owns %p", block);
    return 73;
}

static hm_status note_describe(hm_malloc *self, const void *block, hm_block *out)
{
    (void)self;
    CALLED("describe %p %p %zu", block, (void *)out, out->size);
    return HM_E_FREED;
}

static hm_status note_walk(hm_malloc *self, hm_visit *visit, void *context)
{
    (void)self;
    CALLED("walk %d %p", visit == NULL, context);
    return HM_E_TIMEOUT;
}

static hm_status note_stats(hm_malloc *self, hm_stats *out)
{
    (void)self;
    CALLED("stats %p %zu", (void *)out, out->size);
    return HM_E_TIMEOUT;
}

static void note_trim(hm_malloc *self)
{
    (void)self;
    CALLED("trim");
}

static hm_status note_reset(hm_malloc *self)
{
    (void)self;
    CALLED("reset");
    return HM_E_TIMEOUT;
}

static void note_close(hm_malloc *self)
{
    (void)self;
    CALLED("close");
}

static hm_status note_find(hm_malloc *self, const char *interface_name, void **out)
{
    (void)self;
    CALLED("find %s %p", interface_name, (void *)out);
    return HM_E_TIMEOUT;
}

static const hm_malloc_vtbl note_vtbl = {
    .size = sizeof(hm_malloc_vtbl),
    .retain = note_retain,
    .release = note_release,
    .alloc = note_alloc,
    .free = note_free,
    .free_sized = note_free_sized,
    .debug_alloc = note_debug_alloc,
    .debug_free = note_debug_free,
    .realloc = note_realloc,
    .alloc_zeroed = note_alloc_zeroed,
    .alloc_aligned = note_alloc_aligned,
    .request = note_request,
    .size_of = note_size_of,
    .good_size = note_good_size,
    .owns = note_owns,
    .describe = note_describe,
    .walk = note_walk,
    .stats = note_stats,
    .trim = note_trim,
    .reset = note_reset,
    .close = note_close,
    .find = note_find,
};

static hm_malloc inner_malloc = {&note_vtbl, HM_MALLOC_DEBUG | HM_MALLOC_EXACT, 0};

static void note_host_retain(hm_host *self)
{
    (void)self;
    inner_host_references++;
}

static void note_host_release(hm_host *self)
{
    (void)self;
    inner_host_references--;
}

static hm_status note_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    (void)self;
    CALLED("create_malloc %p %p %p", (const void *)opts, (void *)out, (void *)err);
    return HM_E_TIMEOUT;
}

static hm_status note_virtual_alloc(hm_host *self,
                                    void *address,
                                    size_t size,
                                    uint32_t type,
                                    uint32_t protection,
                                    hm_level level,
                                    void **out)
{
    (void)self;
    CALLED("virtual_alloc %p %zu %u %u %d %p", address, size, type, protection, level,
           (void *)out);
    return HM_E_TIMEOUT;
}

static hm_status
note_virtual_free(hm_host *self, void *address, size_t size, uint32_t type)
{
    (void)self;
    CALLED("virtual_free %p %zu %u", address, size, type);
    return HM_E_TIMEOUT;
}

static hm_status note_virtual_query(hm_host *self, const void *address, hm_region *out)
{
    (void)self;
    CALLED("virtual_query %p %p %zu", address, (void *)out, out->size);
    return HM_E_TIMEOUT;
}

static hm_status note_virtual_protect(
    hm_host *self, void *address, size_t size, uint32_t protection, uint32_t *old)
{
    (void)self;
    CALLED("virtual_protect %p %zu %u %p", address, size, protection, (void *)old);
    return HM_E_TIMEOUT;
}

static hm_status note_memory_load(hm_host *self, uint32_t *percent, size_t *available)
{
    (void)self;
    CALLED("memory_load %p %p", (void *)percent, (void *)available);
    return HM_E_TIMEOUT;
}

static hm_status note_subscribe(hm_host *self, hm_notify *notify, void *context)
{
    (void)self;
    CALLED("subscribe %d %p", notify == NULL, context);
    return HM_E_TIMEOUT;
}

static hm_status note_unsubscribe(hm_host *self, hm_notify *notify, void *context)
{
    (void)self;
    CALLED("unsubscribe %d %p", notify == NULL, context);
    return HM_E_TIMEOUT;
}

static hm_status note_needs_address_space(hm_host *self, void *start, size_t size)
{
    (void)self;
    CALLED("needs %p %zu", start, size);
    return HM_E_TIMEOUT;
}

static void note_acquired_address_space(hm_host *self, void *start, size_t size)
{
    (void)self;
    CALLED("acquired %p %zu", start, size);
}

static void note_released_address_space(hm_host *self, void *start)
{
    (void)self;
    CALLED("released %p", start);
}

static hm_status note_host_find(hm_host *self, const char *interface_name, void **out)
{
    (void)self;
    CALLED("find %s %p", interface_name, (void *)out);
    return HM_E_TIMEOUT;
}

static const hm_host_vtbl note_host_vtbl = {
    .size = sizeof(hm_host_vtbl),
    .retain = note_host_retain,
    .release = note_host_release,
    .create_malloc = note_create_malloc,
    .virtual_alloc = note_virtual_alloc,
    .virtual_free = note_virtual_free,
    .virtual_query = note_virtual_query,
    .virtual_protect = note_virtual_protect,
    .memory_load = note_memory_load,
    .subscribe = note_subscribe,
    .unsubscribe = note_unsubscribe,
    .needs_address_space = note_needs_address_space,
    .acquired_address_space = note_acquired_address_space,
    .released_address_space = note_released_address_space,
    .find = note_host_find,
};

static hm_host inner_host = {&note_host_vtbl};

#endif
