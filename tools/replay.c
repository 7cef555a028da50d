/* SPDX-License-Identifier: MIT */
/* `hostmalloc replay TRACE --host SPEC`: what a recorded program would have had from another host.
 *
 * The recording is read whole (replay_read.c), run (replay_run.c), and both are counted: a host that did not do
 * all of what was recorded shows as counters that differ. */
#include "command.h"
#include "replay_internal.h"

#include <stdio.h>
#include <string.h>

typedef struct wishes {
    const char *path;
    const char *spec;
    int json;
} wishes;

static const char *const kind_names[HM_TRACE_KINDS] = {
    [HM_TRACE_ALLOC] = "alloc",
    [HM_TRACE_ZEROED] = "zeroed",
    [HM_TRACE_ALIGNED] = "aligned",
    [HM_TRACE_REALLOC] = "realloc",
    [HM_TRACE_FREE] = "free",
    [HM_TRACE_FREE_SIZED] = "free_sized",
    [HM_TRACE_CREATE_MALLOC] = "create_malloc",
    [HM_TRACE_RELEASE] = "release",
    [HM_TRACE_RESET] = "reset",
    [HM_TRACE_CLOSE] = "close",
};

/* EXIT_CLEAN when the command line is understood. */
static int read_arguments(int count, char **arguments, wishes *w)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(arguments[i], "--host") == 0) {
            if (i + 1 == count) {
                return usage_error(&replay_verb, "a spec is missing after", arguments[i]);
            }
            w->spec = arguments[++i];
        } else if (strcmp(arguments[i], "--json") == 0) {
            w->json = 1;
        } else if (arguments[i][0] == '-') {
            return usage_error(&replay_verb, "unknown option", arguments[i]);
        } else if (w->path) {
            return usage_error(&replay_verb, "one recording only, found", arguments[i]);
        } else {
            w->path = arguments[i];
        }
    }
    if (!w->path || !w->spec) {
        return usage_error(&replay_verb, "missing", w->path ? "--host SPEC" : "TRACE");
    }
    return EXIT_CLEAN;
}

static uint64_t sum(const replay_counts *counts)
{
    uint64_t calls = 0;
    for (uint32_t kind = 0; kind < HM_TRACE_KINDS; kind++) {
        calls += counts->calls[kind];
    }
    return calls;
}

static int counts_agree(const replay_trace *trace, const replay_result *result)
{
    return memcmp(&trace->counts, &result->counts, sizeof trace->counts) == 0;
}

typedef unsigned long long number; /* what printf can say */

static void print_pair(const char *name, uint64_t recorded, uint64_t replayed)
{
    printf("  %-14s %14llu %14llu%s\n", name, (number)recorded, (number)replayed,
           recorded == replayed ? "" : "   differs");
}

/* One line for each thing that kept a record from being replayed. */
static void print_notes(const replay_trace *trace, const replay_result *result)
{
    const struct {
        uint64_t count;
        const char *what;
    } notes[] = {
        {trace->overwritten,
         "calls were overwritten: the ring has wrapped, only the end is there"},
        {trace->header.dropped, "records were dropped: their place was being written"},
        {trace->torn, "records were cut off as they were written"},
        {trace->unfinished, "calls had begun and never came back"},
        {trace->refused, "calls were refused, and left out"},
        {trace->misused,
         "frees did nothing (foreign or freed before), and were left out"},
        {trace->unknown, "blocks were freed or moved whose allocation is not there"},
        {trace->header.site_overflow, "calls come from sites whose names did not fit"},
        {result->left, "blocks were never freed"},
        {result->failed, "calls the host refused"},
        {result->damaged, "blocks came to harm, or were not accepted back"},
    };
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++) {
        if (notes[i].count) {
            printf("%llu %s\n", (number)notes[i].count, notes[i].what);
        }
    }
}

static double ratio(uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 0;
}

static void
print_text(const wishes *w, const replay_trace *trace, const replay_result *result)
{
    printf("%s on %s: threads %u, mallocs %u, blocks %u\n", w->path, w->spec,
           trace->thread_count, trace->malloc_count, trace->block_count);
    printf("wall time        %.3f ms, %.0f ns per call\n",
           (double)result->nanoseconds / 1e6,
           ratio(result->nanoseconds, sum(&result->counts)));
    printf("peak requested   %llu bytes\n", (number)trace->peak_bytes);
    printf("peak of process  %llu bytes above its start\n", (number)result->grown);
    printf("fragmentation    %.2f (peak of process / peak requested)\n\n",
           ratio(result->grown, trace->peak_bytes));
    printf("  %-14s %14s %14s\n", "CALLS", "RECORDED", "REPLAYED");
    for (uint32_t kind = 1; kind < HM_TRACE_KINDS; kind++) {
        if (trace->counts.calls[kind] || result->counts.calls[kind]) {
            print_pair(kind_names[kind], trace->counts.calls[kind],
                       result->counts.calls[kind]);
        }
    }
    print_pair("bytes", trace->counts.bytes, result->counts.bytes);
    printf("\n");
    print_notes(trace, result);
    printf("counters %s\n", counts_agree(trace, result) ? "agree" : "differ");
}

static void print_json_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < 0x20) {
            printf("\\u%04x", c);
        } else {
            printf(c == '"' || c == '\\' ? "\\%c" : "%c", c);
        }
    }
    putchar('"');
}

static void print_json_counts(const char *name, const replay_counts *counts)
{
    printf(",\n  \"%s\": {", name);
    for (uint32_t kind = 1; kind < HM_TRACE_KINDS; kind++) {
        printf("\"%s\": %llu, ", kind_names[kind], (number)counts->calls[kind]);
    }
    printf("\"bytes\": %llu}", (number)counts->bytes);
}

static void
print_json(const wishes *w, const replay_trace *trace, const replay_result *result)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"threads", trace->thread_count},
        {"mallocs", trace->malloc_count},
        {"blocks", trace->block_count},
        {"wall_ns", result->nanoseconds},
        {"peak_requested", trace->peak_bytes},
        {"peak_process", result->grown},
        {"overwritten", trace->overwritten},
        {"dropped", trace->header.dropped},
        {"torn", trace->torn},
        {"unfinished", trace->unfinished},
        {"refused", trace->refused},
        {"misused", trace->misused},
        {"unknown", trace->unknown},
        {"site_overflow", trace->header.site_overflow},
        {"left", result->left},
        {"failed", result->failed},
        {"damaged", result->damaged},
    };
    printf("{\n  \"trace\": ");
    print_json_text(w->path);
    printf(",\n  \"host\": ");
    print_json_text(w->spec);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        printf(",\n  \"%s\": %llu", numbers[i].name, (number)numbers[i].value);
    }
    printf(",\n  \"fragmentation\": %.4f", ratio(result->grown, trace->peak_bytes));
    print_json_counts("recorded", &trace->counts);
    print_json_counts("replayed", &result->counts);
    printf(",\n  \"counters_agree\": %s\n}\n",
           counts_agree(trace, result) ? "true" : "false");
}

static int replay_on(const wishes *w, const replay_trace *trace, hm_host *host)
{
    replay_result result;
    if (!replay_run(trace, host, &result)) {
        return EXIT_FINDINGS;
    }
    if (w->json) {
        print_json(w, trace, &result);
    } else {
        print_text(w, trace, &result);
    }
    return counts_agree(trace, &result) && !result.failed && !result.damaged
               ? EXIT_CLEAN
               : EXIT_FINDINGS;
}

static int run_replay(int count, char **arguments)
{
    wishes w = {NULL, NULL, 0};
    replay_trace trace;
    hm_host *host = NULL;
    hm_error err;
    int missing;
    int code = read_arguments(count, arguments, &w);
    if (code != EXIT_CLEAN) {
        return code;
    }
    if (hm_host_open(w.spec, &host, &err) != HM_OK) {
        hm_error_print(&err);
        return EXIT_USAGE;
    }
    if (replay_read(w.path, &trace, &missing)) {
        code = replay_on(&w, &trace, host);
    } else {
        code = missing ? EXIT_USAGE : EXIT_FINDINGS;
    }
    replay_drop(&trace);
    hm_host_release(host);
    return code;
}

const verb replay_verb = {
    .name = "replay",
    .arguments = "TRACE --host SPEC [--json]",
    .summary = "Replay a recording of the trace layer on a host",
    .help = "TRACE was written by \"trace:file=TRACE+...\". Every recorded thread is one "
            "here; a free waits for\n"
            "its allocation. Prints time, peaks and the calls of the recording beside "
            "those done:\n"
            "they must be equal. Calls whose other half is not in the recording (the "
            "ring has\n"
            "wrapped, the program was killed) are left out and counted.\n"
            "\n"
            "Exit codes: 0 all was done, 1 counters differ, a block came to harm, or "
            "TRACE is not a\n"
            "whole recording of this version, 2 the command line is wrong or names "
            "nothing that exists.\n",
    .run = run_replay,
};
