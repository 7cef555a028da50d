/* SPDX-License-Identifier: MIT */
/* Bridges into libraries that are in the process already, or come later. */
#ifndef HM_PLUGINS_PRELOAD_INJECT_INTERNAL_H
#define HM_PLUGINS_PRELOAD_INJECT_INTERNAL_H

#include <hostmalloc/bridges/bridge.h>

/* Install a bridge into every library that has a hook and is here, over mallocs of @p host, which is kept. names is
   "openssl,sqlite", "none", or NULL for all of them. */
void hm__preload_inject(hm_host *host, const char *names);

/* The loader allocates: this thread is opening a library. */
void hm__preload_note_loader(void);

/* Look at what was loaded since, for the thread that did so; clears hm__preload_loaded, unless another thread is loading. */
void hm__preload_inject_loaded(void);

/* The bridges whose library was found, for reports: name, where, and what install and verify say. 0 past the last. */
typedef struct hm__injected {
    const hm_bridge *bridge;
    const char *path; /* of the object it was found in */
} hm__injected;
int hm__preload_injected(size_t index, hm__injected *out);

#endif
