/* SPDX-License-Identifier: MIT */
/* The debug host beside the tools people use today: the same Lua scripts as whole processes, start-up and report
 * included.
 *
 *     peer_bench [--quick] [--check] [--repeats N] LUA LUA_HOST SCRIPT_FOLDER
 *
 * Against LUA on libc, in the same run; in every round each contender runs once, and its ratios are taken within the
 * round. Printed are medians, for processor time with the quartiles. First at full size; then, with the tools that take
 * too long for it, at a reduced one, where their start-up counts for more. Below, what debug takes of the time that
 * passes under each tool that finds as much: a third of it on trees and 1/1.8 on strings are the bounds, at the largest
 * size that the tool ran at. What is not installed is a named line.
 * --quick only shows that it runs, --check fails when a bound is missed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#define MOST_ROUNDS 31
#define SCRIPTS     2
#define CHECKED     3 /* of peers: whose time the tools' is compared with */

static const struct script {
    const char *file, *full, *reduced, *quick; /* arguments: how much */
    double of_a_tool; /* bound of debug's time against one that finds as much */
} scripts[SCRIPTS] = {
    {"lua_trees.lua", "14", "11", "5", 1 / 3.0},
    {"lua_strings.lua", "60000", "8000", "200", 1 / 1.8},
};

/* Contender 0 is what the others are measured against. */
static const struct peer {
    const char *name;
    const char *spec;       /* for LUA_HOST; NULL: LUA itself */
    const char *package;    /* Debian's; NULL: ours */
    const char *command[4]; /* before LUA */
    const char *lua_of;     /* a variable of the environment: the path of another LUA */
    const char *set[4];     /* of the environment */
    int heavy;
    int finds_as_much; /* leaks with where they came from, or misuse of blocks */
    double cpu[SCRIPTS], peak[SCRIPTS]; /* bounds at full size; 0: none */
} peers[] = {
    {.name = "lua on libc", .package = "lua5.4"},
    {.name = "mimalloc", .spec = "mimalloc"},
    {.name = "debug stats", .spec = "debug:mode=stats+mimalloc", .cpu = {0.95, 0.95}},
    [CHECKED] = {.name = "debug checked",
                 .spec = "debug:mode=checked+mimalloc",
                 .cpu = {1.05, 1.00},
                 .peak = {1.35, 1.35}},
    {.name = "debug full",
     .spec = "debug:mode=full+mimalloc",
     .cpu = {2.0, 0},
     .peak = {1.7, 1.7}},
    {.name = "debug as it opens",
     .spec = "debug+mimalloc",
     .cpu = {1.05, 1.00},
     .peak = {1.35, 1.35}},
    {.name = "jemalloc",
     .package = "libjemalloc2",
     .set = {"LD_PRELOAD=libjemalloc.so.2"}},
    {.name = "jemalloc, samples of 512 KiB",
     .package = "libjemalloc2",
     .set = {"LD_PRELOAD=libjemalloc.so.2", "MALLOC_CONF=prof:true"}},
    {.name = "glibc's MALLOC_CHECK_=3",
     .package = "libc6",
     .set = {"LD_PRELOAD=libc_malloc_debug.so.0", "MALLOC_CHECK_=3"}},
    {.name = "jemalloc, every allocation",
     .package = "libjemalloc2",
     .set = {"LD_PRELOAD=libjemalloc.so.2", "MALLOC_CONF=prof:true,lg_prof_sample:0"},
     .heavy = 1,
     .finds_as_much = 1},
    {.name = "heaptrack",
     .package = "heaptrack",
     .command = {"heaptrack"},
     .finds_as_much = 1},
    {.name = "valgrind memcheck",
     .package = "valgrind",
     .command = {"valgrind", "-q", "--leak-check=full"},
     .heavy = 1,
     .finds_as_much = 1},
    {.name = "gperftools HEAPCHECK",
     .package = "libgoogle-perftools4",
     .set = {"LD_PRELOAD=libtcmalloc.so.4", "HEAPCHECK=normal"},
     .heavy = 1,
     .finds_as_much = 1},
    {.name = "gcc's ASan, Lua as it is",
     .package = "libasan8",
     .set = {"LD_PRELOAD=libasan.so.8", "ASAN_OPTIONS=detect_leaks=1"}},
    /* Only code that it was built into tells it of overruns, so the other one finds less. */
    {.name = "gcc's ASan, Lua built with it",
     .package = "none",
     .lua_of = "HOSTMALLOC_BENCH_ASAN_LUA",
     .set = {"ASAN_OPTIONS=detect_leaks=1"},
     .finds_as_much = 1},
};
#define PEERS COUNT(peers)

static struct {
    const char *lua, *lua_host;
    char folder[4096], scratch[64]; /* scratch: where tools leave their files */
    unsigned rounds, heavy_rounds;
    int quick, check;
} plan = {.rounds = 9, .heavy_rounds = 3, .scratch = "/tmp/peer_bench.XXXXXX"};

typedef struct sample {
    double cpu, wall, peak; /* 0 when it did not end well */
} sample;

static sample samples[PEERS][MOST_ROUNDS];
static int there[PEERS];

static void become(const struct peer *peer, const char *script, const char *argument)
{
    const char *arguments[16];
    size_t count = 0;
    for (size_t i = 0; i < COUNT(peer->command) && peer->command[i]; i++) {
        arguments[count++] = peer->command[i];
    }
    const char *const other = peer->lua_of ? getenv(peer->lua_of) : NULL;
    if (peer->lua_of && !other) {
        _exit(127);
    }
    arguments[count++] = peer->spec ? plan.lua_host : other ? other : plan.lua;
    if (peer->spec) {
        arguments[count++] = "--host";
        arguments[count++] = peer->spec;
    }
    arguments[count++] = script;
    arguments[count++] = argument;
    arguments[count] = NULL;
    for (size_t i = 0; i < COUNT(peer->set) && peer->set[i]; i++) {
        putenv((char *)(size_t)peer->set[i]);
    }
    execvp(arguments[0], (char **)(size_t)arguments);
    _exit(127);
}

/* What heaptrack and others wrote. */
static void sweep(void)
{
    DIR *folder = opendir(plan.scratch);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.') {
            unlinkat(dirfd(folder), entry->d_name, 0);
        }
    }
    if (folder) {
        closedir(folder);
    }
}

/* @return the exit status; -1 when a signal ended it. Output goes to the descriptor. */
static int run(const struct peer *peer,
               const char *script,
               const char *argument,
               int fd,
               sample *out)
{
    struct rusage usage;
    int status = 0;
    memset(&usage, 0, sizeof usage);
    const double start = measure_wall();
    const pid_t child = fork();
    if (child == 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        if (chdir(plan.scratch) != 0) {
            _exit(127);
        }
        become(peer, script, argument);
    }
    while (child > 0 && wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    out->wall = (measure_wall() - start) / 1e9;
    out->cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    out->peak = (double)usage.ru_maxrss;
    sweep();
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* An empty script tells whether the contender is there, and says what is wrong when it is not. */
static void find_peers(void)
{
    for (size_t i = 0; i < PEERS; i++) {
        char text[4096] = {0};
        sample ignored;
        FILE *output = tmpfile();
        if (!output) {
            perror("peer_bench");
            exit(2);
        }
        const int status = run(&peers[i], "/dev/null", NULL, fileno(output), &ignored);
        rewind(output);
        text[fread(text, 1, sizeof text - 1, output)] = '\0';
        fclose(output);
        there[i] = status == 0 && !strstr(text, "cannot be preloaded") &&
                   !strstr(text, "Invalid conf pair");
        if (there[i]) {
            continue;
        }
        text[strcspn(text, "\n")] = '\0';
        char why[128];
        if (!peers[i].package) {
            snprintf(why, sizeof why, "not in this build: %.100s", text);
        } else if (peers[i].lua_of) {
            snprintf(why, sizeof why, "nobody packages it; %s names one",
                     peers[i].lua_of);
        } else if (status == 0 && strstr(text, "Invalid conf pair")) {
            snprintf(why, sizeof why, "this one was built without it");
        } else {
            snprintf(why, sizeof why, "not installed (Debian: %s)", peers[i].package);
        }
        measure_missing(peers[i].name, why);
    }
}

/* Ratios to another of the same round; of contender 0 what it took. */
static spread spread_against(size_t who, size_t other, size_t member, unsigned rounds)
{
    double values[MOST_ROUNDS];
    for (unsigned i = 0; i < rounds; i++) {
        const double base = *(const double *)((const char *)&samples[other][i] + member);
        const double value = *(const double *)((const char *)&samples[who][i] + member);
        values[i] = who == 0 ? value : value / base;
    }
    return measure_spread(values, rounds);
}

static spread spread_of(size_t who, size_t member, unsigned rounds)
{
    return spread_against(who, 0, member, rounds);
}

static void print_tools(size_t script, int heavy, unsigned rounds)
{
    char workload[64];
    snprintf(workload, sizeof workload, "%s, wall", scripts[script].file);
    for (size_t i = 0; i < PEERS; i++) {
        if (!there[i] || !there[CHECKED] || !peers[i].finds_as_much ||
            peers[i].heavy != heavy) {
            continue;
        }
        const spread wall = spread_against(CHECKED, i, offsetof(sample, wall), rounds);
        printf("  %s of %-30s wall %6.3f  [%.3f %.3f]", peers[CHECKED].name,
               peers[i].name, wall.median, wall.q1, wall.q3);
        measure_record(workload, peers[CHECKED].name, peers[i].name, heavy, wall,
                       scripts[script].of_a_tool);
        measure_row(wall.median, scripts[script].of_a_tool);
    }
}

static void print_peer(size_t who, size_t script, int heavy, unsigned rounds)
{
    const spread cpu = spread_of(who, offsetof(sample, cpu), rounds);
    const spread peaks = spread_of(who, offsetof(sample, peak), rounds);
    const double peak = peaks.median;
    const double bound = heavy ? 0 : peers[who].cpu[script];
    const double bound_peak = heavy ? 0 : peers[who].peak[script];
    char workload[64];
    printf("  %-30s wall %6.2f  peak %6.2f  cpu %6.2f [%.2f %.2f]", peers[who].name,
           spread_of(who, offsetof(sample, wall), rounds).median, peak, cpu.median,
           cpu.q1, cpu.q3);
    snprintf(workload, sizeof workload, "%s, cpu", scripts[script].file);
    measure_record(workload, peers[who].name, peers[0].name, heavy, cpu, bound);
    measure_row(cpu.median, bound);
    snprintf(workload, sizeof workload, "%s, peak", scripts[script].file);
    measure_record(workload, peers[who].name, peers[0].name, heavy, peaks, bound_peak);
    if (bound_peak > 0) {
        printf("  %-30s              peak %6.2f", "", peak);
        measure_row(peak, bound_peak);
    }
}

/* 0 when a contender that was there did not end well. */
static int measure(size_t script, int heavy)
{
    const struct script *s = &scripts[script];
    const char *const argument = plan.quick ? s->quick : heavy ? s->reduced : s->full;
    const unsigned rounds = heavy ? plan.heavy_rounds : plan.rounds;
    const int nowhere = open("/dev/null", O_WRONLY);
    char path[5000];
    snprintf(path, sizeof path, "%s/%s", plan.folder, s->file);
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t i = 0; i < PEERS; i++) {
            const size_t who = (i + round) % PEERS;
            if (!there[who] || (peers[who].heavy && !heavy)) {
                continue;
            }
            const int status =
                run(&peers[who], path, argument, nowhere, &samples[who][round]);
            if (status != 0) {
                fprintf(stderr, "peer_bench: %s under %s ended with %d\n", s->file,
                        peers[who].name, status);
                return 0;
            }
        }
    }
    close(nowhere);
    printf("\n%s %s, lua on libc takes %.3f s and %.0f KiB; ratios to it, %u rounds\n",
           s->file, argument, spread_of(0, offsetof(sample, cpu), rounds).median,
           spread_of(0, offsetof(sample, peak), rounds).median, rounds);
    for (size_t i = 1; i < PEERS; i++) {
        if (there[i] && (heavy || !peers[i].heavy)) {
            print_peer(i, script, heavy, rounds);
        }
    }
    print_tools(script, heavy, rounds);
    return 1;
}

static int read_arguments(int argc, char **argv)
{
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            plan.quick = 1;
            plan.rounds = plan.heavy_rounds = 1;
        } else if (strcmp(argv[i], "--check") == 0) {
            plan.check = 1;
        } else if (strcmp(argv[i], "--repeats") == 0 && i + 1 < argc) {
            plan.rounds = (unsigned)atoi(argv[++i]);
        } else {
            return 0;
        }
    }
    if (argc - i != 3 || plan.rounds < 1 || plan.rounds > MOST_ROUNDS) {
        return 0;
    }
    plan.lua = argv[i];
    plan.lua_host = realpath(argv[i + 1], NULL); /* they run elsewhere */
    return plan.lua_host && realpath(argv[i + 2], plan.folder);
}

int main(int argc, char **argv)
{
    int done = 1;
    if (!read_arguments(argc, argv)) {
        fputs("usage: peer_bench [--quick] [--check] [--repeats N] LUA LUA_HOST "
              "SCRIPT_FOLDER\n",
              stderr);
        return 2;
    }
    if (!mkdtemp(plan.scratch)) {
        perror(plan.scratch);
        return 2;
    }
    measure_head("peer_bench", "whole processes");
    find_peers();
    if (!there[0]) {
        rmdir(plan.scratch);
        return 2;
    }
    for (int heavy = 0; heavy < 2; heavy++) {
        for (size_t i = 0; i < SCRIPTS && done; i++) {
            done = measure(i, heavy);
        }
    }
    rmdir(plan.scratch);
    if (!done) {
        return 2;
    }
    return measure_end() && plan.check ? 1 : 0;
}
