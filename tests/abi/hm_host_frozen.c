/* SPDX-License-Identifier: MIT */
/* A module of release 1.0: compiled against the headers of that release, kept beside this file, and no others. */
#include <hostmalloc/module.h>

static const hm_core *core;

static void *take(void *context, size_t bytes)
{
    (void)context;
    return core->memory_alloc(bytes);
}

static void give(void *context, void *block, size_t bytes)
{
    (void)context;
    core->memory_free(block, bytes);
}

static const hm_allocator allocator = {.size = sizeof(hm_allocator),
                                       .alloc = take,
                                       .release = give,
                                       .flags = HM_ALLOCATOR_THREADSAFE};

static hm_status
frozen_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)inner;
    if (core->option_number(values, "limit") == 13) {
        *out = NULL;
        return core->error_set(err, HM_E_INVALID, "host:frozen", "an unlucky number");
    }
    return core->wrap_host(&allocator, "frozen", out, err);
}

static const hm_option limit = {.size = sizeof(hm_option),
                                .name = "limit",
                                .type = HM_OPTION_NUMBER,
                                .fallback = "0",
                                .help = "any number but 13"};
static const hm_option *const options[] = {&limit};

static const hm_host_info info = {.size = sizeof(hm_host_info),
                                  .abi = HM_ABI,
                                  .kind = HM_KIND_HOST,
                                  .name = "frozen",
                                  .summary = "compiled when 1.0 was new",
                                  .version = HM_VERSION,
                                  .options = options,
                                  .option_count = 1,
                                  .open = frozen_open};

HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *from,
                                              const hm_host_info *const **list,
                                              size_t *count)
{
    static const hm_host_info *const all[] = {&info};
    core = from;
    *list = all;
    *count = 1;
    return HM_OK;
}
