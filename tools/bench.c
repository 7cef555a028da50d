/* SPDX-License-Identifier: MIT */
/* hostmalloc bench: what everything costs on this machine. The measuring is done by programs of their own, which lie in
 * libexec/hostmalloc/bench (sources: tests/bench); this runs them one after the other and gathers their figures. */
#include "command.h"

#include <hostmalloc/hostmalloc.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_figures.h"
#include "bench_plot.h"
#include "bench_table.h"

#define MOST_ARGUMENTS 4

static const struct stage {
    const char *name, *program;
    const char *arguments
        [MOST_ARGUMENTS]; /* "@name" lies beside the program, but for "@hostmalloc" */
    const char *summary;
    int has_bounds; /* knows --check */
} stages[] = {
    {"interface",
     "hm_bench",
     {NULL},
     "the calls against mimalloc and libc called directly",
     1},
    {"static",
     "static_bench",
     {"@bench_mimalloc.so"},
     "mimalloc built in against the same as a shared library",
     1},
    {"sweep", "sweep", {NULL}, "churn by size, by threads and by live blocks", 1},
    {"lua",
     "lua_bench",
     {"lua5.4", "@lua_host", "@."},
     "Lua programs against stock Lua, also under preloaded allocators",
     1},
    {"task", "ole_cost", {"mimalloc"}, "task memory, with and without a spy", 0},
    {"mapi", "mapi_cost", {"mimalloc"}, "buffers that own others", 0},
    {"clr", "clr_cost", {"mimalloc"}, "CLR hosting, both ways", 0},
    {"debug", "debug_bench", {NULL}, "the debug host over mimalloc", 1},
    {"sqlite",
     "sqlite_bench",
     {NULL},
     "SQLite's statements over the debug host's modes",
     1},
    {"layers",
     "layer_bench",
     {"@hm_layer_pass.so"},
     "instructions and time of each layer",
     1},
    {"replay",
     "replay_bench",
     {"@hostmalloc", "@lua_host", "@."},
     "recorded calls, made again on other hosts",
     0},
    {"peers",
     "peer_bench",
     {"lua5.4", "@lua_host", "@."},
     "the debug host beside heaptrack, valgrind and others",
     1},
    {"run",
     "run_bench",
     {"@hostmalloc", "@."},
     "stock programs under run, a preloaded mimalloc, and heaptrack",
     1},
};
#define STAGES (sizeof stages / sizeof stages[0])

typedef struct options {
    int quick, check, table;
    const char *json, *plot, *from;
    int wanted[STAGES], any;
} options;

static int failed(const char *what, const char *which)
{
    fprintf(stderr, "hostmalloc: bench: %s: %s\n", which, what);
    return EXIT_USAGE;
}

static size_t find_stage(const char *name)
{
    size_t i = 0;
    while (i < STAGES && strcmp(stages[i].name, name) != 0) {
        i++;
    }
    return i;
}

static int read_options(int count, char **arguments, options *o)
{
    for (int i = 0; i < count; i++) {
        const char *const argument = arguments[i];
        const int takes = strcmp(argument, "--json") == 0 ||
                          strcmp(argument, "--plot") == 0 ||
                          strcmp(argument, "--from") == 0;
        if (takes && i + 1 == count) {
            return usage_error(&bench_verb, "needs a value", argument);
        }
        if (strcmp(argument, "--quick") == 0) {
            o->quick = 1;
        } else if (strcmp(argument, "--check") == 0) {
            o->check = 1;
        } else if (strcmp(argument, "--json") == 0) {
            o->json = arguments[++i];
        } else if (strcmp(argument, "--plot") == 0) {
            o->plot = arguments[++i];
        } else if (strcmp(argument, "--from") == 0) {
            o->from = arguments[++i];
        } else if (strcmp(argument, "--table") == 0) {
            o->table = 1;
        } else if (argument[0] == '-') {
            return usage_error(&bench_verb, "unknown option", argument);
        } else if (find_stage(argument) == STAGES) {
            return usage_error(&bench_verb, "unknown stage", argument);
        } else {
            o->wanted[find_stage(argument)] = o->any = 1;
        }
    }
    if (o->from && (o->json || o->any || o->quick || o->check)) {
        return usage_error(&bench_verb, "measures nothing", "--from");
    }
    if (o->from && !o->table && !o->plot) {
        return usage_error(&bench_verb, "nothing to make of it, --table or --plot",
                           "--from");
    }
    return EXIT_CLEAN;
}

/* "../libexec/hostmalloc/bench" beside the command's folder; the build tree has the shape of an install. */
static int find_beside(const char *relative, const char *otherwise, char path[PATH_MAX])
{
    char command[PATH_MAX], candidate[2 * PATH_MAX];
    if (!realpath("/proc/self/exe", command)) {
        return 0;
    }
    *strrchr(command, '/') = '\0';
    snprintf(candidate, sizeof candidate, "%s/%s", command, relative);
    if (realpath(candidate, path)) {
        return 1;
    }
    snprintf(candidate, sizeof candidate, "%s/%s", command, otherwise);
    return realpath(candidate, path) != NULL;
}

/* Allocators of others are called beside libc's in one process; jemalloc then needs more thread-local room than the
   dynamic linker keeps free. */
static int prepare_environment(const char *json)
{
    char modules[PATH_MAX];
    const int found =
        find_beside(HOSTMALLOC_MODULES_FROM_COMMAND, "../lib/hostmalloc", modules);
    return (!found || setenv("HOSTMALLOC_PLUGIN_PATH", modules, 0) == 0) &&
           setenv("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=8192", 0) == 0 &&
           setenv("HOSTMALLOC_BENCH_JSON", json, 1) == 0;
}

/* The first line of the figures says whose they are. */
static int start_figures(const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file) {
        return 0;
    }
    fprintf(file,
            "{\"schema\": \"hostmalloc-bench/1\", \"hostmalloc\": \"%s\", "
            "\"processors\": %ld}\n",
            hm_version(), sysconf(_SC_NPROCESSORS_ONLN));
    return fclose(file) == 0;
}

static void become(const struct stage *s, const options *o, const char *folder)
{
    static char paths[MOST_ARGUMENTS + 1][2 * PATH_MAX];
    static char quick[] = "--quick", check[] = "--check";
    char *arguments[MOST_ARGUMENTS + 4];
    size_t count = 0;
    snprintf(paths[MOST_ARGUMENTS], sizeof paths[0], "%s/%s", folder, s->program);
    arguments[count++] = paths[MOST_ARGUMENTS];
    if (o->quick) {
        arguments[count++] = quick;
    }
    if (o->check && s->has_bounds) {
        arguments[count++] = check;
    }
    for (size_t i = 0; i < MOST_ARGUMENTS && s->arguments[i]; i++) {
        const char *const argument = s->arguments[i];
        if (strcmp(argument, "@hostmalloc") == 0) {
            snprintf(paths[i], sizeof paths[i], "/proc/%ld/exe", (long)getppid());
        } else if (argument[0] == '@') {
            snprintf(paths[i], sizeof paths[i], "%s/%s", folder, argument + 1);
        } else {
            snprintf(paths[i], sizeof paths[i], "%s", argument);
        }
        arguments[count++] = paths[i];
    }
    arguments[count] = NULL;
    execv(arguments[0], arguments);
    perror(arguments[0]);
    _exit(127);
}

/* 1: it ran to its end and, with --check, met its bounds. */
static int run_stage(const struct stage *s, const options *o, const char *folder)
{
    char path[2 * PATH_MAX];
    int status = 1;
    printf("\n== %s: %s\n", s->name, s->summary);
    snprintf(path, sizeof path, "%s/%s", folder, s->program);
    if (access(path, X_OK) != 0) {
        printf("left out of this build; the end of cmake's output says why\n");
        return 1;
    }
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        become(s, o, folder);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return child > 0 && status == 0;
}

/* What people read, of the figures in that file. 0: something of it failed. */
static int show(const options *o, const char *path, const char *folder)
{
    static figures all;
    if (!o->table && !o->plot) {
        return 1;
    }
    if (!figures_read(path, &all)) {
        return 0;
    }
    if (o->table && !o->from) {
        printf("\n");
    }
    const int tabled = !o->table || bench_table(&all);
    return (!o->plot || bench_plot(&all, o->plot, folder)) && tabled;
}

static int run_bench(int count, char **arguments)
{
    options o;
    char folder[PATH_MAX], path[PATH_MAX] = "/tmp/hostmalloc-bench.XXXXXX";
    int failures = 0;
    memset(&o, 0, sizeof o);
    int status = read_options(count, arguments, &o);
    if (status != EXIT_CLEAN) {
        return status;
    }
    if (!find_beside(HOSTMALLOC_BENCH_FROM_COMMAND, "../libexec/hostmalloc/bench",
                     folder)) {
        return failed("not found beside the command", "libexec/hostmalloc/bench");
    }
    if (o.from) {
        return show(&o, o.from, folder) ? EXIT_CLEAN : EXIT_FINDINGS;
    }
    const int kept = o.json != NULL;
    const int temporary = kept ? -1 : mkstemp(path);
    if (temporary >= 0) {
        close(temporary);
    }
    if (!start_figures(kept ? o.json : path) || (kept && !realpath(o.json, path))) {
        return failed(strerror(errno), kept ? o.json : path);
    }
    if (!prepare_environment(path)) {
        return failed("no room", "the environment");
    }
    for (size_t i = 0; i < STAGES; i++) {
        if (!o.any || o.wanted[i]) {
            failures += !run_stage(&stages[i], &o, folder);
        }
    }
    failures += !show(&o, path, folder);
    if (!kept) {
        unlink(path);
    }
    return failures ? EXIT_FINDINGS : EXIT_CLEAN;
}

const verb bench_verb = {
    "bench", "[--quick] [--json FILE] [--table] [STAGE...]",
    "Measure what everything costs here",
    "\nEvery figure is a ratio to something in the same run: the median of interleaved "
    "repeats "
    "with\n"
    "its quartiles. Leave the machine alone meanwhile.\n\n"
    "  --quick        only show that all of it runs\n"
    "  --check        end with 1 when a bound is missed\n"
    "  --json FILE    the figures as JSON lines\n"
    "  --table        the figures a reader wants, as Markdown: the tables of the README\n"
    "  --plot FOLDER  curves by size, by threads and by live blocks: data, and SVG where "
    "gnuplot "
    "is\n"
    "                 installed (stage sweep)\n"
    "  --from FILE    measure nothing: --table and --plot of figures that --json kept\n\n"
    "Stages, all of them when none is named:\n"
    "  interface      the calls against mimalloc and libc called directly\n"
    "  static         mimalloc built in against the same as a shared library\n"
    "  sweep          churn by size, by threads and by live blocks, allocators of others "
    "beside "
    "it\n"
    "  lua            Lua programs against stock Lua, also under preloaded allocators\n"
    "  task           task memory, with and without a spy\n"
    "  mapi           buffers that own others\n"
    "  clr            CLR hosting, both ways\n"
    "  debug          the debug host over mimalloc\n"
    "  sqlite         SQLite's statements over the debug host's modes\n"
    "  layers         instructions and time of each layer\n"
    "  replay         recorded calls, made again on other hosts\n"
    "  peers          the debug host beside heaptrack, valgrind and others\n"
    "  run            stock programs under run, a preloaded mimalloc, and heaptrack\n\n"
    "The first line of FILE is {\"schema\", \"hostmalloc\", \"processors\"}. Each other "
    "one is a "
    "figure:\n"
    "  program        which of the programs in libexec/hostmalloc/bench\n"
    "  workload       what was done\n"
    "  what, against  whose figure, and whose it is divided by; or the unit of one that "
    "is "
    "no ratio\n"
    "  x              bytes, threads, blocks or sites where it is one of a row of these; "
    "0\n"
    "  median, q1, q3 of the repeats\n"
    "  bound          the median should not be above it; 0: none\n"
    "One that could not take part is {\"program\", \"missing\", \"why\"}.\n\n"
    "Stages interface and sweep put oneAPI's UMF beside it where libumf.so.1 is found, "
    "or "
    "what\n"
    "$HOSTMALLOC_BENCH_UMF names; peers runs a Lua that gcc's ASan was built into where\n"
    "$HOSTMALLOC_BENCH_ASAN_LUA names one.\n",
    run_bench};
