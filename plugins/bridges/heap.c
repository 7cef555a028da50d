/* SPDX-License-Identifier: MIT */
/* Choosing, making and giving up the malloc that a process shares. */
#include "heap_internal.h"

/* After the spies' lock, which is held while a spy's function may make the first call; before the core's. */
#define FORK_RANK 60

static void fork_lock(void *context)
{
    hm_core_table()->lock(&((hm__heap *)context)->lock);
}

static void fork_unlock(void *context)
{
    hm_core_table()->unlock(&((hm__heap *)context)->lock);
}

static void heap_lock(hm__heap *heap)
{
    const hm_core *core = hm_core_table();
    if (!__atomic_exchange_n(&heap->fork_safe, 1, __ATOMIC_RELAXED)) {
        heap->hooks.size = sizeof(heap->hooks);
        heap->hooks.rank = FORK_RANK;
        heap->hooks.context = heap;
        heap->hooks.prepare = fork_lock;
        heap->hooks.parent = fork_unlock;
        heap->hooks.child = fork_unlock;
        core->at_fork(&heap->hooks);
    }
    core->lock(&heap->lock);
}

static void heap_unlock(hm__heap *heap)
{
    hm_core_table()->unlock(&heap->lock);
}

static void *below_alloc(void *context, size_t bytes)
{
    return hm_alloc_at(context, bytes, HM_LEVEL_CURRENT, NULL);
}

static void below_release(void *context, void *block, size_t bytes)
{
    (void)hm_free_sized_at(context, block, bytes, NULL);
}

/* An exact and thread-safe malloc over one that may be neither. */
static hm_status wrap(const char *name, hm_malloc *below, hm_malloc **out, hm_error *err)
{
    const uint32_t threads =
        below->flags & HM_MALLOC_THREADSAFE ? HM_ALLOCATOR_THREADSAFE : 0;
    const hm_allocator allocator = {.size = sizeof(hm_allocator),
                                    .context = below,
                                    .alloc = below_alloc,
                                    .release = below_release,
                                    .flags = threads};
    hm_host *host;
    hm_status status = hm_core_table()->wrap_host(&allocator, name, &host, err);
    if (status == HM_OK) {
        status = hm_host_create_malloc(host, name, HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT,
                                       out, err);
        hm_host_release(host);
    }
    return status;
}

/* What a host grants, from the best down; *below is NULL where nothing has to be added. */
static hm_status
make(const char *name, hm_host *host, hm_malloc **exact, hm_malloc **below, hm_error *err)
{
    *below = NULL;
    hm_status status = hm_host_create_malloc(
        host, name, HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT, exact, err);
    if (status != HM_E_UNSUPPORTED) {
        return status;
    }
    status = hm_host_create_malloc(host, name, HM_MALLOC_THREADSAFE, below, err);
    if (status == HM_E_UNSUPPORTED) {
        status = hm_host_create_malloc(host, name, 0, below, err);
    }
    if (status == HM_OK) {
        status = wrap(name, *below, exact, err);
        if (status != HM_OK) {
            hm_malloc_release(*below);
            *below = NULL;
        }
    }
    return status;
}

static hm_status take_over(
    const char *name, hm_malloc *m, hm_malloc **exact, hm_malloc **below, hm_error *err)
{
    const uint32_t wanted = HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT;
    *exact = *below = NULL;
    hm_status status = hm_malloc_validate(m, err);
    if (status != HM_OK) {
        return status;
    }
    if (m->flags & HM_MALLOC_ONE_THREAD) {
        return hm_error_set(
            err, HM_E_INVALID, "malloc",
            "made for one thread, expected one that every thread may use");
    }
    hm_malloc_retain(m);
    if ((m->flags & wanted) == wanted) {
        *exact = m;
        return HM_OK;
    }
    status = wrap(name, m, exact, err);
    if (status == HM_OK) {
        *below = m;
    } else {
        hm_malloc_release(m);
    }
    return status;
}

hm_status hm__heap_choose(hm__heap *heap, hm_host *host, hm_malloc *m, hm_error *err)
{
    hm_malloc *exact = NULL;
    hm_malloc *below = NULL;
    hm_status status = host ? hm_host_validate(host, err) : HM_OK;
    if (status == HM_OK) {
        status = host ? make(heap->name, host, &exact, &below, err)
                      : take_over(heap->name, m, &exact, &below, err);
    }
    if (status != HM_OK) {
        return status;
    }
    heap_lock(heap);
    if (hm__heap_now(heap)) {
        char text[96];
        status = hm_error_set(err, HM_E_STARTED, heap->where,
                              "in use since %s, the host is chosen before that",
                              hm_site_text(heap->first, 0, text, sizeof text));
    } else {
        hm_malloc *old_exact = heap->exact;
        hm_malloc *old_below = heap->below;
        heap->exact = exact;
        heap->below = below;
        heap->chosen = 1;
        exact = old_exact;
        below = old_below;
    }
    heap_unlock(heap);
    hm_malloc_release(exact);
    hm_malloc_release(below);
    return status;
}

static hm_status make_usual(hm__heap *heap, hm_error *err)
{
    hm_host *host;
    hm_status status = hm_host_open(NULL, &host, err);
    if (status == HM_OK) {
        status = make(heap->name, host, &heap->exact, &heap->below, err);
        hm_host_release(host);
    }
    return status;
}

hm_malloc *hm__heap_open(hm__heap *heap, const hm_site *caller)
{
    hm_error err;
    heap_lock(heap);
    hm_malloc *m = hm__heap_now(heap);
    if (!m) {
        const hm_status status = heap->exact ? HM_OK : make_usual(heap, &err);
        if (status == HM_OK) {
            m = heap->exact;
            heap->first = caller;
            __atomic_store_n(&heap->used, m, __ATOMIC_RELEASE);
        } else if (!heap->told) {
            heap->told = 1;
            hm_error_print(&err);
        }
    }
    heap_unlock(heap);
    return m;
}

hm_status hm__heap_verify(hm__heap *heap, const hm_site **first, hm_error *err)
{
    char text[96];
    heap_lock(heap);
    const hm_site *seen = heap->first;
    const int chosen = heap->chosen != 0;
    const int used = hm__heap_now(heap) != NULL;
    heap_unlock(heap);
    if (first) {
        *first = seen;
    }
    if (chosen) {
        return HM_OK;
    }
    if (used) {
        return hm_error_set(err, HM_E_STARTED, heap->where,
                            "in use since %s, before a host was chosen",
                            hm_site_text(seen, 0, text, sizeof text));
    }
    return hm_error_set(err, HM_E_NOT_FOUND, heap->where,
                        "no host was chosen, and nothing asked for memory yet");
}

static int count_block(void *context, const hm_block *block)
{
    hm_leaks *leaks = context;
    leaks->blocks++;
    leaks->bytes += block->requested;
    return 0;
}

hm_status hm__heap_close(hm__heap *heap, hm_leaks *leaks, hm_error *err)
{
    hm_leaks found = {.size = sizeof(hm_leaks)};
    hm_malloc *exact = NULL;
    hm_malloc *below = NULL;
    hm_status status = HM_OK;
    heap_lock(heap);
    if (heap->exact && hm_walk(heap->exact, count_block, &found) == HM_OK) {
        found.mallocs = found.blocks != 0;
    }
    if (found.blocks) {
        status = hm_error_set(err, HM_E_STARTED, heap->where, "%llu blocks are live",
                              (unsigned long long)found.blocks);
    } else {
        exact = heap->exact;
        below = heap->below;
        heap->exact = heap->below = NULL;
        heap->first = NULL;
        heap->chosen = heap->told = 0;
        __atomic_store_n(&heap->used, NULL, __ATOMIC_RELEASE);
    }
    heap_unlock(heap);
    hm_malloc_release(exact);
    hm_malloc_release(below);
    if (leaks && leaks->size >= sizeof(found)) {
        *leaks = found;
    }
    return status;
}
