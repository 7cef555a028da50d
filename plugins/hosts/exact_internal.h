/* SPDX-License-Identifier: MIT */
/* Objects of a module host that must know their blocks: the core's wrapping malloc over two functions of the host,
 * but with one size_of for all objects of the host, wrapped or not. */
#ifndef HM_PLUGINS_HOSTS_EXACT_INTERNAL_H
#define HM_PLUGINS_HOSTS_EXACT_INTERNAL_H

#include <hostmalloc/module.h>

typedef struct exact_kin {
    const hm_core *core;
    const char *where; /* of errors */
    const hm_allocator *allocator;
    size_t (*plain_size)(const void *block); /* of a block of a plain object, or NULL */
} exact_kin;

/* As hm_core.wrap_malloc. @p kin lives as long as the module, which has one. */
hm_status hm__exact_create(const exact_kin *kin,
                           hm_host *host,
                           const hm_malloc_opts *opts,
                           hm_malloc **out,
                           hm_error *err);

/* Usable bytes of an exact object's block; 0 for everything else, whose memory is not looked at. */
size_t hm__exact_size(const void *block);

#endif
