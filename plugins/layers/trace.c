/* SPDX-License-Identifier: MIT */
/* The trace layer: every call of every malloc, with its result, in a ring that survives the process.
 *
 * This file opens and answers; trace_malloc.c is the way of a call, trace_ring.c the writing. A forked child
 * leaves its parent's ring alone: it gets a file of its own where the name has "%p" in it, else private pages,
 * and where neither is to be had it records nothing. */
#include "trace_internal.h"

#include <string.h>

#define FORK_RANK    2000
#define SMALL_RING   (UINT64_C(1) << 20) /* without a file: nobody reads it later */
#define RECORDS_FEW  UINT64_C(64)
#define RECORDS_MANY (UINT64_C(1) << 32)

static const hm_core *core;
static hm_host_vtbl host_vtbl;

/* Every layer, so that a forked child finds them. */
static hm_lock list_lock;
static trace_host *list;

static trace_host *host_from(void *self)
{
    return (trace_host *)self; /* layer is the first member, base is its first */
}

static const hm_trace_header *questions_header(void *self)
{
    const trace_ring *ring = __atomic_load_n(&host_from(self)->ring, __ATOMIC_ACQUIRE);
    return ring ? ring->header : NULL;
}

static hm_status trace_find(hm_host *self, const char *name, void **out)
{
    if (name && out && strcmp(name, "trace") == 0) {
        *out = &host_from(self)->questions;
        return HM_OK;
    }
    return core->host_forward->find(self, name, out);
}

static void list_add(trace_host *host)
{
    core->lock(&list_lock);
    host->next = list;
    if (list) {
        list->previous = host;
    }
    list = host;
    core->unlock(&list_lock);
}

static void list_remove(trace_host *host)
{
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
}

static void trace_release(hm_host *self)
{
    trace_host *host = host_from(self);
    if (__atomic_sub_fetch(&host->layer.references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    list_remove(host);
    hm__trace_ring_close(core, host->ring);
    host->layer.references = 1; /* alone: the ready-made release does the rest */
    core->host_forward->release(self);
}

/* How many records fit into so many bytes, rounded up to a power of two. */
static uint64_t records_of(uint64_t bytes)
{
    const uint64_t wanted = bytes / sizeof(hm_trace_record);
    uint64_t count = RECORDS_FEW;
    while (count < wanted && count < RECORDS_MANY) {
        count *= 2;
    }
    return count;
}

static hm_status
trace_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    const char *path = core->option_text(values, "file");
    const uint64_t bytes = path || core->option_given(values, "size")
                               ? core->option_number(values, "size")
                               : SMALL_RING;
    *out = NULL;
    if (bytes > RECORDS_MANY * sizeof(hm_trace_record)) {
        return core->error_set(err, HM_E_INVALID, "layer:trace",
                               "size=%llu, expected at most 256G",
                               (unsigned long long)bytes);
    }
    trace_host *host = core->memory_alloc(sizeof *host);
    if (!host) {
        return core->error_set(err, HM_E_NOMEM, "layer:trace",
                               "no private memory for the layer");
    }
    if (path && strlen(path) >= sizeof host->path) {
        core->memory_free(host, sizeof *host);
        return core->error_set(err, HM_E_INVALID, "layer:trace",
                               "file= is longer than %u bytes", TRACE_PATH_ROOM - 1);
    }
    if (path) {
        memcpy(host->path, path, strlen(path) + 1);
    }
    host->record_count = records_of(bytes);
    host->times = core->option_bool(values, "times");
    host->sites = core->option_bool(values, "sites");
    host->ring = hm__trace_ring_open(core, host);
    if (!host->ring) {
        core->memory_free(host, sizeof *host);
        return core->error_set(
            err, path ? HM_E_OS : HM_E_NOMEM, "layer:trace", "%s%.100s",
            path ? "cannot make and map " : "no pages for the ring", path ? path : "");
    }
    host->questions = (hm_trace){sizeof(hm_trace), host, questions_header};
    hm_layer_host_init(&host->layer, &host_vtbl, inner, sizeof *host);
    list_add(host);
    *out = &host->layer.base;
    return HM_OK;
}

static void fork_prepare(void *context)
{
    (void)context;
    core->lock(&list_lock);
}

static void fork_parent(void *context)
{
    (void)context;
    core->unlock(&list_lock);
}

static int names_process(const char *path)
{
    return strstr(path, "%p") != NULL;
}

/* The parent's mapping stays: a call that forked may be on its way back through it. */
static void fork_child(void *context)
{
    (void)context;
    for (trace_host *host = list; host; host = host->next) {
        const trace_ring *parents = host->ring;
        if (!names_process(host->path)) {
            host->path[0] = '\0';
        }
        trace_ring *own = parents ? hm__trace_ring_open(core, host) : NULL;
        if (own) {
            own->header->malloc_count = parents->header->malloc_count;
        }
        __atomic_store_n(&host->ring, own, __ATOMIC_RELEASE);
    }
    core->unlock(&list_lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof(hm_fork_hooks),
                                   .rank = FORK_RANK,
                                   .prepare = fork_prepare,
                                   .parent = fork_parent,
                                   .child = fork_child};

static const hm_option options[] = {
    {.size = sizeof(hm_option),
     .name = "file",
     .type = HM_OPTION_TEXT,
     .help =
         "the recording, \"%p\" in it is the process number; private pages when not set"},
    {.size = sizeof(hm_option),
     .name = "size",
     .type = HM_OPTION_BYTES,
     .fallback = "64M",
     .help =
         "of the ring, 64 bytes a call, rounded up to a power of two; 1M without a file"},
    {.size = sizeof(hm_option),
     .name = "times",
     .type = HM_OPTION_BOOL,
     .fallback = "no",
     .help = "when each call began, in nanoseconds; reading the clock can cost as much "
             "as the rest"},
    {.size = sizeof(hm_option),
     .name = "sites",
     .type = HM_OPTION_BOOL,
     .fallback = "no",
     .help = "ask for sites also where the host underneath does not"},
};
static const hm_option *const option_list[] = {&options[0], &options[1], &options[2],
                                               &options[3]};

static const hm_host_info info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_LAYER,
    .name = "trace",
    .summary = "records every call in a mapped ring that survives SIGKILL, for replay",
    .version = HM_VERSION,
    .options = option_list,
    .option_count = sizeof option_list / sizeof option_list[0],
    .open = trace_open,
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
        hm__trace_tables(core);
        host_vtbl = *core->host_forward;
        host_vtbl.release = trace_release;
        host_vtbl.create_malloc = hm__trace_create_malloc;
        host_vtbl.find = trace_find;
        core->at_fork(&fork_hooks);
    }
    *out = infos;
    *count = 1;
    return HM_OK;
}
