/* SPDX-License-Identifier: MIT */
/* Says that it cannot work here. */
#include <hostmalloc/module.h>

hm_status
hm_module_describe(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    (void)core;
    (void)list;
    (void)count;
    return HM_E_UNSUPPORTED;
}
