/* SPDX-License-Identifier: MIT */
/* The arena host: blocks are cut from the front of chunks, and go all at once.
 *
 * A free gives memory back only for the block that was cut last; reset and the last release give all of it back,
 * whether the object was asked to be scoped or not. For work with an end: a request, a parse, a frame.
 *
 * An object counts requested bytes, and so keeps a limit by itself: what is freed counts no longer, though its memory
 * stays. Exact objects are the core's wrapping malloc over its private memory (exact.c): they look up each block that is
 * freed, which is what an arena is there to avoid. */
#include "arena_internal.h"

const hm_core *hm__arena_core;

static const hm_core *core;
static hm_host_vtbl host_vtbl;

/* For exact objects. */
static void *private_alloc(void *context, size_t bytes)
{
    (void)context;
    return core->memory_alloc(bytes);
}

static void private_release(void *context, void *block, size_t bytes)
{
    (void)context;
    core->memory_free(block, bytes);
}

static const hm_allocator private_memory = {.size = sizeof(hm_allocator),
                                            .alloc = private_alloc,
                                            .release = private_release,
                                            .flags = HM_ALLOCATOR_THREADSAFE};
static exact_kin kin = {.where = "host:arena",
                        .allocator = &private_memory,
                        .plain_size = hm__arena_plain_size};

static void host_retain(hm_host *self)
{
    __atomic_fetch_add(&((arena_host *)self)->references, 1, __ATOMIC_RELAXED);
}

static void host_release(hm_host *self)
{
    arena_host *host = (arena_host *)self;
    if (__atomic_sub_fetch(&host->references, 1, __ATOMIC_ACQ_REL) == 0) {
        core->memory_free(host, sizeof *host);
    }
}

static hm_status host_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    hm_malloc_opts wanted;
    *out = NULL;
    const hm_status status = core->malloc_opts_read(
        opts,
        HM_MALLOC_THREADSAFE | HM_MALLOC_SCOPED | HM_MALLOC_ONE_THREAD | HM_MALLOC_EXACT,
        &wanted, err);
    if (status != HM_OK) {
        return status;
    }
    if (wanted.flags & HM_MALLOC_EXACT) {
        return hm__exact_create(&kin, self, &wanted, out, err);
    }
    arena_malloc *m = core->memory_alloc(sizeof *m);
    if (!m) {
        return core->error_set(err, HM_E_NOMEM, "host:arena",
                               "no private memory for a malloc object");
    }
    hm__arena_setup(m, self, &wanted);
    *out = &m->base;
    return HM_OK;
}

#define SMALLEST_CHUNK ((uint64_t)4096)
#define LARGEST_CHUNK  ((uint64_t)1 << 30)

static hm_status
host_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)inner;
    *out = NULL;
    const uint64_t chunk = core->option_number(values, "chunk");
    if (chunk < SMALLEST_CHUNK || chunk > LARGEST_CHUNK) {
        return core->error_set(
            err, HM_E_INVALID, "host:arena", "chunk is %llu, expected %llu to %llu",
            (unsigned long long)chunk, (unsigned long long)SMALLEST_CHUNK,
            (unsigned long long)LARGEST_CHUNK);
    }
    arena_host *host = core->memory_alloc(sizeof *host);
    if (!host) {
        return core->error_set(err, HM_E_NOMEM, "host:arena",
                               "no private memory for the host");
    }
    host->base.vtbl = &host_vtbl;
    host->references = 1;
    host->chunk_bytes = (size_t)(chunk + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    *out = &host->base;
    return HM_OK;
}

static const hm_option chunk_option = {
    .size = sizeof(hm_option),
    .name = "chunk",
    .type = HM_OPTION_BYTES,
    .fallback = "64K",
    .help =
        "bytes taken from the system at once, at least 4K; larger blocks get their own",
};
static const hm_option *const options[] = {&chunk_option};

static const hm_host_info info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_HOST,
    .name = "arena",
    .summary = "blocks one behind the other, given back all at once by reset or the last "
               "release",
    .version = HM_VERSION,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .open = host_open,
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
        core = hm__arena_core = kin.core = from;
        host_vtbl = *core->host_basics;
        host_vtbl.retain = host_retain;
        host_vtbl.release = host_release;
        host_vtbl.create_malloc = host_create_malloc;
        hm__arena_start();
    }
    *out = infos;
    *count = sizeof infos / sizeof infos[0];
    return HM_OK;
}
