/* SPDX-License-Identifier: MIT */
/* Every bound of the host has a count of what went past it, and reports tell those that are not 0. */
#include "dropped_internal.h"

uint64_t hm__debug_dropped(const debug_host *host, unsigned which, const char **what)
{
    const debug_dropped *dropped = &host->dropped;
    const struct {
        uint64_t count;
        const char *what;
    } all[DEBUG_DROPS] = {
        {DEBUG_GET(dropped->sites), "blocks of sites past the last there is room for"},
        {DEBUG_GET(hm__debug.threads_cut),
         "threads past the last there is room for, who share its number"},
        {DEBUG_GET(dropped->held), "freed blocks too large to be held back"},
        {DEBUG_GET(dropped->released), "released mallocs too many to be remembered"},
    };
    *what = all[which].what;
    return all[which].count;
}
