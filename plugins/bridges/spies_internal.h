/* SPDX-License-Identifier: MIT */
/* What the ready-made spies share: a counted object in the core's private memory. */
#ifndef HM_PLUGINS_SPIES_INTERNAL_H
#define HM_PLUGINS_SPIES_INTERNAL_H

#include <hostmalloc/bridges/spy.h>
#include <hostmalloc/module.h>

/* First member of every ready-made spy. */
typedef struct hm__ready_spy {
    hm_spy base;
    size_t bytes;        /* of the whole object */
    uint32_t references; /* atomic */
} hm__ready_spy;

/* A zeroed object of bytes with one reference, or HM_E_NOMEM; HM_E_INVALID without a place for it. */
hm_status hm__ready_spy_create(const hm_spy_vtbl *vtbl, size_t bytes, hm_spy **out);
void hm__ready_spy_retain(hm_spy *self);
void hm__ready_spy_release(hm_spy *self);

#endif
