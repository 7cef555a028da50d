/* SPDX-License-Identifier: MIT */
/* The module of mutants: the host that passes everything on, and which mutant changes it. */
#include "mutants.h"

const hm_core *mutant_core;

static const mutant_group *const groups[] = {&mutant_blocks, &mutant_answers,
                                             &mutant_objects, &mutant_hosts};

hm_status
mutant_create(hm_host *self, const hm_malloc_opts *opts, hm_malloc **out, hm_error *err)
{
    hm_malloc *inner = NULL;
    hm_malloc_opts wanted;
    *out = NULL;
    hm_status status = below(self)->vtbl->create_malloc(below(self), opts, &inner, err);
    if (status != HM_OK) {
        return status;
    }
    mutant_malloc *m = mutant_core->memory_alloc(sizeof *m);
    if (!m) {
        hm_malloc_release(inner);
        return mutant_core->error_set(err, HM_E_NOMEM, "host:mutant", "no memory");
    }
    hm_layer_malloc_init(&m->layer, &mutant_host_of(self)->malloc_vtbl, inner, self,
                         sizeof *m);
    mutant_core->malloc_opts_read(opts, ~0u, &wanted, NULL);
    m->host = mutant_host_of(self);
    m->asked = wanted.flags;
    m->limit = wanted.limit;
    *out = &m->layer.base;
    return HM_OK;
}

static const mutant *mutant_named(const char *name)
{
    for (size_t g = 0; g < MUTANT_COUNT(groups); g++) {
        for (size_t i = 0; i < groups[g]->count; i++) {
            if (strcmp(groups[g]->mutants[i].name, name) == 0) {
                return &groups[g]->mutants[i];
            }
        }
    }
    return NULL;
}

static hm_status
mutant_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    const char *name = mutant_core->option_text(values, "is");
    const mutant *is = mutant_named(name);
    hm_host *inside = NULL;
    (void)inner;
    *out = NULL;
    if (!is && strcmp(name, "sane") != 0) {
        return mutant_core->error_set(err, HM_E_INVALID, "host:mutant",
                                      "no mutant \"%s\"", name);
    }
    hm_status status = mutant_core->host_open("default", &inside, err);
    if (status != HM_OK) {
        return status;
    }
    mutant_host *host = mutant_core->memory_alloc(sizeof *host);
    if (!host) {
        hm_host_release(inside);
        return mutant_core->error_set(err, HM_E_NOMEM, "host:mutant", "no memory");
    }
    host->malloc_vtbl = *mutant_core->malloc_forward;
    host->host_vtbl = *mutant_core->host_forward;
    host->host_vtbl.create_malloc = mutant_create;
    if (is) {
        is->change(&host->malloc_vtbl, &host->host_vtbl);
    }
    hm_layer_host_init(&host->layer, &host->host_vtbl, inside, sizeof *host);
    hm_host_release(inside); /* the line before took another reference */
    *out = &host->layer.base;
    return HM_OK;
}

static const hm_option is_option = {.size = sizeof(hm_option),
                                    .name = "is",
                                    .type = HM_OPTION_TEXT,
                                    .fallback = "sane",
                                    .help = "which mutant"};
static const hm_option *const options[] = {&is_option};

static const hm_host_info info = {.size = sizeof(hm_host_info),
                                  .abi = HM_ABI,
                                  .kind = HM_KIND_HOST,
                                  .name = "mutant",
                                  .summary = "default with one thing broken",
                                  .version = "1.0",
                                  .options = options,
                                  .option_count = 1,
                                  .open = mutant_open};

HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *core,
                                              const hm_host_info *const **list,
                                              size_t *count)
{
    static const hm_host_info *const all[] = {&info};
    mutant_core = core;
    *list = all;
    *count = 1;
    return HM_OK;
}
