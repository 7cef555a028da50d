/* SPDX-License-Identifier: MIT */
/* The hosts every build ships. They enter the registry as a module's do: described, checked, added. */
#include "registry_internal.h"

hm_module_describe_fn hm__default_describe; /* default.c */
hm_module_describe_fn hm__debug_describe;   /* debug/host.c */

const hm__builtin *hm__builtin_hosts(void)
{
    static hm_module_describe_fn *const list[] = {hm__default_describe,
                                                  hm__debug_describe};
    static const hm__builtin builtin = {list, sizeof(list) / sizeof(list[0])};
    return &builtin;
}
