/* SPDX-License-Identifier: MIT */
/**
 * @file swap.h
 * @brief The swap layer's call: change the host under a running program.
 *
 * "swap+mimalloc" starts on mimalloc; hm_swap_to(host, "debug+mimalloc", &err) puts another host under it while
 * threads allocate. From then on new blocks come from the new host, and each block is freed by the host it was
 * born on; the old host's objects are released as their last blocks go. Objects of a swap layer always want
 * sites and answer verdicts (HM_MALLOC_DEBUG), so that whatever is put underneath gets what it needs. Pages
 * (hm_host_virtual_alloc), load and notifications stay with the host the layer was opened over.
 * Stable since 1.0.
 */
#ifndef HM_SWAP_H
#define HM_SWAP_H

#include <hostmalloc/host.h>

typedef struct hm_swap_state {
    size_t size;    /**< sizeof(hm_swap_state) as the caller compiled it */
    uint64_t swaps; /**< done so far */
    uint64_t
        refused; /**< asked for and refused: a bad spec, no memory; the host stayed as it was */
    uint32_t mallocs; /**< objects of this layer */
    uint32_t waiting; /**< malloc objects of old hosts that still have blocks */
} hm_swap_state;

/** What find("swap") of a swap layer's host or malloc gives. @threads any */
typedef struct hm_swap {
    size_t size;
    void *self;
    hm_status (*to)(void *self, const char *spec, hm_error *err);
    hm_status (*state)(void *self, hm_swap_state *out);
} hm_swap;

HM_BEGIN_DECLS

/**
 * Put the host of @p spec under the outermost swap layer of @p host; NULL or "" goes back to the host it was
 * opened over. All objects change, or none does. Opening a host takes what it takes: this is no call for a
 * signal handler.
 * @return HM_E_NOT_FOUND when there is no swap layer in the stack; what opening or creating answered
 * @threads any
 */
static inline hm_status hm_swap_to(hm_host *host, const char *spec, hm_error *err)
{
    void *found = (void *)0;
    const hm_status status = hm_host_find(host, "swap", &found);
    if (status != HM_OK) {
        return status;
    }
    const hm_swap *swap = (const hm_swap *)found;
    return swap->to(swap->self, spec, err);
}

/** @p out is zeroed and sized here. @threads any */
static inline hm_status hm_swap_look(hm_host *host, hm_swap_state *out)
{
    const hm_swap_state empty = {sizeof(hm_swap_state), 0, 0, 0, 0};
    void *found = (void *)0;
    *out = empty;
    const hm_status status = hm_host_find(host, "swap", &found);
    if (status != HM_OK) {
        return status;
    }
    const hm_swap *swap = (const hm_swap *)found;
    return swap->state(swap->self, out);
}

HM_END_DECLS

#endif
