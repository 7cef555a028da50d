/* SPDX-License-Identifier: MIT */
/* What some hosts want to know of each allocation. Mallocs of a host that is asked for such a thing get tables whose allocations
 * tell it; all others have the tables they always had. */
#include "watch_internal.h"

#include "annotate_internal.h"
#include "break_internal.h"
#include "guarded_internal.h"
#include "live_internal.h"
#include "references_internal.h"
#include "stacks_internal.h"

static hm_malloc_vtbl tables[DEBUG_KINDS]
                            [2]; /* like hm__debug_tables; written under lock once */

/* The address an allocation returns to; where compilers do not tell, stacks are unwound as a whole. */
#define CALLER ((uintptr_t)__builtin_return_address(0))

DEBUG_INLINE void *
after(debug_malloc *m, void *block, const hm_site *site, uintptr_t caller)
{
    const debug_host *host = m->host;
    if (!block) {
        return NULL;
    }
    /* Sites that had their number before, as interned ones have, never came by the slow path. */
    if (host->live && site && DEBUG_GET(site->id) > hm__debug_live_named(host->live)) {
        hm__debug_live_names(host->live);
    }
    if (host->frames) {
        hm__debug_stack_take(m, block, caller);
    }
    if (host->stop.number) {
        hm__debug_break_look(m, block);
    }
    return block;
}

static const hm_malloc_vtbl *usual(const hm_malloc *self)
{
    return hm__debug_usual((const debug_malloc *)self);
}

/* A block on pages of its own, if the host wants this one to be. */
static int is_guarded(
    debug_malloc *m, size_t size, size_t alignment, hm_site *site, int zeroed, void **out)
{
    return m->host->guarded && hm__debug_guarded_wants(m, size, site) &&
           hm__debug_guarded_alloc(m, size, alignment, site, zeroed, out);
}

DEBUG_INLINE void *alloc_watched(
    hm_malloc *self, size_t size, hm_level level, hm_site *site, uintptr_t caller)
{
    debug_malloc *m = hm__debug_from(self);
    void *block;
    if (!is_guarded(m, size, 16, site, 0, &block)) {
        block = usual(self)->debug_alloc(self, size, level, site);
    }
    return after(m, block, site, caller);
}

static void *
watch_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    return alloc_watched(self, size, level, site, CALLER);
}

static void *watch_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return alloc_watched(self, size, level, NULL, CALLER);
}

static void *watch_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    debug_malloc *m = hm__debug_from(self);
    void *fresh;
    if (block || !is_guarded(m, size, 16, site, 0, &fresh)) {
        fresh = (usual(self)->realloc)(self, block, old_size, size, level, site);
    }
    return after(m, fresh, site, CALLER);
}

static void *
watch_zeroed(hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    debug_malloc *m = hm__debug_from(self);
    const int fits = !size || count <= SIZE_MAX / size;
    void *block;
    if (!fits || !is_guarded(m, count * size, 16, site, 1, &block)) {
        block = usual(self)->alloc_zeroed(self, count, size, level, site);
    }
    return after(m, block, site, CALLER);
}

static void *watch_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    debug_malloc *m = hm__debug_from(self);
    void *block;
    if (!is_guarded(m, size, alignment, site, 0, &block)) {
        block = usual(self)->alloc_aligned(self, size, alignment, level, site);
    }
    return after(m, block, site, CALLER);
}

static void watch_retain(hm_malloc *self)
{
    if (hm__debug_from(self)->host->keeps_references) {
        hm__debug_reference_open(self, CALLER);
    }
    hm__debug_malloc_retain(self);
}

static void watch_release(hm_malloc *self)
{
    if (hm__debug_from(self)->host->keeps_references) {
        hm__debug_reference_close(self);
    }
    hm__debug_malloc_release(self);
}

void hm__debug_watch_prepare(void)
{
    hm__debug.core->lock(&hm__debug.lock);
    for (unsigned i = 0; i < 2 * DEBUG_KINDS && !tables[DEBUG_KINDS - 1][1].size; i++) {
        hm_malloc_vtbl table = hm__debug_tables[i / 2][i % 2];
        table.retain = watch_retain;
        table.release = watch_release;
        table.alloc = watch_alloc;
        table.debug_alloc = watch_debug_alloc;
        table.realloc = watch_realloc;
        table.alloc_zeroed = watch_zeroed;
        table.alloc_aligned = watch_aligned;
        tables[i / 2][i % 2] = table;
    }
    hm__debug.core->unlock(&hm__debug.lock);
}

const hm_malloc_vtbl *hm__debug_watched(uint32_t kind, int shared)
{
    return &tables[kind][shared];
}

const hm_malloc_vtbl *hm__debug_table(const debug_host *host, int shared)
{
    const int watched = host->stop.number || host->live || host->guarded ||
                        host->frames || host->keeps_references;
    if (host->annotates || host->heaptracks) {
        return hm__debug_annotated(host->kind, shared);
    }
    return watched ? &tables[host->kind][shared] : &hm__debug_tables[host->kind][shared];
}
