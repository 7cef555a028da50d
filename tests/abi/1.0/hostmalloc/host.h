/* SPDX-License-Identifier: MIT */
/**
 * @file host.h
 * @brief A host: whoever gives memory. Counterpart of IHostMemoryManager.
 *
 * Callers get one from hm_host_open() (registry.h) or hm_runtime (runtime.h) and start at
 * hm_host_create_malloc(). Implementers start at hm_host_vtbl and take what they do not care to write
 * from hm_core (module.h).
 * Stable since 1.0: slots are only added at the end, and callers of an added slot check `size`.
 */
#ifndef HM_HOST_H
#define HM_HOST_H

#include <hostmalloc/malloc.h>

typedef struct hm_host hm_host;

/** What to make; NULL where a `const hm_malloc_opts *` is asked for means all zero. */
typedef struct hm_malloc_opts {
    size_t size;       /**< sizeof(hm_malloc_opts) as the caller compiled it */
    const char *name;  /**< for reports; copied; NULL is "malloc" */
    uint32_t flags;    /**< HM_MALLOC_*; unknown or contradicting bits: HM_E_INVALID */
    uint32_t reserved; /**< 0 */
    size_t
        limit; /**< requested bytes this object may have live; 0: none. Such an object counts */
} hm_malloc_opts;

/* Virtual memory uses the values of the Win32 calls it models. */
#define HM_MEM_COMMIT   0x1000u
#define HM_MEM_RESERVE  0x2000u
#define HM_MEM_DECOMMIT 0x4000u
#define HM_MEM_RELEASE  0x8000u
#define HM_MEM_FREE     0x10000u
#define HM_MEM_PRIVATE  0x20000u
#define HM_MEM_RESET    0x80000u
#define HM_MEM_TOP_DOWN 0x100000u

#define HM_PAGE_NOACCESS          0x01u
#define HM_PAGE_READONLY          0x02u
#define HM_PAGE_READWRITE         0x04u
#define HM_PAGE_EXECUTE           0x10u
#define HM_PAGE_EXECUTE_READ      0x20u
#define HM_PAGE_EXECUTE_READWRITE 0x40u

/** A run of pages with one state and protection, as virtual_query answers it. */
typedef struct hm_region {
    size_t size;           /**< sizeof(hm_region) as the caller compiled it */
    void *base;            /**< the asked address, rounded down to a page */
    void *allocation_base; /**< what the reserving call answered; NULL for free space */
    size_t bytes;          /**< to the end of the run */
    uint32_t state;        /**< HM_MEM_COMMIT, HM_MEM_RESERVE or HM_MEM_FREE */
    uint32_t protection;   /**< HM_PAGE_*; of committed pages only */
    uint32_t allocation_protection; /**< as given when the range was reserved */
    uint32_t type;                  /**< HM_MEM_PRIVATE, or 0 for free space */
} hm_region;

/** How memory stands; the values of EMemoryAvailable. */
typedef int32_t hm_pressure;
#define HM_PRESSURE_LOW     ((hm_pressure)1) /**< memory is short: give back what you can */
#define HM_PRESSURE_NEUTRAL ((hm_pressure)2) /**< no longer short */
#define HM_PRESSURE_HIGH    ((hm_pressure)3) /**< plenty */

/**
 * Told to subscribers of a host. Never blocks, never allocates from the host that calls.
 * @return bytes given back at once, else 0
 * @threads any: may be called on any thread, and on several
 */
typedef size_t hm_notify(void *context, hm_pressure pressure);

/** The table every host implements; all slots of 1.0 are present in every table. Any thread, any time. */
typedef struct hm_host_vtbl {
    size_t size; /**< sizeof(hm_host_vtbl) as the implementer compiled it */

    void (*retain)(hm_host *self);
    void (*release)(hm_host *self);

    /** *out gets one reference, or NULL. @p opts may be NULL. The object holds a reference to its host.
        HM_E_INVALID, HM_E_UNSUPPORTED, HM_E_NOMEM. */
    hm_status (*create_malloc)(hm_host *self,
                               const hm_malloc_opts *opts,
                               hm_malloc **out,
                               hm_error *err);

    /** Pages, by the rules of VirtualAlloc and friends. *out is NULL unless HM_OK. */
    hm_status (*virtual_alloc)(hm_host *self,
                               void *address,
                               size_t size,
                               uint32_t type,
                               uint32_t protection,
                               hm_level level,
                               void **out);
    /** HM_E_NOT_OWNED for memory that did not come from virtual_alloc, HM_E_INVALID for a bad combination. */
    hm_status (*virtual_free)(hm_host *self, void *address, size_t size, uint32_t type);
    /** Takes no lock that a stopped thread could hold. @p out->size set by the caller. */
    hm_status (*virtual_query)(hm_host *self, const void *address, hm_region *out);
    /** *old gets the first page's protection; NULL is HM_E_INVALID. */
    hm_status (*virtual_protect)(
        hm_host *self, void *address, size_t size, uint32_t protection, uint32_t *old);

    /** Share of memory in use, 0 to 100, and bytes still to be had; NULL is HM_E_INVALID. */
    hm_status (*memory_load)(hm_host *self, uint32_t *percent, size_t *available);
    /** One entry per (notify, context): HM_E_EXISTS, HM_E_NOMEM. */
    hm_status (*subscribe)(hm_host *self, hm_notify *notify, void *context);
    /** After it returns, @p notify is not called again and no call is under way on another thread.
        HM_E_NOT_FOUND. */
    hm_status (*unsubscribe)(hm_host *self, hm_notify *notify, void *context);

    /** The runtime failed to map @p size bytes (0: unknown): give address space back, HM_OK to try again,
        HM_E_NOMEM to give up. */
    hm_status (*needs_address_space)(hm_host *self, void *start, size_t size);
    /** The runtime mapped, or unmapped, this by itself. */
    void (*acquired_address_space)(hm_host *self, void *start, size_t size);
    void (*released_address_space)(hm_host *self, void *start);

    /** Reach an interface of this host or of what it wraps; HM_E_NOT_FOUND and NULL. Keeps no reference. */
    hm_status (*find)(hm_host *self, const char *interface_name, void **out);
} hm_host_vtbl;

/** First member of every implementation. */
struct hm_host {
    const hm_host_vtbl *vtbl;
};

HM_STATIC_ASSERT(sizeof(hm_host_vtbl) == sizeof(size_t) + 14 * sizeof(void (*)(void)),
                 "14 slots in 1.0");

HM_BEGIN_DECLS

/**
 * Make a malloc object, checked as it enters: a table that is too small or lacks a slot is refused by name.
 * @param name  for reports; copied; NULL is "malloc"
 * @param flags HM_MALLOC_*
 * @param[out] out one reference, or NULL; a NULL @p out is HM_E_INVALID
 * @threads any
 */
HM_API hm_status hm_host_create_malloc(
    hm_host *host, const char *name, uint32_t flags, hm_malloc **out, hm_error *err);

/** The same with all options; @p opts may be NULL. */
HM_API hm_status hm_host_create_malloc_opts(hm_host *host,
                                            const hm_malloc_opts *opts,
                                            hm_malloc **out,
                                            hm_error *err);

/** Check an object made by somebody else's code: HM_E_INVALID or HM_E_ABI, naming the slot. @threads any */
HM_API hm_status hm_host_validate(const hm_host *host, hm_error *err);
HM_API hm_status hm_malloc_validate(const hm_malloc *m, hm_error *err);

static inline void hm_host_retain(hm_host *host)
{
    host->vtbl->retain(host);
}

/** @p host may be NULL. */
static inline void hm_host_release(hm_host *host)
{
    if (host) {
        host->vtbl->release(host);
    }
}

static inline hm_status hm_host_virtual_alloc(hm_host *host,
                                              void *address,
                                              size_t size,
                                              uint32_t type,
                                              uint32_t protection,
                                              hm_level level,
                                              void **out)
{
    return host->vtbl->virtual_alloc(host, address, size, type, protection, level, out);
}

static inline hm_status
hm_host_virtual_free(hm_host *host, void *address, size_t size, uint32_t type)
{
    return host->vtbl->virtual_free(host, address, size, type);
}

/** @p out is zeroed and sized here. */
static inline hm_status
hm_host_virtual_query(hm_host *host, const void *address, hm_region *out)
{
    const hm_region empty = {sizeof(hm_region), (void *)0, (void *)0, 0, 0, 0, 0, 0};
    *out = empty;
    return host->vtbl->virtual_query(host, address, out);
}

static inline hm_status hm_host_virtual_protect(
    hm_host *host, void *address, size_t size, uint32_t protection, uint32_t *old)
{
    return host->vtbl->virtual_protect(host, address, size, protection, old);
}

static inline hm_status
hm_host_memory_load(hm_host *host, uint32_t *percent, size_t *available)
{
    return host->vtbl->memory_load(host, percent, available);
}

static inline hm_status hm_host_subscribe(hm_host *host, hm_notify *notify, void *context)
{
    return host->vtbl->subscribe(host, notify, context);
}

static inline hm_status
hm_host_unsubscribe(hm_host *host, hm_notify *notify, void *context)
{
    return host->vtbl->unsubscribe(host, notify, context);
}

static inline hm_status
hm_host_find(hm_host *host, const char *interface_name, void **out)
{
    return host->vtbl->find(host, interface_name, out);
}

HM_END_DECLS

#endif
