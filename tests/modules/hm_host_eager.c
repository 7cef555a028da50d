/* SPDX-License-Identifier: MIT */
/* Opens a host of another module from its constructor, while the system's loader is still busy with it. */
#include <hostmalloc/registry.h>

#include "toy_host.h"

/* There in programs that export it, as a shared core does. */
#pragma weak hm_host_open

static hm_status opened;

static __attribute__((constructor)) void open_early(void)
{
    hm_host *host = NULL;
    opened = hm_host_open ? hm_host_open("good", &host, NULL) : HM_OK;
    hm_host_release(host);
}

static const hm_host_info info = {.size = sizeof(hm_host_info),
                                  .abi = HM_ABI,
                                  .kind = HM_KIND_HOST,
                                  .name = "eager",
                                  .summary = "Opens another host when it is loaded",
                                  .version = "1.0",
                                  .open = toy_open};

hm_status
hm_module_describe(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    static const hm_host_info *const all[] = {&info};
    toy_begin(core);
    *list = all;
    *count = 1;
    return opened;
}
