/* SPDX-License-Identifier: MIT */
/**
 * @file mimalloc.h
 * @brief hm_alloc() and hm_free() that run into mimalloc, where it is part of the program.
 *
 * For programs that link the static library of a build that was given mimalloc's source (HOSTMALLOC_MIMALLOC_SOURCE) and
 * are linked with link-time optimisation. Included beside malloc.h it changes nothing but speed: hm_alloc, hm_free and
 * hm_free_sized first compare the object's table with that of the mimalloc host's plain objects, and call its slots by
 * name, in whose place the linker puts their work. Any other object (of another host, wrapped by a layer, closed, made for one
 * thread) goes the usual way and pays the comparison.
 *
 * Without link-time optimisation it is correct, and saves the indirect call only. With any other build of the library,
 * and with the shared one, a program that includes it does not link: these names are in no other. Since 1.0.
 */
#ifndef HM_MIMALLOC_H
#define HM_MIMALLOC_H

#include <hostmalloc/malloc.h>

HM_BEGIN_DECLS

/** The table of the mimalloc host's plain objects: there to be compared with, not to be read. */
extern hm_malloc_vtbl hm_mimalloc_slots;
/** Its slots; for objects with that very table. @threads as the object's */
void *hm_mimalloc_alloc(hm_malloc *self, size_t size, hm_level level);
void hm_mimalloc_free(hm_malloc *self, void *block);
void hm_mimalloc_free_sized(hm_malloc *self, void *block, size_t size);

static inline int hm__is_mimalloc(hm_malloc *m)
{
    return HM_LOAD(m->vtbl) == &hm_mimalloc_slots;
}

static inline void *hm__mimalloc_alloc_here(hm_site *site, hm_malloc *m, size_t size)
{
    return hm__is_mimalloc(m) ? hm_mimalloc_alloc(m, size, HM_LEVEL_CURRENT)
                              : hm_alloc_at(m, size, HM_LEVEL_CURRENT, site);
}

static inline hm_status hm__mimalloc_free_here(hm_site *site, hm_malloc *m, void *block)
{
    if (block && hm__is_mimalloc(m)) {
        hm_mimalloc_free(m, block);
        return HM_OK;
    }
    return hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, site);
}

static inline hm_status
hm__mimalloc_free_sized_here(hm_site *site, hm_malloc *m, void *block, size_t size)
{
    if (block && hm__is_mimalloc(m)) {
        hm_mimalloc_free_sized(m, block, size);
        return HM_OK;
    }
    return hm_free_sized_at(m, block, size, site);
}

HM_END_DECLS

#undef hm_alloc
#undef hm_free
#undef hm_free_sized
#define hm_alloc(...)      hm__mimalloc_alloc_here(HM_SITE, __VA_ARGS__)
#define hm_free(...)       hm__mimalloc_free_here(HM_SITE, __VA_ARGS__)
#define hm_free_sized(...) hm__mimalloc_free_sized_here(HM_SITE, __VA_ARGS__)

#endif
