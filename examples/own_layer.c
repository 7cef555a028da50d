/* SPDX-License-Identifier: MIT */
/* A layer of your own, as a module: it wraps whatever host stands after it in a spec and changes one thing, here that no
 * single block may be larger than a bound. Everything else is passed on by the core's ready-made tables. Name it, and
 * the file hm_layer_NAME.so, as you like; it needs the installed headers and links nothing of hostmalloc.
 *
 *     cc -shared -fPIC own_layer.c -o hm_layer_own_layer.so
 *     hostmalloc check ./hm_layer_own_layer.so
 *     HOSTMALLOC_PLUGIN_PATH=. HOSTMALLOC=own_layer:largest=1M+mimalloc program */
#include <stdint.h>

#include <hostmalloc/layer.h>

/* The structs of the core come first; what is yours follows. */
typedef struct own_host {
    hm_layer_host layer;
    uint64_t largest;
} own_host;

typedef struct own_malloc {
    hm_layer_malloc layer;
    uint64_t largest;
} own_malloc;

static const hm_core *core;
static hm_malloc_vtbl malloc_vtbl;
static hm_host_vtbl host_vtbl;

static int is_allowed(hm_malloc *self, size_t size)
{
    return size <= ((own_malloc *)self)->largest;
}

static hm_malloc *inner_of(hm_malloc *self)
{
    return ((own_malloc *)self)->layer.inner;
}

/* The six slots that allocate. Each asks, then passes the call on. */
static void *own_alloc(hm_malloc *self, size_t size, hm_level level)
{
    return is_allowed(self, size) ? core->malloc_forward->alloc(self, size, level) : NULL;
}

static void *own_debug_alloc(hm_malloc *self, size_t size, hm_level level, hm_site *site)
{
    return is_allowed(self, size)
               ? core->malloc_forward->debug_alloc(self, size, level, site)
               : NULL;
}

/* Never refuses to shrink: then the block would be larger already. */
static void *own_realloc(hm_malloc *self,
                         void *block,
                         size_t old_size,
                         size_t size,
                         hm_level level,
                         hm_site *site)
{
    return is_allowed(self, size)
               ? hm_realloc_at(inner_of(self), block, old_size, size, level, site)
               : NULL;
}

static void *own_alloc_zeroed(
    hm_malloc *self, size_t count, size_t size, hm_level level, hm_site *site)
{
    const uint64_t largest = ((own_malloc *)self)->largest;
    return size == 0 || count <= largest / size
               ? hm_alloc_zeroed_at(inner_of(self), count, size, level, site)
               : NULL;
}

static void *own_alloc_aligned(
    hm_malloc *self, size_t size, size_t alignment, hm_level level, hm_site *site)
{
    return is_allowed(self, size)
               ? hm_alloc_aligned_at(inner_of(self), size, alignment, level, site)
               : NULL;
}

static hm_status own_request(hm_malloc *self, const hm_request *request, void **out)
{
    if (out && request && HM_HAS(request, hm_request, bytes) &&
        !is_allowed(self, request->bytes)) {
        *out = NULL;
        return HM_E_NOMEM;
    }
    return hm_malloc_request(inner_of(self), request, out);
}

static hm_status own_create_malloc(hm_host *self,
                                   const hm_malloc_opts *opts,
                                   hm_malloc **out,
                                   hm_error *err)
{
    const own_host *host = (const own_host *)self;
    hm_malloc *inner = NULL;
    *out = NULL;
    hm_status status =
        host->layer.inner->vtbl->create_malloc(host->layer.inner, opts, &inner, err);
    if (status == HM_OK) {
        status = core->malloc_validate(inner, err);
    }
    if (status != HM_OK) {
        return status;
    }
    own_malloc *m = core->memory_alloc(sizeof *m);
    if (!m) {
        hm_malloc_release(inner);
        return core->error_set(err, HM_E_NOMEM, "layer:own_layer",
                               "no private memory for a malloc object");
    }
    hm_layer_malloc_init(&m->layer, &malloc_vtbl, inner, self, sizeof *m);
    m->largest = host->largest;
    *out = &m->layer.base;
    return HM_OK;
}

static hm_status
own_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    *out = NULL;
    own_host *host = core->memory_alloc(sizeof *host);
    if (!host) {
        return core->error_set(err, HM_E_NOMEM, "layer:own_layer",
                               "no private memory for the layer");
    }
    hm_layer_host_init(&host->layer, &host_vtbl, inner, sizeof *host);
    host->largest = core->option_given(values, "largest")
                        ? core->option_number(values, "largest")
                        : UINT64_MAX; /* without options a layer does no harm */
    *out = &host->layer.base;
    return HM_OK;
}

static const hm_option largest_option = {.size = sizeof(hm_option),
                                         .name = "largest",
                                         .type = HM_OPTION_BYTES,
                                         .help =
                                             "bytes that a block may have; not set: any"};
static const hm_option *const options[] = {&largest_option};

static const hm_host_info info = {.size = sizeof(hm_host_info),
                                  .abi = HM_ABI,
                                  .kind = HM_KIND_LAYER,
                                  .name = "own_layer",
                                  .summary = "refuses blocks larger than a bound",
                                  .version = "1",
                                  .options = options,
                                  .option_count = 1,
                                  .open = own_open};
static const hm_host_info *const infos[] = {&info};

HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *from,
                                              const hm_host_info *const **list,
                                              size_t *count)
{
    if (from->abi >> 16 != HM_ABI_MAJOR) {
        return HM_E_ABI;
    }
    if (!core) {
        core = from;
        malloc_vtbl = *core->malloc_forward;
        malloc_vtbl.alloc = own_alloc;
        malloc_vtbl.debug_alloc = own_debug_alloc;
        malloc_vtbl.realloc = own_realloc;
        malloc_vtbl.alloc_zeroed = own_alloc_zeroed;
        malloc_vtbl.alloc_aligned = own_alloc_aligned;
        malloc_vtbl.request = own_request;
        host_vtbl = *core->host_forward;
        host_vtbl.create_malloc = own_create_malloc;
    }
    *list = infos;
    *count = 1;
    return HM_OK;
}
