/* SPDX-License-Identifier: MIT */
/* The functions of the jemalloc that was loaded. */
#ifndef HM_PLUGINS_HOSTS_JEMALLOC_INTERNAL_H
#define HM_PLUGINS_HOSTS_JEMALLOC_INTERNAL_H

#include <hostmalloc/module.h>

#include <jemalloc/jemalloc.h>

typedef struct jemalloc_functions {
    void *(*mallocx)(size_t size, int flags);
    void *(*rallocx)(void *block, size_t size, int flags);
    size_t (*sallocx)(const void *block, int flags);
    void (*dallocx)(void *block, int flags);
    void (*sdallocx)(void *block, size_t size, int flags);
    size_t (*nallocx)(size_t size, int flags);
    int (*mallctl)(
        const char *name, void *old, size_t *old_bytes, void *value, size_t bytes);
} jemalloc_functions;

/* Filled by the first load, and from then on constant. */
extern jemalloc_functions hm__jemalloc;

/* HM_E_OS with the loader's reason. */
hm_status hm__jemalloc_load(const hm_core *core, hm_error *err);

#endif
