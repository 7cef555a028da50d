/* SPDX-License-Identifier: MIT */
/* One range of reserved pages and what has become of each.
 *
 * Every page has one byte: 0 while it is only reserved, else the HM_PAGE_ value it is committed with. The bytes
 * come in chunks, made when a first page of theirs is committed, so that reserving a terabyte costs next to
 * nothing. The owner (virtual.c) keeps writers apart; the readers below may run beside one. */
#ifndef HM_CORE_RESERVATION_INTERNAL_H
#define HM_CORE_RESERVATION_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

typedef struct hm__reservation {
    uintptr_t base; /* this and the next three are set before it is published, and stay */
    uintptr_t end;
    size_t pages;
    uint32_t protection; /* as asked for when it was reserved */
    struct hm__reservation *next_retired;
    uint8_t *chunks[]; /* atomic; NULL: none of its pages is committed */
} hm__reservation;

/* The description only, for the caller to fill; NULL when there is no memory. */
hm__reservation *hm__reservation_create(size_t pages);
void hm__reservation_destroy(hm__reservation *r);

void *hm__reservation_page(const hm__reservation *r, size_t page);
size_t hm__pages_bytes(size_t pages);

/* Readers. Pages are numbered from 0; a range is [first, end). */
uint8_t hm__reservation_state(const hm__reservation *r, size_t page);
/* The page after the run of pages in one state that starts with a page, which is in it; not beyond a limit. The
   state is passed in because a writer may change it between two looks. */
size_t
hm__reservation_run(const hm__reservation *r, size_t page, size_t limit, uint8_t state);

/* Writers. */
/* Commit what is not committed, protect what is: all of it and 1, or nothing and 0. */
int hm__reservation_apply(hm__reservation *r,
                          size_t first,
                          size_t end,
                          uint32_t protection);
int hm__reservation_committed(const hm__reservation *r, size_t first, size_t end);
int hm__reservation_decommit(hm__reservation *r, size_t first, size_t end); /* 1 done */
/* The contents may go. That the system declines is no failure: they are then simply still there. */
void hm__reservation_reset(hm__reservation *r, size_t first, size_t end);

#endif
