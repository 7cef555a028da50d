/* SPDX-License-Identifier: MIT */
/* MAPI's buffers: a tree (hostmalloc/tree.h) over one malloc for the process. MAPI knows two levels, so only roots
 * may own. */
#include "mapi_internal.h"

#include <hostmalloc/tree.h>

#define WHERE "bridge:mapi"

hm__heap hm__mapi_heap = HM__HEAP(hm__mapi_heap, "MAPI memory", WHERE);

/* Over the heap's malloc; made by the first call. Atomic. */
static hm_tree *buffers;

static uint32_t initialized; /* atomic: how often */

enum { SITE_ALLOCATE, SITE_MORE, SITE_FREE, SITE_REALLOCATE, SITE_ROWS, SITE_INIT };

/* Who asks, when no line of source came along. */
static hm_site sites[] = {
    {"mapi:MAPIAllocateBuffer", NULL, 0, 0}, {"mapi:MAPIAllocateMore", NULL, 0, 0},
    {"mapi:MAPIFreeBuffer", NULL, 0, 0},     {"mapi:MAPIReallocateBuffer", NULL, 0, 0},
    {"mapi:FreeProws", NULL, 0, 0},          {"mapi:MAPIInitialize", NULL, 0, 0},
};

/* NULL before the first call. */
static inline hm_tree *tree_now(void)
{
    return __atomic_load_n(&buffers, __ATOMIC_ACQUIRE);
}

/* NULL when there is no memory. */
static hm_tree *tree_for(const hm_site *caller)
{
    hm_tree *have = tree_now();
    hm_malloc *m = have ? NULL : hm__heap_malloc(&hm__mapi_heap, caller);
    hm_tree *fresh;
    if (!m || hm_tree_create(m, &fresh, NULL) != HM_OK) {
        return have;
    }
    if (!__atomic_compare_exchange_n(&buffers, &have, fresh, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        hm_tree_release(fresh);
        return have;
    }
    return fresh;
}

int hm__mapi_is_buffer(const void *block)
{
    hm_tree *tree = tree_now();
    return tree && hm_tree_owner(tree, block, NULL) == HM_OK;
}

static int is_root(hm_tree *tree, const void *buffer)
{
    void *owner;
    return tree && hm_tree_owner(tree, buffer, &owner) == HM_OK && !owner;
}

SCODE hm_mapi_allocate_at(ULONG bytes, LPVOID *out, hm_site *site)
{
    hm_site *const asks = site ? site : &sites[SITE_ALLOCATE];
    if (!out) {
        return MAPI_E_INVALID_PARAMETER;
    }
    hm_tree *tree = tree_for(asks);
    *out = tree ? hm_tree_alloc_at(tree, NULL, bytes, HM_LEVEL_CURRENT, asks) : NULL;
    return *out ? S_OK : MAPI_E_NOT_ENOUGH_MEMORY;
}

SCODE hm_mapi_allocate_more_at(ULONG bytes, LPVOID object, LPVOID *out, hm_site *site)
{
    hm_tree *tree = tree_now();
    if (!out) {
        return MAPI_E_INVALID_PARAMETER;
    }
    *out = NULL;
    if (!is_root(tree, object)) {
        return MAPI_E_INVALID_PARAMETER;
    }
    *out = hm_tree_alloc_at(tree, object, bytes, HM_LEVEL_CURRENT,
                            site ? site : &sites[SITE_MORE]);
    return *out ? S_OK : MAPI_E_NOT_ENOUGH_MEMORY;
}

/* What a host has to say of a damaged buffer it has said; the buffer was the caller's, and is gone. */
ULONG hm_mapi_free_at(LPVOID buffer, hm_site *site)
{
    hm_tree *tree = tree_now();
    if (!buffer) {
        return S_OK;
    }
    const hm_status status =
        tree ? hm_tree_free_root_at(tree, buffer, site ? site : &sites[SITE_FREE])
             : HM_E_NOT_OWNED;
    return status == HM_OK || status == HM_E_CORRUPT ? (ULONG)S_OK
                                                     : (ULONG)MAPI_E_INVALID_PARAMETER;
}

SCODE hm_mapi_reallocate_at(LPVOID buffer, ULONG bytes, LPVOID *out, hm_site *site)
{
    hm_site *const asks = site ? site : &sites[SITE_REALLOCATE];
    if (!out) {
        return MAPI_E_INVALID_PARAMETER;
    }
    hm_tree *tree = buffer ? tree_now() : tree_for(asks);
    if (buffer && !is_root(tree, buffer)) {
        return MAPI_E_INVALID_PARAMETER;
    }
    void *moved =
        tree ? hm_tree_realloc_at(tree, buffer, bytes, HM_LEVEL_CURRENT, asks) : NULL;
    if (!moved) {
        return MAPI_E_NOT_ENOUGH_MEMORY;
    }
    *out = moved;
    return S_OK;
}

SCODE WINAPI hm_mapi_allocate(ULONG bytes, LPVOID *out)
{
    return hm_mapi_allocate_at(bytes, out, NULL);
}

SCODE WINAPI hm_mapi_allocate_more(ULONG bytes, LPVOID object, LPVOID *out)
{
    return hm_mapi_allocate_more_at(bytes, object, out, NULL);
}

ULONG WINAPI hm_mapi_free(LPVOID buffer)
{
    return hm_mapi_free_at(buffer, NULL);
}

SCODE WINAPI hm_mapi_reallocate(LPVOID buffer, ULONG bytes, LPVOID *out)
{
    return hm_mapi_reallocate_at(buffer, bytes, out, NULL);
}

/* Only a root of ours is read, and of it no more than there is; one that lists itself goes at the end. */
void STDAPICALLTYPE hm_mapi_free_rows(LPSRowSet rows)
{
    hm_tree *tree = tree_now();
    if (rows && is_root(tree, rows)) {
        const size_t bytes = hm_tree_size(tree, rows);
        const size_t head = offsetof(SRowSet, aRow);
        const size_t room = bytes < head ? 0 : (bytes - head) / sizeof(SRow);
        for (size_t i = 0; i < room && i < rows->cRows; i++) {
            if ((void *)rows->aRow[i].lpProps != (void *)rows) {
                (void)hm_mapi_free_at(rows->aRow[i].lpProps, &sites[SITE_ROWS]);
            }
        }
    }
    (void)hm_mapi_free_at(rows, &sites[SITE_ROWS]);
}

void STDAPICALLTYPE hm_mapi_free_addresses(LPADRLIST list)
{
    hm_mapi_free_rows((LPSRowSet)list);
}

SCODE STDAPICALLTYPE hm_mapi_init_util(ULONG reserved)
{
    return reserved ? MAPI_E_INVALID_PARAMETER : S_OK;
}

void STDAPICALLTYPE hm_mapi_deinit_util(void)
{
}

HRESULT WINAPI hm_mapi_initialize(LPVOID options)
{
    (void)options;
    if (!tree_for(&sites[SITE_INIT])) {
        return MAPI_E_NOT_ENOUGH_RESOURCES;
    }
    __atomic_fetch_add(&initialized, 1, __ATOMIC_ACQ_REL);
    return S_OK;
}

void WINAPI hm_mapi_uninitialize(void)
{
    uint32_t seen = __atomic_load_n(&initialized, __ATOMIC_ACQUIRE);
    while (seen && !__atomic_compare_exchange_n(&initialized, &seen, seen - 1, 0,
                                                __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    }
}

HRESULT STDAPICALLTYPE hm_mapi_routines(LPALLOCATEBUFFER *allocate,
                                        LPALLOCATEMORE *more,
                                        LPFREEBUFFER *release)
{
    const int ready = __atomic_load_n(&initialized, __ATOMIC_ACQUIRE) != 0;
    const int whole = allocate && more && release;
    const int give = ready && whole;
    if (allocate) {
        *allocate = give ? hm_mapi_allocate : NULL;
    }
    if (more) {
        *more = give ? hm_mapi_allocate_more : NULL;
    }
    if (release) {
        *release = give ? hm_mapi_free : NULL;
    }
    if (!whole) {
        return MAPI_E_INVALID_PARAMETER;
    }
    return ready ? S_OK : MAPI_E_NOT_INITIALIZED;
}

hm_status hm_mapi_set_host(hm_host *host, hm_error *err)
{
    return host ? hm__heap_choose(&hm__mapi_heap, host, NULL, err)
                : hm_error_set(err, HM_E_INVALID, WHERE, "the host is NULL");
}

hm_status hm_mapi_set_malloc(hm_malloc *m, hm_error *err)
{
    return m ? hm__heap_choose(&hm__mapi_heap, NULL, m, err)
             : hm_error_set(err, HM_E_INVALID, WHERE, "the malloc is NULL");
}

hm_malloc *hm_mapi_malloc(void)
{
    return hm__heap_now(&hm__mapi_heap);
}

hm_status hm_mapi_verify(const hm_site **first, hm_error *err)
{
    const hm_status status = hm__heap_verify(&hm__mapi_heap, first, err);
#ifdef HM_MAPI_NATIVE
    if (status != HM_E_STARTED) {
        return hm_error_set(
            err, HM_E_NOT_OWNED, WHERE,
            "MAPIAllocateBuffer is the platform's, ours is hm_mapi_allocate");
    }
#endif
    return status;
}

hm_status hm_mapi_close(hm_leaks *leaks, hm_error *err)
{
    if (__atomic_load_n(&initialized, __ATOMIC_ACQUIRE)) {
        return hm_error_set(err, HM_E_STARTED, WHERE, "MAPI is initialised");
    }
    const hm_status status = hm__heap_close(&hm__mapi_heap, leaks, err);
    if (status == HM_OK) {
        hm_tree_release(__atomic_exchange_n(&buffers, NULL, __ATOMIC_ACQ_REL));
    }
    return status;
}
