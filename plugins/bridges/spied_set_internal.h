/* SPDX-License-Identifier: MIT */
/* The addresses of the blocks that belong to the present spy. Used under the spies' lock only.
 *
 * Room is reserved before the allocation that will need it, so that a block is never handed out unmarked. */
#ifndef HM_PLUGINS_SPIED_SET_INTERNAL_H
#define HM_PLUGINS_SPIED_SET_INTERNAL_H

#include <hostmalloc/module.h>

/* All zero is empty. */
typedef struct hm__spied_set {
    const void **slots; /* open addressing, linear; NULL is free */
    size_t capacity;    /* a power of two, or 0 */
    size_t count;
    size_t reserved; /* adds that were promised room */
} hm__spied_set;

int hm__spied_set_reserve(hm__spied_set *set); /* 1 done */
/* Gives the reservation up again; block NULL does only that. */
void hm__spied_set_add(hm__spied_set *set, const void *block);
int hm__spied_set_has(const hm__spied_set *set, const void *block);
void hm__spied_set_remove(hm__spied_set *set, const void *block);
void hm__spied_set_clear(hm__spied_set *set); /* reservations stay good */
void hm__spied_set_fini(hm__spied_set *set);  /* empty again, and nothing reserved */

#endif
