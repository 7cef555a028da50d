/* SPDX-License-Identifier: MIT */
/* What `hostmalloc check` prints: a line for each clause that failed or is not offered, and the sum; as text or as
 * JSON lines. */
#include "kit.h"

#define SCHEMA "hostmalloc-check/1"

static const char *level_name(const kit_clause *clause)
{
    return clause->level == KIT_MUST ? "must" : "should";
}

static void print_json_text(const char *name, const char *text)
{
    printf(",\"%s\":\"", name);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') {
            printf("\\%c", *c);
        } else if (*c < 0x20 || *c >= 0x7f) {
            printf("\\u%04x", *c);
        } else {
            putchar(*c);
        }
    }
    putchar('"');
}

static void print_json(const kit_report *report, const kit_result *result)
{
    static const char *const outcomes[] = {[KIT_UNDECIDED] = "failed",
                                           [KIT_HELD] = "held",
                                           [KIT_FAILED] = "failed",
                                           [KIT_NOT_OFFERED] = "not offered"};
    printf("{\"schema\":\"" SCHEMA "\",\"type\":\"clause\"");
    print_json_text("subject", report->subject);
    print_json_text("clause", result->clause->name);
    print_json_text("level", level_name(result->clause));
    print_json_text("outcome", outcomes[result->outcome]);
    if (result->outcome == KIT_FAILED) {
        print_json_text("malloc", result->kind);
        print_json_text("expected", result->expected);
        print_json_text("found", result->found);
    } else if (result->outcome == KIT_NOT_OFFERED) {
        print_json_text("reason", result->found);
    }
    printf(",\"ms\":%u}\n", result->ms);
}

static void print_text(const kit_report *report, const kit_result *result)
{
    if (result->outcome == KIT_FAILED) {
        printf("failed  %s (%s): expected %s; found: %s", result->clause->name,
               level_name(result->clause), result->expected, result->found);
        if (result->kind[0]) {
            printf(" [%s malloc]", result->kind);
        }
        putchar('\n');
    } else if (result->outcome == KIT_NOT_OFFERED) {
        printf("not offered  %s: %s\n", result->clause->name, result->found);
    } else if (report->verbose) {
        printf("held  %s (%u ms)\n", result->clause->name, result->ms);
    }
}

void kit_report_result(kit_report *report, const kit_result *result)
{
    report->held += result->outcome == KIT_HELD;
    report->failed += result->outcome == KIT_FAILED;
    report->must_failed +=
        result->outcome == KIT_FAILED && result->clause->level == KIT_MUST;
    report->not_offered += result->outcome == KIT_NOT_OFFERED;
    if (report->json) {
        print_json(report, result);
    } else {
        print_text(report, result);
    }
    fflush(stdout);
}

void kit_report_summary(const kit_report *report)
{
    if (report->json) {
        printf("{\"schema\":\"" SCHEMA "\",\"type\":\"summary\"");
        print_json_text("subject", report->subject);
        printf(",\"held\":%zu,\"failed\":%zu,\"must_failed\":%zu,\"not_offered\":%zu}\n",
               report->held, report->failed, report->must_failed, report->not_offered);
    } else {
        printf("%s: %zu clauses held, %zu failed (%zu must), %zu not offered\n",
               report->subject, report->held, report->failed, report->must_failed,
               report->not_offered);
    }
}

void kit_report_list(void)
{
    for (const kit_group *const *group = kit_groups; *group; group++) {
        for (size_t i = 0; i < (*group)->count; i++) {
            const kit_clause *clause = &(*group)->clauses[i];
            printf("%-42s  %-6s  %s\n", clause->name, level_name(clause),
                   clause->promise);
        }
    }
}
