/* SPDX-License-Identifier: MIT */
/* Tables of mallocs whose blocks are annotated: what the others do, between telling the tools that it is us. */
#include "annotate_internal.h"

#include "finding_internal.h"
#include "watch_internal.h"

static hm_malloc_vtbl tables[DEBUG_KINDS][2]; /* written under lock once */

static const hm_malloc_vtbl *below(const hm_malloc *self)
{
    const debug_malloc *m = (const debug_malloc *)self;
    return hm__debug_watched(m->kind, (m->base.flags & HM_MALLOC_THREADSAFE) != 0);
}

static void *made(hm_malloc *self, void *block, size_t bytes, size_t from)
{
    if (block) {
        hm__debug_annotate_fresh(hm__debug_from(self), block, from);
        hm__debug_heaptrack_made(hm__debug_from(self), block, bytes);
    }
    hm__debug_annotate_end();
    return block;
}

static void *note_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    hm__debug_annotate_begin();
    return made(self, below(self)->debug_alloc(self, size, level, site), size, 0);
}

static void *note_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return note_debug_alloc(self, size, level, NULL);
}

static void *
note_zeroed(hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    hm__debug_annotate_begin();
    return made(self, below(self)->alloc_zeroed(self, count, size, level, site),
                count * size, SIZE_MAX);
}

static void *note_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    hm__debug_annotate_begin();
    return made(self, below(self)->alloc_aligned(self, size, alignment, level, site),
                size, 0);
}

/* It went back to the inner malloc at once, and may be somebody else's by now. */
static int is_gone(const debug_malloc *m, int done)
{
    return done && m->kind == DEBUG_KIND_STATS;
}

/* The bytes it had stay as they are, written or not; only edges and what is new change. */
static void *note_realloc(hm_malloc *self,
                          void *block,
                          size_t old_size,
                          size_t size,
                          hm_level level,
                          hm_site *site)
{
    debug_malloc *m = hm__debug_from(self);
    hm__debug_annotate_begin();
    const size_t bytes = hm__debug_annotate_bytes(m, block);
    if (bytes != SIZE_MAX) {
        hm__debug_annotate_reveal_edges(m, block, bytes);
    }
    hm__debug_heaptrack_gone(m, block);
    void *fresh = (below(self)->realloc)(self, block, old_size, size, level, site);
    if (bytes != SIZE_MAX && fresh != block && !is_gone(m, fresh != NULL)) {
        hm__debug_annotate_hide(m, block, bytes);
    }
    if (!fresh && bytes != SIZE_MAX) {
        hm__debug_heaptrack_made(m, block, bytes); /* it is still there */
    }
    return made(self, fresh, size, bytes == SIZE_MAX ? 0 : bytes);
}

static hm_status note_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    debug_malloc *m = hm__debug_from(self);
    hm__debug_annotate_begin();
    const size_t bytes = hm__debug_annotate_bytes(m, block);
    if (bytes != SIZE_MAX) {
        hm__debug_annotate_reveal_edges(m, block, bytes);
    }
    hm__debug_heaptrack_gone(m, block);
    const hm_status status = below(self)->debug_free(self, block, size, alignment, site);
    if (bytes != SIZE_MAX && !is_gone(m, status == HM_OK)) {
        hm__debug_annotate_hide(m, block, bytes);
        if (hm__debug_is_live(hm__block_map_state(&hm__debug.map, block))) {
            hm__debug_heaptrack_made(m, block, bytes);
        }
    }
    hm__debug_annotate_end();
    return status;
}

static void note_free(hm_malloc *self, void *block)
{
    note_debug_free(self, block, HM_SIZE_UNKNOWN, 0, NULL);
}

static void note_free_sized(hm_malloc *self, void *block, size_t size)
{
    note_debug_free(self, block, size, 0, NULL);
}

static size_t note_size_of(hm_malloc *self, const void *block)
{
    hm__debug_annotate_begin();
    const size_t size = hm__debug_size_of(self, block);
    hm__debug_annotate_end();
    return size;
}

static int note_owns(hm_malloc *self, const void *block)
{
    hm__debug_annotate_begin();
    const int owns = hm__debug_owns(self, block);
    hm__debug_annotate_end();
    return owns;
}

void hm__debug_annotate_prepare(void)
{
    hm__debug.core->lock(&hm__debug.lock);
    for (unsigned i = 0; i < 2 * DEBUG_KINDS && !tables[DEBUG_KINDS - 1][1].size; i++) {
        hm_malloc_vtbl table = *hm__debug_watched(i / 2, i % 2);
        table.alloc = note_alloc;
        table.debug_alloc = note_debug_alloc;
        table.realloc = note_realloc;
        table.alloc_zeroed = note_zeroed;
        table.alloc_aligned = note_aligned;
        table.free = note_free;
        table.free_sized = note_free_sized;
        table.debug_free = note_debug_free;
        table.size_of = note_size_of;
        table.owns = note_owns;
        tables[i / 2][i % 2] = table;
    }
    hm__debug.core->unlock(&hm__debug.lock);
}

const hm_malloc_vtbl *hm__debug_annotated(uint32_t kind, int shared)
{
    return &tables[kind][shared];
}
