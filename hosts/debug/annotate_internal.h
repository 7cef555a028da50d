/* SPDX-License-Identifier: MIT */
/* Telling valgrind's memcheck and AddressSanitizer what is nobody's to touch, so that they see reads too, and memory nobody has
 * written yet. Only for hosts with debug:annotate, which is on where one of them is there. */
#ifndef HM_DEBUG_ANNOTATE_INTERNAL_H
#define HM_DEBUG_ANNOTATE_INTERNAL_H

#include "debug_internal.h"

/* 1: one of the tools is there, and this library may be told of by it. */
int hm__debug_annotate_possible(void);
/* Around code of ours that reads or writes what is hidden; may be nested. */
void hm__debug_annotate_begin(void);
void hm__debug_annotate_end(void);

/* A block made just now: its edges are hidden, and its bytes, from `from` on, are not written yet. */
void hm__debug_annotate_fresh(const debug_malloc *m, const void *block, size_t from);
/* The bytes of a live block, for the next two; SIZE_MAX: it is none that is annotated. */
size_t hm__debug_annotate_bytes(const debug_malloc *m, const void *block);
/* Its edges may be touched by us. */
void hm__debug_annotate_reveal_edges(const debug_malloc *m,
                                     const void *block,
                                     size_t bytes);
/* All of it may be touched: it is about to go back. */
void hm__debug_annotate_reveal(const debug_malloc *m, const void *block, size_t bytes);
/* After a free or realloc that was asked for: hidden as a whole when it is held back, its edges when it is still live. */
void hm__debug_annotate_hide(const debug_malloc *m, const void *block, size_t bytes);

/* heaptrack watches the process's malloc; it is told of blocks that come from elsewhere. NULL does nothing. */
int hm__debug_heaptrack_possible(
    hm_host *inner); /* 1: it is there, and does not see the blocks of inner */
void hm__debug_heaptrack_made(const debug_malloc *m, const void *block, size_t bytes);
void hm__debug_heaptrack_gone(const debug_malloc *m, const void *block);

/* annotate_tables.c: after hm__debug_watch_prepare */
void hm__debug_annotate_prepare(void);
const hm_malloc_vtbl *hm__debug_annotated(uint32_t kind, int shared);

#endif
