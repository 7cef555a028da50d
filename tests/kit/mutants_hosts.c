/* SPDX-License-Identifier: MIT */
/* Mutants that make objects wrongly, notify wrongly, and answer wrongly as hosts. */
#include "mutants.h"

#define FORWARD (mutant_core->malloc_forward)
#define HOST    (mutant_core->host_forward)

#define CHANGE_HOST(name, slot, function)                \
    static void name(hm_malloc_vtbl *m, hm_host_vtbl *h) \
    {                                                    \
        (void)m;                                         \
        h->slot = function;                              \
    }

#define CREATE(name)                                                                  \
    static hm_status name(hm_host *self, const hm_malloc_opts *opts, hm_malloc **out, \
                          hm_error *err)

#define KNOWN_FLAGS                                                   \
    (HM_MALLOC_THREADSAFE | HM_MALLOC_EXECUTABLE | HM_MALLOC_SCOPED | \
     HM_MALLOC_ONE_THREAD | HM_MALLOC_EXACT | HM_MALLOC_DEBUG)

/* Options of the full size with some flags taken away. */
static hm_status create_without(hm_host *self,
                                const hm_malloc_opts *opts,
                                uint32_t flags,
                                hm_malloc **out,
                                hm_error *err)
{
    if (!opts || opts->size != sizeof *opts) {
        return mutant_create(self, opts, out, err);
    }
    hm_malloc_opts less = *opts;
    less.flags &= ~flags;
    return mutant_create(self, &less, out, err);
}

CREATE(unknown_create)
{
    return create_without(self, opts, ~KNOWN_FLAGS, out, err);
}
CHANGE_HOST(flags_unknown, create_malloc, unknown_create)

CREATE(contradicting_create)
{
    const uint32_t both = HM_MALLOC_THREADSAFE | HM_MALLOC_ONE_THREAD;
    const int torn = opts && opts->size == sizeof *opts && (opts->flags & both) == both;
    return create_without(self, opts, torn ? HM_MALLOC_ONE_THREAD : 0, out, err);
}
CHANGE_HOST(flags_contradicting, create_malloc, contradicting_create)

CREATE(debug_create)
{
    return create_without(self, opts, HM_MALLOC_DEBUG, out, err);
}
CHANGE_HOST(flags_debug, create_malloc, debug_create)

CREATE(not_granted_create)
{
    return create_without(self, opts, HM_MALLOC_ONE_THREAD, out, err);
}
CHANGE_HOST(flags_not_granted, create_malloc, not_granted_create)

CREATE(null_refused_create)
{
    *out = NULL;
    return opts ? mutant_create(self, opts, out, err)
                : mutant_core->error_set(err, HM_E_INVALID, "host:mutant", "no options");
}
CHANGE_HOST(options_null_refused, create_malloc, null_refused_create)

CREATE(short_create)
{
    return mutant_create(self, opts && opts->size == 4 ? NULL : opts, out, err);
}
CHANGE_HOST(options_short, create_malloc, short_create)

CREATE(long_refused_create)
{
    *out = NULL;
    return !opts || opts->size <= sizeof *opts
               ? mutant_create(self, opts, out, err)
               : mutant_core->error_set(err, HM_E_INVALID, "host:mutant", "too long");
}
CHANGE_HOST(options_long_refused, create_malloc, long_refused_create)

CREATE(ok_null_create)
{
    const uint32_t pair = HM_MALLOC_EXACT | HM_MALLOC_ONE_THREAD;
    *out = NULL;
    return opts && opts->size == sizeof *opts && opts->flags == pair
               ? HM_OK
               : mutant_create(self, opts, out, err);
}
CHANGE_HOST(ok_null, create_malloc, ok_null_create)

CREATE(wrong_status_create)
{
    *out = NULL;
    return opts && opts->size == sizeof *opts && opts->flags == HM_MALLOC_EXECUTABLE
               ? HM_E_NOMEM
               : mutant_create(self, opts, out, err);
}
CHANGE_HOST(kind_wrong_status, create_malloc, wrong_status_create)

CREATE(out_left_create)
{
    hm_malloc *made = NULL;
    const hm_status status = mutant_create(self, opts, &made, err);
    if (status == HM_OK) {
        *out = made;
    }
    return status;
}
CHANGE_HOST(out_left, create_malloc, out_left_create)

CREATE(silent_create)
{
    (void)err;
    return mutant_create(self, opts, out, NULL);
}
CHANGE_HOST(error_silent, create_malloc, silent_create)

static hm_status wrong_load(hm_host *self, uint32_t *percent, size_t *available)
{
    const hm_status status = HOST->memory_load(self, percent, available);
    if (status == HM_OK) {
        *percent += 101;
    }
    return status;
}
CHANGE_HOST(load_wrong, memory_load, wrong_load)

static hm_status null_load(hm_host *self, uint32_t *percent, size_t *available)
{
    uint32_t p;
    size_t a;
    return HOST->memory_load(self, percent ? percent : &p, available ? available : &a);
}
CHANGE_HOST(load_null, memory_load, null_load)

static hm_status twice_subscribe(hm_host *self, hm_notify *notify, void *context)
{
    const hm_status status = HOST->subscribe(self, notify, context);
    return status == HM_E_EXISTS ? HM_OK : status;
}
CHANGE_HOST(subscribe_twice, subscribe, twice_subscribe)

static hm_status unknown_unsubscribe(hm_host *self, hm_notify *notify, void *context)
{
    HOST->unsubscribe(self, notify, context);
    return HM_OK;
}
CHANGE_HOST(unsubscribe_unknown, unsubscribe, unknown_unsubscribe)

static hm_status left_find(hm_host *self, const char *name, void **out)
{
    (void)self, (void)name, (void)out;
    return HM_E_NOT_FOUND;
}
CHANGE_HOST(find_out_left, find, left_find)

static hm_status
foreign_virtual_free(hm_host *self, void *address, size_t size, uint32_t type)
{
    const hm_status status = HOST->virtual_free(self, address, size, type);
    return status == HM_E_NOT_OWNED ? HM_OK : status;
}
CHANGE_HOST(pages_foreign, virtual_free, foreign_virtual_free)

static hm_status null_virtual_protect(
    hm_host *self, void *address, size_t size, uint32_t protection, uint32_t *old)
{
    uint32_t unused;
    return HOST->virtual_protect(self, address, size, protection, old ? old : &unused);
}
CHANGE_HOST(pages_null_old, virtual_protect, null_virtual_protect)

/* A host that tells its subscribers, as it should: no clause fails; and three that do it wrongly. */
static hm_status own_subscribe(hm_host *self, hm_notify *notify, void *context)
{
    return mutant_core->subscribers_add(&mutant_host_of(self)->subscribers, notify,
                                        context);
}

static hm_status own_unsubscribe(hm_host *self, hm_notify *notify, void *context)
{
    return mutant_core->subscribers_remove(&mutant_host_of(self)->subscribers, notify,
                                           context);
}

static hm_status haunted_unsubscribe(hm_host *self, hm_notify *notify, void *context)
{
    const hm_status status = own_unsubscribe(self, notify, context);
    if (status == HM_OK) {
        mutant_core->subscribers_add(&mutant_host_of(self)->ghosts, notify, context);
    }
    return status;
}

static size_t tell(hm_malloc *self)
{
    mutant_host *host = mutant_of(self)->host;
    return mutant_core->subscribers_tell(&host->subscribers, HM_PRESSURE_LOW) +
           mutant_core->subscribers_tell(&host->ghosts, HM_PRESSURE_LOW);
}

static void *telling_alloc(hm_malloc *self, size_t size, hm_level level)
{
    void *block = (FORWARD->alloc)(self, size, level);
    return block || size > 4096 || tell(self) == 0 ? block
                                                   : (FORWARD->alloc)(self, size, level);
}

static void *resigned_alloc(hm_malloc *self, size_t size, hm_level level)
{
    void *block = (FORWARD->alloc)(self, size, level);
    if (!block && size <= 4096) {
        tell(self);
    }
    return block;
}

static void *locked_alloc(hm_malloc *self, size_t size, hm_level level)
{
    if (mutant_of(self)->limit != 1000) {
        return telling_alloc(self, size, level);
    }
    mutant_core->lock(&mutant_of(self)->lock);
    void *block = telling_alloc(self, size, level);
    mutant_core->unlock(&mutant_of(self)->lock);
    return block;
}

static void locked_free(hm_malloc *self, void *block)
{
    if (mutant_of(self)->limit != 1000) {
        (FORWARD->free)(self, block);
        return;
    }
    mutant_core->lock(&mutant_of(self)->lock);
    (FORWARD->free)(self, block);
    mutant_core->unlock(&mutant_of(self)->lock);
}

static void notifies(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    m->alloc = telling_alloc;
    h->subscribe = own_subscribe;
    h->unsubscribe = own_unsubscribe;
}

static void notifies_in_vain(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    notifies(m, h);
    m->alloc = resigned_alloc;
}

static void notifies_locked(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    notifies(m, h);
    m->alloc = locked_alloc;
    (m->free) = locked_free;
}

static void notifies_ghosts(hm_malloc_vtbl *m, hm_host_vtbl *h)
{
    notifies(m, h);
    h->unsubscribe = haunted_unsubscribe;
}

static const mutant mutants[] = {
    {"flags-unknown", flags_unknown},
    {"flags-contradicting", flags_contradicting},
    {"flags-debug", flags_debug},
    {"flags-not-granted", flags_not_granted},
    {"options-null-refused", options_null_refused},
    {"options-short", options_short},
    {"options-long-refused", options_long_refused},
    {"ok-null", ok_null},
    {"kind-wrong-status", kind_wrong_status},
    {"out-left", out_left},
    {"error-silent", error_silent},
    {"load-wrong", load_wrong},
    {"load-null", load_null},
    {"subscribe-twice", subscribe_twice},
    {"unsubscribe-unknown", unsubscribe_unknown},
    {"find-out-left", find_out_left},
    {"pages-foreign", pages_foreign},
    {"pages-null-old", pages_null_old},
    {"notifies", notifies},
    {"notifies-in-vain", notifies_in_vain},
    {"notifies-locked", notifies_locked},
    {"notifies-ghosts", notifies_ghosts},
};
const mutant_group mutant_hosts = MUTANT_GROUP(mutants);
