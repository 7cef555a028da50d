/* SPDX-License-Identifier: MIT */
/* The hosts every build ships. They enter the registry as a module's do: described, checked, added. */
#include "registry_internal.h"

hm_module_describe_fn hm__default_describe; /* default.c */
hm_module_describe_fn hm__debug_describe;   /* debug/host.c */
#ifdef HOSTMALLOC_MIMALLOC_BUILTIN
hm_module_describe_fn hm__mimalloc_describe; /* mimalloc.c, else a module */
#define AND_MIMALLOC , hm__mimalloc_describe
#else
#define AND_MIMALLOC
#endif

const hm__builtin *hm__builtin_hosts(void)
{
    static hm_module_describe_fn *const list[] = {hm__default_describe,
                                                  hm__debug_describe AND_MIMALLOC};
    static const hm__builtin builtin = {list, sizeof(list) / sizeof(list[0])};
    return &builtin;
}
