/* SPDX-License-Identifier: MIT */
/* The callback per finding. It may allocate, free and ask, so it never runs in the middle of something: what is found while
 * blocks go back to an inner malloc, or during a walk, waits in a list of its thread until that is over. */
#include "tell_internal.h"

#include "os.h"

#include <string.h>

struct debug_untold {
    debug_host *host;
    hm_debug_finding shown;
    char malloc_name[sizeof(((debug_malloc *)0)->name)];
    struct debug_untold *next;
};

/* Of the calling thread. */
static _Thread_local struct debug_untold *waiting; /* oldest first */
static _Thread_local uint32_t evict_depth;
static _Thread_local const debug_host *telling; /* whose callback it is in */

void hm__debug_tell_later(void)
{
    evict_depth++;
}

void hm__debug_tell_again(void)
{
    evict_depth--;
}

static void call(debug_host *host, const hm_debug_finding *shown)
{
    const hm_core *core = hm__debug.core;
    core->lock(&host->report);
    hm_debug_tell *tell = host->tell;
    void *context = host->tell_context;
    if (tell) {
        __atomic_add_fetch(&host->tellers, 1, __ATOMIC_RELAXED);
    }
    core->unlock(&host->report);
    if (tell) {
        telling = host;
        tell(context, shown);
        telling = NULL;
        __atomic_sub_fetch(&host->tellers, 1, __ATOMIC_RELEASE);
    }
}

static void wait_in_line(debug_host *host, const hm_debug_finding *shown)
{
    struct debug_untold *fresh = hm__debug.core->memory_alloc(sizeof(*fresh));
    if (!fresh) {
        return;
    }
    fresh->host = host;
    fresh->shown = *shown;
    memcpy(fresh->malloc_name, shown->malloc_name, strlen(shown->malloc_name) + 1);
    fresh->shown.malloc_name = fresh->malloc_name;
    struct debug_untold **place = &waiting;
    while (*place) {
        place = &(*place)->next;
    }
    *place = fresh;
}

void hm__debug_tell_waiting(void)
{
    while (waiting && !evict_depth && !hm__debug_walk_mine() && !telling) {
        struct debug_untold *first = waiting;
        waiting = first->next;
        call(first->host, &first->shown);
        hm__debug.core->memory_free(first, sizeof(*first));
    }
}

void hm__debug_tell(const debug_finding *f)
{
    debug_host *host = f->m->host;
    if (telling || !__atomic_load_n(&host->tell, __ATOMIC_RELAXED)) {
        return;
    }
    const int known = f->facts.block && f->facts.intact;
    const hm_debug_finding shown = {.size = sizeof(shown),
                                    .status = f->status,
                                    .kind = f->what,
                                    .malloc_name = f->m->name,
                                    .times = f->times,
                                    .pointer = f->pointer,
                                    .block = f->facts.block,
                                    .bytes = known ? f->facts.bytes : 0,
                                    .serial = known ? f->facts.serial : 0,
                                    .allocated = known ? f->facts.site : NULL,
                                    .freed = f->facts.freed_site,
                                    .before = f->before.site,
                                    .here = f->here.site,
                                    .allocated_thread = known ? f->facts.thread : 0,
                                    .freed_thread = f->facts.freed_thread,
                                    .before_thread = f->before.thread,
                                    .here_thread = f->here.thread};
    if (evict_depth || hm__debug_walk_mine()) {
        wait_in_line(host, &shown);
    } else {
        call(host, &shown);
    }
}

void hm__debug_tell_child(debug_host *host)
{
    host->tellers = telling == host;
}

hm_status hm__debug_on_finding(debug_host *host, hm_debug_tell *tell, void *context)
{
    const hm_core *core = hm__debug.core;
    const uint32_t own = telling == host;
    core->lock(&host->report);
    __atomic_store_n(&host->tell, tell, __ATOMIC_RELAXED);
    host->tell_context = context;
    core->unlock(&host->report);
    while (__atomic_load_n(&host->tellers, __ATOMIC_ACQUIRE) > own) {
        hm__os_sleep_ns(1000);
    }
    return HM_OK;
}
