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

/* The pieces of $HOSTMALLOC_PLUGIN_PATH. An empty one is not the current folder: nobody means that. */
static int next_piece(const char **list, hm__text *piece)
{
    const char separators[] = {hm__os()->path_list_separator, '\0'};
    *list += strspn(*list, separators);
    piece->at = *list;
    piece->length = strcspn(*list, separators);
    *list += piece->length;
    return piece->length > 0;
}

typedef struct folders {
    int (*visit)(void *context, const char *folder);
    void *context;
    const char *listed; /* by the user; "" when nothing is */
} folders;

/* A folder of ours, unless the user has listed it: then it was visited. */
static int visit_unlisted(const folders *f, const char *folder)
{
    hm__text piece;
    for (const char *list = f->listed; next_piece(&list, &piece);) {
        if (hm__text_is(piece, folder)) {
            return 0;
        }
    }
    return f->visit(f->context, folder);
}

static int visit_listed(const folders *f)
{
    char folder[PATH_BYTES];
    hm__text piece;
    for (const char *list = f->listed; next_piece(&list, &piece);) {
        if (piece.length < sizeof(folder)) {
            memcpy(folder, piece.at, piece.length);
            folder[piece.length] = '\0';
            if (f->visit(f->context, folder)) {
                return 1;
            }
        }
    }
    return 0;
}

/* The folders that go with where this code lies: DIR/hostmalloc for a library in DIR; for a program with the
   library inside, DIR/../lib/hostmalloc, as the prefix it is installed below has it. */
static int visit_own(const folders *f)
{
    char path[PATH_BYTES];
    char folder[PATH_BYTES + 256];
    char *const end =
        hm__os_object_path(&hm__core, path, sizeof(path)) ? strrchr(path, '/') : NULL;
    if (!end) {
        return 0;
    }
    const char *const suffix = strstr(hm__os()->host_file, "%s") + 2;
    const int is_library = strstr(end, suffix) != NULL;
    *end = '\0';
    if (is_library) {
        snprintf(folder, sizeof(folder), "%s/hostmalloc", path);
        return strcmp(folder, HOSTMALLOC_PLUGIN_DIR) != 0 && visit_unlisted(f, folder);
    }
    char *const parent = strrchr(path, '/');
    if (!parent) {
        return 0;
    }
    *parent = '\0';
    const char *const installed = below_prefix(HOSTMALLOC_PLUGIN_DIR);
    snprintf(folder, sizeof(folder), "%s/%s", path, installed);
    if (strcmp(folder, HOSTMALLOC_PLUGIN_DIR) != 0 && visit_unlisted(f, folder)) {
        return 1;
    }
    snprintf(folder, sizeof(folder), "%s/lib/hostmalloc", path);
    return strcmp(installed, "lib/hostmalloc") != 0 &&
           strcmp(folder, HOSTMALLOC_PLUGIN_DIR) != 0 && visit_unlisted(f, folder);
}

void hm__module_folders(int (*visit)(void *context, const char *folder), void *context)
{
    const char *const listed = hm__os_getenv("HOSTMALLOC_PLUGIN_PATH");
    const folders f = {visit, context, listed ? listed : ""};
    if (!visit_listed(&f) && !visit_own(&f)) {
        visit_unlisted(&f, HOSTMALLOC_PLUGIN_DIR);
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
