/* SPDX-License-Identifier: MIT */
/* Lua on our hosts against the lua program on libc and under preloaded allocators, as whole processes, so that nothing
 * is left out: start-up, module loading, reports.
 *
 *     lua_bench [--repeats N] [--quick] [--check] LUA LUA_HOST SCRIPT_FOLDER
 *
 * Rounds are interleaved and each ratio is taken within its round, so that a slow minute of the machine does not land
 * on one contender. --check fails when a bound is missed, --quick only shows that all of it runs. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

#define MOST_REPEATS 101
#define CONTENDERS   COUNT(contenders)
#define SCRIPTS      COUNT(scripts)

/* Contender 0 is the lua program itself. */
static const struct contender {
    const char *name;
    const char *spec;    /* for LUA_HOST; NULL: the lua program */
    const char *preload; /* of somebody else */
} contenders[] = {
    {"lua on libc", NULL, NULL},
    {"default", "default", NULL},
    {"mimalloc", "mimalloc", NULL},
    {"debug:mode=stats+mimalloc", "debug:mode=stats+mimalloc", NULL},
    {"debug+mimalloc", "debug+mimalloc", NULL},
    {"debug:mode=full+mimalloc", "debug:mode=full+mimalloc", NULL},
    {"cache+mimalloc", "cache+mimalloc", NULL},
    {"lua, mimalloc preloaded", NULL, "libmimalloc.so.2"},
    {"lua, jemalloc preloaded", NULL, "libjemalloc.so.2"},
    {"lua, tcmalloc preloaded", NULL, "libtcmalloc_minimal.so.4"},
};
static int there[CONTENDERS];

/* Bounds on the median; 0: none. */
static const struct script {
    const char *file;
    const char *full; /* its argument */
    const char *quick;
    double cpu[CONTENDERS];
    double memory[CONTENDERS];
} scripts[] = {
    {"lua_trees.lua",
     "16",
     "6",
     {0, 0, 0.90, 0.95, 1.05, 2.0},
     {0, 0, 0, 1.35, 1.35, 1.7}},
    {"lua_strings.lua",
     "60000",
     "500",
     {0, 0, 0.97, 0.95, 1.00, 0},
     {0, 0, 0, 1.35, 1.35, 1.7}},
};

typedef struct sample {
    double cpu; /* seconds, user and system */
    double wall;
    double memory; /* peak resident, KiB */
} sample;

static struct plan {
    const char *lua;
    const char *lua_host;
    const char *folder;
    int repeats;
    int quick;
    int check;
} plan = {.repeats = 9};

static sample samples[CONTENDERS][MOST_REPEATS];

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void become(const struct script *script, const struct contender *c)
{
    const char *const spec = c->spec;
    const char *const argument = plan.quick ? script->quick : script->full;
    const int nowhere = open("/dev/null", O_WRONLY);
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", plan.folder, script->file);
    dup2(nowhere, STDOUT_FILENO);
    if (c->preload) {
        dup2(nowhere, STDERR_FILENO);
        setenv("LD_PRELOAD", c->preload, 1);
    }
    if (!spec) {
        execlp(plan.lua, plan.lua, path, argument, (char *)NULL);
    } else {
        dup2(nowhere, STDERR_FILENO);
        execlp(plan.lua_host, plan.lua_host, "--quiet", "--host", spec, path, argument,
               (char *)NULL);
    }
    _exit(127);
}

static int run(const struct script *script, const struct contender *c, sample *out)
{
    struct rusage usage;
    const double begin = now();
    int status;
    const pid_t child = fork();
    if (child == 0) {
        become(script, c);
    }
    while (child > 0 && wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    if (child < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "lua_bench: %s under %s did not end well\n", script->file,
                c->name);
        return 0;
    }
    out->wall = now() - begin;
    out->cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    out->memory = (double)usage.ru_maxrss;
    return 1;
}

/* What is preloaded may not be installed: the dynamic linker says so, and goes on without it. */
static int is_there(const struct contender *c)
{
    char call[512], answer[8] = "";
    if (!c->preload) {
        return 1;
    }
    snprintf(call, sizeof call, "LD_PRELOAD=%s /bin/true 2>&1 | head -c 1", c->preload);
    FILE *output = popen(call, "r");
    const size_t said = output ? fread(answer, 1, 1, output) : 1;
    if (output) {
        pclose(output);
    }
    if (said) {
        char why[128];
        snprintf(why, sizeof why, "left out, %s is not installed", c->preload);
        measure_missing(c->name, why);
    }
    return !said;
}

/* A member of the samples, over the same member of contender 0 in the same round; contender 0 as it is. */
static spread spread_of(size_t contender, size_t base_of, size_t member)
{
    double values[MOST_REPEATS];
    for (int round = 0; round < plan.repeats; round++) {
        const double base =
            *(const double *)((const char *)&samples[base_of][round] + member);
        const double value =
            *(const double *)((const char *)&samples[contender][round] + member);
        values[round] = contender == base_of || base <= 0 ? value : value / base;
    }
    return measure_spread(values, (size_t)plan.repeats);
}

static int print_cell(size_t contender, size_t member, const char *format, double bound)
{
    char text[64];
    const spread s = spread_of(contender, 0, member);
    snprintf(text, sizeof(text), format, s.median, s.q1, s.q3);
    printf(" | %-24s", text);
    return bound > 0 && s.median > bound;
}

/* The fastest of ours that needs no checking against the fastest that one could preload instead. 1: bound missed. */
static int print_best(const struct script *script)
{
    size_t ours = 0, theirs = 0;
    for (size_t i = 1; i < CONTENDERS; i++) {
        size_t *best = contenders[i].spec ? &ours : &theirs;
        if (there[i] &&
            (*best == 0 || spread_of(i, 0, offsetof(sample, cpu)).median <
                               spread_of(*best, 0, offsetof(sample, cpu)).median)) {
            *best = i;
        }
    }
    if (!ours || !theirs) {
        return 0;
    }
    const spread s = spread_of(ours, theirs, offsetof(sample, cpu));
    printf("best of ours: %s against %s: cpu %.3f [%.3f-%.3f]  bound 1.00  %s\n",
           contenders[ours].name, contenders[theirs].name, s.median, s.q1, s.q3,
           s.median > 1.00 ? "MISSED" : "met");
    measure_record(script->file, contenders[ours].name, contenders[theirs].name, 0, s,
                   1.00);
    return s.median > 1.00;
}

static int print_script(const struct script *script)
{
    int missed = 0;
    printf("\n%-26s | %-24s | %-24s | %-24s\n", script->file, "cpu", "wall",
           "peak resident");
    for (size_t i = 0; i < CONTENDERS; i++) {
        const char *const ratio = "%.3f [%.3f-%.3f]";
        int over;
        if (!there[i]) {
            continue;
        }
        printf("%-26s", contenders[i].name);
        over = print_cell(i, offsetof(sample, cpu), i ? ratio : "%.3f s [%.3f-%.3f]",
                          script->cpu[i]);
        print_cell(i, offsetof(sample, wall), i ? ratio : "%.3f s [%.3f-%.3f]", 0);
        over += print_cell(i, offsetof(sample, memory),
                           i ? ratio : "%.0f KiB [%.0f-%.0f]", script->memory[i]);
        if (script->cpu[i] > 0) {
            printf(" | cpu at most %.2f", script->cpu[i]);
        }
        if (script->memory[i] > 0) {
            printf(", memory at most %.2f", script->memory[i]);
        }
        printf("%s\n", over ? " MISSED" : "");
        missed += over;
        if (i) {
            char workload[128];
            snprintf(workload, sizeof workload, "%s, cpu", script->file);
            measure_record(workload, contenders[i].name, contenders[0].name, 0,
                           spread_of(i, 0, offsetof(sample, cpu)), script->cpu[i]);
            snprintf(workload, sizeof workload, "%s, peak", script->file);
            measure_record(workload, contenders[i].name, contenders[0].name, 0,
                           spread_of(i, 0, offsetof(sample, memory)), script->memory[i]);
        }
    }
    return missed + print_best(script);
}

/* @return bounds missed, or -1 when a run failed */
static int measure(const struct script *script)
{
    sample warm;
    for (size_t i = 0; i < CONTENDERS; i++) {
        if (there[i] && !run(script, &contenders[i], &warm)) {
            return -1;
        }
    }
    for (int round = 0; round < plan.repeats; round++) {
        for (size_t i = 0; i < CONTENDERS; i++) {
            const size_t contender = (i + (size_t)round) % CONTENDERS;
            if (there[contender] &&
                !run(script, &contenders[contender], &samples[contender][round])) {
                return -1;
            }
        }
    }
    return print_script(script);
}

static int read_arguments(int argc, char **argv)
{
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            plan.quick = 1;
            plan.repeats = 1;
        } else if (strcmp(argv[i], "--check") == 0) {
            plan.check = 1;
        } else if (strcmp(argv[i], "--repeats") == 0 && i + 1 < argc) {
            plan.repeats = atoi(argv[++i]);
        } else {
            return 0;
        }
    }
    if (argc - i != 3 || plan.repeats < 1 || plan.repeats > MOST_REPEATS) {
        return 0;
    }
    plan.lua = argv[i];
    plan.lua_host = argv[i + 1];
    plan.folder = argv[i + 2];
    return 1;
}

int main(int argc, char **argv)
{
    int missed = 0;
    if (!read_arguments(argc, argv)) {
        fputs("usage: lua_bench [--repeats N] [--quick] [--check] LUA LUA_HOST "
              "SCRIPT_FOLDER\n",
              stderr);
        return 2;
    }
    char text[64];
    snprintf(text, sizeof text, "%d rounds; ratios to lua on libc, median and quartiles",
             plan.repeats);
    measure_head("lua_bench", text);
    for (size_t i = 0; i < CONTENDERS; i++) {
        there[i] = is_there(&contenders[i]);
    }
    for (size_t i = 0; i < SCRIPTS; i++) {
        const int here = measure(&scripts[i]);
        if (here < 0) {
            return 1;
        }
        missed += here;
    }
    return plan.check && missed ? 1 : 0;
}
