/* SPDX-License-Identifier: MIT */
/* Between the parts of the CLR bridge: the manager it presents, the mallocs that makes, and the way back. */
#ifndef HM_PLUGINS_CLR_INTERNAL_H
#define HM_PLUGINS_CLR_INTERNAL_H

#include <hostmalloc/bridges/clr.h>
#include <hostmalloc/module.h>

/* What a runtime is told of a status; never S_FALSE, which it would not take for success. */
HRESULT hm__clr_result(hm_status status);

/* CreateMalloc, but for the check of out: *out is NULL unless S_OK. */
HRESULT hm__clr_malloc_create(hm_host *host, uint32_t type, IHostMalloc **out);

/* What of a runtime's callback hears of a host's pressure. */
typedef struct hm__clr_listener hm__clr_listener;

/* References callback and subscribes it. */
hm_status hm__clr_listen(hm_host *host,
                         ICLRMemoryNotificationCallback *callback,
                         hm__clr_listener **out);

/* After it the callback is not called again. A runtime that was last told that memory is low is told that it is not,
   because nobody would tell it any more. NULL allowed. */
void hm__clr_unlisten(hm_host *host, hm__clr_listener *listener);

/* A malloc over a foreign one; host is the object that the caller's malloc belongs to. Takes over the reference to
   object, whatever comes of it. */
hm_status hm__clr_foreign_malloc(IHostMalloc *object,
                                 hm_host *host,
                                 const hm_malloc_opts *opts,
                                 hm_malloc **out,
                                 hm_error *err);

/* The one callback that a foreign manager gets, and who hears of it. Never freed; the next host over the same manager
   finds it again. */
typedef struct hm__clr_callback hm__clr_callback;
hm__clr_callback *
hm__clr_callback_take(IHostMemoryManager *manager); /* NULL: no memory */
void hm__clr_callback_leave(hm__clr_callback *callback);
hm_status hm__clr_callback_subscribe(hm__clr_callback *callback,
                                     IHostMemoryManager *manager,
                                     hm_notify *notify,
                                     void *context);
hm_status hm__clr_callback_unsubscribe(hm__clr_callback *callback,
                                       hm_notify *notify,
                                       void *context);

static inline uint32_t hm__clr_count(uint32_t *references, int change)
{
    return change > 0 ? __atomic_add_fetch(references, 1, __ATOMIC_RELAXED)
                      : __atomic_sub_fetch(references, 1, __ATOMIC_ACQ_REL);
}

#endif
