/* SPDX-License-Identifier: MIT */
/* Names to descriptions. The list only ever grows and is read without a lock; the lock orders those who add.
 * It is not held while a module is opened or a host is made: both may come back here. */
#include "registry_internal.h"

#include <stdio.h>
#include <string.h>

#include "lock_internal.h"
#include "memory_internal.h"

#define PATH_BYTES 4096

/* What one source brought, and when: all of it together. Never freed. */
typedef struct batch {
    struct batch *next; /* atomic */
    const void *identity;
    const char *origin;
    size_t count;
    const hm_host_info *infos[]; /* followed by the origin's text */
} batch;

static batch *first;        /* atomic */
static hm_lock lock;        /* guards adding */
static uint32_t started;    /* atomic; the built-in hosts are in */
static uint32_t fork_known; /* atomic */

static void before_fork(void *context)
{
    (void)context;
    hm__lock(&lock);
}

static void after_fork_parent(void *context)
{
    (void)context;
    hm__unlock(&lock);
}

static void after_fork_child(void *context)
{
    (void)context;
    hm__lock_reset(&lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof fork_hooks,
                                   .rank = HM__FORK_REGISTRY,
                                   .prepare = before_fork,
                                   .parent = after_fork_parent,
                                   .child = after_fork_child};

static batch *next_batch(batch *const *place)
{
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

static const hm_host_info *lookup(hm__text name, const batch **from)
{
    for (const batch *b = next_batch(&first); b; b = next_batch(&b->next)) {
        for (size_t i = 0; i < b->count; i++) {
            if (hm__text_is(name, b->infos[i]->name)) {
                *from = b;
                return b->infos[i];
            }
        }
    }
    return NULL;
}

const char *hm__registry_names(const void *identity, const char *name)
{
    const batch *b = next_batch(&first);
    while (b && b->identity != identity) {
        b = next_batch(&b->next);
    }
    for (size_t i = 0; b && name && i < b->count; i++) {
        if (strcmp(b->infos[i]->name, name) == 0) {
            return name;
        }
    }
    return b ? b->infos[0]->name : NULL;
}

/* Under the lock. HM_OK: all names are free. */
static hm_status check_names(const hm_host_info *const *list,
                             size_t count,
                             const hm__source *source,
                             hm_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const batch *from = NULL;
        int taken = lookup(hm__text_of(list[i]->name), &from) != NULL;
        for (size_t j = 0; j < i && !taken; j++) {
            taken = strcmp(list[i]->name, list[j]->name) == 0;
        }
        if (taken) {
            return hm_error_set(err, HM_E_EXISTS, source->where,
                                "name \"%s\" is taken: %s", list[i]->name,
                                from ? from->origin : "described twice here");
        }
    }
    return HM_OK;
}

hm_status hm__registry_add_all(const hm_host_info *const *list,
                               size_t count,
                               const hm__source *source,
                               hm_error *err)
{
    const size_t origin_bytes = strlen(source->origin) + 1;
    const size_t bytes = sizeof(batch) + count * sizeof(void *) + origin_bytes;
    hm__at_fork_once(&fork_known, &fork_hooks);
    batch *added = hm__memory_alloc(bytes);
    if (!added) {
        return hm_error_set(err, HM_E_NOMEM, source->where,
                            "no private memory for the registry");
    }
    added->identity = source->identity;
    added->origin = memcpy(&added->infos[count], source->origin, origin_bytes);
    added->count = count;
    memcpy(added->infos, list, count * sizeof *list);
    hm__lock(&lock);
    int linked = 0;
    hm_status status = HM_OK;
    if (!hm__registry_names(source->identity, NULL)) { /* else somebody was faster */
        status = check_names(list, count, source, err);
        linked = status == HM_OK;
    }
    batch **end = &first;
    while (*end) {
        end = &(*end)->next;
    }
    if (linked) {
        __atomic_store_n(end, added, __ATOMIC_RELEASE);
    }
    hm__unlock(&lock);
    if (!linked) {
        hm__memory_free(added, bytes);
    }
    return status;
}

/* The built-in hosts enter by the door of the modules, at first use; tried again after a shortage. */
static hm_status start(hm_error *err)
{
    if (__atomic_load_n(&started, __ATOMIC_ACQUIRE)) {
        return HM_OK;
    }
    const hm__builtin *builtin = hm__builtin_hosts();
    for (size_t i = 0; i < builtin->count; i++) {
        const hm__source source = {&builtin->list[i], "built in", "registry"};
        const hm_status status =
            hm__module_describe(&source, builtin->list[i], NULL, err);
        if (status != HM_OK) {
            return status;
        }
    }
    __atomic_store_n(&started, 1, __ATOMIC_RELEASE);
    return HM_OK;
}

static int offer_file(void *context, hm__text name, const char *path)
{
    (void)path;
    hm__nearest_offer(context, name);
    return 0;
}

typedef struct folder_names {
    char text[128];
    size_t used;
} folder_names;

static int name_folder(void *context, const char *folder)
{
    folder_names *names = context;
    const size_t room = sizeof names->text - names->used;
    const int length = snprintf(names->text + names->used, room, "%s%s",
                                names->used ? ", " : "", folder);
    if (length < 0 || (size_t)length >= room) {
        memcpy(names->text + sizeof names->text - 4, "...", 4);
        return 1;
    }
    names->used += (size_t)length;
    return 0;
}

static hm_status not_found(hm__text name, const char *where, hm_error *err)
{
    hm__nearest nearest;
    hm__nearest_begin(&nearest, name);
    for (const batch *b = next_batch(&first); b; b = next_batch(&b->next)) {
        for (size_t i = 0; i < b->count; i++) {
            hm__nearest_offer(&nearest, hm__text_of(b->infos[i]->name));
        }
    }
    hm__module_files(offer_file, &nearest);
    const char *const name_quote = nearest.name[0] ? "; did you mean \"" : "";
    const char *const end_quote = nearest.name[0] ? "\"?" : "";
    if (!hm__name_is_valid(name)) {
        return hm_error_set(err, HM_E_NOT_FOUND, where,
                            "no host or layer \"%.*s\"%s%s%s (names are lower case "
                            "letters, digits and '_')",
                            HM__SHOWN(name), name_quote, nearest.name, end_quote);
    }
    folder_names folders = {"", 0};
    hm__module_folders(name_folder, &folders);
    return hm_error_set(err, HM_E_NOT_FOUND, where,
                        "no host or layer \"%.*s\"%s%s%s (no module of it in %s)",
                        HM__SHOWN(name), name_quote, nearest.name, end_quote,
                        folders.text);
}

/* By the module's path: what it describes, or of several the one its file is named after. */
static hm_status
find_at_path(hm__text path, const char *where, const hm_host_info **out, hm_error *err)
{
    char text[PATH_BYTES];
    const void *identity;
    hm__text name = {"", 0};
    if (path.length >= sizeof text) {
        return hm_error_set(err, HM_E_INVALID, where,
                            "path of %zu characters, expected less than %d", path.length,
                            PATH_BYTES);
    }
    memcpy(text, path.at, path.length);
    text[path.length] = '\0';
    const hm_status status = hm__module_load(text, NULL, &identity, err);
    if (status != HM_OK) {
        return status;
    }
    const batch *b = next_batch(&first);
    while (b->identity != identity) {
        b = next_batch(&b->next);
    }
    hm__module_file_name(text, &name);
    for (size_t i = 0; i < b->count; i++) {
        if (b->count == 1 || hm__text_is(name, b->infos[i]->name)) {
            *out = b->infos[i];
            return HM_OK;
        }
    }
    return hm_error_set(
        err, HM_E_INVALID, where,
        "module describes %zu names (%s, %s, ...), expected one, or its file's", b->count,
        b->infos[0]->name, b->infos[1]->name);
}

hm_status hm__registry_find(hm__text name,
                            const char *where,
                            const hm_host_info **out,
                            hm_error *err)
{
    const batch *from;
    int found;
    hm_status status = start(err);
    if (status != HM_OK) {
        return status;
    }
    if (memchr(name.at, '/', name.length)) {
        return find_at_path(name, where, out, err);
    }
    *out = lookup(name, &from);
    if (*out) {
        return HM_OK;
    }
    status = hm__module_load_named(name, &found, err);
    if (status != HM_OK) {
        return status;
    }
    *out = found ? lookup(name, &from) : NULL;
    return *out ? HM_OK : not_found(name, where, err);
}

hm_status hm_registry_find(const char *name, const hm_host_info **out, hm_error *err)
{
    if (!name || !out) {
        return hm_error_set(err, HM_E_INVALID, "registry", "%s is NULL",
                            name ? "out" : "name");
    }
    *out = NULL;
    return hm__registry_find(hm__text_of(name), "registry", out, err);
}

hm_status hm_registry_add(const hm_host_info *info, hm_error *err)
{
    const hm__source source = {info, "added", "registry"};
    hm_status status = start(err);
    if (status == HM_OK) {
        status = hm__module_check(info, source.where, err);
    }
    return status == HM_OK ? hm__registry_add_all(&info, 1, &source, err) : status;
}

hm_status hm_registry_load(const char *path, hm_error *err)
{
    if (!path) {
        return hm_error_set(err, HM_E_INVALID, "registry", "path is NULL");
    }
    const hm_status status = start(err);
    return status == HM_OK ? hm__module_load(path, NULL, NULL, err) : status;
}

typedef struct discovery {
    void (*refused)(void *context, const hm_error *err);
    void *context;
} discovery;

static int discover_file(void *context, hm__text name, const char *path)
{
    const discovery *d = context;
    const batch *from;
    char expected[HM__NAME_MAX + 1];
    hm_error err;
    if (lookup(name, &from)) {
        return 0; /* the folder searched earlier wins */
    }
    memcpy(expected, name.at, name.length);
    expected[name.length] = '\0';
    if (hm__module_load(path, expected, NULL, &err) != HM_OK && d->refused) {
        d->refused(d->context, &err);
    }
    return 0;
}

void hm_registry_discover(void (*refused)(void *context, const hm_error *err),
                          void *context)
{
    discovery d = {refused, context};
    hm_error err;
    if (start(&err) == HM_OK) {
        hm__module_files(discover_file, &d);
    } else if (refused) {
        refused(context, &err);
    }
}

void hm_registry_visit(int (*visit)(void *context,
                                    const hm_host_info *info,
                                    const char *origin),
                       void *context)
{
    start(NULL);
    for (const batch *b = next_batch(&first); b; b = next_batch(&b->next)) {
        for (size_t i = 0; i < b->count; i++) {
            if (visit(context, b->infos[i], b->origin)) {
                return;
            }
        }
    }
}
