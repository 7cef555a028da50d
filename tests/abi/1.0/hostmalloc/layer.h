/* SPDX-License-Identifier: MIT */
/**
 * @file layer.h
 * @brief Writing a layer: a host that wraps a host.
 *
 * A layer's objects start with the two structs below; hm_core.malloc_forward and hm_core.host_forward
 * pass every call on, so that a layer writes only what it changes. See plugins/README.md.
 * Stable since 1.0: the structs are public and never grow.
 */
#ifndef HM_LAYER_H
#define HM_LAYER_H

#include <hostmalloc/module.h>

/** First member of a layer's host. */
typedef struct hm_layer_host {
    hm_host base;
    hm_host *inner;      /**< one reference */
    uint32_t references; /**< atomic; the layer's create starts it at 1 */
    uint32_t
        bytes; /**< of the whole object, from memory_alloc: given back when the last reference goes */
} hm_layer_host;

/** First member of a layer's malloc. */
typedef struct hm_layer_malloc {
    hm_malloc base;
    hm_malloc *inner;    /**< one reference */
    hm_host *host;       /**< one reference to the layer's own host */
    uint32_t references; /**< atomic */
    uint32_t bytes;      /**< of the whole object, as above */
} hm_layer_malloc;

/** Set up a zeroed object of @p bytes from hm_core.memory_alloc; takes a reference to @p inner. */
static inline void hm_layer_host_init(hm_layer_host *layer,
                                      const hm_host_vtbl *vtbl,
                                      hm_host *inner,
                                      uint32_t bytes)
{
    layer->base.vtbl = vtbl;
    layer->inner = inner;
    layer->references = 1;
    layer->bytes = bytes;
    hm_host_retain(inner);
}

/** Likewise; takes over the reference to @p inner, adds one to @p host, passes HM_MALLOC_DEBUG on. */
static inline void hm_layer_malloc_init(hm_layer_malloc *layer,
                                        const hm_malloc_vtbl *vtbl,
                                        hm_malloc *inner,
                                        hm_host *host,
                                        uint32_t bytes)
{
    layer->base.vtbl = vtbl;
    layer->base.flags = inner->flags;
    layer->inner = inner;
    layer->host = host;
    layer->references = 1;
    layer->bytes = bytes;
    hm_host_retain(host);
}

#endif
