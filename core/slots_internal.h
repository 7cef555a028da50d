/* SPDX-License-Identifier: MIT */
/* Ready-made tables and checks for implementers; hm_core hands them out. */
#ifndef HM_CORE_SLOTS_INTERNAL_H
#define HM_CORE_SLOTS_INTERNAL_H

#include <hostmalloc/layer.h>

extern const hm_malloc_vtbl hm__malloc_basics;  /* slots.c */
extern const hm_host_vtbl hm__host_basics;      /* host.c */
extern const hm_malloc_vtbl hm__malloc_forward; /* layer.c */
extern const hm_host_vtbl hm__host_forward;

/* A struct that starts with its size, as a caller compiled it: HM_E_INVALID when it is smaller than least or
   unbelievably large, HM_E_UNSUPPORTED when it sets what lies beyond the known bytes. malloc.c */
hm_status hm__struct_check(const void *object, size_t least, size_t known);

hm_status hm__request_check(const hm_request *request); /* NULL allowed; HM_E_INVALID */

/* slots.c: where a block was allocated, NULL if that is not known; a realloc without a site keeps it. */
hm_site *hm__birth_site(hm_malloc *self, const void *block);

/* closed.c: a table for drained objects, and the close of the ready-made table. */
void hm__malloc_closed(const hm_malloc_vtbl *live, hm_malloc_vtbl *closed);
void hm__malloc_close(hm_malloc *self);
hm_status hm__malloc_opts_read(const hm_malloc_opts *opts,
                               uint32_t supported,
                               hm_malloc_opts *copy,
                               hm_error *err);

hm_status hm__wrap_malloc(const hm_allocator *allocator,
                          hm_host *host,
                          const hm_malloc_opts *opts,
                          hm_malloc **out,
                          hm_error *err); /* wrap.c */
hm_status hm__wrap_host(const hm_allocator *allocator,
                        const char *name,
                        hm_host **out,
                        hm_error *err);

#endif
