/* SPDX-License-Identifier: MIT */
/* `hostmalloc hosts [NAME]`: which hosts and layers there are, and which options one of them takes, from the very
 * tables that specs are checked against. */
#include "command.h"

#include <hostmalloc/hostmalloc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct row {
    const hm_host_info *info;
    const char *origin;
} row;

typedef struct listing {
    row *rows;
    size_t count;
    size_t room;
    int short_of_memory;
} listing;

static const char *kind_of(const hm_host_info *info)
{
    return info->kind == HM_KIND_LAYER ? "layer" : "host";
}

static int collect(void *context, const hm_host_info *info, const char *origin)
{
    listing *all = context;
    if (all->count == all->room) {
        const size_t room = all->room ? 2 * all->room : 32;
        row *rows = realloc(all->rows, room * sizeof *rows);
        if (!rows) {
            all->short_of_memory = 1;
            return 1;
        }
        all->rows = rows;
        all->room = room;
    }
    all->rows[all->count++] = (row){info, origin};
    return 0;
}

static int is_built_in(const row *r)
{
    return strcmp(r->origin, "built in") == 0;
}

/* What is always there first, then by name: folders list their files in any order. */
static int compare(const void *a, const void *b)
{
    const row *x = a;
    const row *y = b;
    const int order = is_built_in(y) - is_built_in(x);
    return order ? order : strcmp(x->info->name, y->info->name);
}

static int wider(int width, const char *text)
{
    const int length = (int)strlen(text);
    return length > width ? length : width;
}

static void print_rows(const listing *all)
{
    int name = 4, version = 7, summary = 7;
    for (size_t i = 0; i < all->count; i++) {
        const hm_host_info *info = all->rows[i].info;
        name = wider(name, info->name);
        version = wider(version, info->version);
        summary = wider(summary, info->summary);
    }
    printf("%-*s  %-5s  %-*s  %-*s  %s\n", name, "NAME", "KIND", version, "VERSION",
           summary, "SUMMARY", "ORIGIN");
    for (size_t i = 0; i < all->count; i++) {
        const hm_host_info *info = all->rows[i].info;
        printf("%-*s  %-5s  %-*s  %-*s  %s\n", name, info->name, kind_of(info), version,
               info->version, summary, info->summary, all->rows[i].origin);
    }
}

static void say_refused(void *context, const hm_error *err)
{
    int *refused = context;
    *refused = 1;
    hm_error_print(err);
}

static int list_all(void)
{
    int refused = 0;
    listing all = {NULL, 0, 0, 0};
    hm_registry_discover(say_refused, &refused);
    hm_registry_visit(collect, &all);
    if (all.count > 0) {
        qsort(all.rows, all.count, sizeof *all.rows, compare);
    }
    print_rows(&all);
    free(all.rows);
    if (all.short_of_memory) {
        fprintf(stderr, "hostmalloc: hosts: out of memory\n");
    }
    return refused || all.short_of_memory ? EXIT_FINDINGS : EXIT_CLEAN;
}

static const char *type_of(const hm_option *option)
{
    static const char *const names[] = {
        [HM_OPTION_BOOL] = "yes/no", [HM_OPTION_NUMBER] = "number",
        [HM_OPTION_BYTES] = "bytes", [HM_OPTION_TEXT] = "text",
        [HM_OPTION_RATIO] = "ratio", [HM_OPTION_SPEC] = "spec",
    };
    return option->type == HM_OPTION_CHOICE ? option->choices : names[option->type];
}

static const char *default_of(const hm_option *option)
{
    return option->fallback ? option->fallback : "-";
}

static void print_options(const hm_host_info *info)
{
    int name = 6, type = 4, fallback = 7;
    for (size_t i = 0; i < info->option_count; i++) {
        const hm_option *option = info->options[i];
        name = wider(name, option->name);
        type = wider(type, type_of(option));
        fallback = wider(fallback, default_of(option));
    }
    printf("\n%-*s  %-*s  %-*s  %s\n", name, "OPTION", type, "TYPE", fallback, "DEFAULT",
           "HELP");
    for (size_t i = 0; i < info->option_count; i++) {
        const hm_option *option = info->options[i];
        printf("%-*s  %-*s  %-*s  %s\n", name, option->name, type, type_of(option),
               fallback, default_of(option), option->help);
    }
}

typedef struct origin_search {
    const hm_host_info *info;
    const char *origin;
} origin_search;

static int find_origin(void *context, const hm_host_info *info, const char *origin)
{
    origin_search *search = context;
    if (info == search->info) {
        search->origin = origin;
    }
    return search->origin != NULL;
}

static int show_one(const char *name)
{
    hm_error err;
    origin_search search = {NULL, NULL};
    if (hm_registry_find(name, &search.info, &err) != HM_OK) {
        hm_error_print(&err);
        return EXIT_USAGE;
    }
    const hm_host_info *info = search.info;
    hm_registry_visit(find_origin, &search);
    printf("%s: %s %s, %s\n%s\n", info->name, kind_of(info), info->version, search.origin,
           info->summary);
    if (info->option_count > 0) {
        print_options(info);
    } else {
        printf("\nno options\n");
    }
    return EXIT_CLEAN;
}

static int run_hosts(int count, char **arguments)
{
    if (count > 0 && arguments[0][0] == '-') {
        return usage_error(&hosts_verb, "unknown option", arguments[0]);
    }
    if (count > 1) {
        return usage_error(&hosts_verb, "one name at most, found", arguments[1]);
    }
    return count == 0 ? list_all() : show_one(arguments[0]);
}

const verb hosts_verb = {
    .name = "hosts",
    .arguments = "[NAME]",
    .summary = "List hosts and layers, or the options of one",
    .help =
        "NAME is a host, a layer, or the path of a module. Modules are looked for in\n"
        "$HOSTMALLOC_PLUGIN_PATH, beside the library, then in the installed folder; "
        "those\n"
        "that cannot be used are named on standard error, and the exit code is 1.\n",
    .run = run_hosts,
};
