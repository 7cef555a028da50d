/* SPDX-License-Identifier: MIT */
/* The guard host: a block ends where a page begins that cannot be touched, so that an overrun faults at the very
 * instruction, and so does any use of a freed block: its pages go at once, and its addresses are used again late.
 *
 * Every object is the core's wrapping malloc over runs of pages (guard_runs.c), which knows its blocks exactly. Its
 * header lies before the block, on the same pages: an underrun does not fault. Blocks are aligned to 16 bytes, so of a
 * size that is no multiple of 16 the first bytes beyond do not fault either. A small block costs a page and two
 * mappings; Linux allows a process 65530 (vm.max_map_count). */
#include "guard_internal.h"

#define FORK_RANK 1600

const hm_core *hm__guard_core;

static hm_host_vtbl host_vtbl;

/* Every host, so that fork finds their locks. Taken before any of them. */
static hm_lock list_lock;
static guard_host *list;

static void host_retain(hm_host *self)
{
    __atomic_fetch_add(&((guard_host *)self)->references, 1, __ATOMIC_RELAXED);
}

static void list_add(guard_host *host)
{
    hm__guard_core->lock(&list_lock);
    host->next = list;
    if (list) {
        list->previous = host;
    }
    list = host;
    hm__guard_core->unlock(&list_lock);
}

static void list_remove(guard_host *host)
{
    hm__guard_core->lock(&list_lock);
    if (host->previous) {
        host->previous->next = host->next;
    } else {
        list = host->next;
    }
    if (host->next) {
        host->next->previous = host->previous;
    }
    hm__guard_core->unlock(&list_lock);
}

static void host_release(hm_host *self)
{
    guard_host *host = (guard_host *)self;
    if (__atomic_sub_fetch(&host->references, 1, __ATOMIC_ACQ_REL) == 0) {
        list_remove(host);
        hm__guard_slabs_drop(host);
        hm__guard_core->memory_free(host, sizeof *host);
    }
}

static hm_status host_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    const hm_allocator allocator = {.size = sizeof(hm_allocator),
                                    .context = self,
                                    .alloc = hm__guard_alloc,
                                    .release = hm__guard_release,
                                    .flags = HM_ALLOCATOR_THREADSAFE};
    return hm__guard_core->wrap_malloc(&allocator, self, opts, out, err);
}

/* "guard": how many blocks got no guard, a uint64_t. */
static hm_status host_find(hm_host *self, const char *interface_name, void **out)
{
    static const char own[] = "guard";
    size_t i = 0;
    if (!out || !interface_name) {
        return HM_E_INVALID;
    }
    while (i < sizeof own && own[i] == interface_name[i]) {
        i++;
    }
    *out = i == sizeof own ? &((guard_host *)self)->unguarded : NULL;
    return *out ? HM_OK : HM_E_NOT_FOUND;
}

static hm_status
host_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    const hm_core *core = hm__guard_core;
    (void)inner;
    *out = NULL;
    guard_host *host = core->memory_alloc(sizeof *host);
    if (!host) {
        return core->error_set(err, HM_E_NOMEM, "host:guard",
                               "no private memory for the host");
    }
    host->base.vtbl = &host_vtbl;
    host->references = 1;
    host->mappings = core->option_number(values, "mappings");
    host->space = core->option_number(values, "space");
    if (!hm__guard_page_find(host)) {
        core->memory_free(host, sizeof *host);
        return core->error_set(err, HM_E_NOMEM, "host:guard", "no page to be had");
    }
    list_add(host);
    *out = &host->base;
    return HM_OK;
}

static void fork_prepare(void *context)
{
    (void)context;
    hm__guard_core->lock(&list_lock);
    for (guard_host *host = list; host; host = host->next) {
        hm__guard_core->lock(&host->lock);
    }
}

/* The one thread of the child is the one that took them. */
static void fork_done(void *context)
{
    (void)context;
    for (guard_host *host = list; host; host = host->next) {
        hm__guard_core->unlock(&host->lock);
    }
    hm__guard_core->unlock(&list_lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof(hm_fork_hooks),
                                   .rank = FORK_RANK,
                                   .prepare = fork_prepare,
                                   .parent = fork_done,
                                   .child = fork_done};

static const hm_option mappings_option = {
    .size = sizeof(hm_option),
    .name = "mappings",
    .type = HM_OPTION_NUMBER,
    .fallback = "30000",
    .help = "mappings to use at most, two for each live block; more blocks get no guard",
};
static const hm_option space_option = {
    .size = sizeof(hm_option),
    .name = "space",
    .type = HM_OPTION_BYTES,
    .fallback = "4G",
    .help = "addresses to reserve before those of freed blocks are used again",
};
static const hm_option *const options[] = {&mappings_option, &space_option};

static const hm_host_info info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_HOST,
    .name = "guard",
    .summary =
        "each block ends at a protected page: overruns and late uses fault at once",
    .version = HM_VERSION,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .open = host_open,
};
static const hm_host_info *const infos[] = {&info};

HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *core,
                                              const hm_host_info *const **list_out,
                                              size_t *count)
{
    if (core->abi >> 16 != HM_ABI_MAJOR) {
        return HM_E_ABI;
    }
    if (!hm__guard_core) {
        hm__guard_core = core;
        host_vtbl = *core->host_basics;
        host_vtbl.retain = host_retain;
        host_vtbl.release = host_release;
        host_vtbl.create_malloc = host_create_malloc;
        host_vtbl.find = host_find;
        core->at_fork(&fork_hooks);
    }
    *list_out = infos;
    *count = sizeof infos / sizeof infos[0];
    return HM_OK;
}
