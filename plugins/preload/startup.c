/* SPDX-License-Identifier: MIT */
/* The start-up buffer: powers of two, cut from one range of zero pages and kept in a list for each size once freed. The
 * few thousand blocks that come here in the life of a process need no more. */
#include "startup_internal.h"

#include <hostmalloc/module.h>

unsigned char hm__startup_buffer[HM__STARTUP_BYTES] __attribute__((aligned(4096)));

#define SMALLEST 32u /* with the header: 16 bytes for the user */
#define CLASSES  22u /* 32 bytes to 64 MiB */

/* Stands before each block; a piece is what was cut, block and header lie in it. */
typedef struct header {
    uint32_t offset; /* of the piece, from the start of the buffer */
    uint32_t class;
    uint64_t unused;
} header;

typedef struct piece {
    struct piece *next;
} piece;

_Static_assert(sizeof(header) == 16, "blocks stay aligned");

static hm_lock lock;
static size_t used;           /* guarded by lock */
static piece *freed[CLASSES]; /* guarded by lock */

static const header *header_of(const void *block)
{
    return (const header *)block - 1;
}

static piece *take(uint32_t class)
{
    const size_t bytes = (size_t)SMALLEST << class;
    piece *taken = freed[class];
    if (taken) {
        freed[class] = taken->next;
    } else if (bytes <= HM__STARTUP_BYTES - used) {
        taken = (piece *)(void *)(hm__startup_buffer + used);
        used += bytes;
    }
    return taken;
}

void *hm__startup_alloc(size_t bytes, size_t alignment)
{
    const hm_core *core = hm_core_table();
    const size_t aligned = alignment < 16 ? 16 : alignment;
    uint32_t class = 0;
    if (bytes > HM__STARTUP_BYTES || aligned > HM__STARTUP_BYTES) {
        return NULL;
    }
    const size_t whole = bytes + sizeof(header) + (aligned > 16 ? aligned : 0);
    while (class < CLASSES && ((size_t)SMALLEST << class) < whole) {
        class ++;
    }
    if (class == CLASSES) {
        return NULL;
    }
    core->lock(&lock);
    piece *taken = take(class);
    core->unlock(&lock);
    if (!taken) {
        return NULL;
    }
    const uintptr_t first = (uintptr_t)taken + sizeof(header);
    header *block = (header *)((first + aligned - 1) & ~(uintptr_t)(aligned - 1));
    block[-1].offset = (uint32_t)((unsigned char *)taken - hm__startup_buffer);
    block[-1].class = class;
    return block;
}

void hm__startup_free(void *block)
{
    const hm_core *core = hm_core_table();
    const header *h = header_of(block);
    const uint32_t class = h->class;
    piece *given = (piece *)(void *)(hm__startup_buffer + h->offset);
    core->lock(&lock);
    given->next = freed[class];
    freed[class] = given;
    core->unlock(&lock);
}

size_t hm__startup_size(const void *block)
{
    const header *h = header_of(block);
    return ((size_t)SMALLEST << h->class) -
           (size_t)((const unsigned char *)block - (hm__startup_buffer + h->offset));
}

static void before_fork(void *context)
{
    (void)context;
    hm_core_table()->lock(&lock);
}

static void after_fork_parent(void *context)
{
    (void)context;
    hm_core_table()->unlock(&lock);
}

static void after_fork_child(void *context)
{
    (void)context;
    __atomic_store_n(&lock.word, 0, __ATOMIC_RELEASE);
}

/* Nobody is called under the lock, and the hooks of others may allocate. */
static hm_fork_hooks fork_hooks = {.size = sizeof(hm_fork_hooks),
                                   .rank = INT32_MAX,
                                   .prepare = before_fork,
                                   .parent = after_fork_parent,
                                   .child = after_fork_child};

void hm__startup_guard_fork(void)
{
    hm_core_table()->at_fork(&fork_hooks);
}
