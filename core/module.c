/* SPDX-License-Identifier: MIT */
/* The loader: opens a module, asks who it is, and checks the answer before anything of it is used. The hosts
 * linked into the library walk through the same functions, so the loading path is never untested. */
#include "registry_internal.h"

#include <stdio.h>
#include <string.h>

#include "lock_internal.h"
#include "memory_internal.h"
#include "os.h"

#define PATH_BYTES       4096
#define DESCRIPTIONS_MAX 64

static hm_status check_abi(const hm_host_info *info, const char *where, hm_error *err)
{
    if (info->size < sizeof(size_t) + sizeof(uint32_t)) {
        return hm_error_set(err, HM_E_INVALID, where,
                            "a description of %zu bytes, expected at least %zu",
                            info->size, sizeof(hm_host_info));
    }
    if (info->abi >> 16 != HM_ABI_MAJOR) {
        return hm_error_set(err, HM_E_ABI, where,
                            "built for ABI %u.%u, this core speaks %u.%u",
                            (unsigned)(info->abi >> 16), (unsigned)(info->abi & 0xffff),
                            HM_ABI_MAJOR, HM_ABI_MINOR);
    }
    return HM_OK;
}

hm_status hm__module_check(const hm_host_info *info, const char *where, hm_error *err)
{
    if (!info) {
        return hm_error_set(err, HM_E_INVALID, where, "a description is NULL");
    }
    const hm_status status = check_abi(info, where, err);
    if (status != HM_OK) {
        return status;
    }
    if (!HM_HAS(info, hm_host_info, open)) {
        return hm_error_set(err, HM_E_INVALID, where,
                            "a description of %zu bytes, expected at least %zu",
                            info->size, offsetof(hm_host_info, open) + sizeof info->open);
    }
    if (!info->name || !hm__name_is_valid(hm__text_of(info->name))) {
        return hm_error_set(
            err, HM_E_INVALID, where,
            "name \"%.40s\", expected 1 to %d lower case letters, digits and '_'",
            info->name ? info->name : "(NULL)", HM__NAME_MAX);
    }
    if (info->kind != HM_KIND_HOST && info->kind != HM_KIND_LAYER) {
        return hm_error_set(
            err, HM_E_INVALID, where,
            "\"%s\" is of kind %u, expected HM_KIND_HOST or HM_KIND_LAYER", info->name,
            (unsigned)info->kind);
    }
    if (!info->summary || !info->version || !info->open) {
        return hm_error_set(err, HM_E_INVALID, where, "%s %s has no %s",
                            hm__kind_name(info), info->name,
                            !info->summary   ? "summary"
                            : !info->version ? "version"
                                             : "open");
    }
    return hm__options_check(info, where, err);
}

static hm_status refuse_name(const hm__source *source,
                             const char *name,
                             const char *expected,
                             hm_error *err)
{
    return hm_error_set(err, HM_E_INVALID, source->where,
                        "describes \"%s\", expected \"%s\" by its file name", name,
                        expected);
}

/* The answer of a describe function as a whole. */
static hm_status check_all(const hm__source *source,
                           const hm_host_info *const *list,
                           size_t count,
                           const char *expected,
                           hm_error *err)
{
    if (!list || count == 0 || count > DESCRIPTIONS_MAX) {
        return hm_error_set(
            err, HM_E_INVALID, source->where,
            "hm_module_describe gave %zu descriptions%s, expected 1 to %d", count,
            list ? "" : " at NULL", DESCRIPTIONS_MAX);
    }
    int found = !expected;
    for (size_t i = 0; i < count; i++) {
        const hm_status status = hm__module_check(list[i], source->where, err);
        if (status != HM_OK) {
            return status;
        }
        found = found || strcmp(list[i]->name, expected) == 0;
    }
    return found ? HM_OK : refuse_name(source, list[0]->name, expected, err);
}

static hm_lock describing;
static uint32_t describing_thread; /* atomic; who holds the above */
static uint32_t fork_known;

static void before_fork(void *context)
{
    (void)context;
    hm__lock(&describing);
}

static void after_fork_parent(void *context)
{
    (void)context;
    hm__unlock(&describing);
}

static void after_fork_child(void *context)
{
    (void)context;
    hm__lock_reset(&describing);
}

/* Taken before the registry's own lock, which is needed to add what was described. */
static hm_fork_hooks fork_hooks = {.size = sizeof fork_hooks,
                                   .rank = HM__FORK_REGISTRY - 1,
                                   .prepare = before_fork,
                                   .parent = after_fork_parent,
                                   .child = after_fork_child};

static hm_status describe_locked(const hm__source *source,
                                 hm_module_describe_fn *describe,
                                 const char *expected,
                                 hm_error *err)
{
    const char *const known = hm__registry_names(source->identity, expected);
    if (known) {
        return !expected || strcmp(known, expected) == 0
                   ? HM_OK
                   : refuse_name(source, known, expected, err);
    }
    const hm_host_info *const *list = NULL;
    size_t count = 0;
    hm_status status = describe(&hm__core, &list, &count);
    if (status != HM_OK) {
        /* Whatever it is, a refusal is a refusal: a status above 0 has no meaning. */
        return hm_error_set(
            err, status < 0 ? status : HM_E_INVALID, source->where,
            "hm_module_describe answered %s (%d), this core speaks ABI %u.%u",
            hm_status_name(status), (int)status, HM_ABI_MAJOR, HM_ABI_MINOR);
    }
    status = check_all(source, list, count, expected, err);
    return status == HM_OK ? hm__registry_add_all(list, count, source, err) : status;
}

hm_status hm__module_describe(const hm__source *source,
                              hm_module_describe_fn *describe,
                              const char *expected,
                              hm_error *err)
{
    const uint32_t self = hm__thread_id();
    if (__atomic_load_n(&describing_thread, __ATOMIC_RELAXED) == self) {
        return hm_error_set(
            err, HM_E_INVALID, source->where,
            "opened by another module's hm_module_describe, which may not");
    }
    hm__at_fork_once(&fork_known, &fork_hooks);
    hm__lock(&describing);
    __atomic_store_n(&describing_thread, self, __ATOMIC_RELAXED);
    const hm_status status = describe_locked(source, describe, expected, err);
    __atomic_store_n(&describing_thread, 0, __ATOMIC_RELAXED);
    hm__unlock(&describing);
    return status;
}

/* "module:PATH"; of a long path its end, which says more. */
static hm__where where_of(const char *path)
{
    hm__where where;
    const size_t room = sizeof where.text - sizeof "module:";
    const size_t length = strlen(path);
    if (length <= room) {
        snprintf(where.text, sizeof where.text, "module:%s", path);
    } else {
        snprintf(where.text, sizeof where.text, "module:...%s", path + length - room + 3);
    }
    return where;
}

/* A bare file name would be searched for by the system's loader, in places that are not ours. */
static int as_path(const char *path, char *full, size_t size)
{
    const int length = snprintf(full, size, "%s%s", strchr(path, '/') ? "" : "./", path);
    return length > 0 && (size_t)length < size;
}

hm_status hm__module_load(const char *path,
                          const char *expected,
                          const void **identity,
                          hm_error *err)
{
    static const char symbol_name[] = "hm_module_describe";
    char full[PATH_BYTES];
    char why[160] = "";
    const hm__where where = where_of(path);
    if (!as_path(path, full, sizeof full) || !hm__os_file_exists(full)) {
        return hm_error_set(err, HM_E_NOT_FOUND, where.text, "no such file");
    }
    /* Runs the module's constructors, which may call anything of ours: no lock is held here. */
    void *const module = hm__os_module_open(full, why, sizeof why);
    if (!module) {
        return hm_error_set(err, HM_E_OS, where.text, "not loaded: %s", why);
    }
    void *const symbol = hm__os_module_symbol(module, symbol_name);
    if (!symbol) {
        return hm_error_set(err, HM_E_INVALID, where.text,
                            "no symbol %s: not a module of hosts or layers", symbol_name);
    }
    hm_module_describe_fn *describe;
    _Static_assert(sizeof describe == sizeof symbol,
                   "functions and objects share one size");
    memcpy(&describe, &symbol, sizeof describe);
    const hm__source source = {module, path, where.text};
    if (identity) {
        *identity = module;
    }
    return hm__module_describe(&source, describe, expected, err);
}

hm_status hm__module_load_named(hm__text name, int *found, hm_error *err)
{
    char path[PATH_BYTES];
    char expected[HM__NAME_MAX + 1];
    *found = hm__module_search(name, path, sizeof path) == HM_OK;
    if (!*found) {
        return HM_OK;
    }
    memcpy(expected, name.at, name.length);
    expected[name.length] = '\0';
    return hm__module_load(path, expected, NULL, err);
}
