/* SPDX-License-Identifier: MIT */
/* What the verbs of the hostmalloc command share. To add a verb: a file with its run function, a line in
 * main.c's table, its declaration here. */
#ifndef HM_TOOLS_COMMAND_H
#define HM_TOOLS_COMMAND_H

/* Exit codes of every verb. */
#define EXIT_CLEAN    0
#define EXIT_FINDINGS 1 /* something was found, refused or could not be done */
#define EXIT_USAGE    2 /* the command line is wrong, or names nothing that exists */

typedef struct verb {
    const char *name;
    const char *arguments;                   /* after the name, as usage shows them */
    const char *summary;                     /* one line */
    const char *help;                        /* what `hostmalloc NAME --help` adds */
    int (*run)(int count, char **arguments); /* without the verb itself */
} verb;

/* Says what is wrong with the command line on standard error, with the verb's usage; EXIT_USAGE. */
int usage_error(const verb *v, const char *what, const char *which);

extern const verb bench_verb;  /* bench.c */
extern const verb check_verb;  /* check.c */
extern const verb hosts_verb;  /* hosts.c */
extern const verb report_verb; /* report.c */
extern const verb diff_verb;   /* diff.c */
extern const verb replay_verb; /* replay.c */
extern const verb run_verb;    /* run.c, or run_none.c where there is no such thing */

/* What --format takes, for people. */
#define REPORT_FORMATS "text, json, folded, pprof, heaptrack, sarif or junit"

/* report.c: 1 when --format takes that name. */
int report_has_format(const char *name);

#endif
