/* SPDX-License-Identifier: MIT */
/**
 * @file registry.h
 * @brief Names to hosts and layers: "limit:hard=64M+debug+mimalloc".
 *
 * A spec is a list of elements joined by '+', outermost first, the last one the host:
 *
 *     name[:key=value[,key=value]...][+name...]
 *
 * Only the first ':' of an element separates, so site=db.cpp:42 needs no quoting; a value that holds '+'
 * or ',' is written in parentheses: swap:to=(debug+mimalloc). A key alone is true. A layer at the end
 * means "+default". A name with a '/' is the path of a module. Other names are looked for among the built-in
 * and added ones, then as modules (hm_host_NAME.so, hm_layer_NAME.so) in $HOSTMALLOC_PLUGIN_PATH (folders
 * joined by ':'; not read in privileged programs), then in the installed plugin folder.
 * Stable since 1.0.
 */
#ifndef HM_REGISTRY_H
#define HM_REGISTRY_H

#include <hostmalloc/module.h>

HM_BEGIN_DECLS

/**
 * Open a host.
 * @param spec NULL: $HOSTMALLOC (set but empty is an error), else "default"
 * @param[out] out one reference, or NULL; a NULL @p out is HM_E_INVALID
 * @param err  on failure names the column, what was found, what was expected and the nearest known name
 * @threads any
 */
HM_API hm_status hm_host_open(const char *spec, hm_host **out, hm_error *err);

/** Add a description, checked as a module's is. @p info is kept for good. HM_E_EXISTS if the name is taken by
    another, HM_E_ABI, HM_E_INVALID. @threads any */
HM_API hm_status hm_registry_add(const hm_host_info *info, hm_error *err);

/** Open the module at @p path and add what it describes; twice does nothing. The module stays for good.
    A refusal names the path, and the symbol or both ABI numbers. @threads any */
HM_API hm_status hm_registry_load(const char *path, hm_error *err);

/** The description of a name, opening its module if need be. HM_E_NOT_FOUND names the nearest. @threads any */
HM_API hm_status hm_registry_find(const char *name,
                                  const hm_host_info **out,
                                  hm_error *err);

/** Open every module of the plugin folders, so that visit shows them. Modules that are refused are passed to
    @p refused (NULL allowed) and skipped. @threads any */
HM_API void hm_registry_discover(void (*refused)(void *context, const hm_error *err),
                                 void *context);

/** Show every known host and layer; @p origin is "built in", "added" or the module's path. A value other than
    0 ends it. @threads any */
HM_API void hm_registry_visit(int (*visit)(void *context,
                                           const hm_host_info *info,
                                           const char *origin),
                              void *context);

HM_END_DECLS

#endif
