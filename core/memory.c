/* SPDX-License-Identifier: MIT */
/* The core's private memory: size classes of powers of two and of one and a half of them, carved from chunks
 * of pages; whole pages above. Freed pieces go to their class's list, under one lock: nobody allocates
 * here on a hot path. */
#include "memory_internal.h"

#include <string.h>

#include "lock_internal.h"
#include "os.h"

#define CHUNK_BYTES ((size_t)64 * 1024)
#define SMALL_MAX   ((size_t)8 * 1024)

/* At most a third of a piece is lost. */
static const uint16_t class_bytes[] = {16,   32,   48,   64,   96,   128,
                                       192,  256,  384,  512,  768,  1024,
                                       1536, 2048, 3072, 4096, 6144, 8192};
#define CLASS_COUNT (sizeof class_bytes / sizeof class_bytes[0])

typedef struct piece {
    struct piece *next;
} piece;

static hm_lock lock; /* guards all below */
static piece *free_pieces[CLASS_COUNT];
static char *chunk;
static size_t chunk_left;
static size_t in_use;
static uint64_t calls;
static uint64_t fail_from;
static uint32_t fork_known;

static void before_fork(void *context)
{
    (void)context;
    hm__lock(&lock);
}

static void after_fork_parent(void *context)
{
    (void)context;
    hm__unlock(&lock);
}

static void after_fork_child(void *context)
{
    (void)context;
    hm__lock_reset(&lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof fork_hooks,
                                   .rank = HM__FORK_MEMORY,
                                   .prepare = before_fork,
                                   .parent = after_fork_parent,
                                   .child = after_fork_child};

static void know_fork(void)
{
    hm__at_fork_once(&fork_known, &fork_hooks);
}

static unsigned class_of(size_t bytes)
{
    unsigned class = 0;
    while (class_bytes[class] < bytes) {
        class ++;
    }
    return class;
}

/* Counts a call and says whether the injected shortage hits it. */
static int short_of_memory(void)
{
    calls++;
    return fail_from != 0 && calls >= fail_from;
}

static size_t round_to_pages(size_t bytes)
{
    const size_t page = hm__os()->page_size;
    return bytes > SIZE_MAX - page ? 0 : (bytes + page - 1) / page * page;
}

void *hm__pages_map(size_t bytes)
{
    const size_t rounded = round_to_pages(bytes);
    know_fork();
    hm__lock(&lock);
    const int denied = short_of_memory();
    hm__unlock(&lock);
    void *pages = denied || rounded == 0 ? NULL : hm__os_pages_map(rounded);
    if (pages) {
        hm__lock(&lock);
        in_use += rounded;
        hm__unlock(&lock);
    }
    return pages;
}

void hm__pages_unmap(void *pages, size_t bytes)
{
    if (!pages) {
        return;
    }
    const size_t rounded = round_to_pages(bytes);
    hm__os_pages_unmap(pages, rounded);
    hm__lock(&lock);
    in_use -= rounded;
    hm__unlock(&lock);
}

/* Under the lock. What is left of the old chunk is smaller than a piece of this class and is given up. */
static void *carve(size_t bytes)
{
    if (chunk_left < bytes) {
        chunk = hm__os_pages_map(CHUNK_BYTES);
        chunk_left = chunk ? CHUNK_BYTES : 0;
        if (!chunk) {
            return NULL;
        }
    }
    void *memory = chunk;
    chunk += bytes;
    chunk_left -= bytes;
    return memory;
}

void *hm__memory_alloc(size_t bytes)
{
    if (bytes > SMALL_MAX) {
        return hm__pages_map(bytes);
    }
    const unsigned class = class_of(bytes);
    know_fork();
    hm__lock(&lock);
    piece *memory = NULL;
    if (!short_of_memory()) {
        memory = free_pieces[class];
        if (memory) {
            free_pieces[class] = memory->next;
        } else {
            memory = carve(class_bytes[class]);
        }
        in_use += memory ? class_bytes[class] : 0;
    }
    hm__unlock(&lock);
    if (memory) {
        memset(memory, 0, class_bytes[class]);
    }
    return memory;
}

void hm__memory_free(void *memory, size_t bytes)
{
    if (!memory) {
        return;
    }
    if (bytes > SMALL_MAX) {
        hm__pages_unmap(memory, bytes);
        return;
    }
    const unsigned class = class_of(bytes);
    piece *freed = memory;
    hm__lock(&lock);
    freed->next = free_pieces[class];
    free_pieces[class] = freed;
    in_use -= class_bytes[class];
    hm__unlock(&lock);
}

char *hm__memory_copy(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = hm__memory_alloc(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

size_t hm__memory_in_use(void)
{
    hm__lock(&lock);
    const size_t bytes = in_use;
    hm__unlock(&lock);
    return bytes;
}

void hm__memory_fail_from(uint64_t nth)
{
    hm__lock(&lock);
    calls = 0;
    fail_from = nth;
    hm__unlock(&lock);
}

uint64_t hm__memory_calls(void)
{
    hm__lock(&lock);
    const uint64_t count = calls;
    hm__unlock(&lock);
    return count;
}
