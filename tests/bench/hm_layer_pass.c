/* SPDX-License-Identifier: MIT */
/* A layer that changes nothing: the least that any layer costs. */
#include <hostmalloc/layer.h>

static const hm_core *core;
static hm_host_vtbl host_vtbl;

static hm_status pass_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    hm_host *below = ((hm_layer_host *)self)->inner;
    hm_malloc *inner = NULL;
    *out = NULL;
    hm_status status = below->vtbl->create_malloc(below, opts, &inner, err);
    if (status == HM_OK) {
        status = core->malloc_validate(inner, err);
    }
    if (status != HM_OK) {
        return status;
    }
    hm_layer_malloc *m = core->memory_alloc(sizeof *m);
    if (!m) {
        hm_malloc_release(inner);
        return core->error_set(err, HM_E_NOMEM, "layer:pass",
                               "no private memory for a malloc object");
    }
    hm_layer_malloc_init(m, core->malloc_forward, inner, self, sizeof *m);
    *out = &m->base;
    return HM_OK;
}

static hm_status
pass_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)values;
    *out = NULL;
    hm_layer_host *host = core->memory_alloc(sizeof *host);
    if (!host) {
        return core->error_set(err, HM_E_NOMEM, "layer:pass",
                               "no private memory for the layer");
    }
    hm_layer_host_init(host, &host_vtbl, inner, sizeof *host);
    *out = &host->base;
    return HM_OK;
}

static const hm_host_info info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_LAYER,
    .name = "pass",
    .summary = "passes everything on",
    .version = HM_VERSION,
    .open = pass_open,
};
static const hm_host_info *const infos[] = {&info};

HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *from,
                                              const hm_host_info *const **out,
                                              size_t *count)
{
    if (from->abi >> 16 != HM_ABI_MAJOR) {
        return HM_E_ABI;
    }
    core = from;
    host_vtbl = *core->host_forward;
    host_vtbl.create_malloc = pass_create_malloc;
    *out = infos;
    *count = 1;
    return HM_OK;
}
