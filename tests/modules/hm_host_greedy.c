/* SPDX-License-Identifier: MIT */
/* Wants another module while it is still saying who it is, which would wait for itself. */
#include <hostmalloc/module.h>

hm_status
hm_module_describe(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    hm_host *host;
    (void)list;
    (void)count;
    return core->host_open("misnamed", &host, NULL);
}
