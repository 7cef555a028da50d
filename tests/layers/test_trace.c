/* SPDX-License-Identifier: MIT */
/* The trace layer: what it records, that the file is good at every instant, and that a replay of it makes the same
 * calls. */
#include <hostmalloc/hostmalloc.h>
#include <hostmalloc/trace.h>

#include "check.h"
#include "memory_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define SHARED  64

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static hm_host *open_host(const char *spec)
{
    hm_host *host = NULL;
    hm_error err;
    if (hm_host_open(spec, &host, &err) != HM_OK) {
        fail_msg("%s: %s: %s", spec, err.where, err.what);
    }
    return host;
}

static hm_host *open_file(const char *name, const char *options, const char *below)
{
    char spec[256];
    snprintf(spec, sizeof spec, "trace:file=%s%s+%s", in_folder(name), options, below);
    return open_host(spec);
}

static hm_malloc *create(hm_host *host, uint32_t flags)
{
    hm_malloc *m = NULL;
    assert_int_equal(hm_host_create_malloc(host, NULL, flags, &m, NULL), HM_OK);
    return m;
}

static const hm_trace_record *records_of(const hm_trace_header *header)
{
    return (const hm_trace_record *)((const char *)header + header->records_at);
}

static const hm_trace_site *sites_of(const hm_trace_header *header)
{
    return (const hm_trace_site *)((const char *)header + header->header_bytes);
}

static void trace__without_options_does_no_harm(void **state)
{
    (void)state;
    hm_host *host = open_host("trace+default");
    hm_malloc *m = create(host, 0);
    void *block = hm_alloc(m, 100);
    assert_non_null(block);
    assert_int_equal(hm_free(m, block), HM_OK);
    assert_int_equal(hm_free(m, NULL), HM_OK);
    const hm_trace_header *header = hm_trace_header_of(host);
    assert_non_null(header);
    assert_int_equal(header->next, 3); /* made, allocated, freed */
    assert_int_equal(header->dropped, 0);
    hm_malloc_release(m);
    hm_host_release(host);
    host = open_host("default");
    assert_null(hm_trace_header_of(host));
    hm_host_release(host);
}

static void make_calls(hm_malloc *m, void **blocks)
{
    blocks[0] = hm_alloc_at(m, 10, HM_LEVEL_DOMAIN, NULL);
    blocks[1] = hm_alloc_zeroed(m, 3, 5);
    blocks[2] = hm_alloc_aligned(m, 20, 256);
    blocks[3] = hm_realloc(m, blocks[0], 5000);
    assert_null(hm_alloc_aligned(m, 20, 24));
    assert_null(hm_alloc_zeroed(m, SIZE_MAX, 2));
    hm_free_sized(m, blocks[1], 15);
    hm_free(m, blocks[2]);
    hm_free(m, blocks[3]);
}

static void trace__records_every_kind(void **state)
{
    static const struct {
        uint8_t kind;
        uint64_t bytes;
        int in, out; /* which block, -1 none */
        uint8_t alignment_log2;
    } rows[] = {
        {HM_TRACE_CREATE_MALLOC, HM_MALLOC_THREADSAFE, -1, -1, 0},
        {HM_TRACE_ALLOC, 10, -1, 0, 0},
        {HM_TRACE_ZEROED, 15, -1, 1, 0},
        {HM_TRACE_ALIGNED, 20, -1, 2, 8},
        {HM_TRACE_REALLOC, 5000, 0, 3, 0},
        {HM_TRACE_ALIGNED, 20, -1, -1, HM_TRACE_NOT_ALIGNED},
        {HM_TRACE_ZEROED, UINT64_MAX, -1, -1, 0},
        {HM_TRACE_FREE_SIZED, 15, 1, -1, 0},
        {HM_TRACE_FREE, UINT64_MAX, 2, -1, 0},
        {HM_TRACE_FREE, UINT64_MAX, 3, -1, 0},
        {HM_TRACE_CLOSE, 0, -1, -1, 0},
        {HM_TRACE_RELEASE, 0, -1, -1, 0},
    };
    void *blocks[4];
    (void)state;
    hm_host *host = open_host("trace+debug+default");
    hm_malloc *m = create(host, HM_MALLOC_THREADSAFE);
    make_calls(m, blocks);
    hm_malloc_close(m);
    hm_malloc_release(m);
    const hm_trace_header *header = hm_trace_header_of(host);
    const hm_trace_record *records = records_of(header);
    assert_int_equal(header->next, COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) {
        char label[16];
        const hm_trace_record *r = &records[i];
        snprintf(label, sizeof label, "record %zu", i);
        CHECK_ROW(label, r->state == HM_TRACE_STATE(i, HM_TRACE_STATE_FINISHED));
        CHECK_ROW(label, r->kind == rows[i].kind && r->bytes == rows[i].bytes);
        CHECK_ROW(label, r->malloc_number == 1 && r->thread == records[0].thread);
        CHECK_ROW(label, r->alignment_log2 == rows[i].alignment_log2);
        CHECK_ROW(label, r->finished == i + 1 && r->time >= header->started_ns);
        CHECK_ROW(label,
                  r->block == (uintptr_t)(rows[i].in < 0 ? NULL : blocks[rows[i].in]));
        CHECK_ROW(label,
                  r->result == (uintptr_t)(rows[i].out < 0 ? NULL : blocks[rows[i].out]));
    }
    assert_int_equal(records[1].level, HM_LEVEL_DOMAIN);
    assert_int_equal(records[2].level, HM_LEVEL_CURRENT);
    const hm_trace_site *site = &sites_of(header)[records[2].site - 1];
    assert_int_equal(site->state, HM_TRACE_SITE_WHOLE);
    assert_string_equal(site->function, "make_calls");
    assert_non_null(strstr(site->file, "test_trace.c"));
    hm_host_release(host);
}

static void trace__records_verdicts(void **state)
{
    (void)state;
    hm_host *host = open_host("trace+debug:report=/dev/null+default");
    hm_malloc *m = create(host, 0);
    void *block = hm_alloc(m, 10);
    assert_int_equal(hm_free(m, (char *)block + 16), HM_E_NOT_OWNED);
    assert_int_equal(hm_free(m, block), HM_OK);
    const hm_trace_record *records = records_of(hm_trace_header_of(host));
    assert_true((int64_t)records[2].result == HM_E_NOT_OWNED);
    assert_true((int64_t)records[3].result == HM_OK);
    hm_malloc_release(m);
    hm_host_release(host);
}

static void trace__asks_for_sites_when_told_to(void **state)
{
    static const struct {
        const char *spec;
        int wants;
    } rows[] = {{"trace+default", 0}, {"trace:sites=yes+default", 1}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        hm_host *host = open_host(rows[i].spec);
        hm_malloc *m = create(host, 0);
        hm_free(m, hm_alloc(m, 1));
        const hm_trace_record *records = records_of(hm_trace_header_of(host));
        CHECK_ROW(rows[i].spec, (records[1].site != 0) == rows[i].wants);
        CHECK_ROW(rows[i].spec, !!(m->flags & HM_MALLOC_DEBUG) == rows[i].wants);
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

static void trace__wraps_and_keeps_the_end(void **state)
{
    (void)state;
    hm_host *host = open_host("trace:size=4096,times=no+default");
    hm_malloc *m = create(host, 0);
    const hm_trace_header *header = hm_trace_header_of(host);
    assert_int_equal(header->record_count, 64);
    for (int i = 0; i < 1000; i++) {
        hm_free(m, hm_alloc(m, (size_t)i));
    }
    assert_int_equal(header->next, 2001);
    assert_int_equal(header->dropped, 0);
    for (uint64_t i = header->next - 64; i < header->next; i++) {
        const hm_trace_record *r = &records_of(header)[i % 64];
        assert_true(r->state == HM_TRACE_STATE(i, HM_TRACE_STATE_FINISHED));
        assert_int_equal(r->time, 0);
        if (r->kind == HM_TRACE_ALLOC) {
            assert_int_equal(r->bytes, (i - 1) / 2);
        }
    }
    hm_malloc_release(m);
    hm_host_release(host);
}

/* Four threads with blocks that cross. */
typedef struct crew {
    hm_malloc *m;
    void *shared[SHARED]; /* atomic */
    uint32_t calls;
    uint32_t stop; /* atomic */
} crew;

static void *churn(void *context)
{
    crew *c = context;
    uint32_t seed = (uint32_t)(uintptr_t)&seed >> 4;
    for (uint32_t i = 0; i < c->calls && !__atomic_load_n(&c->stop, __ATOMIC_RELAXED);
         i++) {
        seed = seed * 1664525 + 1013904223;
        void *fresh = seed & 0x100 ? hm_alloc(c->m, seed >> 22)
                                   : hm_alloc_aligned(c->m, seed >> 22, 64);
        if (seed & 0x200) {
            fresh = hm_realloc(c->m, fresh, seed >> 21);
        }
        hm_free(c->m, __atomic_exchange_n(&c->shared[(seed >> 12) % SHARED], fresh,
                                          __ATOMIC_ACQ_REL));
    }
    return NULL;
}

static void churn_all(hm_malloc *m, uint32_t calls)
{
    crew c = {.m = m, .calls = calls};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &c), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < SHARED; i++) {
        hm_free(m, c.shared[i]);
    }
}

/* Runs the replay; its exit code, and what it printed in `said`. */
static char said[8192];
static int replay(const char *path, const char *options)
{
    char call[512];
    snprintf(call, sizeof call, "%s replay %s %s 2>&1", REPLAY_COMMAND, path, options);
    FILE *output = popen(call, "r");
    assert_non_null(output);
    said[fread(said, 1, sizeof said - 1, output)] = '\0';
    const int status = pclose(output);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The number after "key": in the JSON that was printed. */
static uint64_t figure(const char *key)
{
    char quoted[40];
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *found = strstr(said, quoted);
    if (!found) {
        fail_msg("no %s in: %s", key, said);
    }
    return strtoull(found + strlen(quoted), NULL, 10);
}

static void replay__makes_the_same_calls(void **state)
{
    static const char *const specs[] = {"default", "mimalloc", "debug+default",
                                        "limit:hard=1G+default", "trace+default"};
    (void)state;
    hm_host *host = open_file("whole", ",size=8M", "default");
    hm_malloc *m = create(host, HM_MALLOC_THREADSAFE);
    hm_malloc *scoped = create(host, HM_MALLOC_SCOPED);
    (void)hm_alloc(scoped, 5000); /* freed by the release */
    churn_all(m, 5000);
    hm_malloc_release(scoped);
    hm_malloc_release(m);
    const uint64_t calls = hm_trace_header_of(host)->next;
    hm_host_release(host);
    for (size_t i = 0; i < COUNT(specs); i++) {
        char options[80];
        snprintf(options, sizeof options, "--json --host %s", specs[i]);
        const int code = replay(in_folder("whole"), options);
        if (code != 0) {
            fail_msg("%s: exit %d: %s", specs[i], code, said);
        }
        CHECK_ROW(specs[i], strstr(said, "\"counters_agree\": true"));
        CHECK_ROW(specs[i], figure("threads") == THREADS + 1);
        CHECK_ROW(specs[i], figure("mallocs") == 2);
        CHECK_ROW(specs[i], figure("unknown") == 0 && figure("left") == 0);
        CHECK_ROW(specs[i], figure("failed") == 0 && figure("damaged") == 0);
        CHECK_ROW(specs[i], figure("alloc") + figure("aligned") + figure("realloc") +
                                    figure("free") + figure("create_malloc") +
                                    figure("release") ==
                                calls);
    }
}

static void replay__says_that_the_ring_has_wrapped(void **state)
{
    (void)state;
    hm_host *host = open_file("wrapped", ",size=64K", "default");
    hm_malloc *m = create(host, HM_MALLOC_THREADSAFE);
    churn_all(m, 3000);
    hm_malloc_release(m);
    hm_host_release(host);
    assert_int_equal(replay(in_folder("wrapped"), "--json --host default"), 0);
    assert_true(figure("overwritten") > 0);
    assert_true(figure("unknown") > 0);
    assert_non_null(strstr(said, "\"counters_agree\": true"));
    assert_int_equal(replay(in_folder("wrapped"), "--host default"), 0);
    assert_non_null(strstr(said, "the ring has wrapped"));
}

static void replay__shows_a_host_that_refuses(void **state)
{
    (void)state;
    hm_host *host = open_file("large", "", "default");
    hm_malloc *m = create(host, 0);
    hm_free(m, hm_alloc(m, 100000));
    hm_malloc_release(m);
    hm_host_release(host);
    assert_int_equal(replay(in_folder("large"), "--json --host limit:hard=64K+default"),
                     1);
    assert_int_equal(figure("failed"), 1);
    assert_non_null(strstr(said, "\"counters_agree\": false"));
}

/* Shared with a child that is killed at some point. */
static void run_until_killed(const char *name)
{
    hm_host *host = open_file(name, ",size=1M", "default");
    crew c = {.m = create(host, HM_MALLOC_THREADSAFE), .calls = UINT32_MAX};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, churn, &c);
    }
    pthread_join(threads[0], NULL);
}

static void check_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    hm_trace_header header;
    hm_trace_record r;
    uint64_t finished = 0, begun = 0;
    assert_non_null(file);
    assert_int_equal(fread(&header, sizeof header, 1, file), 1);
    assert_string_equal(header.magic, HM_TRACE_MAGIC);
    fseek(file, (long)header.records_at, SEEK_SET);
    for (uint64_t i = 0; i < header.record_count; i++) {
        assert_int_equal(fread(&r, sizeof r, 1, file), 1);
        const uint32_t step = HM_TRACE_STEP(r.state);
        finished += step == HM_TRACE_STATE_FINISHED;
        begun += step == HM_TRACE_STATE_BEGUN || step == HM_TRACE_STATE_FINISHING;
        if (step == HM_TRACE_STATE_FINISHED) {
            assert_int_equal(HM_TRACE_NUMBER(r.state) % header.record_count, i);
            assert_in_range(r.kind, 1, HM_TRACE_KINDS - 1);
            assert_true(HM_TRACE_NUMBER(r.state) < r.finished &&
                        r.finished <= header.next);
        }
    }
    fclose(file);
    assert_true(finished > 0);
    assert_in_range(begun, 0, THREADS); /* no thread has more than one call under way */
}

static void trace__is_good_after_sigkill_at_any_point(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            run_until_killed("killed");
            _exit(0);
        }
        /* Not before it records: until then there is no file to be good. */
        char magic[8] = "";
        for (int tries = 0; tries < 2000 && !magic[0]; tries++) {
            FILE *file = fopen(in_folder("killed"), "rb");
            if (file) {
                (void)!fread(magic, sizeof magic, 1, file);
                fclose(file);
            }
            usleep(1000);
        }
        usleep((useconds_t)(5000 + i * 1777));
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        check_file(in_folder("killed"));
        const int code = replay(in_folder("killed"), "--json --host default");
        if (code != 0) {
            fail_msg("exit %d: %s", code, said);
        }
        assert_true(figure("unfinished") + figure("torn") <= THREADS);
        unlink(in_folder("killed"));
    }
}

/* Called inside an allocation. */
static size_t die(void *context, hm_pressure pressure)
{
    (void)context, (void)pressure;
    kill(getpid(), SIGKILL);
    return 0;
}

static void trace__shows_a_call_that_never_came_back(void **state)
{
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        hm_host *host = open_file("last", "", "limit:soft=100,hard=200+default");
        hm_malloc *m = create(host, 0);
        (void)hm_alloc(m, 50);
        hm_host_subscribe(host, die, NULL);
        (void)hm_alloc_at(m, 100, HM_LEVEL_DOMAIN, NULL);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(replay(in_folder("last"), "--json --host default"), 0);
    assert_int_equal(figure("unfinished"), 1);
    assert_int_equal(figure("left"), 1);
}

static void fork__child_has_its_own_ring(void **state)
{
    (void)state;
    hm_host *host = open_file("forked-%p", ",size=64K", "default");
    hm_malloc *m = create(host, HM_MALLOC_THREADSAFE);
    void *block = hm_alloc(m, 10);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const hm_trace_header *own = hm_trace_header_of(host);
        hm_free(m, block);
        void *other = hm_alloc(m, 20);
        const int good = own && own->next == 2 && own->process == (uint32_t)getpid();
        hm_free(m, other);
        hm_malloc_release(m);
        hm_host_release(host);
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(hm_trace_header_of(host)->next,
                     2); /* made, allocated: nothing of the child's */
    hm_free(m, block);
    hm_malloc_release(m);
    hm_host_release(host);
    char name[40];
    snprintf(name, sizeof name, "forked-%d", (int)child);
    assert_int_equal(replay(in_folder(name), "--json --host default"), 0);
    assert_int_equal(figure("unknown"), 1);
}

static void replay__refuses_what_is_no_recording(void **state)
{
    static const struct {
        const char *label;
        long at;             /* what is overwritten */
        const char bytes[9]; /* with what */
        size_t count;
        long cut;         /* or where the file ends */
        const char *said; /* part of the sentence */
    } rows[] = {
        {"foreign", 0, "SQLite 3", 8, 0, "found no recording"},
        {"byte order", 8, "\1\2\3\4", 4, 0, "byte order"},
        {"version", 12, "\2\0\0\0", 4, 0, "found version 2, expected 1"},
        {"records", 28, "\100\1\0\0", 4, 0, "found record bytes 320, expected 64"},
        {"count", 40, "\3\0\0\0\0\0\0", 8, 0, "power of two"},
        {"cut", 0, "", 0, 70000, "found a file of bytes: 70000"},
        {"short", 0, "", 0, 20, "found a file of bytes: 20"},
        {"empty", 0, "", 0, 1, "found a file of bytes: 1"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        hm_host *host = open_file("bad", ",size=64K", "default");
        hm_host_release(host);
        FILE *file = fopen(in_folder("bad"), "r+b");
        assert_non_null(file);
        fseek(file, rows[i].at, SEEK_SET);
        fwrite(rows[i].bytes, 1, rows[i].count, file);
        fclose(file);
        if (rows[i].cut) {
            assert_int_equal(truncate(in_folder("bad"), rows[i].cut), 0);
        }
        const int code = replay(in_folder("bad"), "--host default");
        if (code != 1 || !strstr(said, rows[i].said)) {
            fail_msg("%s: exit %d: %s", rows[i].label, code, said);
        }
    }
}

static void replay__refuses_a_wrong_command_line(void **state)
{
    static const struct {
        const char *arguments;
        const char *said;
    } rows[] = {
        {"", "missing: TRACE"},
        {"x", "missing: --host SPEC"},
        {"x --host", "a spec is missing"},
        {"x y --host default", "one recording only"},
        {"--what", "unknown option"},
        {"/nonexistent/x --host default", "No such file"},
        {"x --host nonesuch", "nonesuch"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const int code = replay(rows[i].arguments, "");
        if (code != 2 || !strstr(said, rows[i].said)) {
            fail_msg("%s: exit %d: %s", rows[i].arguments, code, said);
        }
    }
}

static void open__refuses(void **state)
{
    static const struct {
        const char *spec;
        hm_status status;
    } rows[] = {
        {"trace:file=/nonexistent/folder/x+default", HM_E_OS},
        {"trace:size=1000000G+default", HM_E_INVALID},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        hm_host *host = NULL;
        hm_error err;
        CHECK_ROW(rows[i].spec,
                  hm_host_open(rows[i].spec, &host, &err) == rows[i].status);
        CHECK_ROW(rows[i].spec, !host && strstr(err.where, "trace"));
    }
}

/* Every private allocation of opening, making and using fails once. */
static void memory__short_at_each_allocation(void **state)
{
    (void)state;
    hm_host *kept = open_host("trace+default"); /* modules are in */
    for (uint64_t nth = 1;; nth++) {
        hm_host *host = NULL;
        hm_malloc *m = NULL;
        hm_error err;
        hm__memory_fail_from(nth);
        hm_status status = hm_host_open("trace+default", &host, &err);
        if (status == HM_OK) {
            status = hm_host_create_malloc(host, NULL, 0, &m, &err);
        }
        if (status == HM_OK) {
            hm_free(m, hm_alloc(m, 10));
        }
        hm__memory_fail_from(0);
        assert_true(status == HM_OK || status == HM_E_NOMEM);
        hm_malloc_release(m);
        hm_host_release(host);
        if (status == HM_OK) {
            assert_true(nth > 2);
            break;
        }
    }
    hm_host_release(kept);
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/hm-trace-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state)
{
    char call[96];
    (void)state;
    snprintf(call, sizeof call, "rm -rf %s", folder);
    return system(call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trace__without_options_does_no_harm),
        cmocka_unit_test(trace__records_every_kind),
        cmocka_unit_test(trace__records_verdicts),
        cmocka_unit_test(trace__asks_for_sites_when_told_to),
        cmocka_unit_test(trace__wraps_and_keeps_the_end),
        cmocka_unit_test(replay__makes_the_same_calls),
        cmocka_unit_test(replay__says_that_the_ring_has_wrapped),
        cmocka_unit_test(replay__shows_a_host_that_refuses),
        cmocka_unit_test(trace__is_good_after_sigkill_at_any_point),
        cmocka_unit_test(trace__shows_a_call_that_never_came_back),
        cmocka_unit_test(fork__child_has_its_own_ring),
        cmocka_unit_test(replay__refuses_what_is_no_recording),
        cmocka_unit_test(replay__refuses_a_wrong_command_line),
        cmocka_unit_test(open__refuses),
        cmocka_unit_test(memory__short_at_each_allocation),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
