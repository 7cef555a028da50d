/* SPDX-License-Identifier: MIT */
/* What a recorded program would have had from other hosts: Lua's calls, recorded by the layer trace and made again by
 * `hostmalloc replay`.
 *
 *     replay_bench [--quick] HOSTMALLOC LUA_HOST FOLDER_OF_SCRIPTS
 *
 * In every round the recording is replayed once on each host, in a process of its own; a ratio to libc is taken within
 * the round, of the time that the calls took and of what the process grew by. --quick only shows that it runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "measure.h"

#define MOST_ROUNDS 9
#define PATH_BYTES  4096

static const struct script {
    const char *file, *full, *quick;
} scripts[] = {{"lua_trees.lua", "9", "3"}, {"lua_strings.lua", "20000", "20"}};

/* The first is what the others are divided by. */
static const char *const specs[] = {"default",        "mimalloc",
                                    "cache+mimalloc", "debug:mode=stats+mimalloc",
                                    "debug+mimalloc", "debug:mode=full+mimalloc"};

static struct {
    int quick;
    const char *paths[3]; /* the command, the recorded program, its scripts */
} plan;

static struct {
    double wall[COUNT(specs)][MOST_ROUNDS], grown[COUNT(specs)][MOST_ROUNDS];
} samples;

/* 1: the recording is there, and whole. */
static int record(const struct script *s, const char *to)
{
    char command[4 * PATH_BYTES];
    snprintf(command, sizeof command,
             "'%s' --host 'trace:file=%s,size=64M+default' '%s/%s' %s >/dev/null 2>&1",
             plan.paths[1], to, plan.paths[2], s->file, plan.quick ? s->quick : s->full);
    fflush(NULL);
    return system(command) == 0;
}

static double number_after(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtod(at + strlen(name), NULL) : -1;
}

/* 1: replayed, every call as it was recorded. */
static int replay(const char *from, const char *spec, double *wall, double *grown)
{
    char command[3 * PATH_BYTES], text[8192];
    snprintf(command, sizeof command, "'%s' replay '%s' --host '%s' --json",
             plan.paths[0], from, spec);
    FILE *const pipe = popen(command, "r");
    if (!pipe) {
        return 0;
    }
    const size_t got = fread(text, 1, sizeof text - 1, pipe);
    text[got] = '\0';
    const int status = pclose(pipe);
    *wall = number_after(text, "\"wall_ns\": ");
    const double peak = number_after(text, "\"peak_process\": ");
    *grown = peak < 4096 ? 4096 : peak; /* a few blocks may fit where it began */
    return status == 0 && *wall > 0 && peak >= 0 &&
           number_after(text, "\"overwritten\": ") == 0;
}

static spread ratios(double of[COUNT(specs)][MOST_ROUNDS], size_t who, size_t rounds)
{
    double values[MOST_ROUNDS];
    for (size_t i = 0; i < rounds; i++) {
        values[i] = of[who][i] / of[0][i];
    }
    return measure_spread(values, rounds);
}

static void report(const struct script *s, size_t rounds)
{
    char workload[64];
    printf("\n%s %s, replayed on default in %.1f ms\n", s->file,
           plan.quick ? s->quick : s->full, samples.wall[0][0] / 1e6);
    for (size_t i = 1; i < COUNT(specs); i++) {
        const spread wall = ratios(samples.wall, i, rounds);
        const spread grown = ratios(samples.grown, i, rounds);
        printf("  %-28s time %5.2f [%.2f %.2f]  peak %5.2f", specs[i], wall.median,
               wall.q1, wall.q3, grown.median);
        measure_record(s->file, specs[i], specs[0], 0, wall, 0);
        snprintf(workload, sizeof workload, "%s, peak", s->file);
        measure_record(workload, specs[i], specs[0], 0, grown, 0);
        measure_row(wall.median, 0);
    }
}

static int measure(const struct script *s, const char *recording)
{
    const size_t rounds = plan.quick ? 1 : MOST_ROUNDS;
    if (!record(s, recording)) {
        fprintf(stderr, "replay_bench: %s was not recorded\n", s->file);
        return 0;
    }
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < COUNT(specs); i++) {
            const size_t who = round % 2 ? COUNT(specs) - 1 - i : i;
            if (!replay(recording, specs[who], &samples.wall[who][round],
                        &samples.grown[who][round])) {
                fprintf(stderr, "replay_bench: %s on %s: not replayed as recorded\n",
                        s->file, specs[who]);
                return 0;
            }
        }
    }
    report(s, rounds);
    return 1;
}

int main(int argc, char **argv)
{
    char recording[] = "/tmp/hostmalloc-replay.XXXXXX";
    size_t had = 0;
    int fine = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            plan.quick = 1;
        } else if (had < COUNT(plan.paths)) {
            plan.paths[had++] = argv[i];
        }
    }
    if (had < COUNT(plan.paths)) {
        fprintf(stderr, "usage: replay_bench [--quick] HOSTMALLOC LUA_HOST FOLDER\n");
        return 2;
    }
    measure_head("replay_bench", "recorded calls, ratios to default");
    const int file = mkstemp(recording);
    if (file < 0) {
        perror(recording);
        return 2;
    }
    close(file);
    for (size_t i = 0; i < COUNT(scripts) && fine; i++) {
        fine = measure(&scripts[i], recording);
    }
    unlink(recording);
    return fine ? measure_end() : 2;
}
