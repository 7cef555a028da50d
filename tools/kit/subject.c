/* SPDX-License-Identifier: MIT */
/* What clauses do all the time: take and give back a block, make another malloc, mark bytes. */
#include "kit.h"

int kit_is_checked(const kit *k)
{
    return (k->m->flags & HM_MALLOC_DEBUG) != 0;
}

int kit_is_exact(const kit *k)
{
    return kit_is_checked(k) || (k->m->flags & HM_MALLOC_EXACT) != 0;
}

void *kit_alloc(kit *k, hm_malloc *m, size_t size)
{
    void *block = hm_alloc(m, size);
    KIT_EXPECT(k, block, "a block where there is memory", "alloc(%zu) answered NULL",
               size);
    return block;
}

void kit_free(kit *k, hm_malloc *m, void *block)
{
    const hm_status status = hm_free(m, block);
    KIT_EXPECT(k, status == HM_OK, "HM_OK when a live block is freed", "%s",
               hm_status_name(status));
}

hm_malloc *kit_malloc_with(kit *k, uint32_t flags, size_t limit)
{
    const hm_malloc_opts opts = {sizeof opts, "kit", flags, 0, limit};
    hm_malloc *m = NULL;
    const hm_status status = hm_host_create_malloc_opts(k->host, &opts, &m, NULL);
    if (status != HM_OK) {
        kit_pass_over(k, "no malloc with flags 0x%x and limit %zu: %s", (unsigned)flags,
                      limit, hm_status_name(status));
    }
    return m;
}

hm_malloc *kit_sibling(kit *k)
{
    return kit_malloc_with(k, k->kind->flags, k->kind->limit);
}

void kit_on_thread(kit *k, void (*run)(void *context), void *context)
{
    size_t thread;
    kit_thread_start(k, &thread, run, context);
    kit_thread_join(thread);
}

int kit_is_aligned(const void *block, size_t alignment)
{
    return ((uintptr_t)block & (alignment - 1)) == 0;
}

static unsigned char mark(size_t place, unsigned seed)
{
    return (unsigned char)(place * 31 + seed + 1);
}

void kit_mark(void *block, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) {
        ((unsigned char *)block)[i] = mark(i, seed);
    }
}

size_t kit_marked(const void *block, size_t size, unsigned seed)
{
    size_t i = 0;
    while (i < size && ((const unsigned char *)block)[i] == mark(i, seed)) {
        i++;
    }
    return i;
}

int kit_is_zero(const void *block, size_t size)
{
    size_t i = 0;
    while (i < size && ((const unsigned char *)block)[i] == 0) {
        i++;
    }
    return i == size;
}
