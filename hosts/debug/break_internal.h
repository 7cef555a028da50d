/* SPDX-License-Identifier: MIT */
/* Stopping at a block. */
#ifndef HM_DEBUG_BREAK_INTERNAL_H
#define HM_DEBUG_BREAK_INTERNAL_H

#include "debug_internal.h"

/* Read FILE:LINE#N; without #N the first. */
hm_status hm__debug_break_read(debug_break *wanted, const char *text, hm_error *err);
/* The site's text ends with place, from the start or after a folder. */
int hm__debug_is_place(const char *place, const hm_site *site);
/* A fresh block. */
void hm__debug_break_look(const debug_malloc *m, const void *block);

#endif
