/* SPDX-License-Identifier: MIT */
/* Two hosts in one module, of a release with a longer description and another minor version. */
#include "toy_host.h"

typedef struct longer_info {
    hm_host_info info;
    uint64_t added_later;
} longer_info;

#define INFO(NAME)                              \
    {                                           \
        {.size = sizeof(longer_info),           \
         .abi = HM_ABI + 1,                     \
         .kind = HM_KIND_HOST,                  \
         .name = NAME,                          \
         .summary = "One of two in one module", \
         .version = "1.1",                      \
         .open = toy_open},                     \
            1                                   \
    }
static const longer_info pair = INFO("pair");
static const longer_info twin = INFO("twin");

hm_status
hm_module_describe(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    static const hm_host_info *const all[] = {&pair.info, &twin.info};
    toy_begin(core);
    *list = all;
    *count = 2;
    return HM_OK;
}
