/* SPDX-License-Identifier: MIT */
/* One description is right and one is not: neither counts. */
#include "toy_host.h"

static const hm_host_info half = {.size = sizeof(hm_host_info),
                                  .abi = HM_ABI,
                                  .kind = HM_KIND_HOST,
                                  .name = "half",
                                  .summary = "The right half",
                                  .version = "1.0",
                                  .open = toy_open};
static const hm_host_info wrong = {.size = sizeof(hm_host_info),
                                   .abi = HM_ABI,
                                   .kind = HM_KIND_HOST,
                                   .name = "wrong_half",
                                   .summary = "Cannot be opened",
                                   .version = "1.0"};

hm_status
hm_module_describe(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    static const hm_host_info *const all[] = {&half, &wrong};
    toy_begin(core);
    *list = all;
    *count = 2;
    return HM_OK;
}
