/* SPDX-License-Identifier: MIT */
/* What the registry, the loader and the table of core functions share. */
#ifndef HM_CORE_REGISTRY_INTERNAL_H
#define HM_CORE_REGISTRY_INTERNAL_H

#include <hostmalloc/registry.h>

#include "spec_internal.h"

extern const hm_core hm__core; /* core.c */

/* The hosts every build ships; hosts/builtin.c. */
typedef struct hm__builtin {
    hm_module_describe_fn *const *list;
    size_t count;
} hm__builtin;
const hm__builtin *hm__builtin_hosts(void);

/* module.c */

/* Whoever describes hosts: a built-in function or an opened module. */
typedef struct hm__source {
    const void *identity; /* a module's handle, or any address of a built-in's own */
    const char *origin;   /* "built in", "added" or the module's path */
    const char *where;    /* of errors about it */
} hm__source;

/* Ask who is there, check the answer and add it all, or nothing. Of several threads that bring the same
   identity, one asks and the others wait; asked once, it is never asked again. expected: NULL, or the name
   that must be among the described. */
hm_status hm__module_describe(const hm__source *source,
                              hm_module_describe_fn *describe,
                              const char *expected,
                              hm_error *err);
/* Open the module at path, then the above. *identity (NULL allowed) gets the source's. */
hm_status hm__module_load(const char *path,
                          const char *expected,
                          const void **identity,
                          hm_error *err);
/* Load the module that by its file name describes name. *found is 0 when there is no such file; only then is
   HM_OK no promise that the name is known. */
hm_status hm__module_load_named(hm__text name, int *found, hm_error *err);
hm_status hm__module_check(const hm_host_info *info, const char *where, hm_error *err);

/* search.c: where modules are looked for. */

/* The file of the module that is to describe name: HM_OK and its path, or HM_E_NOT_FOUND. */
hm_status hm__module_search(hm__text name, char *path, size_t size);
void hm__module_folders(int (*visit)(void *context, const char *folder), void *context);
/* Every file in the plugin folders that by its name is a module; path is valid during the call only. */
void hm__module_files(int (*visit)(void *context, hm__text name, const char *path),
                      void *context);
/* The NAME of .../hm_host_NAME.so or .../hm_layer_NAME.so; 0 for any other file. */
int hm__module_file_name(const char *path, hm__text *name);

/* registry.c */

/* Add count descriptions that were checked, or none: HM_E_EXISTS, HM_E_NOMEM. Copies the pointers. */
hm_status hm__registry_add_all(const hm_host_info *const *list,
                               size_t count,
                               const hm__source *source,
                               hm_error *err);
/* What a source brought: NULL when it brought nothing so far, else name if it is among that, else another. */
const char *hm__registry_names(const void *identity, const char *name);
/* By name or by a module's path, which is opened if need be. where: of the error if there is no such name. */
hm_status hm__registry_find(hm__text name,
                            const char *where,
                            const hm_host_info **out,
                            hm_error *err);

#endif
