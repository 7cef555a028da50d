/* SPDX-License-Identifier: MIT */
/* hostmalloc report: a snapshot of the debug host in the format somebody reads. */
#include "command.h"

#include "report/snapshot.h"
#include "report/symbols.h"

#include <signal.h>
#include <string.h>

typedef struct format {
    const char *name;
    void (*write)(const snapshot *s, FILE *to);
} format;

static const format formats[] = {{"text", write_text},           {"json", write_json},
                                 {"folded", write_folded},       {"pprof", write_pprof},
                                 {"heaptrack", write_heaptrack}, {"sarif", write_sarif},
                                 {"junit", write_junit}};
#define FORMAT_COUNT (sizeof formats / sizeof formats[0])

static const format *find_format(const char *name)
{
    for (size_t i = 0; i < FORMAT_COUNT; i++) {
        if (strcmp(formats[i].name, name) == 0) {
            return &formats[i];
        }
    }
    return NULL;
}

int report_has_format(const char *name)
{
    return find_format(name) != NULL;
}

static int run_report(int count, char **arguments)
{
    const char *path = NULL;
    const char *known = NULL;
    const format *wanted = &formats[0];
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN); /* a limit of sizes is told like a full disk */
#endif
    for (int i = 0; i < count; i++) {
        if (strcmp(arguments[i], "--format") == 0) {
            if (++i == count) {
                return usage_error(&report_verb, "--format wants a name",
                                   "nothing follows");
            }
            wanted = find_format(arguments[i]);
            if (!wanted) {
                return usage_error(&report_verb,
                                   "--format wants " REPORT_FORMATS ", found",
                                   arguments[i]);
            }
        } else if (strcmp(arguments[i], "--baseline") == 0) {
            if (++i == count) {
                return usage_error(&report_verb, "--baseline wants a file",
                                   "nothing follows");
            }
            known = arguments[i];
        } else if (arguments[i][0] == '-' && arguments[i][1]) {
            return usage_error(&report_verb, "unknown option", arguments[i]);
        } else if (path) {
            return usage_error(&report_verb, "one file at a time, found a second",
                               arguments[i]);
        } else {
            path = arguments[i];
        }
    }
    if (!path) {
        return usage_error(&report_verb, "no file", "expected a snapshot");
    }
    snapshot s;
    if (!snapshot_read(path, &s)) {
        return EXIT_USAGE;
    }
    if (known) {
        snapshot baseline;
        if (!snapshot_read(known, &baseline)) {
            snapshot_free(&s);
            return EXIT_USAGE;
        }
        snapshot_forgive(&s, &baseline);
        snapshot_free(&baseline);
    }
    snapshot_symbolize(&s);
    wanted->write(&s, stdout);
    if (s.is_cut && wanted->write != write_text) { /* which says so itself */
        fprintf(stderr, "hostmalloc: %s: " SNAPSHOT_CUT "\n", s.path);
    }
    const int found = s.finding_count > 0 || s.sum.live_blocks > 0 || s.is_cut;
    snapshot_free(&s);
    return found ? EXIT_FINDINGS : EXIT_CLEAN;
}

const verb report_verb = {
    "report", "FILE [--format F] [--baseline FILE]", "Show a snapshot of the debug host",
    "\nFILE is written by debug:snapshot=FILE or hm_debug_snapshot(), or is the file of "
    "debug:live=FILE,\n"
    "also of a program that runs or was killed; - is standard input.\n"
    "Formats: text (the default), json, folded (flame graphs), pprof, heaptrack, sarif, "
    "junit.\n"
    "Of sites that have blocks live in the baseline, a snapshot too, nothing counts as "
    "live.\n"
    "Exit codes: 0 nothing live and no findings, 1 some or a file that ends early,\n"
    "2 usage or not a snapshot.\n",
    run_report};
