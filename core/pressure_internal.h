/* SPDX-License-Identifier: MIT */
/* Memory load and who wants to hear of it. */
#ifndef HM_CORE_PRESSURE_INTERNAL_H
#define HM_CORE_PRESSURE_INTERNAL_H

#include <hostmalloc/module.h>

hm_status hm__memory_load(uint32_t *percent, size_t *available);

/* The system's pressure: watched by one thread while anybody is subscribed. */
hm_status hm__pressure_subscribe(hm_notify *notify, void *context);
hm_status hm__pressure_unsubscribe(hm_notify *notify, void *context);
hm_pressure hm__pressure_look(
    void); /* look once, tell subscribers if it changed; what the watcher does */

/* Any set of subscribers. */
hm_status hm__subscribers_add(hm_subscribers *set, hm_notify *notify, void *context);
hm_status hm__subscribers_remove(hm_subscribers *set, hm_notify *notify, void *context);
size_t hm__subscribers_tell(hm_subscribers *set, hm_pressure pressure);

#endif
