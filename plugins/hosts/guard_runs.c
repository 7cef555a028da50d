/* SPDX-License-Identifier: MIT */
/* Runs of pages for the guard host.
 *
 *     | no access ... | pages of the block ...block| no access |
 *
 * Runs are cut from slabs of reserved addresses and are a power of two of pages long, so that a freed one serves any
 * block of its size. Only the pages of live blocks are committed. A freed run is not touched again before the
 * addresses that the host may reserve are used up, and then the oldest is first. A live run splits the mapping it lies
 * in: two mappings more. Beyond the bound a block comes from the core's private memory, without a guard. */
#include "guard_internal.h"

#include <errno.h>
#include <string.h>

#define ALIGNMENT     ((size_t)16)
#define SLAB_FIRST    ((size_t)16 << 20)
#define SLAB_LARGEST  ((size_t)1 << 30)
#define SLAB_SMALLEST ((size_t)1 << 20)
#define PER_RUN       2 /* mappings */

struct guard_slab {
    guard_slab *next;
    char *base;
    size_t bytes;
    size_t used;
};

struct guard_freed {
    guard_freed *next;
    char *run;
};

int hm__guard_page_find(guard_host *host)
{
    void *page = NULL;
    hm_region region;
    if (hm_host_virtual_alloc(&host->base, NULL, 1, HM_MEM_RESERVE | HM_MEM_COMMIT,
                              HM_PAGE_READWRITE, HM_LEVEL_TASK, &page) != HM_OK) {
        return 0;
    }
    const int known = hm_host_virtual_query(&host->base, page, &region) == HM_OK;
    hm_host_virtual_free(&host->base, page, 0, HM_MEM_RELEASE);
    host->page = known ? region.bytes : 0;
    return known;
}

static int slab_add(guard_host *host, size_t bytes)
{
    guard_slab *slab = hm__guard_core->memory_alloc(sizeof *slab);
    void *base = NULL;
    if (!slab || hm_host_virtual_alloc(&host->base, NULL, bytes, HM_MEM_RESERVE,
                                       HM_PAGE_NOACCESS, HM_LEVEL_TASK, &base) != HM_OK) {
        hm__guard_core->memory_free(slab, sizeof *slab);
        return 0;
    }
    slab->base = base;
    slab->bytes = bytes;
    slab->next = host->slabs;
    host->slabs = slab;
    host->reserved += bytes;
    return 1;
}

/* Each slab is twice the one before, or as large as can be had. */
static int slab_grow(guard_host *host, size_t run)
{
    size_t bytes = host->slabs ? host->slabs->bytes * 2 : SLAB_FIRST;
    bytes = bytes > SLAB_LARGEST ? SLAB_LARGEST : bytes;
    bytes = bytes < run ? run : bytes;
    for (; bytes >= run && bytes >= SLAB_SMALLEST; bytes /= 2) {
        if (host->reserved + bytes <= host->space && slab_add(host, bytes)) {
            return 1;
        }
    }
    return 0;
}

static char *run_cut(guard_host *host, size_t run)
{
    guard_slab *slab = host->slabs;
    if (!slab || run > slab->bytes - slab->used) {
        if (!slab_grow(host, run)) {
            return NULL;
        }
        slab = host->slabs;
    }
    char *start = slab->base + slab->used;
    slab->used += run;
    return start;
}

static char *run_reuse(guard_host *host, size_t kind)
{
    guard_queue *queue = &host->queues[kind];
    guard_freed *freed = queue->oldest;
    if (!freed) {
        return NULL;
    }
    char *run = freed->run;
    queue->oldest = freed->next;
    if (!queue->oldest) {
        queue->newest = NULL;
    }
    hm__guard_core->memory_free(freed, sizeof *freed);
    return run;
}

/* Without memory for the note the run's addresses are never used again, and it stays protected. */
static void run_note(guard_host *host, char *run, size_t kind)
{
    guard_queue *queue = &host->queues[kind];
    guard_freed *freed = hm__guard_core->memory_alloc(sizeof *freed);
    if (!freed) {
        return;
    }
    freed->run = run;
    if (queue->newest) {
        queue->newest->next = freed;
    } else {
        queue->oldest = freed;
    }
    queue->newest = freed;
}

/* Where a block of so many bytes lies in its run. */
typedef struct layout {
    size_t kind;
    size_t run;   /* bytes */
    size_t pages; /* bytes of its pages */
    size_t from;  /* the first of them */
    size_t block;
} layout;

static int layout_of(const guard_host *host, size_t bytes, layout *out)
{
    if (bytes > PTRDIFF_MAX / 4) {
        return 0;
    }
    const size_t rounded = bytes ? (bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1) : ALIGNMENT;
    out->pages = (rounded + host->page - 1) / host->page * host->page;
    out->kind = 0;
    out->run = host->page * 2;
    while (out->run < out->pages + host->page) {
        out->run *= 2;
        out->kind++;
    }
    out->from = out->run - host->page - out->pages;
    out->block = out->run - host->page - rounded;
    return out->kind < GUARD_CLASSES;
}

static char *run_get(guard_host *host, const layout *at)
{
    if (host->mapped + PER_RUN > host->mappings) {
        return NULL;
    }
    char *run = run_cut(host, at->run);
    if (!run) {
        run = run_reuse(host, at->kind);
    }
    void *pages = NULL;
    if (run &&
        hm_host_virtual_alloc(&host->base, run + at->from, at->pages, HM_MEM_COMMIT,
                              HM_PAGE_READWRITE, HM_LEVEL_TASK, &pages) != HM_OK) {
        run_note(host, run, at->kind);
        run = NULL;
    }
    host->mapped += run ? PER_RUN : 0;
    return run;
}

static void unguarded_tell(const guard_host *host)
{
    static const char text[] = "==hostmalloc== guard: a block without a guard, "
                               "the mappings or the addresses are used up\n";
    (void)host;
    hm__guard_core->write(2, text, sizeof text - 1);
}

void *hm__guard_alloc(void *context, size_t bytes)
{
    const hm_core *core = hm__guard_core;
    guard_host *host = context;
    layout at;
    if (!layout_of(host, bytes, &at)) {
        return NULL;
    }
    core->lock(&host->lock);
    char *run = run_get(host, &at);
    void *block = run ? run + at.block : core->memory_alloc(bytes ? bytes : 1);
    const int first = !run && block && host->unguarded++ == 0;
    core->unlock(&host->lock);
    if (first) {
        unguarded_tell(host);
    }
    return block;
}

static int is_in_a_slab(const guard_host *host, const char *block)
{
    for (const guard_slab *slab = host->slabs; slab; slab = slab->next) {
        if (block >= slab->base && block < slab->base + slab->bytes) {
            return 1;
        }
    }
    return 0;
}

void hm__guard_release(void *context, void *block, size_t bytes)
{
    guard_host *host = context;
    const int kept = errno;
    layout at;
    if (!layout_of(host, bytes, &at)) {
        return;
    }
    hm__guard_core->lock(&host->lock);
    if (is_in_a_slab(host, block)) {
        char *run = (char *)block - at.block;
        hm_host_virtual_free(&host->base, run + at.from, at.pages, HM_MEM_DECOMMIT);
        host->mapped -= PER_RUN;
        run_note(host, run, at.kind);
    } else {
        hm__guard_core->memory_free(block, bytes ? bytes : 1);
    }
    hm__guard_core->unlock(&host->lock);
    errno = kept;
}

void hm__guard_slabs_drop(guard_host *host)
{
    for (size_t kind = 0; kind < GUARD_CLASSES; kind++) {
        while (run_reuse(host, kind)) {
        }
    }
    while (host->slabs) {
        guard_slab *slab = host->slabs;
        host->slabs = slab->next;
        hm_host_virtual_free(&host->base, slab->base, 0, HM_MEM_RELEASE);
        hm__guard_core->memory_free(slab, sizeof *slab);
    }
}
