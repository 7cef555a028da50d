/* SPDX-License-Identifier: MIT */
/* Exact objects of a module host; every module that needs them is linked with its own copy. */
#include "exact_internal.h"

/* Made with the first exact object, and kept for good. */
typedef struct exact_table {
    const exact_kin *kin;
    hm_malloc *judge;    /* knows every wrapped block, and nobody allocates from it */
    hm_malloc_vtbl vtbl; /* the wrapping malloc's but for size_of */
} exact_table;

static exact_table *table; /* atomic */

size_t hm__exact_size(const void *block)
{
    const exact_table *t = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
    return t ? hm_size_of(t->judge, block) : 0;
}

/* An exact object may be asked about a plain sibling's block. Not a checking one: it is there to judge suspect
   pointers, and their memory must not be looked at. */
static size_t exact_size_of(hm_malloc *self, const void *block)
{
    const size_t bytes = hm__exact_size(block);
    return bytes || !block || (self->flags & HM_MALLOC_DEBUG)
               ? bytes
               : __atomic_load_n(&table, __ATOMIC_ACQUIRE)->kin->plain_size(block);
}

/* Of two threads that make one at the same time the second gives its own up. */
static const exact_table *table_get(const exact_kin *kin, hm_error *err)
{
    const hm_core *core = kin->core;
    exact_table *found = __atomic_load_n(&table, __ATOMIC_ACQUIRE);
    if (found) {
        return found;
    }
    exact_table *made = core->memory_alloc(sizeof *made);
    if (!made) {
        core->error_set(err, HM_E_NOMEM, kin->where,
                        "no private memory for a malloc object");
        return NULL;
    }
    if (core->wrap_malloc(kin->allocator, NULL, NULL, &made->judge, err) != HM_OK) {
        core->memory_free(made, sizeof *made);
        return NULL;
    }
    made->kin = kin;
    made->vtbl = *made->judge->vtbl;
    made->vtbl.size_of = exact_size_of;
    if (!__atomic_compare_exchange_n(&table, &found, made, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        hm_malloc_release(made->judge);
        core->memory_free(made, sizeof *made);
        return found;
    }
    return made;
}

hm_status hm__exact_create(const exact_kin *kin,
                           hm_host *host,
                           const hm_malloc_opts *opts,
                           hm_malloc **out,
                           hm_error *err)
{
    const exact_table *t = table_get(kin, err);
    if (!t) {
        return HM_E_NOMEM;
    }
    const hm_status status = kin->core->wrap_malloc(kin->allocator, host, opts, out, err);
    if (status == HM_OK) {
        (*out)->vtbl = &t->vtbl;
    }
    return status;
}
