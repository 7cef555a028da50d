/* SPDX-License-Identifier: MIT */
/* VirtualAlloc and friends over the system's own pages: the rules, and the table of reservations.
 *
 * Writers take the lock, also around the system calls that change a reservation. A query takes none: it
 * counts itself in, finds the reservation in the address map and reads its states, all of them atomic. What a
 * release took out of the map is given back by the first writer that sees no reader at all; whoever counts
 * itself in later cannot find it any more. So a thread stopped inside a writer stops no query, and one stopped
 * inside a query only keeps some memory. */
#include "virtual_internal.h"

#include <hostmalloc/abi.h>

#include "address_map_internal.h"
#include "lock_internal.h"
#include "os.h"
#include "reservation_internal.h"

/* Win32 values that exist and are not offered here. */
#define OTHER_TYPES       0x21600000u /* large pages, reset undo, physical, write watch */
#define OTHER_PROTECTIONS 0x700u      /* guard, no cache, write combine */

static hm_lock
    lock; /* outside the private memory's; guards what is below, but for its readers */
static hm__reservation *retired; /* out of the map, perhaps still being read */
static uint32_t readers;         /* atomic, sequentially consistent against the map */
static uint32_t fork_known;      /* atomic */

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
    __atomic_store_n(&readers, 0, __ATOMIC_SEQ_CST); /* they stayed with the parent */
    hm__lock_reset(&lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof fork_hooks,
                                   .rank = HM__FORK_VIRTUAL,
                                   .prepare = before_fork,
                                   .parent = after_fork_parent,
                                   .child = after_fork_child};

static void know_fork(void)
{
    hm__at_fork_once(&fork_known, &fork_hooks);
}

static uintptr_t address_limit(void)
{
    const uintptr_t limit = hm__os()->address_limit;
    return limit < HM__ADDRESS_LIMIT ? limit : HM__ADDRESS_LIMIT;
}

static uintptr_t page_down(uintptr_t address)
{
    return address & ~(uintptr_t)(hm__os()->page_size - 1);
}

static uintptr_t page_up(uintptr_t address)
{
    return page_down(address + hm__os()->page_size - 1);
}

static uintptr_t granule_up(uintptr_t address)
{
    return (address + HM__ADDRESS_GRANULE - 1) & ~(HM__ADDRESS_GRANULE - 1);
}

static hm_status protection_check(uint32_t protection)
{
    switch (protection & ~OTHER_PROTECTIONS) {
    case HM_PAGE_NOACCESS:
    case HM_PAGE_READONLY:
    case HM_PAGE_READWRITE:
    case HM_PAGE_EXECUTE:
    case HM_PAGE_EXECUTE_READ:
    case HM_PAGE_EXECUTE_READWRITE:
        return protection & OTHER_PROTECTIONS ? HM_E_UNSUPPORTED : HM_OK;
    default:
        return HM_E_INVALID;
    }
}

/* Under the lock: the reservation that holds every page of [address, address + size), and their numbers. */
static hm_status find(
    const void *address, size_t size, hm__reservation **found, size_t *first, size_t *end)
{
    const uintptr_t start = (uintptr_t)address;
    hm__reservation *r = start < address_limit() ? hm__address_map_get(start) : NULL;
    if (!r || start >= r->end) {
        return HM_E_NOT_OWNED;
    }
    if (size > r->end - start) {
        return HM_E_INVALID;
    }
    *found = r;
    *first = (page_down(start) - r->base) / hm__os()->page_size;
    *end = (page_up(start + size) - r->base) / hm__os()->page_size;
    return HM_OK;
}

/* Under the lock. */
static void retire(hm__reservation *r)
{
    hm__address_map_clear(r->base, r->end);
    r->next_retired = retired;
    retired = r;
    if (__atomic_load_n(&readers, __ATOMIC_SEQ_CST) != 0) {
        return;
    }
    while (retired) {
        hm__reservation *gone = retired;
        retired = gone->next_retired;
        hm__reservation_destroy(gone);
    }
}

/* Address space that starts on a granule, wherever the system likes; 0 when there is none. */
static uintptr_t reserve_anywhere(size_t bytes)
{
    uintptr_t pages = (uintptr_t)hm__os_pages_reserve(NULL, bytes);
    if (pages == granule_up(pages)) {
        return pages;
    }
    /* Any granule's start lies within this much of a mapping's; what is too much goes back. */
    const size_t slack = HM__ADDRESS_GRANULE - hm__os()->granularity;
    hm__os_pages_unmap((void *)pages, bytes);
    pages = (uintptr_t)hm__os_pages_reserve(NULL, bytes + slack);
    if (!pages) {
        return 0;
    }
    const uintptr_t base = granule_up(pages);
    const size_t below = base - pages;
    if (below) {
        hm__os_pages_unmap((void *)pages, below);
    }
    if (below != slack) {
        hm__os_pages_unmap((void *)(base + bytes), slack - below);
    }
    return base;
}

/* Why a range could not be had: somebody is there, or there is no address space at all. */
static hm_status why_not_there(size_t bytes)
{
    void *elsewhere = hm__os_pages_reserve(NULL, bytes);
    if (!elsewhere) {
        return HM_E_NOMEM;
    }
    hm__os_pages_unmap(elsewhere, bytes);
    return HM_E_INVALID;
}

static hm_status
reserve(void *address, size_t size, uint32_t protection, int commit_too, void **out)
{
    const uintptr_t from = (uintptr_t)address & ~(HM__ADDRESS_GRANULE - 1);
    if (address && from == 0) {
        return HM_E_INVALID; /* the lowest granule is nobody's */
    }
    if (from >= address_limit() || size > address_limit() - (uintptr_t)address) {
        return address ? HM_E_INVALID : HM_E_NOMEM;
    }
    const size_t bytes = page_up((uintptr_t)address + size) - from;
    hm__reservation *r = hm__reservation_create(bytes / hm__os()->page_size);
    if (!r) {
        return HM_E_NOMEM;
    }
    r->base = from ? (uintptr_t)hm__os_pages_reserve((void *)from, bytes)
                   : reserve_anywhere(bytes);
    if (!r->base) {
        hm__reservation_destroy(r);
        return from ? why_not_there(bytes) : HM_E_NOMEM;
    }
    r->end = r->base + bytes;
    r->protection = protection;

    int done = r->end <= address_limit() &&
               (!commit_too || hm__reservation_apply(r, 0, r->pages, protection));
    if (done) {
        *out = (void *)r->base; /* once it is in the map, another thread may release it */
        hm__lock(&lock);
        done = hm__address_map_set(r->base, r->end, r);
        hm__unlock(&lock);
    }
    if (!done) {
        *out = NULL;
        hm__os_pages_unmap((void *)r->base, bytes);
        hm__reservation_destroy(r);
        return HM_E_NOMEM;
    }
    return HM_OK;
}

static hm_status commit(void *address, size_t size, uint32_t protection, void **out)
{
    hm__reservation *r;
    size_t first, end;
    hm__lock(&lock);
    hm_status status = find(address, size, &r, &first, &end);
    if (status == HM_OK) {
        if (hm__reservation_apply(r, first, end, protection)) {
            *out = hm__reservation_page(r, first);
        } else {
            status = HM_E_NOMEM;
        }
    }
    hm__unlock(&lock);
    return status;
}

static hm_status reset(void *address, size_t size, void **out)
{
    hm__reservation *r;
    size_t first, end;
    hm__lock(&lock);
    const hm_status status = find(address, size, &r, &first, &end);
    if (status == HM_OK) {
        hm__reservation_reset(r, first, end);
        *out = hm__reservation_page(r, first);
    }
    hm__unlock(&lock);
    return status;
}

hm_status hm__virtual_alloc(
    void *address, size_t size, uint32_t type, uint32_t protection, void **out)
{
    const uint32_t work = type & (HM_MEM_COMMIT | HM_MEM_RESERVE | HM_MEM_RESET);
    if (!out) {
        return HM_E_INVALID;
    }
    *out = NULL;
    if (size == 0 || work == 0 || ((work & HM_MEM_RESET) && type != HM_MEM_RESET) ||
        (type & ~(work | HM_MEM_TOP_DOWN | OTHER_TYPES))) {
        return HM_E_INVALID;
    }
    const hm_status status = protection_check(protection);
    if (status != HM_OK) {
        return status;
    }
    if (type & OTHER_TYPES) {
        return HM_E_UNSUPPORTED;
    }
    know_fork();
    if (work == HM_MEM_RESET) {
        return reset(address, size, out);
    }
    /* TOP_DOWN is where the system starts anyway, or its own affair. */
    if ((work & HM_MEM_RESERVE) || !address) {
        return reserve(address, size, protection, (work & HM_MEM_COMMIT) != 0, out);
    }
    return commit(address, size, protection, out);
}

static hm_status decommit(void *address, size_t size)
{
    hm__reservation *r;
    size_t first, end;
    hm__lock(&lock);
    hm_status status = find(address, size, &r, &first, &end);
    if (status == HM_OK && size == 0) {
        status = (uintptr_t)address == r->base ? HM_OK : HM_E_INVALID;
        end = r->pages;
    }
    if (status == HM_OK && !hm__reservation_decommit(r, first, end)) {
        status = HM_E_OS;
    }
    hm__unlock(&lock);
    return status;
}

static hm_status release(void *address, size_t size)
{
    hm__reservation *r;
    size_t first, end, bytes = 0;
    hm__lock(&lock);
    hm_status status = find(address, 0, &r, &first, &end);
    if (status == HM_OK && (size != 0 || (uintptr_t)address != r->base)) {
        status = HM_E_INVALID;
    }
    if (status == HM_OK) {
        bytes = r->end - r->base;
        retire(r);
    }
    hm__unlock(&lock);
    if (status == HM_OK) {
        /* Out of the map first: once unmapped, the range may be another thread's next reservation. */
        hm__os_pages_unmap(address, bytes);
    }
    return status;
}

hm_status hm__virtual_free(void *address, size_t size, uint32_t type)
{
    know_fork();
    switch (type) {
    case HM_MEM_DECOMMIT:
        return decommit(address, size);
    case HM_MEM_RELEASE:
        return release(address, size);
    default:
        return HM_E_INVALID; /* both, neither, or something beside */
    }
}

hm_status
hm__virtual_protect(void *address, size_t size, uint32_t protection, uint32_t *old)
{
    if (!old || size == 0) {
        return HM_E_INVALID;
    }
    hm_status status = protection_check(protection);
    if (status != HM_OK) {
        return status;
    }
    hm__reservation *r;
    size_t first, end;
    know_fork();
    hm__lock(&lock);
    status = find(address, size, &r, &first, &end);
    if (status == HM_OK && !hm__reservation_committed(r, first, end)) {
        status = HM_E_INVALID;
    }
    if (status == HM_OK) {
        const uint32_t before = hm__reservation_state(r, first);
        if (hm__reservation_apply(r, first, end, protection)) {
            *old = before;
        } else {
            status = HM_E_OS;
        }
    }
    hm__unlock(&lock);
    return status;
}

hm_status hm__virtual_query(const void *address, hm_region *out)
{
    const uintptr_t page = page_down((uintptr_t)address);
    if (!out || !HM_HAS(out, hm_region, type) || page >= address_limit()) {
        return HM_E_INVALID;
    }
    __atomic_fetch_add(&readers, 1, __ATOMIC_SEQ_CST);
    const hm__reservation *r = hm__address_map_get(page);
    const int ours = r && page < r->end;
    out->base = (void *)page;
    out->allocation_base = ours ? (void *)r->base : NULL;
    out->allocation_protection = ours ? r->protection : 0;
    out->protection = 0;
    out->type = ours ? HM_MEM_PRIVATE : 0;
    if (ours) {
        const size_t first = (page - r->base) / hm__os()->page_size;
        const uint8_t page_state = hm__reservation_state(r, first);
        out->protection = page_state;
        out->state = page_state ? HM_MEM_COMMIT : HM_MEM_RESERVE;
        out->bytes =
            hm__pages_bytes(hm__reservation_run(r, first, r->pages, page_state) - first);
    } else {
        /* Free of our reservations: what else the program has mapped there is not ours to tell. */
        const uintptr_t next = hm__address_map_next(granule_up(page + 1));
        out->state = HM_MEM_FREE;
        out->bytes = (next < address_limit() ? next : address_limit()) - page;
    }
    __atomic_fetch_sub(&readers, 1, __ATOMIC_SEQ_CST);
    return HM_OK;
}
