/* SPDX-License-Identifier: MIT */
/* The guarding spy: 16 bytes before and 16 after each block, verified whenever the block is seen.
 *
 *     actual                 block                        block + bytes
 *     | bytes (8) | mark (8) | what the caller asked for   | tail (16)    |
 *
 * The mark covers the size, so a tail is looked for only where the header still says where it is. Marks and
 * tails hold no zero byte: a string that runs over by its terminator shows. */
#include "spies_internal.h"

#include <string.h>

#define HEAD_BYTES 16u
#define TAIL_BYTES 16u
#define EXTRA      (HEAD_BYTES + TAIL_BYTES)
#define NO_ZEROES  UINT64_C(0x0101010101010101)

typedef struct head {
    uint64_t bytes;
    uint64_t mark;
} head;
HM_STATIC_ASSERT(sizeof(head) == HEAD_BYTES, "the header keeps a block aligned");

typedef struct guard_spy {
    hm__ready_spy ready;
    hm_spy_damage *damage;
    void *context;
    uint64_t found; /* atomic */
    uint64_t cookie;
    size_t
        bytes;  /* from pre to post: what the caller asked for, or what the header says */
    int intact; /* likewise: the header can be believed */
    int unmarked; /* likewise: contents start where the header will be */
} guard_spy;

static uint64_t mark_of(const guard_spy *g, uint64_t bytes)
{
    return (g->cookie ^ bytes * UINT64_C(0x9e3779b97f4a7c15)) | NO_ZEROES;
}

static void *dress(const guard_spy *g, void *actual)
{
    const head h = {g->bytes, mark_of(g, g->bytes)};
    char *block = (char *)actual + HEAD_BYTES;
    memcpy(actual, &h, sizeof h);
    memcpy(block + g->bytes, &h.mark, sizeof h.mark);
    memcpy(block + g->bytes + sizeof h.mark, &h.mark, sizeof h.mark);
    return block;
}

static void damaged(guard_spy *g, const void *block, size_t bytes, int side)
{
    __atomic_fetch_add(&g->found, 1, __ATOMIC_RELAXED);
    if (g->damage) {
        g->damage(g->context, block, bytes, side);
    }
}

/* Leaves in g what a post function wants to know. */
static void verify(guard_spy *g, const void *block)
{
    head h;
    memcpy(&h, (const char *)block - HEAD_BYTES, sizeof h);
    const int intact = h.mark == mark_of(g, h.bytes);
    const size_t bytes = intact ? (size_t)h.bytes : 0;
    const char *tail = (const char *)block + bytes;
    if (!intact) {
        damaged(g, block, 0, HM_SPY_BEFORE);
    } else if (memcmp(tail, &h.mark, sizeof h.mark) != 0 ||
               memcmp(tail + sizeof h.mark, &h.mark, sizeof h.mark) != 0) {
        damaged(g, block, bytes, HM_SPY_AFTER);
    }
    g->bytes = bytes;
    g->intact = intact;
}

static size_t guard_pre_alloc(hm_spy *self, size_t bytes)
{
    ((guard_spy *)self)->bytes = bytes;
    return bytes > SIZE_MAX - EXTRA ? SIZE_MAX : bytes + EXTRA;
}

static void *guard_post_alloc(hm_spy *self, void *actual)
{
    return actual ? dress((guard_spy *)self, actual) : NULL;
}

static void *guard_pre_free(hm_spy *self, void *block, int spied)
{
    if (!spied) {
        return block;
    }
    verify((guard_spy *)self, block);
    return (char *)block - HEAD_BYTES;
}

static void guard_post_free(hm_spy *self, int spied)
{
    (void)self, (void)spied;
}

static size_t
guard_pre_realloc(hm_spy *self, void *block, size_t bytes, void **actual, int spied)
{
    guard_spy *g = (guard_spy *)self;
    if (spied) {
        verify(g, block);
    }
    *actual = spied ? (char *)block - HEAD_BYTES : block;
    g->unmarked = block && !spied;
    return block && !bytes ? 0 : guard_pre_alloc(self, bytes);
}

static void *guard_post_realloc(hm_spy *self, void *actual, int spied)
{
    guard_spy *g = (guard_spy *)self;
    (void)spied;
    if (!actual) {
        return NULL;
    }
    if (g->unmarked) {
        memmove((char *)actual + HEAD_BYTES, actual, g->bytes);
    }
    return dress(g, actual);
}

static const void *guard_pre_question(hm_spy *self, const void *block, int spied)
{
    if (!spied) {
        return block;
    }
    verify((guard_spy *)self, block);
    return (const char *)block - HEAD_BYTES;
}

static size_t guard_post_size(hm_spy *self, size_t actual, int spied)
{
    const guard_spy *g = (guard_spy *)self;
    if (!spied || actual == HM_SIZE_UNKNOWN) {
        return actual;
    }
    return g->intact ? g->bytes : actual - EXTRA;
}

static int guard_post_owns(hm_spy *self, const void *block, int spied, int answer)
{
    (void)self, (void)block, (void)spied;
    return answer;
}

static void guard_trim(hm_spy *self)
{
    (void)self;
}

static const hm_spy_vtbl guard_vtbl = {
    .size = sizeof(hm_spy_vtbl),
    .retain = hm__ready_spy_retain,
    .release = hm__ready_spy_release,
    .pre_alloc = guard_pre_alloc,
    .post_alloc = guard_post_alloc,
    .pre_free = guard_pre_free,
    .post_free = guard_post_free,
    .pre_realloc = guard_pre_realloc,
    .post_realloc = guard_post_realloc,
    .pre_size = guard_pre_question,
    .post_size = guard_post_size,
    .pre_owns = guard_pre_question,
    .post_owns = guard_post_owns,
    .pre_trim = guard_trim,
    .post_trim = guard_trim,
};

hm_status hm_spy_guard_create(hm_spy_damage *damage, void *context, hm_spy **out)
{
    const hm_status status = hm__ready_spy_create(&guard_vtbl, sizeof(guard_spy), out);
    if (status == HM_OK) {
        guard_spy *g = (guard_spy *)*out;
        g->damage = damage;
        g->context = context;
        /* Without entropy the marks can be guessed and still catch every accident. */
        (void)hm_core_table()->random(&g->cookie, sizeof g->cookie);
    }
    return status;
}

uint64_t hm_spy_guard_found(hm_spy *spy)
{
    return spy && spy->vtbl == &guard_vtbl
               ? __atomic_load_n(&((guard_spy *)spy)->found, __ATOMIC_RELAXED)
               : 0;
}
