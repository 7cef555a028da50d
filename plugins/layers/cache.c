/* SPDX-License-Identifier: MIT */
/* The cache layer: magazines in front of any host.
 *
 * A block that is freed with its size waits in its object's magazine for the next allocation of its class. That
 * pair touches the object, the block's first word and nothing else. A free without a size goes straight
 * through: to ask for the size costs more than a cached free gains.
 *
 * An object is not cached, and passes everything on, where somebody would be told of blocks that the program has
 * freed: the malloc underneath checks (debug: use debug+cache+HOST), tells its blocks from others, has a limit of
 * its own, or holds code; and thread-safe ones whose blocks could be reset under the other threads' magazines. */
#include "cache_internal.h"

#define LARGEST_CLASS ((uint64_t)32 * 1024)
#define LARGEST_BOUND ((uint64_t)1 << 30)

typedef struct cache_host {
    hm_layer_host layer;
    uint32_t bytes; /* option */
    size_t reach;   /* of the option max: whole classes */
} cache_host;

const hm_core *hm__cache_core;

static hm_host_vtbl host_vtbl;

/* The head of this file says what is not cached. The new malloc underneath owns no block, so resetting it is only a
   question. */
static int is_to_be_cached(const hm_malloc_opts *wanted, hm_malloc *inner)
{
    const uint32_t never = HM_MALLOC_SCOPED | HM_MALLOC_EXACT | HM_MALLOC_EXECUTABLE;
    if (wanted->limit || (wanted->flags & never) ||
        (inner->flags & (never | HM_MALLOC_DEBUG))) {
        return 0;
    }
    if (hm_owns(inner, inner) != -1) {
        return 0;
    }
    return !(wanted->flags & HM_MALLOC_THREADSAFE) || hm_malloc_reset(inner) != HM_OK;
}

static hm_status cache_create_malloc(hm_host *self,
                                     const hm_malloc_opts *opts,
                                     hm_malloc **out,
                                     hm_error *err)
{
    const hm_core *core = hm__cache_core;
    const cache_host *host = (const cache_host *)self;
    hm_host *below = host->layer.inner;
    hm_malloc_opts wanted;
    hm_malloc *inner = NULL;
    *out = NULL;
    hm_status status = core->malloc_opts_read(opts, ~0u, &wanted, err);
    if (status == HM_OK) {
        status = below->vtbl->create_malloc(below, &wanted, &inner, err);
    }
    if (status == HM_OK) {
        status = core->malloc_validate(inner, err);
    }
    if (status != HM_OK) {
        return status;
    }
    if (!host->reach || !host->bytes || !is_to_be_cached(&wanted, inner)) {
        *out = inner; /* nothing of ours in its way */
        return HM_OK;
    }
    const size_t bytes =
        sizeof(cache_malloc) + (wanted.flags & HM_MALLOC_THREADSAFE
                                    ? THREADS_SEEN * sizeof(void *)
                                    : host->reach / CLASS_BYTES * sizeof(cache_class));
    cache_malloc *m = core->memory_alloc(bytes);
    if (!m) {
        hm_malloc_release(inner);
        return core->error_set(err, HM_E_NOMEM, "layer:cache",
                               "no private memory for a malloc object");
    }
    hm_layer_malloc_init(&m->layer, core->malloc_forward, inner, self, (uint32_t)bytes);
    m->own.reach = host->reach;
    m->bytes = host->bytes;
    status = hm__cache_malloc_setup(m, wanted.flags, err);
    if (status != HM_OK) {
        core->malloc_forward->release(&m->layer.base);
        return status;
    }
    *out = &m->layer.base;
    return HM_OK;
}

static hm_status
cache_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    const hm_core *core = hm__cache_core;
    const uint64_t bytes = core->option_number(values, "bytes");
    const uint64_t max = core->option_number(values, "max");
    *out = NULL;
    if (bytes > LARGEST_BOUND || max > LARGEST_CLASS) {
        const int is_max = max > LARGEST_CLASS;
        return core->error_set(
            err, HM_E_INVALID, "layer:cache", "%s is %llu, expected at most %llu",
            is_max ? "max" : "bytes", (unsigned long long)(is_max ? max : bytes),
            (unsigned long long)(is_max ? LARGEST_CLASS : LARGEST_BOUND));
    }
    cache_host *host = core->memory_alloc(sizeof *host);
    if (!host) {
        return core->error_set(err, HM_E_NOMEM, "layer:cache",
                               "no private memory for the layer");
    }
    hm_layer_host_init(&host->layer, &host_vtbl, inner, sizeof *host);
    host->bytes = (uint32_t)bytes;
    host->reach = (size_t)(max + CLASS_BYTES - 1) & ~(CLASS_BYTES - 1);
    *out = &host->layer.base;
    return HM_OK;
}

static const hm_option bytes_option = {
    .size = sizeof(hm_option),
    .name = "bytes",
    .type = HM_OPTION_BYTES,
    .fallback = "2M",
    .help = "what an object holds back at most, and each thread of a thread-safe one; 0: "
            "nothing",
};
static const hm_option max_option = {
    .size = sizeof(hm_option),
    .name = "max",
    .type = HM_OPTION_BYTES,
    .fallback = "1K",
    .help = "largest block that is held back, up to 32K",
};
static const hm_option *const options[] = {&bytes_option, &max_option};

static const hm_host_info info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_LAYER,
    .name = "cache",
    .summary = "keeps small freed blocks for the next allocation; for frees with sizes",
    .version = HM_VERSION,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .open = cache_open,
};
static const hm_host_info *const infos[] = {&info};

HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *core,
                                              const hm_host_info *const **list,
                                              size_t *count)
{
    if (core->abi >> 16 != HM_ABI_MAJOR) {
        return HM_E_ABI;
    }
    if (!hm__cache_core) {
        hm__cache_core = core;
        hm__cache_tables_fill();
        host_vtbl = *core->host_forward;
        host_vtbl.create_malloc = cache_create_malloc;
    }
    *list = infos;
    *count = sizeof infos / sizeof infos[0];
    return HM_OK;
}
