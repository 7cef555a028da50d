/* SPDX-License-Identifier: MIT */
/* What the registry, the loader and the table of core functions share. */
#ifndef HM_CORE_REGISTRY_INTERNAL_H
#define HM_CORE_REGISTRY_INTERNAL_H

#include <hostmalloc/registry.h>

extern const hm_core hm__core; /* core.c */

/* The hosts every build ships; hosts/builtin.c defines it, or a weak empty list stands in for it where the
   core is used alone. */
typedef struct hm__builtin {
    hm_module_describe_fn *const *list;
    size_t count;
} hm__builtin;
const hm__builtin *hm__builtin_hosts(void);

/* module.c */
hm_status hm__module_load(const char *path,
                          hm_error *err); /* open, describe, check, add */
hm_status hm__module_check(const hm_host_info *info, const char *where, hm_error *err);
hm_status hm__module_search(const char *name,
                            char *path,
                            size_t size); /* HM_OK and the path, or HM_E_NOT_FOUND */
void hm__module_folders(int (*visit)(void *context, const char *folder), void *context);

/* registry.c */
hm_status
hm__registry_add_from(const hm_host_info *info, const char *origin, hm_error *err);

#endif
