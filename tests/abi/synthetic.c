/* SPDX-License-Identifier: MIT */
/* Modules of releases that never were, by definitions of the build: ABI_NAME, ABI_NUMBER, ABI_INFO_SIZE,
 * ABI_OPTION_TYPE and ABI_OPTION_SIZE. */
#include <hostmalloc/module.h>

static const hm_core *core;

static hm_status synthetic_open(const hm_option_values *values,
                                hm_host *inner,
                                hm_host **out,
                                hm_error *err)
{
    (void)inner;
    core->option_given(values, "level");
    return core->host_open("default", out, err);
}

static const hm_option level = {.size = ABI_OPTION_SIZE,
                                .name = "level",
                                .type = ABI_OPTION_TYPE,
                                .help = "an option"};
static const hm_option *const options[] = {&level};

static const hm_host_info info = {.size = ABI_INFO_SIZE,
                                  .abi = ABI_NUMBER,
                                  .kind = HM_KIND_HOST,
                                  .name = ABI_NAME,
                                  .summary = "of a release that never was",
                                  .version = "0",
                                  .options = options,
                                  .option_count = 1,
                                  .open = synthetic_open};

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
