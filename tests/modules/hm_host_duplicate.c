/* SPDX-License-Identifier: MIT */
/* Describes a name that another module has. */
#include "toy_host.h"

static const hm_host_info info = {.size = sizeof(hm_host_info),
                                  .abi = HM_ABI,
                                  .kind = HM_KIND_HOST,
                                  .name = "good",
                                  .summary = "Has the name of another",
                                  .version = "1.0",
                                  .open = toy_open};

hm_status
hm_module_describe(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    static const hm_host_info *const all[] = {&info};
    toy_begin(core);
    *list = all;
    *count = 1;
    return HM_OK;
}
