/* SPDX-License-Identifier: MIT */
/* hostmalloc check: the conformance kit over a host, a stack of layers, or all that a module offers. */
#include "command.h"

#include "kit/kit.h"

/* A sanitizer makes everything slower. */
#define CLAUSE_MS (KIT_SANITIZED ? 30000u : 10000u)  /* one clause */
#define TOTAL_MS  (KIT_SANITIZED ? 110000u : 60000u) /* all of them, whatever hangs */

typedef struct checking {
    kit_subject subject;
    kit_report report;
    kit_report total;
    const char *only; /* clauses whose names begin so, or NULL */
    uint64_t end_ns;
} checking;

static unsigned time_left(const checking *c)
{
    const uint64_t now = hm_core_table()->now_ns();
    return now < c->end_ns ? (unsigned)((c->end_ns - now) / 1000000) : 0;
}

static void check_clause(checking *c, const kit_clause *clause)
{
    kit_result result;
    const unsigned left = time_left(c);
    if (left) {
        kit_run(&c->subject, clause, left < CLAUSE_MS ? left : CLAUSE_MS, &result);
    } else {
        memset(&result, 0, sizeof result);
        result.clause = clause;
        result.outcome = KIT_FAILED;
        snprintf(result.expected, sizeof result.expected, "%s", clause->promise);
        snprintf(result.found, sizeof result.found,
                 "not run: the clauses before used up the minute");
    }
    kit_report_result(&c->report, &result);
}

static int is_wanted(const checking *c, const kit_clause *clause)
{
    return !c->only || strncmp(clause->name, c->only, strlen(c->only)) == 0;
}

static int wants_any(const checking *c)
{
    for (const kit_group *const *group = kit_groups; *group; group++) {
        for (size_t i = 0; i < (*group)->count; i++) {
            if (is_wanted(c, &(*group)->clauses[i])) {
                return 1;
            }
        }
    }
    return 0;
}

/* Every clause about a module, or every other one. */
static void check_clauses(checking *c, const char *label, int of_module)
{
    const kit_report fresh = {c->total.json, c->total.verbose, label, 0, 0, 0, 0};
    c->report = fresh;
    for (const kit_group *const *group = kit_groups; *group; group++) {
        for (size_t i = 0; i < (*group)->count; i++) {
            const kit_clause *clause = &(*group)->clauses[i];
            if (is_wanted(c, clause) && (clause->scope == KIT_MODULE) == of_module) {
                check_clause(c, clause);
            }
        }
    }
    kit_report_summary(&c->report);
    c->total.held += c->report.held;
    c->total.failed += c->report.failed;
    c->total.must_failed += c->report.must_failed;
    c->total.not_offered += c->report.not_offered;
}

static int verdict(const checking *c)
{
    return c->total.must_failed ? EXIT_FINDINGS : EXIT_CLEAN;
}

static int check_spec(checking *c, const char *spec)
{
    kit_names names;
    c->subject.spec = spec;
    kit_probe(&c->subject, &names);
    if (!names.count) {
        hm_error_print(&names.err);
        return names.err.status == HM_E_OS ? EXIT_FINDINGS : EXIT_USAGE;
    }
    check_clauses(c, spec, 0);
    return verdict(c);
}

/* A host alone, a layer over the two hosts that every build has: one that trusts and one that checks. */
static void check_name(checking *c, const char *name, int is_layer)
{
    static const char *const inner[] = {"default", "debug"};
    char spec[KIT_NAME_SIZE + 16];
    for (size_t i = 0; i < (is_layer ? KIT_COUNT(inner) : 1); i++) {
        kit_names opened;
        snprintf(spec, sizeof spec, is_layer ? "%s+%s" : "%s", name, inner[i]);
        c->subject.spec = spec;
        kit_probe(&c->subject, &opened);
        if (opened.count || !c->subject.module) {
            check_clauses(c, spec, 0);
        }
    }
}

static int check_module(checking *c, const char *path)
{
    kit_names names;
    c->subject.module = path;
    kit_probe(&c->subject, &names);
    if (!names.count && names.err.status == HM_E_NOT_FOUND) {
        hm_error_print(&names.err);
        return EXIT_USAGE;
    }
    check_clauses(c, path, 1);
    for (size_t i = 0; i < names.count; i++) {
        check_name(c, names.names[i].name, names.names[i].is_layer);
    }
    if (names.count) {
        c->total.subject = "all";
        kit_report_summary(&c->total);
    }
    return verdict(c);
}

static int is_module(const char *what)
{
    const size_t length = strlen(what);
    return length > 3 && strcmp(what + length - 3, ".so") == 0;
}

static int run_check(int count, char **arguments)
{
    checking c = {.end_ns = hm_core_table()->now_ns() + (uint64_t)TOTAL_MS * 1000000};
    const char *what = NULL;
    for (int i = 0; i < count; i++) {
        const char *argument = arguments[i];
        if (strcmp(argument, "--json") == 0) {
            c.total.json = 1;
        } else if (strcmp(argument, "--verbose") == 0) {
            c.total.verbose = 1;
        } else if (strncmp(argument, "--only=", 7) == 0) {
            c.only = argument + 7;
        } else if (strcmp(argument, "--list") == 0) {
            kit_report_list();
            return EXIT_CLEAN;
        } else if (argument[0] == '-') {
            return usage_error(&check_verb, "unknown option", argument);
        } else if (what) {
            return usage_error(&check_verb, "one SPEC or MODULE, found a second",
                               argument);
        } else {
            what = argument;
        }
    }
    if (!wants_any(&c)) {
        return usage_error(&check_verb,
                           "--only wants the beginning of a clause's name, as "
                           "--list has them, found",
                           c.only);
    }
    if (!what) {
        return usage_error(&check_verb, "nothing to check", "no SPEC or MODULE");
    }
    c.subject.verbose = c.total.verbose;
    return is_module(what) ? check_module(&c, what) : check_spec(&c, what);
}

const verb check_verb = {
    .name = "check",
    .arguments = "SPEC|MODULE [--json]",
    .summary = "Check a host clause by clause",
    .help = "SPEC is any host spec. MODULE is the path of a module (it ends in .so): "
            "what it\n"
            "describes is checked, a layer over default and over debug, and the module "
            "itself.\n"
            "\n"
            "Each clause of the headers is tried in a process of its own, of up to 10 "
            "seconds;\n"
            "all of them end within a minute. A clause that fails, or is not offered by "
            "this\n"
            "host, is one line; clauses are levelled must or should.\n"
            "\n"
            "  --json     JSON lines, schema hostmalloc-check/1: one \"clause\" object "
            "for every\n"
            "             clause, one \"summary\" for every subject\n"
            "  --only=X   the clauses whose names begin with X\n"
            "  --list     all clauses with their levels and what they promise\n"
            "  --verbose  also the clauses that held, and what the host itself writes\n"
            "\n"
            "exit codes: 0 no must clause failed, 1 some did or it did not open in one "
            "piece,\n"
            "2 the command line is wrong or names nothing that can be opened.\n",
    .run = run_check,
};
