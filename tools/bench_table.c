/* SPDX-License-Identifier: MIT */
/* The tables of the README, from the figures of hostmalloc bench: whole Lua programs first, then what is judged by a
 * bound. What a stage that did not run would have said is left out. */
#include "bench_table.h"

#include <stdio.h>
#include <string.h>

/* Rows of the second table, in this order; NULL and 0 are any. One pick may find several figures. */
static const struct pick {
    const char *title; /* before "what / against", or all of it */
    const char *program, *workload, *what, *against;
    double x;
} picks[] = {
    {"churn", "hm_bench", "churn mixed", "mimalloc, thread-safe, hm_alloc",
     "mimalloc called directly", 0},
    {"churn", "hm_bench", "churn mixed", "mimalloc, one thread, hm_alloc",
     "mimalloc called directly", 0},
    {"churn", "static_bench", "churn mixed", NULL, NULL, 0},
    {"churn, frees bring sizes: cache+mimalloc / mimalloc called directly", "layer_bench",
     "the same with 10 000 live blocks", "cache", "direct", 0},
    {"churn", "hm_bench", "churn mixed", "default, hm_alloc", NULL, 0},
    {"churn", "hm_bench", "churn mixed", "UMF, a pool over mimalloc", NULL, 0},
    {"churn, two threads", "sweep", "churn by threads", "mimalloc", NULL, 2},
    {"churn, two threads", "sweep", "churn by threads", "UMF, a pool over mimalloc", NULL,
     2},
    {"churn, two threads' ratio over one's", "sweep", "two threads over one", "mimalloc",
     NULL, 0},
    {"Lua binary trees", "lua_bench", "lua_trees.lua", NULL, NULL, 0},
    {"Lua strings and tables", "lua_bench", "lua_strings.lua", NULL, NULL, 0},
    {"churn from 64 sites", "debug_bench", "one thread, thread-safe", "stats", NULL, 0},
    {"churn from 64 sites", "debug_bench", "one thread, thread-safe", "checked", NULL, 0},
    {"churn from 64 sites", "debug_bench", "one thread, thread-safe", "full", NULL, 0},
    {"churn from 64 sites, two threads", "debug_bench", "two threads, own blocks",
     "checked", NULL, 0},
    {"SQLite's statements", "sqlite_bench", "sqlite", NULL, NULL, 0},
    {"growth of the ratio to mimalloc, 10^7 live blocks, 64 sites", "debug_bench",
     "growth of the ratio, 64 sites", NULL, NULL, 0},
    {"growth of the ratio to mimalloc, 10^7 live blocks, 10^5 sites", "debug_bench",
     "growth of the ratio, 100000 sites", NULL, NULL, 0},
    {"growth of its own instructions, 10^6 live blocks", "debug_bench",
     "growth of the instructions", "checked", NULL, 1e6},
    {"resident with 10^7 live blocks of 32 bytes", "debug_bench", "resident, 64 sites",
     "mimalloc", NULL, 1e7},
    {"resident with 10^7 live blocks of 32 bytes", "debug_bench", "resident, 64 sites",
     "checked", NULL, 1e7},
    {"report over 10^7 live blocks of 10^5 sites", "debug_bench", "report, 100000 sites",
     "checked", NULL, 1e7},
    {"Lua binary trees, wall", "peer_bench", "lua_trees.lua, wall", NULL, NULL, 0},
    {"Lua strings and tables, wall", "peer_bench", "lua_strings.lua, wall", NULL, NULL,
     0},
};
#define PICKS (sizeof picks / sizeof picks[0])

static int is_of(const figure *f, const struct pick *p)
{
    return strcmp(f->program, p->program) == 0 &&
           (f->why[0] || strcmp(f->workload, p->workload) == 0) &&
           (p->what ? strcmp(f->what, p->what) == 0 : !f->why[0]) &&
           (f->why[0] || !p->against || strcmp(f->against, p->against) == 0) &&
           (f->why[0] || p->x <= 0 || (f->x >= p->x && f->x <= p->x));
}

/* As many digits as mean something. */
static void print_number(double value)
{
    printf(value < 0.01  ? "%.2g"
           : value < 0.1 ? "%.3f"
           : value < 10  ? "%.2f"
                         : "%.1f",
           value);
}

static void print_pick(const figure *f, const struct pick *p)
{
    /* What is no ratio has its unit there. */
    const int is_unit =
        strcmp(f->against, "seconds") == 0 || strcmp(f->against, "bytes a block") == 0;
    printf("| %s", p->title);
    if (!strstr(p->title, " / ")) {
        printf(": %s%s%s", f->what, f->why[0] ? "" : is_unit ? ", " : " / ", f->against);
    }
    printf(" | ");
    if (f->why[0]) {
        printf("%s | | |\n", f->why);
        return;
    }
    print_number(f->median);
    printf(" | ");
    if (f->q1 < f->q3) {
        print_number(f->q1);
        printf(" to ");
        print_number(f->q3);
    }
    printf(" | ");
    if (f->bound > 0) {
        print_number(f->bound);
        printf("%s", f->median > f->bound ? ", missed" : "");
    }
    printf(" |\n");
}

static size_t print_picks(const figures *all)
{
    size_t rows = 0;
    for (size_t p = 0; p < PICKS; p++) {
        for (size_t i = 0; i < all->count; i++) {
            if (!is_of(&all->all[i], &picks[p])) {
                continue;
            }
            if (rows++ == 0) {
                printf("| what / against what | median | quartiles | at most |\n"
                       "| --- | --- | --- | --- |\n");
            }
            print_pick(&all->all[i], &picks[p]);
        }
    }
    return rows;
}

static const figure *find_lua(const figures *all, const char *workload, const char *what)
{
    for (size_t i = 0; i < all->count; i++) {
        const figure *f = &all->all[i];
        if (strcmp(f->program, "lua_bench") == 0 && strcmp(f->workload, workload) == 0 &&
            strcmp(f->what, what) == 0) {
            return f;
        }
    }
    return NULL;
}

static void print_cell(const figures *all, const char *workload, const char *what)
{
    const figure *f = find_lua(all, workload, what);
    if (f) {
        print_number(f->median);
    }
}

static size_t print_lua(const figures *all)
{
    static const char trees[] = "lua_trees.lua, cpu";
    size_t rows = 0;
    for (size_t i = 0; i < all->count; i++) {
        const figure *f = &all->all[i];
        if (strcmp(f->program, "lua_bench") != 0 || strcmp(f->workload, trees) != 0) {
            continue;
        }
        if (rows++ == 0) {
            printf("| CPU time against %s | binary trees | strings and tables | peak "
                   "memory |\n"
                   "| --- | --- | --- | --- |\n",
                   f->against);
        }
        printf("| %s | ", f->what);
        print_cell(all, trees, f->what);
        printf(" | ");
        print_cell(all, "lua_strings.lua, cpu", f->what);
        printf(" | ");
        print_cell(all, "lua_trees.lua, peak", f->what);
        printf(", ");
        print_cell(all, "lua_strings.lua, peak", f->what);
        printf(" |\n");
    }
    if (rows > 0) {
        printf("\n");
    }
    return rows;
}

int bench_table(const figures *all)
{
    const size_t lua = print_lua(all);
    if (print_picks(all) + lua == 0) {
        fputs("hostmalloc: bench: none of the figures that a table has\n", stderr);
        return 0;
    }
    return 1;
}
