/* SPDX-License-Identifier: MIT */
/* Choosing, making and giving up the malloc that a process shares. */
#include "heap_internal.h"

#include "known_internal.h"

void hm__heap_fork_lock(void *context)
{
    hm__heap *heap = context;
    hm_core_table()->lock(&heap->lock);
    hm__known_lock(heap->exact);
}

void hm__heap_fork_unlock(void *context)
{
    hm__heap *heap = context;
    hm__known_unlock(heap->exact);
    hm_core_table()->unlock(&heap->lock);
}

/* Nobody has the lock before the hooks are there, or a child of another thread's fork would have it for ever. */
static void heap_lock(hm__heap *heap)
{
    const hm_core *core = hm_core_table();
    if (!__atomic_load_n(&heap->fork_safe, __ATOMIC_ACQUIRE)) {
        core->at_fork(&heap->hooks);
        __atomic_store_n(&heap->fork_safe, 1, __ATOMIC_RELEASE);
    }
    core->lock(&heap->lock);
}

static void heap_unlock(hm__heap *heap)
{
    hm_core_table()->unlock(&heap->lock);
}

static hm_status make(hm__heap *heap, hm_host *host, hm_malloc **exact, hm_error *err)
{
    return hm__known_of_host(host, heap->name, HM_MALLOC_THREADSAFE, heap->where, exact,
                             err);
}

static hm_status take_over(hm__heap *heap, hm_malloc *m, hm_malloc **exact, hm_error *err)
{
    *exact = NULL;
    const hm_status status = hm_malloc_validate(m, err);
    if (status != HM_OK) {
        return status;
    }
    if (m->flags & HM_MALLOC_ONE_THREAD) {
        return hm_error_set(err, HM_E_INVALID, heap->where,
                            "the malloc is for one thread, expected one for all");
    }
    hm_malloc_retain(m);
    return hm__known_over(m, HM_MALLOC_THREADSAFE, heap->where, exact, err);
}

hm_status hm__heap_choose(hm__heap *heap, hm_host *host, hm_malloc *m, hm_error *err)
{
    hm_malloc *exact = NULL;
    hm_status status = host ? hm_host_validate(host, err) : HM_OK;
    if (status == HM_OK) {
        status = host ? make(heap, host, &exact, err) : take_over(heap, m, &exact, err);
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
        hm_malloc *before = heap->exact;
        heap->exact = exact;
        heap->chosen = 1;
        exact = before;
    }
    heap_unlock(heap);
    hm_malloc_release(exact);
    return status;
}

static hm_status make_usual(hm__heap *heap, hm_error *err)
{
    hm_host *host;
    hm_status status = hm_host_open(NULL, &host, err);
    if (status == HM_OK) {
        status = make(heap, host, &heap->exact, err);
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
        heap->exact = NULL;
        heap->first = NULL;
        heap->chosen = heap->told = 0;
        __atomic_store_n(&heap->used, NULL, __ATOMIC_RELEASE);
    }
    heap_unlock(heap);
    hm_malloc_release(exact);
    if (leaks && leaks->size >= sizeof(found)) {
        *leaks = found;
    }
    return status;
}
