/* SPDX-License-Identifier: MIT */
/* Where a host enters the core, where it is asked for a malloc, and the slots it need not write itself. */
#include "slots_internal.h"

#include "pressure_internal.h"
#include "virtual_internal.h"

#include <string.h>

typedef void slot_fn(void);

#define SLOT(name)                          \
    {                                       \
#name, offsetof(hm_host_vtbl, name) \
    }

hm_status hm_host_validate(const hm_host *host, hm_error *err)
{
    static const struct {
        const char *name;
        size_t offset;
    } slots[] = {SLOT(retain),
                 SLOT(release),
                 SLOT(create_malloc),
                 SLOT(virtual_alloc),
                 SLOT(virtual_free),
                 SLOT(virtual_query),
                 SLOT(virtual_protect),
                 SLOT(memory_load),
                 SLOT(subscribe),
                 SLOT(unsubscribe),
                 SLOT(needs_address_space),
                 SLOT(acquired_address_space),
                 SLOT(released_address_space),
                 SLOT(find)};
    HM_STATIC_ASSERT(sizeof(slots) / sizeof(slots[0]) ==
                         (sizeof(hm_host_vtbl) - sizeof(size_t)) / sizeof(slot_fn *),
                     "every slot of 1.0 is checked");

    const hm_host_vtbl *table = host ? host->vtbl : NULL;
    if (!table) {
        return hm_error_set(err, HM_E_INVALID, "host", "%s is NULL",
                            host ? "its table" : "the object");
    }
    if (table->size < sizeof(hm_host_vtbl)) {
        return hm_error_set(err, HM_E_ABI, "host",
                            "a table of %zu bytes, expected at least %zu", table->size,
                            sizeof(hm_host_vtbl));
    }
    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        slot_fn *slot;
        memcpy(&slot, (const char *)table + slots[i].offset, sizeof(slot));
        if (!slot) {
            return hm_error_set(err, HM_E_INVALID, "host", "slot %s is missing",
                                slots[i].name);
        }
    }
    return HM_OK;
}

/* An object that did not pass is given back through the one slot that can be trusted, if it is there. */
static void refuse(hm_malloc *m)
{
    const hm_malloc_vtbl *table = m->vtbl;
    if (table && HM_HAS(table, hm_malloc_vtbl, release) && table->release) {
        table->release(m);
    }
}

hm_status hm_host_create_malloc_opts(hm_host *host,
                                     const hm_malloc_opts *opts,
                                     hm_malloc **out,
                                     hm_error *err)
{
    if (!out) {
        return hm_error_set(err, HM_E_INVALID, "host",
                            "nowhere to put the malloc: out is NULL");
    }
    *out = NULL;
    hm_status status = hm_host_validate(host, err);
    if (status != HM_OK) {
        return status;
    }
    hm_error reason = {HM_OK, 0, "", ""};
    hm_malloc *made = NULL;
    status = host->vtbl->create_malloc(host, opts, &made, &reason);
    if (status != HM_OK) {
        if (reason.status == HM_OK) {
            return hm_error_set(err, status, "host", "create_malloc gave no reason");
        }
        if (err) {
            *err = reason;
        }
        return status;
    }
    if (!made) {
        return hm_error_set(err, HM_E_INVALID, "host",
                            "create_malloc answered HM_OK with NULL");
    }
    status = hm_malloc_validate(made, err);
    if (status != HM_OK) {
        refuse(made);
        return status;
    }
    *out = made;
    return HM_OK;
}

hm_status hm_host_create_malloc(
    hm_host *host, const char *name, uint32_t flags, hm_malloc **out, hm_error *err)
{
    const hm_malloc_opts opts = {sizeof(opts), name, flags, 0, 0};
    return hm_host_create_malloc_opts(host, &opts, out, err);
}

static hm_status basic_virtual_alloc(hm_host *self,
                                     void *address,
                                     size_t size,
                                     uint32_t type,
                                     uint32_t protection,
                                     hm_level level,
                                     void **out)
{
    (void)self;
    (void)level;
    return hm__virtual_alloc(address, size, type, protection, out);
}

static hm_status
basic_virtual_free(hm_host *self, void *address, size_t size, uint32_t type)
{
    (void)self;
    return hm__virtual_free(address, size, type);
}

static hm_status basic_virtual_query(hm_host *self, const void *address, hm_region *out)
{
    (void)self;
    return hm__virtual_query(address, out);
}

static hm_status basic_virtual_protect(
    hm_host *self, void *address, size_t size, uint32_t protection, uint32_t *old)
{
    (void)self;
    return hm__virtual_protect(address, size, protection, old);
}

static hm_status basic_memory_load(hm_host *self, uint32_t *percent, size_t *available)
{
    (void)self;
    return hm__memory_load(percent, available);
}

static hm_status basic_subscribe(hm_host *self, hm_notify *notify, void *context)
{
    (void)self;
    return hm__pressure_subscribe(notify, context);
}

static hm_status basic_unsubscribe(hm_host *self, hm_notify *notify, void *context)
{
    (void)self;
    return hm__pressure_unsubscribe(notify, context);
}

/* Nothing is held in reserve here, so there is nothing to give back and no reason to try again. */
static hm_status basic_needs_address_space(hm_host *self, void *start, size_t size)
{
    (void)self;
    (void)start;
    (void)size;
    return HM_E_NOMEM;
}

static void basic_acquired_address_space(hm_host *self, void *start, size_t size)
{
    (void)self;
    (void)start;
    (void)size;
}

static void basic_released_address_space(hm_host *self, void *start)
{
    (void)self;
    (void)start;
}

static hm_status basic_find(hm_host *self, const char *interface_name, void **out)
{
    (void)self;
    (void)interface_name;
    if (!out) {
        return HM_E_INVALID;
    }
    *out = NULL;
    return HM_E_NOT_FOUND;
}

/* create_malloc, retain and release are the implementer's. */
const hm_host_vtbl hm__host_basics = {
    .size = sizeof(hm_host_vtbl),
    .virtual_alloc = basic_virtual_alloc,
    .virtual_free = basic_virtual_free,
    .virtual_query = basic_virtual_query,
    .virtual_protect = basic_virtual_protect,
    .memory_load = basic_memory_load,
    .subscribe = basic_subscribe,
    .unsubscribe = basic_unsubscribe,
    .needs_address_space = basic_needs_address_space,
    .acquired_address_space = basic_acquired_address_space,
    .released_address_space = basic_released_address_space,
    .find = basic_find,
};
