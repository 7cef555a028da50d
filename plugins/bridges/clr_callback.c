/* SPDX-License-Identifier: MIT */
/* The callback that a foreign memory manager is given. It keeps that without a reference, and may call it for as
 * long as it lives; so each manager gets one for good, and its subscribers come and go. */
#include "clr_internal.h"

struct hm__clr_callback {
    ICLRMemoryNotificationCallback base; /* the first member */
    hm_subscribers subscribers;
    hm__clr_callback *next;
    /* Guarded by list_lock. */
    IHostMemoryManager *manager;
    uint32_t users;      /* hosts over this manager */
    uint32_t registered; /* since there have been any */
};

static hm_lock list_lock; /* outside the subscribers'; nobody is called under it */
static hm__clr_callback *list;
static uint32_t fork_known; /* atomic */

static void fork_lock(void *context)
{
    const hm_core *core = hm_core_table();
    (void)context;
    core->lock(&list_lock);
    for (hm__clr_callback *c = list; c; c = c->next) {
        core->lock(&c->subscribers.lock);
    }
}

static void fork_unlock(void *context)
{
    const hm_core *core = hm_core_table();
    (void)context;
    for (hm__clr_callback *c = list; c; c = c->next) {
        core->unlock(&c->subscribers.lock);
    }
    core->unlock(&list_lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof fork_hooks,
                                   .rank = 62,
                                   .prepare = fork_lock,
                                   .parent = fork_unlock,
                                   .child = fork_unlock};

static HRESULT STDMETHODCALLTYPE callback_query(ICLRMemoryNotificationCallback *self,
                                                REFIID riid,
                                                void **object)
{
    if (!object) {
        return E_POINTER;
    }
    const int known = hm_com_same_iid(riid, &IID_IUnknown) ||
                      hm_com_same_iid(riid, &hm_clr_iid_memory_notification_callback);
    *object = known ? self : NULL;
    return known ? S_OK : E_NOINTERFACE;
}

/* It stays, as the runtime's own does. */
static ULONG STDMETHODCALLTYPE callback_count(ICLRMemoryNotificationCallback *self)
{
    (void)self;
    return 1;
}

static HRESULT STDMETHODCALLTYPE callback_told(ICLRMemoryNotificationCallback *self,
                                               EMemoryAvailable available)
{
    hm__clr_callback *c = (hm__clr_callback *)self;
    /* What is no value of the enumeration is not low, as for the runtime. */
    const hm_pressure pressure = available == eMemoryAvailableLow ? HM_PRESSURE_LOW
                                 : available == eMemoryAvailableHigh
                                     ? HM_PRESSURE_HIGH
                                     : HM_PRESSURE_NEUTRAL;
    (void)hm_core_table()->subscribers_tell(&c->subscribers, pressure);
    return S_OK;
}

static const ICLRMemoryNotificationCallbackVtbl callback_vtbl = {
    .QueryInterface = callback_query,
    .AddRef = callback_count,
    .Release = callback_count,
    .OnMemoryNotification = callback_told,
};

hm__clr_callback *hm__clr_callback_take(IHostMemoryManager *manager)
{
    const hm_core *core = hm_core_table();
    if (!__atomic_load_n(&fork_known, __ATOMIC_ACQUIRE)) {
        core->at_fork(&fork_hooks); /* twice is once */
        __atomic_store_n(&fork_known, 1, __ATOMIC_RELEASE);
    }
    core->lock(&list_lock);
    hm__clr_callback *c = list;
    while (c && c->manager != manager) {
        c = c->next;
    }
    if (!c) {
        c = core->memory_alloc(sizeof *c);
        if (c) {
            c->base.lpVtbl = &callback_vtbl;
            c->manager = manager;
            c->next = list;
            list = c;
        }
    }
    if (c) {
        c->users++;
    }
    core->unlock(&list_lock);
    return c;
}

/* The address may be another manager's next time, which has not heard of this callback yet. */
void hm__clr_callback_leave(hm__clr_callback *c)
{
    const hm_core *core = hm_core_table();
    core->lock(&list_lock);
    c->users--;
    c->registered = c->users ? c->registered : 0;
    core->unlock(&list_lock);
}

hm_status hm__clr_callback_subscribe(hm__clr_callback *c,
                                     IHostMemoryManager *manager,
                                     hm_notify *notify,
                                     void *context)
{
    const hm_core *core = hm_core_table();
    if (!notify) {
        return HM_E_INVALID;
    }
    const hm_status status = core->subscribers_add(&c->subscribers, notify, context);
    if (status != HM_OK) {
        return status;
    }
    core->lock(&list_lock);
    const int first = !c->registered;
    c->registered = 1;
    core->unlock(&list_lock);
    if (!first || SUCCEEDED(manager->lpVtbl->RegisterMemoryNotificationCallback(
                      manager, &c->base))) {
        return HM_OK;
    }
    core->lock(&list_lock);
    c->registered = 0;
    core->unlock(&list_lock);
    (void)core->subscribers_remove(&c->subscribers, notify, context);
    return HM_E_UNSUPPORTED;
}

hm_status
hm__clr_callback_unsubscribe(hm__clr_callback *c, hm_notify *notify, void *context)
{
    return notify ? hm_core_table()->subscribers_remove(&c->subscribers, notify, context)
                  : HM_E_INVALID;
}
