/* SPDX-License-Identifier: MIT */
/* Lua on our hosts against the lua program on libc, as whole processes, so that nothing is left out: start-up, module
 * loading, reports.
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

#define MOST_REPEATS 101
#define CONTENDERS   (sizeof(specs) / sizeof(specs[0]))
#define SCRIPTS      (sizeof(scripts) / sizeof(scripts[0]))

/* Contender 0 is the lua program itself. */
static const char *const specs[] = {NULL, "default", "mimalloc", "debug+mimalloc"};

/* Bounds on the median; 0: none. */
static const struct script {
    const char *file;
    const char *full; /* its argument */
    const char *quick;
    double cpu[CONTENDERS];
    double memory[CONTENDERS];
} scripts[] = {
    {"lua_trees.lua", "14", "6", {0, 0, 0.90, 1.10}, {0, 0, 0, 1.4}},
    {"lua_strings.lua", "60000", "500", {0, 0, 0.97, 1.10}, {0, 0, 0, 1.4}},
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

static void become(const struct script *script, const char *spec)
{
    const char *const argument = plan.quick ? script->quick : script->full;
    const int nowhere = open("/dev/null", O_WRONLY);
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", plan.folder, script->file);
    dup2(nowhere, STDOUT_FILENO);
    if (!spec) {
        execlp(plan.lua, plan.lua, path, argument, (char *)NULL);
    } else {
        dup2(nowhere, STDERR_FILENO);
        execlp(plan.lua_host, plan.lua_host, "--quiet", "--host", spec, path, argument,
               (char *)NULL);
    }
    _exit(127);
}

static int run(const struct script *script, const char *spec, sample *out)
{
    struct rusage usage;
    const double begin = now();
    int status;
    const pid_t child = fork();
    if (child == 0) {
        become(script, spec);
    }
    while (child > 0 && wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    if (child < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "lua_bench: %s under %s did not end well\n", script->file,
                spec ? spec : plan.lua);
        return 0;
    }
    out->wall = now() - begin;
    out->cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    out->memory = (double)usage.ru_maxrss;
    return 1;
}

static int by_value(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

/* A member of the samples, over the same member of contender 0 in the same round; contender 0 as it is. */
static void
spread(size_t contender, size_t member, double *median, double *least, double *most)
{
    double values[MOST_REPEATS];
    for (int round = 0; round < plan.repeats; round++) {
        const double base = *(const double *)((const char *)&samples[0][round] + member);
        const double value =
            *(const double *)((const char *)&samples[contender][round] + member);
        values[round] = contender == 0 || base <= 0 ? value : value / base;
    }
    qsort(values, (size_t)plan.repeats, sizeof(values[0]), by_value);
    *median = values[plan.repeats / 2];
    *least = values[0];
    *most = values[plan.repeats - 1];
}

static int print_cell(size_t contender, size_t member, const char *format, double bound)
{
    double median, least, most;
    char text[64];
    spread(contender, member, &median, &least, &most);
    snprintf(text, sizeof(text), format, median, least, most);
    printf(" | %-24s", text);
    return bound > 0 && median > bound;
}

static int print_script(const struct script *script)
{
    int missed = 0;
    printf("%-16s | %-24s | %-24s | %-24s\n", script->file, "cpu", "wall",
           "peak resident");
    for (size_t i = 0; i < CONTENDERS; i++) {
        const char *const ratio = "%.3f [%.3f-%.3f]";
        int over;
        printf("%-16s", i ? specs[i] : "lua on libc");
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
    }
    return missed;
}

/* @return bounds missed, or -1 when a run failed */
static int measure(const struct script *script)
{
    sample warm;
    for (size_t i = 0; i < CONTENDERS; i++) {
        if (!run(script, specs[i], &warm)) {
            return -1;
        }
    }
    for (int round = 0; round < plan.repeats; round++) {
        for (size_t i = 0; i < CONTENDERS; i++) {
            const size_t contender = (i + (size_t)round) % CONTENDERS;
            if (!run(script, specs[contender], &samples[contender][round])) {
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
    printf("ratios to lua on libc, median [least-most] of %d rounds\n", plan.repeats);
    for (size_t i = 0; i < SCRIPTS; i++) {
        const int here = measure(&scripts[i]);
        if (here < 0) {
            return 1;
        }
        missed += here;
    }
    return plan.check && missed ? 1 : 0;
}
