/* SPDX-License-Identifier: MIT */
/* JSON again, and the two formats that continuous integration reads: SARIF and JUnit. */
#include "snapshot.h"

#include <string.h>

void print_json_text(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            fprintf(to, "\\%c", c);
        } else if (c < 0x20) {
            fprintf(to, "\\u%04x", c);
        } else {
            fputc(c, to);
        }
    }
    fputc('"', to);
}

void print_xml_text(FILE *to, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '&':
            fputs("&amp;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        default:
            fputc(*text, to);
        }
    }
}

static void print_json(FILE *to, const json *value)
{
    if (value->key) {
        print_json_text(to, value->key);
        fputc(':', to);
    }
    switch (value->kind) {
    case JSON_NULL:
        fputs("null", to);
        break;
    case JSON_FALSE:
        fputs("false", to);
        break;
    case JSON_TRUE:
        fputs("true", to);
        break;
    case JSON_NUMBER:
        fprintf(to, "%llu", (unsigned long long)value->number);
        break;
    case JSON_TEXT:
        print_json_text(to, value->text);
        break;
    case JSON_LIST:
    case JSON_OBJECT:
        fputc(value->kind == JSON_LIST ? '[' : '{', to);
        for (const json *item = value->item; item; item = item->next) {
            print_json(to, item);
            if (item->next) {
                fputc(',', to);
            }
        }
        fputc(value->kind == JSON_LIST ? ']' : '}', to);
        break;
    }
}

/* The whole as one document: {"lines":[...]}. */
void write_json(const snapshot *s, FILE *to)
{
    fputs("{\"lines\":[", to);
    for (const json *line = s->lines; line; line = line->next) {
        fputs(line == s->lines ? "\n" : ",\n", to);
        print_json(to, line);
    }
    fputs("\n]}\n", to);
}

/* Leaks and findings in the order they are shown. */
typedef struct result {
    const char *rule; /* "leak", "double-free", ... */
    const char *file;
    const char *function;
    uint64_t line;
    char message[300];
} result;

static void print_location(FILE *to, const char *file, uint64_t line)
{
    fputs("{\"physicalLocation\":{\"artifactLocation\":{\"uri\":", to);
    print_json_text(to, file);
    fprintf(to, "},\"region\":{\"startLine\":%llu}}}",
            (unsigned long long)(line ? line : 1));
}

static void print_sarif_result(FILE *to, const result *r, int first)
{
    char fingerprint[400];
    /* Without the line, so that code that moves is still the same finding. */
    snprintf(fingerprint, sizeof fingerprint, "%.80s:%.200s:%.100s", r->rule, r->file,
             r->function ? r->function : "");
    json_clean(fingerprint);
    fputs(first ? "\n" : ",\n", to);
    fputs("{\"ruleId\":", to);
    print_json_text(to, r->rule);
    fputs(",\"level\":\"error\",\"message\":{\"text\":", to);
    print_json_text(to, r->message);
    fputs("},\"locations\":[", to);
    print_location(to, r->file, r->line);
    fputs("],\"partialFingerprints\":{\"hostmalloc/v1\":", to);
    print_json_text(to, fingerprint);
    fputs("}}", to);
}

static result leak_result(const site_row *row)
{
    result r = {"leak", row->file, row->function, row->line, ""};
    snprintf(r.message, sizeof r.message, "%llu block%s and %llu byte%s never freed",
             (unsigned long long)row->count.live_blocks, plural(row->count.live_blocks),
             (unsigned long long)row->count.live_bytes, plural(row->count.live_bytes));
    return r;
}

static result finding_result(const json *finding)
{
    const json *spot = json_member(finding, "here");
    if (!spot || spot->kind != JSON_OBJECT) {
        spot = json_member(finding, "allocated");
    }
    const json *born = json_member(finding, "allocated");
    result r = {json_text(finding, "kind", "finding"),
                json_text(spot, "file", "(unknown)"), json_text(spot, "function", NULL),
                json_number(spot, "line"), ""};
    snprintf(r.message, sizeof r.message,
             "%s (%s) of a block of %llu bytes allocated at %.150s:%llu", r.rule,
             json_text(finding, "status", "?"),
             (unsigned long long)json_number(finding, "bytes"),
             json_text(born, "file", "(unknown)"),
             (unsigned long long)json_number(born, "line"));
    json_clean(r.message);
    return r;
}

void write_sarif(const snapshot *s, FILE *to)
{
    int first = 1;
    fputs("{\"$schema\":\"https://json.schemastore.org/"
          "sarif-2.1.0.json\",\"version\":\"2.1.0\","
          "\"runs\":[{\"tool\":{\"driver\":{\"name\":\"hostmalloc\",\"version\":",
          to);
    print_json_text(to, s->version);
    fputs(",\"rules\":[{\"id\":\"leak\"}]}},\"results\":[", to);
    for (size_t i = 0; i < s->finding_count; i++) {
        const result r = finding_result(s->findings[i]);
        print_sarif_result(to, &r, first);
        first = 0;
    }
    for (size_t i = 0; i < s->site_count; i++) {
        if (s->sites[i].count.live_blocks) {
            const result r = leak_result(&s->sites[i]);
            print_sarif_result(to, &r, first);
            first = 0;
        }
    }
    fputs("\n]}]}\n", to);
}

static void print_junit_case(FILE *to, const result *r)
{
    fputs("  <testcase classname=\"hostmalloc\" name=\"", to);
    print_xml_text(to, r->rule);
    fputs(" ", to);
    print_xml_text(to, r->file);
    fprintf(to, ":%llu\"><failure type=\"", (unsigned long long)r->line);
    print_xml_text(to, r->rule);
    fputs("\" message=\"", to);
    print_xml_text(to, r->message);
    fputs("\"/></testcase>\n", to);
}

/* One case a finding and a leaking site, and one for what a cut file does not tell; a clean run is one case that passed. */
void write_junit(const snapshot *s, FILE *to)
{
    size_t leaks = 0;
    for (size_t i = 0; i < s->site_count; i++) {
        leaks += s->sites[i].count.live_blocks > 0;
    }
    const size_t failures = leaks + s->finding_count + (s->is_cut ? 1 : 0);
    fprintf(to,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuite name=\"hostmalloc\" tests=\"%zu\" failures=\"%zu\">\n",
            failures ? failures : 1, failures);
    for (size_t i = 0; i < s->finding_count; i++) {
        const result r = finding_result(s->findings[i]);
        print_junit_case(to, &r);
    }
    for (size_t i = 0; i < s->site_count; i++) {
        if (s->sites[i].count.live_blocks) {
            const result r = leak_result(&s->sites[i]);
            print_junit_case(to, &r);
        }
    }
    if (s->is_cut) {
        const result r = {"cut", s->path, NULL, 0, SNAPSHOT_CUT};
        print_junit_case(to, &r);
    }
    if (!failures) {
        fputs("  <testcase classname=\"hostmalloc\" name=\"no mistakes, no leaks\"/>\n",
              to);
    }
    fputs("</testsuite>\n", to);
}
