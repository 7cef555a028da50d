/* SPDX-License-Identifier: MIT */
/* Runs one clause over every kind of malloc object, in a process of its own, and what clauses share. */
#include "kit.h"

#include <setjmp.h>
#include <stdarg.h>

const kit_group *const kit_groups[] = {
    &kit_blocks, &kit_reallocs, &kit_requests, &kit_sizes,   &kit_owners,  &kit_records,
    &kit_stats,  &kit_life,     &kit_closing,  &kit_limits,  &kit_threads, &kit_verdicts,
    &kit_create, &kit_objects,  &kit_pages,    &kit_notices, &kit_module,  NULL};

static const kit_kind kinds[] = {
    {"plain", 0, 0},
    {"threadsafe", HM_MALLOC_THREADSAFE, 0},
    {"one-thread", HM_MALLOC_ONE_THREAD, 0},
    {"scoped", HM_MALLOC_SCOPED, 0},
    {"scoped threadsafe", HM_MALLOC_SCOPED | HM_MALLOC_THREADSAFE, 0},
    {"scoped one-thread", HM_MALLOC_SCOPED | HM_MALLOC_ONE_THREAD, 0},
    {"exact threadsafe", HM_MALLOC_EXACT | HM_MALLOC_THREADSAFE, 0},
    {"limited", HM_MALLOC_THREADSAFE, (size_t)1 << 30},
    {"executable", HM_MALLOC_EXECUTABLE, 0},
};

/* This process runs one clause. */
static kit_page *page;
static jmp_buf passed_over;

/* Only who comes first has a say, be it another thread or a forked child: the result is the clause's. */
static void decide(enum kit_outcome outcome)
{
    uint32_t open = KIT_PAGE_OPEN;
    if (!__atomic_compare_exchange_n(&page->state, &open, KIT_PAGE_TAKEN, 0,
                                     __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        while (__atomic_load_n(&page->state, __ATOMIC_ACQUIRE) != KIT_PAGE_DECIDED) {
            kit_yield();
        }
        kit_end_process();
    }
    page->result.outcome = outcome;
}

static void decided(void)
{
    __atomic_store_n(&page->state, KIT_PAGE_DECIDED, __ATOMIC_RELEASE);
}

void kit_fail(kit *k, const char *expected, const char *found, ...)
{
    va_list arguments;
    (void)k;
    decide(KIT_FAILED);
    snprintf(page->result.expected, sizeof page->result.expected, "%s", expected);
    va_start(arguments, found);
    vsnprintf(page->result.found, sizeof page->result.found, found, arguments);
    va_end(arguments);
    decided();
    kit_end_process();
}

void kit_pass_over(kit *k, const char *reason, ...)
{
    va_list arguments;
    (void)k;
    va_start(arguments, reason);
    vsnprintf(page->result.found, sizeof page->result.found, reason, arguments);
    va_end(arguments);
    longjmp(passed_over, 1);
}

/* A kind that is refused for a wrong reason is found by the clause about kinds, and passed over by all others. */
static void open_malloc(kit *k)
{
    const hm_malloc_opts opts = {sizeof opts, "kit", k->kind->flags, 0, k->kind->limit};
    const hm_status status = hm_host_create_malloc_opts(k->host, &opts, &k->m, NULL);
    if (status != HM_OK) {
        kit_pass_over(k, "no %s malloc: %s", k->kind->label, hm_status_name(status));
    }
}

/* 1: held. */
static int run_once(const kit_clause *clause, kit *k)
{
    const int not_offered = setjmp(passed_over);
    if (!not_offered) {
        if (k->kind) {
            open_malloc(k);
        }
        clause->run(k);
    }
    hm_malloc_release(k->m);
    k->m = NULL;
    return !not_offered;
}

typedef struct order {
    const kit_subject *subject;
    const kit_clause *clause;
} order;

static void load(const kit_subject *subject, kit *k)
{
    hm_error err;
    if (subject->module && hm_registry_load(subject->module, &err) != HM_OK) {
        kit_fail(k, "a module that the registry accepts", "%s: %s", err.where, err.what);
    }
}

static void run_clause(void *context, kit_page *shared)
{
    const order *o = context;
    const enum kit_scope scope = o->clause->scope;
    kit k = {.subject = o->subject};
    hm_error err;
    int held = 0;
    page = shared;
    if (scope != KIT_MODULE) {
        load(o->subject, &k);
    }
    if ((scope == KIT_MALLOC || scope == KIT_HOST) &&
        hm_host_open(o->subject->spec, &k.host, &err) != HM_OK) {
        kit_fail(&k, "a spec that opens", "%s: %s", err.where, err.what);
    }
    for (size_t i = 0; i < (scope == KIT_MALLOC ? KIT_COUNT(kinds) : 1); i++) {
        k.kind = scope == KIT_MALLOC ? &kinds[i] : NULL;
        snprintf(page->result.kind, sizeof page->result.kind, "%s",
                 k.kind ? k.kind->label : "");
        held |= run_once(o->clause, &k);
    }
    hm_host_release(k.host);
    decide(held ? KIT_HELD : KIT_NOT_OFFERED);
    decided();
}

void kit_run(const kit_subject *subject,
             const kit_clause *clause,
             unsigned limit_ms,
             kit_result *out)
{
    order o = {subject, clause};
    const kit_page *answer;
    char end[200];
    const uint64_t begin = hm_core_table()->now_ns();
    const int ended_well =
        kit_isolate(run_clause, &o, subject->verbose, limit_ms, &answer, end, sizeof end);
    *out = answer->result;
    out->clause = clause;
    out->ms = (unsigned)((hm_core_table()->now_ns() - begin) / 1000000);
    if (!ended_well) {
        out->outcome = KIT_FAILED;
        snprintf(out->expected, sizeof out->expected, "%s", clause->promise);
        snprintf(out->found, sizeof out->found, "%s", end);
    } else if (out->outcome == KIT_HELD) {
        out->found[0] = '\0'; /* some kinds of malloc may have been passed over */
    }
}

static int note_name(void *context, const hm_host_info *info, const char *origin)
{
    kit_names *names = context;
    if (strchr(origin, '/') && names->count < KIT_NAMES_MAX) {
        snprintf(names->names[names->count].name, KIT_NAME_SIZE, "%s", info->name);
        names->names[names->count].is_layer = info->kind == HM_KIND_LAYER;
        names->count++;
    }
    return 0;
}

static void probe(void *context, kit_page *shared)
{
    const kit_subject *subject = context;
    if (subject->module) {
        if (hm_registry_load(subject->module, &shared->names.err) == HM_OK) {
            hm_registry_visit(note_name, &shared->names);
        }
    } else {
        hm_host *host;
        shared->names.count =
            hm_host_open(subject->spec, &host, &shared->names.err) == HM_OK;
        hm_host_release(host);
    }
    page = shared;
    decided();
}

void kit_probe(const kit_subject *subject, kit_names *out)
{
    const kit_page *answer;
    char end[200];
    kit_subject what = *subject;
    if (kit_isolate(probe, &what, subject->verbose, 10000, &answer, end, sizeof end)) {
        *out = answer->names;
    } else {
        memset(out, 0, sizeof *out);
        hm_error_set(&out->err, HM_E_OS,
                     subject->module ? subject->module : subject->spec, "opening it: %s",
                     end);
    }
}
