/* SPDX-License-Identifier: MIT */
/* Whose range an address lies in: one map for the process, in granules of 64 KiB.
 *
 * A radix of four levels of 256 entries over 48 bits of address. An entry is empty, a node below, or a value; a
 * value on an upper level stands for everything below it, so that a range of terabytes costs some hundred
 * entries. Nodes are kept for good, so readers follow them without a lock. Writers keep each other out
 * themselves; what a value points to is kept alive for its readers by who stored it (virtual.c). */
#ifndef HM_CORE_ADDRESS_MAP_INTERNAL_H
#define HM_CORE_ADDRESS_MAP_INTERNAL_H

#include <stdint.h>

#define HM__ADDRESS_GRANULE ((uintptr_t)64 * 1024)
#define HM__ADDRESS_LIMIT   ((uintptr_t)1 << 48)

/* Claim every granule that [from, to) touches, all of them empty before; 1 done, 0 no memory and nothing
   changed. The value is aligned to 2 at least. */
int hm__address_map_set(uintptr_t from, uintptr_t to, void *value);
/* Empty what hm__address_map_set claimed for the same range. Sequentially consistent. */
void hm__address_map_clear(uintptr_t from, uintptr_t to);
/* The value of the granule of an address below the limit; NULL when empty. Sequentially consistent. */
void *hm__address_map_get(uintptr_t address);
/* Start of the first claimed granule that begins at or after a granule's start; the limit when none does. */
uintptr_t hm__address_map_next(uintptr_t granule_start);

#endif
