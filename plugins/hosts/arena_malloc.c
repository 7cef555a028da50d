/* SPDX-License-Identifier: MIT */
/* Arenas: chunks, the blocks cut from them, and the slots of a malloc object. */
#include "arena_internal.h"

#include <errno.h>
#include <string.h>

#define FORK_RANK 1500

static const hm_core *core;
static hm_malloc_vtbl malloc_vtbl;

/* Thread-safe objects, so that fork finds their locks. Taken before any of them. */
static hm_lock list_lock;
static arena_malloc *list;

static arena_malloc *arena_from(hm_malloc *self)
{
    return (arena_malloc *)self; /* base is the first member */
}

static arena_block *header_of(const void *block)
{
    return (arena_block *)((uintptr_t)block - sizeof(arena_block));
}

static arena_malloc *enter(hm_malloc *self)
{
    arena_malloc *m = arena_from(self);
    if (m->base.flags & HM_MALLOC_THREADSAFE) {
        core->lock(&m->lock);
    }
    return m;
}

static void leave(arena_malloc *m)
{
    if (m->base.flags & HM_MALLOC_THREADSAFE) {
        core->unlock(&m->lock);
    }
}

/* errno as found: the last thing a release does is giving pages back. */
static void chunks_drop(arena_chunk *chunk)
{
    const int kept = errno;
    while (chunk) {
        arena_chunk *next = chunk->next;
        core->pages_unmap(chunk, chunk->bytes);
        chunk = next;
    }
    errno = kept;
}

static char *aligned_up(char *at, size_t alignment)
{
    return at + (-(uintptr_t)at & (alignment - 1));
}

/* Room for a block of bytes (a multiple of 16) at its header, or NULL. A large block gets a chunk to itself, behind the
   one in front, which goes on serving the small ones. */
static char *chunk_cut(arena_malloc *m, size_t bytes, size_t alignment)
{
    const size_t usual = ((const arena_host *)m->host)->chunk_bytes;
    const size_t needed = sizeof(arena_chunk) + sizeof(arena_block) + bytes + alignment;
    const int is_large = needed > usual / 4;
    arena_chunk *chunk = core->pages_map(is_large ? needed : usual);
    if (!chunk) {
        return NULL;
    }
    chunk->bytes = is_large ? needed : usual;
    char *block = aligned_up((char *)(chunk + 1) + sizeof(arena_block), alignment);
    if (is_large && m->chunks) {
        chunk->next = m->chunks->next;
        m->chunks->next = chunk;
        return block;
    }
    chunk->next = m->chunks;
    m->chunks = chunk;
    m->end = (char *)chunk + chunk->bytes;
    m->next = block + bytes;
    m->last = block;
    return block;
}

/* Uncounted; NULL: no memory. */
static void *cut(arena_malloc *m, size_t size, size_t alignment)
{
    if (size > PTRDIFF_MAX || alignment > PTRDIFF_MAX - size) {
        return NULL;
    }
    const size_t bytes = size ? (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1) : ALIGNMENT;
    char *block = NULL;
    if (m->next) {
        const size_t room = (size_t)(m->end - m->next);
        const size_t gap = -((uintptr_t)m->next + sizeof(arena_block)) & (alignment - 1);
        if (gap <= room && sizeof(arena_block) <= room - gap &&
            bytes <= room - gap - sizeof(arena_block)) {
            block = m->next + gap + sizeof(arena_block);
            m->next = block + bytes;
            m->last = block;
        }
    }
    if (!block) {
        block = chunk_cut(m, bytes, alignment);
    }
    if (block) {
        header_of(block)->requested = size;
        header_of(block)->usable = bytes;
    }
    return block;
}

/* Under its limit the object may have that much more; if not, that is counted. */
static int is_allowed(arena_malloc *m, size_t more)
{
    if (more <= m->limit - m->stats.live_bytes) {
        return 1;
    }
    m->stats.denied++;
    m->stats.failed++;
    return 0;
}

static void count_live(arena_malloc *m, size_t gone, size_t come)
{
    m->stats.live_bytes += (uint64_t)come - gone;
    if (m->stats.live_bytes > m->stats.peak_bytes) {
        m->stats.peak_bytes = m->stats.live_bytes;
    }
}

static void *take(arena_malloc *m, size_t size, size_t alignment)
{
    if (!is_allowed(m, size)) {
        return NULL;
    }
    void *block = cut(m, size, alignment);
    if (!block) {
        m->stats.failed++;
        return NULL;
    }
    m->stats.live_blocks++;
    m->stats.total_blocks++;
    m->stats.total_bytes += size;
    count_live(m, 0, size);
    return block;
}

static void uncount(arena_malloc *m, const void *block)
{
    m->stats.live_blocks--;
    m->stats.live_bytes -= header_of(block)->requested;
}

static void *arena_alloc(hm_malloc *self, size_t size, hm_level level)
{
    (void)level;
    arena_malloc *m = enter(self);
    void *block = take(m, size, ALIGNMENT);
    leave(m);
    return block;
}

static void *arena_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    (void)level, (void)site;
    if (!alignment || (alignment & (alignment - 1))) {
        return NULL;
    }
    arena_malloc *m = enter(self);
    void *block = take(m, size, alignment < ALIGNMENT ? ALIGNMENT : alignment);
    leave(m);
    return block;
}

static void arena_free(hm_malloc *self, void *block)
{
    if (!block) {
        return;
    }
    arena_malloc *m = enter(self);
    uncount(m, block);
    if (block == m->last) {
        m->next = (char *)header_of(block);
        m->last = NULL;
    }
    leave(m);
}

/* 1 if the block can have size where it is; it has it then. */
static int resize_in_place(arena_malloc *m, char *block, size_t size)
{
    arena_block *header = header_of(block);
    if (block == m->last && size <= (size_t)(m->end - block)) {
        size_t bytes = size ? (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1) : ALIGNMENT;
        bytes = bytes <= (size_t)(m->end - block) ? bytes : (size_t)(m->end - block);
        header->usable = bytes;
        m->next = block + bytes;
    }
    if (size > header->usable) {
        return 0;
    }
    header->requested = size;
    return 1;
}

static void *arena_realloc(hm_malloc *self,
                           void *block,
                           size_t old_size,
                           size_t size,
                           hm_level level,
                           hm_site *site)
{
    (void)old_size, (void)site;
    if (!block) {
        return arena_alloc(self, size, level);
    }
    arena_malloc *m = enter(self);
    const size_t had = header_of(block)->requested;
    void *moved = NULL;
    if (size <= had || is_allowed(m, size - had)) {
        moved = resize_in_place(m, block, size) ? block : cut(m, size, ALIGNMENT);
        if (moved) {
            if (moved != block) {
                memcpy(moved, block, had);
            }
            m->stats.total_bytes += size > had ? size - had : 0;
            count_live(m, had, size);
        } else {
            m->stats.failed++;
        }
    }
    leave(m);
    return moved;
}

size_t hm__arena_plain_size(const void *block)
{
    return header_of(block)->usable;
}

static size_t arena_size_of(hm_malloc *self, const void *block)
{
    (void)self;
    const size_t bytes = block ? hm__exact_size(block) : 0;
    return bytes || !block ? bytes : hm__arena_plain_size(block);
}

static size_t arena_good_size(hm_malloc *self, size_t size)
{
    (void)self;
    const size_t rounded = size ? (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1) : ALIGNMENT;
    return rounded < size ? size : rounded;
}

static hm_status arena_stats(hm_malloc *self, hm_stats *out)
{
    size_t size;
    if (!out || out->size < sizeof out->size) {
        return HM_E_INVALID;
    }
    arena_malloc *m = enter(self);
    size = out->size;
    memcpy(out, &m->stats, size < sizeof m->stats ? size : sizeof m->stats);
    out->size = size;
    leave(m);
    return HM_OK;
}

/* The oldest chunk of the usual size stays, for the next round. */
static hm_status arena_reset(hm_malloc *self)
{
    arena_malloc *m = enter(self);
    const size_t usual = ((const arena_host *)m->host)->chunk_bytes;
    arena_chunk *kept = NULL, *gone = NULL, *next;
    for (arena_chunk *chunk = m->chunks; chunk; chunk = next) {
        next = chunk->next;
        if (chunk->bytes == usual) {
            arena_chunk *passed = kept;
            kept = chunk;
            chunk = passed;
        }
        if (chunk) {
            chunk->next = gone;
            gone = chunk;
        }
    }
    m->chunks = kept;
    m->next = m->end = m->last = NULL;
    if (kept) {
        kept->next = NULL;
        m->next = (char *)(kept + 1);
        m->end = (char *)kept + kept->bytes;
    }
    m->stats.live_blocks = 0;
    m->stats.live_bytes = 0;
    leave(m);
    chunks_drop(gone);
    return HM_OK;
}

static void arena_retain(hm_malloc *self)
{
    __atomic_fetch_add(&arena_from(self)->references, 1, __ATOMIC_RELAXED);
}

static void list_add(arena_malloc *m)
{
    core->lock(&list_lock);
    m->older = list;
    if (list) {
        list->newer = m;
    }
    list = m;
    core->unlock(&list_lock);
}

static void list_remove(arena_malloc *m)
{
    core->lock(&list_lock);
    if (m->newer) {
        m->newer->older = m->older;
    } else {
        list = m->older;
    }
    if (m->older) {
        m->older->newer = m->newer;
    }
    core->unlock(&list_lock);
}

static void arena_release(hm_malloc *self)
{
    arena_malloc *m = arena_from(self);
    if (__atomic_sub_fetch(&m->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    if (m->base.flags & HM_MALLOC_THREADSAFE) {
        list_remove(m);
    }
    chunks_drop(m->chunks);
    hm_host *host = m->host;
    core->memory_free(m, sizeof *m);
    hm_host_release(host);
}

void hm__arena_setup(arena_malloc *m, hm_host *host, const hm_malloc_opts *wanted)
{
    m->base.vtbl = &malloc_vtbl;
    m->base.flags = wanted->flags;
    m->limit = wanted->limit ? wanted->limit : SIZE_MAX;
    m->references = 1;
    m->host = host;
    hm_host_retain(host);
    if (wanted->flags & HM_MALLOC_THREADSAFE) {
        list_add(m);
    }
}

static void fork_prepare(void *context)
{
    (void)context;
    core->lock(&list_lock);
    for (arena_malloc *m = list; m; m = m->older) {
        core->lock(&m->lock);
    }
}

/* The one thread of the child is the one that took them. */
static void fork_done(void *context)
{
    (void)context;
    for (arena_malloc *m = list; m; m = m->older) {
        core->unlock(&m->lock);
    }
    core->unlock(&list_lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof(hm_fork_hooks),
                                   .rank = FORK_RANK,
                                   .prepare = fork_prepare,
                                   .parent = fork_done,
                                   .child = fork_done};

void hm__arena_start(void)
{
    core = hm__arena_core;
    malloc_vtbl = *core->malloc_basics;
    malloc_vtbl.retain = arena_retain;
    malloc_vtbl.release = arena_release;
    malloc_vtbl.alloc = arena_alloc;
    malloc_vtbl.free = arena_free;
    malloc_vtbl.realloc = arena_realloc;
    malloc_vtbl.alloc_aligned = arena_alloc_aligned;
    malloc_vtbl.size_of = arena_size_of;
    malloc_vtbl.good_size = arena_good_size;
    malloc_vtbl.stats = arena_stats;
    malloc_vtbl.reset = arena_reset;
    core->at_fork(&fork_hooks);
}
