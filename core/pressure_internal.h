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
/* Tell those who heard something else last, or, being new, anything but neutral. The state is atomic and read anew
   for each, so that of two threads telling, neither leaves the older state behind. */
size_t hm__subscribers_update(hm_subscribers *set, const hm_pressure *state);
int hm__subscribers_any(hm_subscribers *set);

#endif
