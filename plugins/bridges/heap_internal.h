/* SPDX-License-Identifier: MIT */
/* A malloc that a whole process shares under one name, chosen once: the ground of every bridge whose runtime
 * has functions but no objects (task memory, MAPI's buffers).
 *
 * Its malloc is thread-safe and exact: it knows every block's size and owner. Where the host underneath does
 * not, the bridge does (known.c). Nobody chose: the first call opens $HOSTMALLOC, else "default". */
#ifndef HM_PLUGINS_HEAP_INTERNAL_H
#define HM_PLUGINS_HEAP_INTERNAL_H

#include <hostmalloc/registry.h>
#include <hostmalloc/runtime.h>

/* Static, and made by HM__HEAP. */
typedef struct hm__heap {
    const char *name;  /* of the malloc, for reports */
    const char *where; /* in errors: "bridge:ole" */
    /* Atomic: where calls go, NULL until the first one. Whoever exchanges it (a spy) puts it back. */
    hm_malloc *used;
    /* The rest is guarded by lock. */
    hm_lock lock;
    uint32_t told;        /* a failure was printed */
    uint32_t chosen;      /* somebody chose before the first call */
    hm_malloc *exact;     /* one reference */
    const hm_site *first; /* who called first */
    uint32_t fork_safe;   /* atomic: hooks are added */
    hm_fork_hooks hooks;
} hm__heap;

/* After the spies' lock, which is held while a spy's function may make the first call; before the core's. */
#define HM__HEAP_FORK_RANK 60

/* What an hm__heap starts as. Its hooks are whole from the start, so that threads may add them at once. */
#define HM__HEAP(itself, called, said)                \
    {                                                 \
        .name = (called), .where = (said), .hooks = { \
            .size = sizeof(hm_fork_hooks),            \
            .rank = HM__HEAP_FORK_RANK,               \
            .context = &(itself),                     \
            .prepare = hm__heap_fork_lock,            \
            .parent = hm__heap_fork_unlock,           \
            .child = hm__heap_fork_unlock             \
        }                                             \
    }
void hm__heap_fork_lock(void *heap);
void hm__heap_fork_unlock(void *heap);

/* One of host and m. HM_E_STARTED after the first call, naming it; HM_E_INVALID, HM_E_NOMEM and what host says. */
hm_status hm__heap_choose(hm__heap *heap, hm_host *host, hm_malloc *m, hm_error *err);

/* The first call: make the malloc if nobody did, and let calls through. NULL when that failed, which is said on
   standard error once. */
hm_malloc *hm__heap_open(hm__heap *heap, const hm_site *caller);

/* HM_OK chosen; HM_E_STARTED the first call came before a choice; HM_E_NOT_FOUND neither. first may be NULL. */
hm_status hm__heap_verify(hm__heap *heap, const hm_site **first, hm_error *err);

/* Give the malloc up, so that one can be chosen again. HM_E_STARTED while blocks are live; leaks may be NULL. */
hm_status hm__heap_close(hm__heap *heap, hm_leaks *leaks, hm_error *err);

static inline hm_malloc *hm__heap_malloc(hm__heap *heap, const hm_site *caller)
{
    hm_malloc *m = __atomic_load_n(&heap->used, __ATOMIC_ACQUIRE);
    return m ? m : hm__heap_open(heap, caller);
}

/* NULL before the first call. */
static inline hm_malloc *hm__heap_now(hm__heap *heap)
{
    return __atomic_load_n(&heap->used, __ATOMIC_ACQUIRE);
}

#endif
