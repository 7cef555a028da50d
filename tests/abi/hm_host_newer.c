/* SPDX-License-Identifier: MIT */
/* A module of a later release of the same major version, 1.1: every struct and table has something at its end that
 * this release does not know, and it asks before it uses what an older core may not have. */
#include <hostmalloc/layer.h>

typedef struct newer_info {
    hm_host_info info;
    const char *home_page;
    uint64_t more[4];
} newer_info;

typedef struct newer_option {
    hm_option option;
    const char *unit;
} newer_option;

typedef struct newer_malloc_vtbl {
    hm_malloc_vtbl table;
    hm_status (*relocate)(hm_malloc *self, void **block);
} newer_malloc_vtbl;

typedef struct newer_host_vtbl {
    hm_host_vtbl table;
    hm_status (*advise)(hm_host *self, void *start, size_t size, uint32_t advice);
} newer_host_vtbl;

/* The core of that release. */
typedef struct newer_core {
    hm_core core;
    uint64_t (*entropy)(void);
} newer_core;

static const hm_core *core;
static newer_malloc_vtbl malloc_vtbl;
static newer_host_vtbl host_vtbl;

static hm_status newer_relocate(hm_malloc *self, void **block)
{
    (void)self, (void)block;
    return HM_E_UNSUPPORTED;
}

static hm_status newer_advise(hm_host *self, void *start, size_t size, uint32_t advice)
{
    (void)self, (void)start, (void)size, (void)advice;
    return HM_E_UNSUPPORTED;
}

static hm_status newer_create_malloc(hm_host *self,
                                     const hm_malloc_opts *opts,
                                     hm_malloc **out,
                                     hm_error *err)
{
    hm_malloc *inner = NULL;
    hm_host *below = ((hm_layer_host *)self)->inner;
    *out = NULL;
    const hm_status status = below->vtbl->create_malloc(below, opts, &inner, err);
    if (status != HM_OK) {
        return status;
    }
    hm_layer_malloc *m = core->memory_alloc(sizeof *m);
    if (!m) {
        hm_malloc_release(inner);
        return core->error_set(err, HM_E_NOMEM, "host:newer", "no memory");
    }
    hm_layer_malloc_init(m, &malloc_vtbl.table, inner, self, sizeof *m);
    *out = &m->base;
    return HM_OK;
}

static hm_status
newer_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    hm_host *below = NULL;
    (void)inner;
    *out = NULL;
    const hm_status status =
        core->host_open(core->option_text(values, "over"), &below, err);
    if (status != HM_OK) {
        return status;
    }
    hm_layer_host *host = core->memory_alloc(sizeof *host);
    if (host) {
        hm_layer_host_init(host, &host_vtbl.table, below, sizeof *host);
        *out = &host->base;
    }
    hm_host_release(below);
    return host ? HM_OK : core->error_set(err, HM_E_NOMEM, "host:newer", "no memory");
}

static const newer_option over = {{.size = sizeof(newer_option),
                                   .name = "over",
                                   .type = HM_OPTION_SPEC,
                                   .fallback = "default",
                                   .help = "where its memory comes from"},
                                  "spec"};
static const hm_option *const options[] = {&over.option};

static const newer_info info = {{.size = sizeof(newer_info),
                                 .abi = HM_ABI_MAJOR << 16 | 1,
                                 .kind = HM_KIND_HOST,
                                 .name = "newer",
                                 .summary = "from a later release",
                                 .version = "1.1.0",
                                 .options = options,
                                 .option_count = 1,
                                 .open = newer_open},
                                "https://example.org",
                                {1, 2, 3, 4}};

HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *from,
                                              const hm_host_info *const **list,
                                              size_t *count)
{
    static const hm_host_info *const all[] = {&info.info};
    core = from;
    if (from->size >= sizeof(newer_core)) {
        return HM_E_ABI; /* no core of this release is that large */
    }
    malloc_vtbl.table = *core->malloc_forward;
    malloc_vtbl.table.size = sizeof malloc_vtbl;
    malloc_vtbl.relocate = newer_relocate;
    host_vtbl.table = *core->host_forward;
    host_vtbl.table.size = sizeof host_vtbl;
    host_vtbl.table.create_malloc = newer_create_malloc;
    host_vtbl.advise = newer_advise;
    *list = all;
    *count = 1;
    return HM_OK;
}
