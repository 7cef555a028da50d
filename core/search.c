/* SPDX-License-Identifier: MIT */
/* Where modules are looked for: $HOSTMALLOC_PLUGIN_PATH, beside the library, then the installed folder. */
#include "registry_internal.h"

#include <stdio.h>
#include <string.h>

#include "os.h"

#define PATH_BYTES 4096

/* "hm_host_%s.so" matched against the last part of path. */
static int match(const char *pattern, const char *path, hm__text *name)
{
    const char *const slash = strrchr(path, '/');
    const char *const file = slash ? slash + 1 : path;
    const size_t head = (size_t)(strstr(pattern, "%s") - pattern);
    const char *const tail = pattern + head + 2;
    const size_t length = strlen(file);
    if (length <= head + strlen(tail) || strncmp(file, pattern, head) != 0 ||
        strcmp(file + length - strlen(tail), tail) != 0) {
        return 0;
    }
    name->at = file + head;
    name->length = length - head - strlen(tail);
    return hm__name_is_valid(*name);
}

int hm__module_file_name(const char *path, hm__text *name)
{
    return match(hm__os()->host_file, path, name) ||
           match(hm__os()->layer_file, path, name);
}

/* "/usr/lib/x86_64-linux-gnu/hostmalloc" installs below a prefix as "lib/x86_64-linux-gnu/hostmalloc". */
static const char *below_prefix(const char *folder)
{
    const char *found = NULL;
    for (const char *at = folder; (at = strstr(at, "/lib")) != NULL; at++) {
        found = at + 1;
    }
    return found ? found : "lib/hostmalloc";
}

/* The folders that go with where this code lies: DIR/hostmalloc for a library in DIR; for a program with the
   library inside, DIR/../lib/hostmalloc, as the prefix it is installed below has it. */
static int visit_own_folders(int (*visit)(void *context, const char *folder),
                             void *context)
{
    char path[PATH_BYTES];
    char folder[PATH_BYTES + 256];
    if (!hm__os_object_path(&hm__core, path, sizeof path)) {
        return 0;
    }
    char *const slash = strrchr(path, '/');
    const char *const suffix = strstr(hm__os()->host_file, "%s") + 2;
    if (!slash) {
        return 0;
    }
    if (strstr(slash, suffix)) {
        *slash = '\0';
        snprintf(folder, sizeof folder, "%s/hostmalloc", path);
        return strcmp(folder, HOSTMALLOC_PLUGIN_DIR) != 0 && visit(context, folder);
    }
    *slash = '\0';
    char *const parent = strrchr(path, '/');
    if (!parent) {
        return 0;
    }
    *parent = '\0';
    const char *const installed = below_prefix(HOSTMALLOC_PLUGIN_DIR);
    snprintf(folder, sizeof folder, "%s/%s", path, installed);
    if (strcmp(folder, HOSTMALLOC_PLUGIN_DIR) != 0 && visit(context, folder)) {
        return 1;
    }
    snprintf(folder, sizeof folder, "%s/lib/hostmalloc", path);
    return strcmp(installed, "lib/hostmalloc") != 0 && visit(context, folder);
}

void hm__module_folders(int (*visit)(void *context, const char *folder), void *context)
{
    const char *list = hm__os_getenv("HOSTMALLOC_PLUGIN_PATH");
    const char separators[] = {hm__os()->path_list_separator, '\0'};
    char folder[PATH_BYTES];
    while (list && *list) {
        const size_t length = strcspn(list, separators);
        /* An empty piece is not the current folder: nobody means that. */
        if (length > 0 && length < sizeof folder) {
            memcpy(folder, list, length);
            folder[length] = '\0';
            if (visit(context, folder)) {
                return;
            }
        }
        list += length + (list[length] != '\0');
    }
    if (!visit_own_folders(visit, context)) {
        visit(context, HOSTMALLOC_PLUGIN_DIR);
    }
}

typedef struct search {
    hm__text name;
    char *path;
    size_t size;
    int found;
} search;

static int search_file(search *s, const char *folder, const char *pattern)
{
    char file[HM__NAME_MAX + 40];
    char name[HM__NAME_MAX + 1];
    memcpy(name, s->name.at, s->name.length);
    name[s->name.length] = '\0';
    const size_t head = (size_t)(strstr(pattern, "%s") - pattern);
    snprintf(file, sizeof file, "%.*s%s%s", (int)head, pattern, name, pattern + head + 2);
    const int length = snprintf(s->path, s->size, "%s/%s", folder, file);
    return length > 0 && (size_t)length < s->size && hm__os_file_exists(s->path);
}

static int search_folder(void *context, const char *folder)
{
    search *s = context;
    s->found = search_file(s, folder, hm__os()->host_file) ||
               search_file(s, folder, hm__os()->layer_file);
    return s->found;
}

hm_status hm__module_search(hm__text name, char *path, size_t size)
{
    search s = {name, path, size, 0};
    if (hm__name_is_valid(name)) {
        hm__module_folders(search_folder, &s);
    }
    return s.found ? HM_OK : HM_E_NOT_FOUND;
}

typedef struct listing {
    int (*visit)(void *context, hm__text name, const char *path);
    void *context;
    const char *folder;
    int ended;
} listing;

static int list_file(void *context, const char *file)
{
    listing *l = context;
    char path[PATH_BYTES];
    hm__text name;
    const int length = snprintf(path, sizeof path, "%s/%s", l->folder, file);
    if (length < 0 || (size_t)length >= sizeof path ||
        !hm__module_file_name(path, &name)) {
        return 0;
    }
    l->ended = l->visit(l->context, name, path);
    return l->ended;
}

static int list_folder(void *context, const char *folder)
{
    listing *l = context;
    l->folder = folder;
    hm__os_list_folder(folder, list_file, l);
    return l->ended;
}

void hm__module_files(int (*visit)(void *context, hm__text name, const char *path),
                      void *context)
{
    listing l = {visit, context, NULL, 0};
    hm__module_folders(list_folder, &l);
}
