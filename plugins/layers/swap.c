/* SPDX-License-Identifier: MIT */
/* The swap layer: the host under a running program can be changed, and no block is lost over it.
 *
 * This file opens, answers and swaps; swap_malloc.c is the way of a block, swap_slot.c how it finds the host it
 * was born on, swap_query.c the questions, swap_watch.c the signal and the control file. */
#include "swap_internal.h"

#include <string.h>

#define FORK_RANK 990 /* before the hosts', which are called under these locks */

static const hm_core *core;
static hm_host_vtbl host_vtbl;

/* Every layer, so that fork finds their locks. Taken before any of them. */
static hm_lock list_lock;
static swap_host *list;

static swap_host *host_from(void *self)
{
    return (swap_host *)self; /* layer is the first member, base is its first */
}

/* One inner malloc of the new host for every object, or for none. */
static hm_status prepare(swap_host *host, hm_host *next, hm_error *err)
{
    hm_status status = HM_OK;
    for (swap_malloc *m = host->mallocs; m && status == HM_OK; m = m->next) {
        hm_malloc *inner = NULL;
        m->fresh = NULL;
        if (m->closed) {
            continue;
        }
        status = hm__swap_inner(m, next, &inner, err);
        if (status != HM_OK) {
            break;
        }
        core->lock(&m->lock);
        m->fresh = hm__swap_slot_take(m, inner);
        core->unlock(&m->lock);
        if (!m->fresh) {
            hm_malloc_release(inner);
            status = core->error_set(err, HM_E_NOMEM, "layer:swap",
                                     "no private memory for another host's malloc");
        }
    }
    return status;
}

static void undo(swap_host *host)
{
    for (swap_malloc *m = host->mallocs; m; m = m->next) {
        hm_malloc *inner = NULL;
        core->lock(&m->lock);
        if (m->fresh) {
            inner = m->fresh->inner;
            m->fresh->inner = NULL;
            m->fresh = NULL;
        }
        core->unlock(&m->lock);
        hm_malloc_release(inner);
    }
}

static void change(swap_malloc *m)
{
    swap_slot *old = m->current;
    core->lock(&m->lock);
    __atomic_store_n(&m->fresh->state, SLOT_CURRENT, __ATOMIC_SEQ_CST);
    __atomic_store_n(&m->current, m->fresh, __ATOMIC_SEQ_CST);
    m->fresh = NULL;
    core->unlock(&m->lock);
    hm__swap_retire(old);
}

hm_status hm__swap_to(swap_host *host, const char *spec, hm_error *err)
{
    hm_host *next = host->layer.inner;
    hm_status status = HM_OK;
    if (spec && spec[0]) {
        status = core->host_open(spec, &next, err);
    } else {
        hm_host_retain(next);
    }
    if (status != HM_OK) {
        __atomic_fetch_add(&host->refused, 1, __ATOMIC_RELAXED);
        return status;
    }
    core->lock(&host->lock);
    status = prepare(host, next, err);
    if (status == HM_OK) {
        for (swap_malloc *m = host->mallocs; m; m = m->next) {
            if (m->fresh) {
                change(m);
            }
        }
        hm_host *old = host->now;
        host->now = next;
        next = old;
        __atomic_fetch_add(&host->swaps, 1, __ATOMIC_RELAXED);
    } else {
        undo(host);
        __atomic_fetch_add(&host->refused, 1, __ATOMIC_RELAXED);
    }
    core->unlock(&host->lock);
    hm_host_release(next); /* the old one, or the one that did not come to be */
    return status;
}

static hm_status questions_to(void *self, const char *spec, hm_error *err)
{
    hm_error ignored;
    return hm__swap_to(host_from(self), spec, err ? err : &ignored);
}

static hm_status questions_state(void *self, hm_swap_state *out)
{
    swap_host *host = host_from(self);
    if (!out || !HM_HAS(out, hm_swap_state, waiting)) {
        return HM_E_INVALID;
    }
    out->swaps = __atomic_load_n(&host->swaps, __ATOMIC_RELAXED);
    out->refused = __atomic_load_n(&host->refused, __ATOMIC_RELAXED);
    out->mallocs = 0;
    out->waiting = 0;
    core->lock(&host->lock);
    for (swap_malloc *m = host->mallocs; m; m = m->next) {
        out->mallocs++;
        core->lock(&m->lock);
        for (const swap_slot *slot = m->slots; slot; slot = slot->next) {
            out->waiting += (uint32_t)hm__swap_is_waiting(slot);
        }
        core->unlock(&m->lock);
    }
    core->unlock(&host->lock);
    return HM_OK;
}

/* Interfaces are asked of the host of the moment, and are good while it is. */
static hm_status swap_find(hm_host *self, const char *name, void **out)
{
    swap_host *host = host_from(self);
    if (name && out && strcmp(name, "swap") == 0) {
        *out = &host->questions;
        return HM_OK;
    }
    core->lock(&host->lock);
    const hm_status status = hm_host_find(host->now, name, out);
    core->unlock(&host->lock);
    return status;
}

static void swap_release(hm_host *self)
{
    swap_host *host = host_from(self);
    if (__atomic_sub_fetch(&host->layer.references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    core->lock(&list_lock);
    if (host->previous) {
        host->previous->next = host->next;
    } else {
        list = host->next;
    }
    if (host->next) {
        host->next->previous = host->previous;
    }
    core->unlock(&list_lock);
    hm_host_release(host->now);
    host->layer.references = 1; /* alone: the ready-made release does the rest */
    core->host_forward->release(self);
}

/* 0: longer than its room. */
static int copy_text(char *to, const char *from)
{
    const size_t length = from ? strlen(from) : 0;
    if (length >= SWAP_TEXT_ROOM) {
        return 0;
    }
    if (length) {
        memcpy(to, from, length);
    }
    return 1;
}

/* What would be refused later is better refused now. */
static hm_status
read_options(swap_host *host, const hm_option_values *values, hm_error *err)
{
    const char *signal_name = core->option_text(values, "signal");
    const char *to = core->option_text(values, "to");
    hm_host *tried = NULL;
    if (!copy_text(host->to, to) ||
        !copy_text(host->file, core->option_text(values, "file"))) {
        return core->error_set(err, HM_E_INVALID, "layer:swap",
                               "to= or file= is longer than %u bytes",
                               SWAP_TEXT_ROOM - 1);
    }
    if (signal_name && !to) {
        return core->error_set(err, HM_E_INVALID, "layer:swap",
                               "signal= without to=, expected both");
    }
    hm_status status = to ? core->host_open(to, &tried, err) : HM_OK;
    if (to && status == HM_OK) {
        hm_host_release(tried);
    }
    if (status == HM_OK && signal_name) {
        status = hm__swap_watch(core, host, signal_name, err);
    }
    host->watches = host->signals || host->file[0];
    return status;
}

static hm_status
swap_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    *out = NULL;
    swap_host *host = core->memory_alloc(sizeof *host);
    if (!host) {
        return core->error_set(err, HM_E_NOMEM, "layer:swap",
                               "no private memory for the layer");
    }
    const hm_status status = read_options(host, values, err);
    if (status != HM_OK) {
        core->memory_free(host, sizeof *host);
        return status;
    }
    hm_layer_host_init(&host->layer, &host_vtbl, inner, sizeof *host);
    hm_host_retain(inner);
    host->now = inner;
    host->questions = (hm_swap){sizeof(hm_swap), host, questions_to, questions_state};
    core->lock(&list_lock);
    host->next = list;
    if (list) {
        list->previous = host;
    }
    list = host;
    core->unlock(&list_lock);
    *out = &host->layer.base;
    return HM_OK;
}

static void fork_prepare(void *context)
{
    (void)context;
    core->lock(&list_lock);
    for (swap_host *host = list; host; host = host->next) {
        core->lock(&host->lock);
        for (swap_malloc *m = host->mallocs; m; m = m->next) {
            core->lock(&m->lock);
        }
    }
    hm__swap_slots_lock();
}

/* The one thread of the child is the one that took them. */
static void fork_done(void *context)
{
    (void)context;
    hm__swap_slots_unlock();
    for (swap_host *host = list; host; host = host->next) {
        for (swap_malloc *m = host->mallocs; m; m = m->next) {
            core->unlock(&m->lock);
        }
        core->unlock(&host->lock);
    }
    core->unlock(&list_lock);
}

/* A swap that another thread was at is not finished in the child; the next one is free to start. */
static void fork_child(void *context)
{
    for (swap_host *host = list; host; host = host->next) {
        __atomic_store_n(&host->busy, 0, __ATOMIC_RELAXED);
    }
    fork_done(context);
}

static hm_fork_hooks fork_hooks = {.size = sizeof(hm_fork_hooks),
                                   .rank = FORK_RANK,
                                   .prepare = fork_prepare,
                                   .parent = fork_done,
                                   .child = fork_child};

static const hm_option options[] = {
    {.size = sizeof(hm_option),
     .name = "to",
     .type = HM_OPTION_SPEC,
     .help = "the host that signal= goes to, and comes back from"},
    {.size = sizeof(hm_option),
     .name = "signal",
     .type = HM_OPTION_TEXT,
     .help = "swap when it arrives, at the next allocation: USR2, or a number"},
    {.size = sizeof(hm_option),
     .name = "file",
     .type = HM_OPTION_TEXT,
     .help =
         "swap to the spec in its first line (\"-\": the first host); read by trim, and "
         "once a second by an allocation"},
};
static const hm_option *const option_list[] = {&options[0], &options[1], &options[2]};

static const hm_host_info info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_LAYER,
    .name = "swap",
    .summary =
        "changes the host under a running program; blocks go back where they were born",
    .version = HM_VERSION,
    .options = option_list,
    .option_count = sizeof option_list / sizeof option_list[0],
    .open = swap_open,
};
static const hm_host_info *const infos[] = {&info};

HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *from,
                                              const hm_host_info *const **out,
                                              size_t *count)
{
    if (from->abi >> 16 != HM_ABI_MAJOR) {
        return HM_E_ABI;
    }
    if (!core) {
        core = from;
        hm__swap_slots_begin(core);
        hm__swap_tables(core);
        host_vtbl = *core->host_forward;
        host_vtbl.release = swap_release;
        host_vtbl.create_malloc = hm__swap_create_malloc;
        host_vtbl.find = swap_find;
        core->at_fork(&fork_hooks);
    }
    *out = infos;
    *count = 1;
    return HM_OK;
}
