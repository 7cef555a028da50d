/* SPDX-License-Identifier: MIT */
/* A runtime's callback as a subscriber of a host. */
#include "clr_internal.h"

struct hm__clr_listener {
    ICLRMemoryNotificationCallback *callback; /* one reference */
    int32_t told;                             /* atomic: last */
};

/* The runtime collects when it likes to, so nothing is given back at once. A callback may unregister itself, and
   then the listener is gone when it returns. */
static size_t tell(void *context, hm_pressure pressure)
{
    hm__clr_listener *l = context;
    ICLRMemoryNotificationCallback *callback = l->callback;
    __atomic_store_n(&l->told, pressure, __ATOMIC_RELAXED);
    (void)callback->lpVtbl->OnMemoryNotification(callback, (EMemoryAvailable)pressure);
    return 0;
}

hm_status hm__clr_listen(hm_host *host,
                         ICLRMemoryNotificationCallback *callback,
                         hm__clr_listener **out)
{
    const hm_core *core = hm_core_table();
    hm__clr_listener *l = core->memory_alloc(sizeof *l);
    *out = NULL;
    if (!l) {
        return HM_E_NOMEM;
    }
    l->callback = callback;
    callback->lpVtbl->AddRef(callback);
    const hm_status status = hm_host_subscribe(host, tell, l);
    if (status != HM_OK) {
        callback->lpVtbl->Release(callback);
        core->memory_free(l, sizeof *l);
        return status;
    }
    *out = l;
    return HM_OK;
}

void hm__clr_unlisten(hm_host *host, hm__clr_listener *l)
{
    if (!l) {
        return;
    }
    (void)hm_host_unsubscribe(host, tell, l);
    if (__atomic_load_n(&l->told, __ATOMIC_RELAXED) == HM_PRESSURE_LOW) {
        (void)tell(l, HM_PRESSURE_NEUTRAL);
    }
    l->callback->lpVtbl->Release(l->callback);
    hm_core_table()->memory_free(l, sizeof *l);
}
