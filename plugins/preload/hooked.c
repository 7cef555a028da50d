/* SPDX-License-Identifier: MIT */
/* The host that bridges are given: a layer over the one that serves the program. A library's hook is a second door into
 * the same host, so it needs the same guard as malloc() has: what the host itself causes to be allocated while it works
 * must not come in again. It is also where blocks turn up that the program took from malloc(). */
#include "serve_internal.h"

#include <hostmalloc/layer.h>

#include "inject_internal.h"
#include "startup_internal.h"
#include "thread_internal.h"

#define HOOKED_MAX 64u

static hm_malloc_vtbl malloc_vtbl;
static hm_host_vtbl host_vtbl;
static hm_malloc *hooked[HOOKED_MAX]; /* atomic; one reference each, for good */
static uint32_t hooked_count;         /* atomic */

static hm_malloc *inner_of(hm_malloc *self)
{
    return ((hm_layer_malloc *)self)->inner;
}

/* Answers what to give to leave(). A library that was just loaded is looked at first: its hook can be set only before it
   has allocated, and this may be the last call before that. */
static unsigned char enter(void)
{
    if (__builtin_expect(hm__preload_loaded, 0)) {
        hm__preload_inject_loaded();
    }
    hm__thread_may_enter();
    const unsigned char before = hm__thread_state;
    hm__thread_state = HM__THREAD_INSIDE;
    return before;
}

static void leave(unsigned char before)
{
    hm__thread_state = before;
}

static void *hooked_alloc(hm_malloc *self, size_t size, hm_level level)
{
    hm_malloc *m = inner_of(self);
    const unsigned char before = enter();
    void *block = (HM_LOAD(m->vtbl)->alloc)(m, size, level);
    leave(before);
    return block;
}

static void *
hooked_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    hm_malloc *m = inner_of(self);
    const unsigned char before = enter();
    void *block = HM_LOAD(m->vtbl)->debug_alloc(m, size, level, site);
    leave(before);
    return block;
}

static hm_status hooked_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    hm_malloc *m = inner_of(self);
    if (hm__startup_owns(block)) {
        hm__startup_free(block);
        return HM_OK;
    }
    const unsigned char before = enter();
    const hm_status status =
        HM_LOAD(m->vtbl)->debug_free(m, block, size, alignment, site);
    if (status == HM_E_NOT_OWNED) {
        hm__preload_free_stray(self, block, site);
    }
    leave(before);
    return status;
}

static void hooked_free(hm_malloc *self, void *block)
{
    hm_malloc *m = inner_of(self);
    if (hm__startup_owns(block)) {
        hm__startup_free(block);
        return;
    }
    const unsigned char before = enter();
    (HM_LOAD(m->vtbl)->free)(m, block);
    leave(before);
}

static void hooked_free_sized(hm_malloc *self, void *block, size_t size)
{
    hm_malloc *m = inner_of(self);
    if (hm__startup_owns(block)) {
        hm__startup_free(block);
        return;
    }
    const unsigned char before = enter();
    HM_LOAD(m->vtbl)->free_sized(m, block, size);
    leave(before);
}

static void *hooked_realloc(hm_malloc *self,
                            void *block,
                            size_t old_size,
                            size_t size,
                            hm_level level,
                            hm_site *site)
{
    hm_malloc *m = inner_of(self);
    const unsigned char before = enter();
    void *moved = NULL;
    if (!hm__startup_owns(block)) {
        moved = (HM_LOAD(m->vtbl)->realloc)(m, block, old_size, size, level, site);
    }
    if (!moved && block) {
        moved = hm__preload_resize_stray(self, block, size, site);
    }
    leave(before);
    return moved;
}

static void *hooked_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    hm_malloc *m = inner_of(self);
    const unsigned char before = enter();
    void *block = HM_LOAD(m->vtbl)->alloc_zeroed(m, count, size, level, site);
    leave(before);
    return block;
}

static void *hooked_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    hm_malloc *m = inner_of(self);
    const unsigned char before = enter();
    void *block = HM_LOAD(m->vtbl)->alloc_aligned(m, size, alignment, level, site);
    leave(before);
    return block;
}

static hm_status hooked_request(hm_malloc *self, const hm_request *request, void **out)
{
    hm_malloc *m = inner_of(self);
    const unsigned char before = enter();
    const hm_status status = HM_LOAD(m->vtbl)->request(m, request, out);
    leave(before);
    return status;
}

static size_t hooked_size_of(hm_malloc *self, const void *block)
{
    hm_malloc *m = inner_of(self);
    if (hm__startup_owns(block)) {
        return hm__startup_size(block);
    }
    const unsigned char before = enter();
    const size_t size = HM_LOAD(m->vtbl)->size_of(m, block);
    leave(before);
    return size;
}

hm_malloc *hm__preload_hooked(size_t index)
{
    return index < __atomic_load_n(&hooked_count, __ATOMIC_ACQUIRE)
               ? __atomic_load_n(&hooked[index], __ATOMIC_ACQUIRE)
               : NULL;
}

/* Bridges are installed one at a time, by the thread that holds the loader's lock or is alone. */
static void remember(hm_malloc *m)
{
    const uint32_t count = __atomic_load_n(&hooked_count, __ATOMIC_RELAXED);
    if (count < HOOKED_MAX) {
        hm_malloc_retain(m);
        __atomic_store_n(&hooked[count], m, __ATOMIC_RELEASE);
        __atomic_store_n(&hooked_count, count + 1, __ATOMIC_RELEASE);
    }
}

static hm_status host_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    const hm_core *core = hm_core_table();
    hm_host *inner = ((hm_layer_host *)self)->inner;
    hm_malloc *made = NULL;
    *out = NULL;
    const hm_status status = inner->vtbl->create_malloc(inner, opts, &made, err);
    if (status != HM_OK) {
        return status;
    }
    hm_layer_malloc *layer = core->memory_alloc(sizeof *layer);
    if (!layer) {
        hm_malloc_release(made);
        return core->error_set(err, HM_E_NOMEM, "preload",
                               "no memory for a malloc object");
    }
    hm_layer_malloc_init(layer, &malloc_vtbl, made, self, sizeof *layer);
    remember(&layer->base);
    *out = &layer->base;
    return HM_OK;
}

hm_host *hm__preload_hooked_host(hm_host *host)
{
    const hm_core *core = hm_core_table();
    hm_layer_host *layer = core->memory_alloc(sizeof *layer);
    if (!layer) {
        return NULL;
    }
    malloc_vtbl = *core->malloc_forward;
    malloc_vtbl.alloc = hooked_alloc;
    malloc_vtbl.free = hooked_free;
    malloc_vtbl.free_sized = hooked_free_sized;
    malloc_vtbl.debug_alloc = hooked_debug_alloc;
    malloc_vtbl.debug_free = hooked_debug_free;
    malloc_vtbl.realloc = hooked_realloc;
    malloc_vtbl.alloc_zeroed = hooked_alloc_zeroed;
    malloc_vtbl.alloc_aligned = hooked_alloc_aligned;
    malloc_vtbl.request = hooked_request;
    malloc_vtbl.size_of = hooked_size_of;
    host_vtbl = *core->host_forward;
    host_vtbl.create_malloc = host_create_malloc;
    hm_layer_host_init(layer, &host_vtbl, host, sizeof *layer);
    return &layer->base;
}
