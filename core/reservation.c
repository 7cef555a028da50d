/* SPDX-License-Identifier: MIT */
/* The states of a reservation's pages, kept equal to what the system was told. */
#include "reservation_internal.h"

#include "memory_internal.h"
#include "os.h"

#define CHUNK_PAGES ((size_t)4096)

static size_t chunk_count(size_t pages)
{
    return (pages + CHUNK_PAGES - 1) / CHUNK_PAGES;
}

static size_t chunk_bytes(const hm__reservation *r, size_t chunk)
{
    const size_t left = r->pages - chunk * CHUNK_PAGES;
    return left < CHUNK_PAGES ? left : CHUNK_PAGES;
}

static size_t description_bytes(size_t pages)
{
    return sizeof(hm__reservation) + chunk_count(pages) * sizeof(uint8_t *);
}

hm__reservation *hm__reservation_create(size_t pages)
{
    hm__reservation *r = hm__memory_alloc(description_bytes(pages));
    if (r) {
        r->pages = pages;
    }
    return r;
}

void hm__reservation_destroy(hm__reservation *r)
{
    for (size_t i = 0; i < chunk_count(r->pages); i++) {
        if (r->chunks[i]) {
            hm__memory_free(r->chunks[i], chunk_bytes(r, i));
        }
    }
    hm__memory_free(r, description_bytes(r->pages));
}

void *hm__reservation_page(const hm__reservation *r, size_t page)
{
    return (void *)(r->base + hm__pages_bytes(page));
}

size_t hm__pages_bytes(size_t pages)
{
    return pages * hm__os()->page_size;
}

static uint8_t *chunk_of(const hm__reservation *r, size_t page)
{
    return __atomic_load_n(&r->chunks[page / CHUNK_PAGES], __ATOMIC_ACQUIRE);
}

static size_t next_chunk(size_t page)
{
    return (page / CHUNK_PAGES + 1) * CHUNK_PAGES;
}

static uint8_t state_in(const uint8_t *chunk, size_t page)
{
    return chunk ? __atomic_load_n(&chunk[page % CHUNK_PAGES], __ATOMIC_RELAXED) : 0;
}

uint8_t hm__reservation_state(const hm__reservation *r, size_t page)
{
    return state_in(chunk_of(r, page), page);
}

size_t
hm__reservation_run(const hm__reservation *r, size_t page, size_t limit, uint8_t state)
{
    page++;
    while (page < limit) {
        const uint8_t *chunk = chunk_of(r, page);
        const size_t stop = next_chunk(page) < limit ? next_chunk(page) : limit;
        if (!chunk && state == 0) {
            page = stop;
        }
        for (; page < stop; page++) {
            if (state_in(chunk, page) != state) {
                return page;
            }
        }
    }
    return limit;
}

int hm__reservation_committed(const hm__reservation *r, size_t first, size_t end)
{
    while (first < end) {
        const uint8_t state = hm__reservation_state(r, first);
        if (state == 0) {
            return 0;
        }
        first = hm__reservation_run(r, first, end, state);
    }
    return 1;
}

static int make_chunks(hm__reservation *r, size_t first, size_t end)
{
    for (size_t i = first / CHUNK_PAGES; i < chunk_count(end); i++) {
        if (!__atomic_load_n(&r->chunks[i], __ATOMIC_RELAXED)) {
            uint8_t *chunk = hm__memory_alloc(chunk_bytes(r, i));
            if (!chunk) {
                return 0;
            }
            __atomic_store_n(&r->chunks[i], chunk, __ATOMIC_RELEASE);
        }
    }
    return 1;
}

/* A missing chunk holds nothing but zeroes already. */
static void mark(hm__reservation *r, size_t first, size_t end, uint32_t state)
{
    for (size_t page = first; page < end;) {
        uint8_t *chunk = chunk_of(r, page);
        const size_t stop = next_chunk(page) < end ? next_chunk(page) : end;
        for (; chunk && page < stop; page++) {
            __atomic_store_n(&chunk[page % CHUNK_PAGES], (uint8_t)state,
                             __ATOMIC_RELAXED);
        }
        page = stop;
    }
}

/* Tell the system what the states say. It once gave these pages out as they were, so it is not expected to
   refuse; if it does there is nothing better to do. */
static void undo(hm__reservation *r, size_t first, size_t end)
{
    while (first < end) {
        const uint8_t state = hm__reservation_state(r, first);
        const size_t stop = hm__reservation_run(r, first, end, state);
        void *pages = hm__reservation_page(r, first);
        if (state == 0) {
            hm__os_pages_decommit(pages, hm__pages_bytes(stop - first));
        } else {
            hm__os_pages_protect(pages, hm__pages_bytes(stop - first), state);
        }
        first = stop;
    }
}

int hm__reservation_apply(hm__reservation *r,
                          size_t first,
                          size_t end,
                          uint32_t protection)
{
    if (!make_chunks(r, first, end)) {
        return 0;
    }
    for (size_t page = first; page < end;) {
        const uint8_t state = hm__reservation_state(r, page);
        const size_t stop = hm__reservation_run(r, page, end, state);
        const size_t bytes = hm__pages_bytes(stop - page);
        void *pages = hm__reservation_page(r, page);
        const int done = state == 0 ? hm__os_pages_commit(pages, bytes, protection)
                         : state == protection
                             ? 1
                             : hm__os_pages_protect(pages, bytes, protection);
        if (!done) {
            undo(r, first, stop);
            return 0;
        }
        page = stop;
    }
    mark(r, first, end, protection);
    return 1;
}

int hm__reservation_decommit(hm__reservation *r, size_t first, size_t end)
{
    if (hm__reservation_state(r, first) == 0 &&
        hm__reservation_run(r, first, end, 0) == end) {
        return 1;
    }
    if (!hm__os_pages_decommit(hm__reservation_page(r, first),
                               hm__pages_bytes(end - first))) {
        return 0;
    }
    mark(r, first, end, 0);
    return 1;
}

void hm__reservation_reset(hm__reservation *r, size_t first, size_t end)
{
    while (first < end) {
        const uint8_t state = hm__reservation_state(r, first);
        const size_t stop = hm__reservation_run(r, first, end, state);
        if (state != 0) {
            hm__os_pages_reset(hm__reservation_page(r, first),
                               hm__pages_bytes(stop - first));
        }
        first = stop;
    }
}
