/* SPDX-License-Identifier: MIT */
/* Annotations. AddressSanitizer is found by name in the process, memcheck by asking it: both cost others nothing. A library that is
 * itself built for AddressSanitizer tells it nothing, because its own looks at headers would be errors. */
#include "annotate_internal.h"

#include "finding_internal.h"
#include "os_unwind.h"

#ifdef HOSTMALLOC_MEMCHECK
#include <valgrind/memcheck.h>
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INSTRUMENTED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define INSTRUMENTED 1
#endif

typedef void change(void const volatile *from, size_t bytes);

/* Every host that is opened finds the same; others may be reading meanwhile. */
static change *poison;
static change *unpoison;
static int memcheck;

#ifndef INSTRUMENTED
/* POSIX promises that a function's address fits a pointer. */
static change *change_named(const char *name)
{
    void *const symbol = hm__os_process_symbol(name);
    change *found;
    memcpy(&found, &symbol, sizeof found);
    return found;
}
#endif

int hm__debug_annotate_possible(void)
{
#ifndef INSTRUMENTED
    change *const lifts = change_named("__asan_unpoison_memory_region");
    DEBUG_SET(unpoison, lifts);
    DEBUG_SET(poison, lifts ? change_named("__asan_poison_memory_region") : NULL);
#endif
#ifdef HOSTMALLOC_MEMCHECK
    DEBUG_SET(memcheck, RUNNING_ON_VALGRIND != 0);
#endif
    return DEBUG_GET(poison) || DEBUG_GET(memcheck);
}

static void (*heaptrack_made)(void *block, size_t bytes);
static void (*heaptrack_gone)(void *block);

int hm__debug_heaptrack_possible(hm_host *inner)
{
    void *libc = NULL;
    void *const gone = hm__os_process_symbol("heaptrack_free");
    void *const made = gone ? hm__os_process_symbol("heaptrack_malloc") : NULL;
    DEBUG_SET(*(void **)&heaptrack_gone, gone);
    DEBUG_SET(*(void **)&heaptrack_made, made);
    return made && inner->vtbl->find(inner, "libc", &libc) != HM_OK;
}

void hm__debug_heaptrack_made(const debug_malloc *m, const void *block, size_t bytes)
{
    if (block && m->host->heaptracks) {
        void (*const made)(void *, size_t) = DEBUG_GET(heaptrack_made);
        made((void *)(uintptr_t)block, bytes);
    }
}

void hm__debug_heaptrack_gone(const debug_malloc *m, const void *block)
{
    if (block && m->host->heaptracks &&
        hm__debug_is_live(hm__block_map_state(&hm__debug.map, block))) {
        void (*const gone)(void *) = DEBUG_GET(heaptrack_gone);
        gone((void *)(uintptr_t)block);
    }
}

static void hide(const void *from, size_t bytes)
{
    change *const hides = DEBUG_GET(poison);
    if (hides && bytes) {
        hides(from, bytes);
    }
#ifdef HOSTMALLOC_MEMCHECK
    if (DEBUG_GET(memcheck)) {
        VALGRIND_MAKE_MEM_NOACCESS(from, bytes);
    }
#endif
}

static void reveal(const void *from, size_t bytes, int is_written)
{
    if (DEBUG_GET(poison)) {
        change *const lifts = DEBUG_GET(unpoison);
        lifts(from, bytes);
    }
#ifdef HOSTMALLOC_MEMCHECK
    if (DEBUG_GET(memcheck) && is_written) {
        VALGRIND_MAKE_MEM_DEFINED(from, bytes);
    } else if (DEBUG_GET(memcheck)) {
        VALGRIND_MAKE_MEM_UNDEFINED(from, bytes);
    }
#else
    (void)is_written;
#endif
}

/* AddressSanitizer sees only code that was built for it, which ours is not then. */
void hm__debug_annotate_begin(void)
{
#ifdef HOSTMALLOC_MEMCHECK
    if (DEBUG_GET(memcheck)) {
        VALGRIND_DISABLE_ERROR_REPORTING;
    }
#endif
}

void hm__debug_annotate_end(void)
{
#ifdef HOSTMALLOC_MEMCHECK
    if (DEBUG_GET(memcheck)) {
        VALGRIND_ENABLE_ERROR_REPORTING;
    }
#endif
}

size_t hm__debug_annotate_bytes(const debug_malloc *m, const void *block)
{
    const unsigned state = block ? hm__block_map_state(&hm__debug.map, block) : 0;
    debug_shape shape;
    if ((!m->host->annotates && !m->host->heaptracks) ||
        (state != DEBUG_LIVE && state != DEBUG_IGNORED) ||
        !hm__debug_shape_read(block, &shape)) {
        return SIZE_MAX;
    }
    return shape.bytes;
}

static void hide_edges(const debug_malloc *m, const void *block, size_t bytes)
{
    hide(hm__debug_header(block), DEBUG_HEADER_BYTES);
    hide((const char *)block + bytes, m->edge);
}

void hm__debug_annotate_fresh(const debug_malloc *m, const void *block, size_t from)
{
    const size_t bytes = hm__debug_annotate_bytes(m, block);
    if (bytes == SIZE_MAX) {
        return;
    }
    if (from < bytes) {
        reveal((const char *)block + from, bytes - from, 0);
    }
    hide_edges(m, block, bytes);
}

void hm__debug_annotate_reveal_edges(const debug_malloc *m,
                                     const void *block,
                                     size_t bytes)
{
    reveal(hm__debug_header(block), DEBUG_HEADER_BYTES, 1);
    reveal((const char *)block + bytes, m->edge, 1);
}

void hm__debug_annotate_reveal(const debug_malloc *m, const void *block, size_t bytes)
{
    reveal(hm__debug_header(block), DEBUG_HEADER_BYTES + bytes + m->edge, 1);
}

void hm__debug_annotate_hide(const debug_malloc *m, const void *block, size_t bytes)
{
    const unsigned state = hm__block_map_state(&hm__debug.map, block);
    if (state == DEBUG_FREED) {
        hide(hm__debug_header(block), DEBUG_HEADER_BYTES + bytes + m->edge);
    } else if (state == DEBUG_LIVE || state == DEBUG_IGNORED) {
        hide_edges(m, block, bytes);
    }
}
