/* SPDX-License-Identifier: MIT */
/* What the two files of the default host share. */
#ifndef HM_HOSTS_DEFAULT_INTERNAL_H
#define HM_HOSTS_DEFAULT_INTERNAL_H

#include <hostmalloc/module.h>

#include <stdalign.h>

/* Every libc aligns blocks of this size to it, and gives each its own address; some allocators that take libc's
   place align smaller ones to 8 only. glibc's smallest block is larger anyway. */
#define HM__LIBC_SMALLEST alignof(max_align_t)

typedef struct hm__default_wrapped hm__default_wrapped;

typedef struct hm__default_host {
    hm_host base;
    uint32_t references;          /* atomic */
    hm__default_wrapped *wrapped; /* atomic; NULL until the first wrapped object */
    hm_host_vtbl vtbl;            /* the core's tables with our slots in place */
    hm_malloc_vtbl plain_vtbl;
    hm_malloc_vtbl closed_vtbl;
} hm__default_host;

extern const hm_core *hm__default_core;

static inline size_t hm__libc_size(size_t size)
{
    return size < HM__LIBC_SMALLEST ? HM__LIBC_SMALLEST : size;
}

/* default_wrapped.c: objects that know their blocks. */
hm_status hm__default_create_wrapped(hm__default_host *host,
                                     const hm_malloc_opts *wanted,
                                     hm_malloc **out,
                                     hm_error *err);
/* Usable bytes of a wrapped object's block; 0 for any other. */
size_t hm__default_wrapped_size(const hm__default_host *host, const void *block);
void hm__default_wrapped_destroy(hm__default_wrapped *wrapped); /* NULL allowed */

#endif
