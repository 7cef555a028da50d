/* SPDX-License-Identifier: MIT */
/* The kinds of malloc object, and every case over every kind. */
#include "conformance.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static const kind kinds[] = {
    {"plain", 0, 0, 0},
    {"threadsafe", HM_MALLOC_THREADSAFE, 0, 0},
    {"one thread", HM_MALLOC_ONE_THREAD, 0, 0},
    {"one thread, long used", HM_MALLOC_ONE_THREAD, 0, 1000},
    {"scoped", HM_MALLOC_SCOPED, 0, 0},
    {"scoped threadsafe", HM_MALLOC_SCOPED | HM_MALLOC_THREADSAFE, 0, 0},
    {"scoped one thread", HM_MALLOC_SCOPED | HM_MALLOC_ONE_THREAD, 0, 0},
    {"exact", HM_MALLOC_EXACT, 0, 0},
    {"exact threadsafe", HM_MALLOC_EXACT | HM_MALLOC_THREADSAFE, 0, 0},
    {"exact scoped threadsafe", HM_MALLOC_EXACT | HM_MALLOC_SCOPED | HM_MALLOC_THREADSAFE,
     0, 0},
    {"limited", 0, (size_t)1 << 30, 0},
    {"limited scoped threadsafe", HM_MALLOC_SCOPED | HM_MALLOC_THREADSAFE,
     (size_t)1 << 30, 0},
    {"executable", HM_MALLOC_EXECUTABLE, 0, 0},
    {"executable threadsafe", HM_MALLOC_EXECUTABLE | HM_MALLOC_THREADSAFE, 0, 0},
};

static subject now;

typedef struct row {
    const char *spec;
    const kind *kind;
    const test_case *test;
} row;

hm_malloc *malloc_with(subject *s, uint32_t flags, size_t limit)
{
    const hm_malloc_opts opts = {sizeof opts, "conformance", flags, 0, limit};
    hm_malloc *m = NULL;
    hm_error err = {0};
    const hm_status status = hm_host_create_malloc_opts(s->host, &opts, &m, &err);
    if (status == HM_E_UNSUPPORTED) {
        assert_null(m);
        return NULL;
    }
    if (status != HM_OK) {
        fail_msg("%s: %s (%s)", err.where, err.what, hm_status_name(status));
    }
    assert_non_null(m);
    return m;
}

static void use(hm_malloc *m, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        void *block = hm_alloc(m, i % 1000);
        assert_non_null(block);
        assert_int_equal(hm_free(m, block), HM_OK);
    }
}

hm_malloc *sibling(subject *s)
{
    hm_malloc *m = malloc_with(s, s->kind->flags, s->kind->limit);
    assert_non_null(m);
    use(m, s->kind->used);
    return m;
}

long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%ld %ld", &size, &resident) != 2) {
            resident = 0;
        }
        fclose(f);
    }
    return resident;
}

typedef struct errand {
    void (*run)(void *context);
    void *context;
} errand;

static void *errand_run(void *argument)
{
    const errand *e = argument;
    e->run(e->context);
    return NULL;
}

void on_another_thread(void (*run)(void *context), void *context)
{
    errand e = {run, context};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, errand_run, &e), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static int subject_open(const char *spec, const kind *k)
{
    hm_error err = {0};
    memset(&now, 0, sizeof now);
    now.spec = spec;
    now.kind = k;
    if (hm_host_open(spec, &now.host, &err) != HM_OK) {
        hm_error_print(&err);
        return -1;
    }
    now.m = malloc_with(&now, k->flags, k->limit);
    use(now.m, now.m ? k->used : 0);
    return 0;
}

static int subject_close(void **state)
{
    (void)state;
    hm_malloc_release(now.m);
    hm_host_release(now.host);
    memset(&now, 0, sizeof now);
    return 0;
}

static int row_open(void **state)
{
    const row *r = *state;
    return subject_open(r->spec, r->kind);
}

static void row_run(void **state)
{
    const row *r = *state;
    r->test->run(&now);
}

/* A host may refuse a kind it cannot make; which ones is said in the output, and "default" may refuse none. */
static int is_offered(const char *spec, const kind *k)
{
    if (subject_open(spec, k) != 0) {
        exit(1);
    }
    const int offered = now.m != NULL;
    subject_close(NULL);
    if (!offered) {
        printf("%s: no %s malloc: HM_E_UNSUPPORTED\n", spec, k->label);
        if (strcmp(spec, "default") == 0 || !(k->flags & HM_MALLOC_EXECUTABLE)) {
            exit(1);
        }
    }
    return offered;
}

int main(int argc, char **argv)
{
    const char *spec = argc > 1 ? argv[1] : "default";
    const struct {
        const test_case *cases;
        size_t count;
        int once; /* not about the kind of malloc */
    } topics[] = {
        {block_cases, block_case_count, 0},   {realloc_cases, realloc_case_count, 0},
        {query_cases, query_case_count, 0},   {object_cases, object_case_count, 0},
        {ending_cases, ending_case_count, 0}, {contract_cases, contract_case_count, 0},
        {host_cases, host_case_count, 1},
    };
    size_t most = 0;
    for (size_t t = 0; t < COUNT(topics); t++) {
        most += topics[t].count * COUNT(kinds);
    }
    row *rows = calloc(most, sizeof *rows);
    struct CMUnitTest *tests = calloc(most, sizeof *tests);
    char(*names)[96] = calloc(most, sizeof *names);
    if (!rows || !tests || !names) {
        return 1;
    }
    size_t n = 0;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        if (!is_offered(spec, &kinds[k])) {
            continue;
        }
        for (size_t t = 0; t < COUNT(topics); t++) {
            for (size_t c = 0; c < topics[t].count && !(topics[t].once && k > 0); c++) {
                const row r = {spec, &kinds[k], &topics[t].cases[c]};
                rows[n] = r;
                snprintf(names[n], sizeof names[n], "%s [%s, %s]", r.test->name, spec,
                         kinds[k].label);
                tests[n].name = names[n];
                tests[n].test_func = row_run;
                tests[n].setup_func = row_open;
                tests[n].teardown_func = subject_close;
                tests[n].initial_state = &rows[n];
                n++;
            }
        }
    }
    const int failed = _cmocka_run_group_tests(spec, tests, n, NULL, NULL);
    free(names);
    free(tests);
    free(rows);
    return failed ? 1 : 0;
}
