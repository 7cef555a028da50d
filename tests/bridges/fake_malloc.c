/* SPDX-License-Identifier: MIT */
#include "fake_malloc.h"

#include <stdlib.h>
#include <string.h>

#include "slots_internal.h"

#define HIGH ((uintptr_t)1 << 47)

static fake_malloc *fake_from(hm_malloc *self)
{
    return (fake_malloc *)self;
}

static fake_block *block_from(const void *block)
{
    return (fake_block *)((uintptr_t)block & ~HIGH) - 1;
}

static int refuses(fake_malloc *fake)
{
    fake->requests++;
    return fake->fail_once ? fake->requests == fake->fail_from
                           : fake->fail_from && fake->requests >= fake->fail_from;
}

static void *fake_take(fake_malloc *fake, size_t size, hm_site *site)
{
    fake_block *const made = refuses(fake) ? NULL : malloc(sizeof(*made) + size);
    if (!made) {
        return NULL;
    }
    *made = (fake_block){fake->blocks.next, &fake->blocks, size, site};
    made->next->previous = made;
    fake->blocks.next = made;
    fake->live++;
    return (void *)((uintptr_t)(made + 1) | (fake->requests == fake->high_at ? HIGH : 0));
}

static void fake_give(fake_malloc *fake, void *block, size_t size)
{
    fake_block *const gone = block_from(block);
    fake->wrong_sizes += size != HM_SIZE_UNKNOWN && size != gone->size;
    gone->next->previous = gone->previous;
    gone->previous->next = gone->next;
    fake->live--;
    memset(gone + 1, 0xdd, gone->size);
    free(gone);
}

static void fake_retain(hm_malloc *self)
{
    fake_from(self)->references++;
}

static void fake_release(hm_malloc *self)
{
    fake_from(self)->references--;
}

static void *fake_alloc(hm_malloc *self, size_t size, hm_level level)
{
    (void)level;
    fake_from(self)->plain++;
    return fake_take(fake_from(self), size, NULL);
}

static void fake_free(hm_malloc *self, void *block)
{
    fake_from(self)->unsized++;
    fake_give(fake_from(self), block, HM_SIZE_UNKNOWN);
}

static void fake_free_sized(hm_malloc *self, void *block, size_t size)
{
    fake_from(self)->sized++;
    fake_give(fake_from(self), block, size);
}

static void *fake_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    (void)level;
    fake_from(self)->debug++;
    return fake_take(fake_from(self), size, site);
}

static hm_status fake_debug_free(
    hm_malloc *self, void *block, size_t size, size_t alignment, hm_site *site)
{
    (void)alignment;
    (void)site;
    fake_from(self)->debug++;
    fake_give(fake_from(self), block, size);
    return HM_OK;
}

static void *fake_realloc(hm_malloc *self,
                          void *block,
                          size_t old_size,
                          size_t size,
                          hm_level level,
                          hm_site *site)
{
    fake_malloc *const fake = fake_from(self);
    fake_block *const old = block_from(block);
    void *moved;
    (void)level;
    fake->wrong_sizes += old_size != HM_SIZE_UNKNOWN && old_size != old->size;
    if (fake->refuse_shrinks && size <= old->size) {
        fake->shrinks_refused++;
        return NULL;
    }
    if (size <= old->size) {
        old->size = size;
        return block;
    }
    moved = fake_take(fake, size, site ? site : old->site);
    if (moved) {
        memcpy(moved, block, old->size);
        fake_give(fake, block, HM_SIZE_UNKNOWN);
    }
    return moved;
}

static size_t fake_size_of(hm_malloc *self, const void *block)
{
    (void)self;
    return block ? block_from(block)->size : 0;
}

static hm_status fake_reset(hm_malloc *self)
{
    fake_malloc *const fake = fake_from(self);
    fake->resets++;
    while (fake->blocks.next != &fake->blocks) {
        fake_give(fake, fake->blocks.next + 1, HM_SIZE_UNKNOWN);
    }
    return HM_OK;
}

void fake_malloc_init(fake_malloc *fake, uint32_t flags)
{
    *fake = (fake_malloc){.references = 1, .vtbl = hm__malloc_basics};
    fake->blocks.next = fake->blocks.previous = &fake->blocks;
    fake->vtbl.retain = fake_retain;
    fake->vtbl.release = fake_release;
    fake->vtbl.alloc = fake_alloc;
    fake->vtbl.free = fake_free;
    fake->vtbl.free_sized = fake_free_sized;
    fake->vtbl.debug_alloc = fake_debug_alloc;
    fake->vtbl.debug_free = fake_debug_free;
    fake->vtbl.realloc = fake_realloc;
    fake->vtbl.size_of = fake_size_of;
    fake->vtbl.reset = fake_reset;
    fake->base.vtbl = &fake->vtbl;
    fake->base.flags = flags;
}

void fake_malloc_fini(fake_malloc *fake)
{
    fake_reset(&fake->base);
}

size_t fake_malloc_count(const fake_malloc *fake, const char *file)
{
    size_t count = 0;
    for (const fake_block *at = fake->blocks.next; at != &fake->blocks; at = at->next) {
        count += at->site && strcmp(at->site->file, file) == 0;
    }
    return count;
}
