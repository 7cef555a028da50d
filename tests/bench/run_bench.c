/* SPDX-License-Identifier: MIT */
/* `hostmalloc run` beside what else is put under a program that is not built again: Debian's mimalloc by LD_PRELOAD, and
 * heaptrack. Stock programs as whole processes, start-up and report included.
 *
 *     run_bench [--quick] [--check] [--repeats N] HOSTMALLOC FOLDER_OF_PROGRAMS
 *
 * In every round each contender runs each program once; ratios of processor time are taken within the round and
 * printed as medians with the quartiles. What is not installed is a named line. --quick only shows that it runs, --check
 * fails when a bound is missed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#define MOST_ROUNDS 31

static const struct work {
    const char *name, *file, *package;
    const char *full, *quick; /* for the shell, which becomes the program */
} works[] = {
    {"sqlite3", "/usr/bin/sqlite3", "sqlite3",
     "for i in 1 2 3 4 5; do cat \"$FOLDER/rows.sql\"; echo 'DROP TABLE row;'; done | "
     "exec \"$@\" sqlite3 :memory:",
     "echo 'SELECT 1;' | exec \"$@\" sqlite3 :memory:"},
    {"perl", "/usr/bin/perl", "perl",
     "exec \"$@\" perl -e 'for my $r (1 .. 8) { my %h; $h{$_} = [$_, \"x\" x ($_ % 50)] "
     "for 1 .. 90000; my $n = 0; $n += length $h{$_}[1] for keys %h; print \"$n\\n\" }'",
     "exec \"$@\" perl -e 'print 1'"},
    {"python3.11", "/usr/bin/python3.11", "python3.11",
     "exec \"$@\" /usr/bin/python3.11 -c 'import json\n"
     "d = [{\"k%d\" % i: [i, str(i), {\"x\": i}]} for i in range(20000)]\n"
     "for r in range(10): print(len(json.dumps(json.loads(json.dumps(d)))))'",
     "exec \"$@\" /usr/bin/python3.11 -c 'print(1)'"},
    {"xmllint", "/usr/bin/xmllint", "libxml2-utils",
     "exec \"$@\" xmllint --noout --repeat /usr/share/xml/iso-codes/iso_639_3.xml",
     "exec \"$@\" xmllint --noout /usr/share/xml/iso-codes/iso_3166.xml"},
};

/* Each is measured against the contender before it whose number stands in `against`. */
static const struct contender {
    const char *name;
    const char *command[6]; /* "hostmalloc" is ours */
    const char *preload;
    const char *package;
    size_t against;
    double bound;
    int is_added; /* judged by the time it adds to the program alone, not by all of it */
} contenders[] = {
    {.name = "alone"},
    {.name = "LD_PRELOAD=libmimalloc.so.2",
     .preload = "libmimalloc.so.2",
     .package = "libmimalloc2.0"},
    {.name = "run --host mimalloc",
     .command = {"hostmalloc", "run", "--host", "mimalloc", "--"},
     .against = 1,
     .bound = 1.05},
    {.name = "heaptrack", .command = {"heaptrack"}, .package = "heaptrack"},
    /* It sees what heaptrack sees, then with the hooks also what never comes to malloc: each object of Python's. */
    {.name = "run --bridges none",
     .command = {"hostmalloc", "run", "--bridges", "none", "--"},
     .against = 3,
     .bound = 0.33,
     .is_added = 1},
    {.name = "run", .command = {"hostmalloc", "run", "--"}, .against = 3, .is_added = 1},
};

static struct {
    const char *command;
    char folder[4096], scratch[64];
    unsigned rounds;
    int quick, check;
} plan = {.rounds = 7, .scratch = "/tmp/run_bench.XXXXXX"};

static double samples[COUNT(works)][COUNT(contenders)][MOST_ROUNDS];
static int there[COUNT(contenders)];

static void become(const struct contender *c, const char *script)
{
    const char *arguments[16] = {"sh", "-c", script, "sh"};
    size_t count = 4;
    for (size_t i = 0; i < COUNT(c->command) && c->command[i]; i++) {
        arguments[count++] =
            strcmp(c->command[i], "hostmalloc") == 0 ? plan.command : c->command[i];
    }
    if (c->preload) {
        static char set[256];
        snprintf(set, sizeof set, "LD_PRELOAD=%s", c->preload);
        arguments[count++] = "env";
        arguments[count++] = set;
    }
    arguments[count] = NULL;
    setenv("FOLDER", plan.folder, 1);
    execv("/bin/sh", (char **)(size_t)arguments);
    _exit(127);
}

/* Processor time with all children; less than 0 when it did not end well. */
static double run(const struct contender *c, const char *script)
{
    struct rusage usage;
    int status = 0;
    memset(&usage, 0, sizeof usage);
    const pid_t child = fork();
    if (child == 0) {
        const int nowhere = open("/dev/null", O_RDWR);
        dup2(nowhere, STDIN_FILENO);
        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
        if (chdir(plan.scratch) != 0) {
            _exit(127);
        }
        become(c, script);
    }
    while (child > 0 && wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    if (child < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return -1;
    }
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void sweep(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -f %s/heaptrack.*", plan.scratch);
    if (system(command) != 0) {
        fputs("run_bench: the files of heaptrack stay\n", stderr);
    }
}

static void say_missing(const char *name, const char *package)
{
    char why[128];
    snprintf(why, sizeof why, "not installed (Debian: %s)",
             package ? package : "part of this build");
    measure_missing(name, why);
}

static void find_contenders(void)
{
    for (size_t i = 0; i < COUNT(contenders); i++) {
        there[i] = run(&contenders[i], "exec \"$@\" /bin/true") >= 0;
        if (!there[i]) {
            say_missing(contenders[i].name, contenders[i].package);
        }
    }
    sweep();
}

static void print_work(size_t w)
{
    double values[MOST_ROUNDS];
    memcpy(values, samples[w][0], sizeof values);
    printf("\n%s, alone %.2f s\n", works[w].name,
           measure_spread(values, plan.rounds).median);
    for (size_t c = 1; c < COUNT(contenders); c++) {
        const size_t bases[2] = {0, contenders[c].against};
        for (size_t b = 0; b < (bases[1] ? 2u : 1u); b++) {
            if (!there[c] || !there[bases[b]]) {
                continue;
            }
            const int is_added = b && contenders[c].is_added;
            for (unsigned i = 0; i < plan.rounds; i++) {
                const double less = is_added ? samples[w][0][i] : 0;
                values[i] = (samples[w][c][i] - less) / (samples[w][bases[b]][i] - less);
            }
            const spread cpu = measure_spread(values, plan.rounds);
            const double bound = b ? contenders[c].bound : 0;
            printf("  %-28s against %-28s %s%6.2f [%.2f %.2f]", contenders[c].name,
                   contenders[bases[b]].name, is_added ? "adds" : "    ", cpu.median,
                   cpu.q1, cpu.q3);
            measure_record(works[w].name, contenders[c].name, contenders[bases[b]].name,
                           0, cpu, bound);
            measure_row(cpu.median, bound);
        }
    }
}

/* 0 when something did not end well. */
static int measure(size_t w)
{
    const char *script = plan.quick ? works[w].quick : works[w].full;
    for (unsigned round = 0; round < plan.rounds; round++) {
        for (size_t i = 0; i < COUNT(contenders); i++) {
            const size_t c = (i + round) % COUNT(contenders);
            samples[w][c][round] = there[c] ? run(&contenders[c], script) : 0;
            if (samples[w][c][round] < 0) {
                fprintf(stderr, "run_bench: %s under %s did not end well\n",
                        works[w].name, contenders[c].name);
                return 0;
            }
        }
        sweep();
    }
    return 1;
}

static int read_arguments(int argc, char **argv)
{
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            plan.quick = 1;
            plan.rounds = 1;
        } else if (strcmp(argv[i], "--check") == 0) {
            plan.check = 1;
        } else if (strcmp(argv[i], "--repeats") == 0 && i + 1 < argc) {
            plan.rounds = (unsigned)atoi(argv[++i]);
        } else {
            return 0;
        }
    }
    if (argc - i != 2 || plan.rounds < 1 || plan.rounds > MOST_ROUNDS) {
        return 0;
    }
    plan.command = realpath(argv[i], NULL);
    return plan.command && realpath(argv[i + 1], plan.folder);
}

int main(int argc, char **argv)
{
    int done = 1;
    if (!read_arguments(argc, argv)) {
        fputs("usage: run_bench [--quick] [--check] [--repeats N] HOSTMALLOC "
              "FOLDER_OF_PROGRAMS\n",
              stderr);
        return 2;
    }
    if (!mkdtemp(plan.scratch)) {
        perror(plan.scratch);
        return 2;
    }
    measure_head("run_bench", "stock programs");
    find_contenders();
    for (size_t w = 0; w < COUNT(works) && done; w++) {
        if (access(works[w].file, X_OK) != 0) {
            say_missing(works[w].name, works[w].package);
        } else if ((done = measure(w))) {
            print_work(w);
        }
    }
    rmdir(plan.scratch);
    if (!done) {
        return 2;
    }
    return measure_end() && plan.check ? 1 : 0;
}
