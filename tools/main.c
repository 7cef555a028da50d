/* SPDX-License-Identifier: MIT */
/* The hostmalloc command: finds the verb and leaves the rest to it. */
#include "command.h"

#include <hostmalloc/hostmalloc.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const verb *const verbs[] = {&hosts_verb,  &check_verb, &report_verb, &diff_verb,
                                    &replay_verb, &run_verb,   &bench_verb};
#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

static void print_usage(FILE *to)
{
    fprintf(to, "usage: hostmalloc VERB [arguments]\n\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        char call[64];
        snprintf(call, sizeof call, "%s %s", verbs[i]->name, verbs[i]->arguments);
        fprintf(to, "  %-51s %s\n", call, verbs[i]->summary);
    }
    fprintf(to, "  %-51s %s\n", "--help", "This text; VERB --help says more about one");
    fprintf(to, "  %-51s %s\n", "--version", "Version and ABI of the library in use");
}

int usage_error(const verb *v, const char *what, const char *which)
{
    if (v) {
        fprintf(stderr, "hostmalloc: %s: %s: %s\n", v->name, what, which);
        fprintf(stderr, "usage: hostmalloc %s %s\n", v->name, v->arguments);
    } else {
        fprintf(stderr, "hostmalloc: %s: %s\n", what, which);
        print_usage(stderr);
    }
    return EXIT_USAGE;
}

static int is_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

static int call_verb(const verb *v, int count, char **arguments)
{
    if (count > 0 && is_help(arguments[0])) {
        printf("usage: hostmalloc %s %s\n\n%s.\n%s", v->name, v->arguments, v->summary,
               v->help);
        return EXIT_CLEAN;
    }
    return v->run(count, arguments);
}

static int run(int count, char **arguments)
{
    if (count == 0) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (is_help(arguments[0])) {
        print_usage(stdout);
        return EXIT_CLEAN;
    }
    if (strcmp(arguments[0], "--version") == 0) {
        const unsigned abi = hm_abi();
        printf("hostmalloc %s (ABI %u.%u)\n", hm_version(), abi >> 16, abi & 0xffff);
        return EXIT_CLEAN;
    }
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(arguments[0], verbs[i]->name) == 0) {
            return call_verb(verbs[i], count - 1, arguments + 1);
        }
    }
    return usage_error(NULL, arguments[0][0] == '-' ? "unknown option" : "unknown verb",
                       arguments[0]);
}

int main(int argc, char **argv)
{
    const int code = run(argc > 0 ? argc - 1 : 0, argv + 1);
    /* What did not reach its file was not said. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        /* The report of a program under run: nobody knows that as our output. */
        const char *file = getenv("HOSTMALLOC_RUN_OUTPUT");
        const char *why = strerror(errno);
        if (file) {
            fprintf(stderr, "hostmalloc: run: the report in %s is not whole: %s\n", file,
                    why);
        } else {
            fprintf(stderr, "hostmalloc: standard output: %s\n", why);
        }
        return code == EXIT_CLEAN ? EXIT_FINDINGS : code;
    }
    return code;
}
