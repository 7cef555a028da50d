/* SPDX-License-Identifier: MIT */
/* Recordings and their replay: the file is good at every instant, and a replay of it makes the same calls. */
#include "trace_check.h"

#include "sanitizer.h"

#include <signal.h>

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
    /* Last the one that ThreadSanitizer cannot see into. */
    static const char *const specs[] = {
        "default", "debug+default", "limit:hard=1G+default", "trace+default", "mimalloc"};
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
    for (size_t i = 0; i < COUNT(specs) - UNDER_TSAN; i++) {
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

/* One address, two blocks: the second allocation began first and came back last. */
static void replay__tells_blocks_of_one_address_apart(void **state)
{
    static const struct {
        uint32_t thread, kind;
        uint64_t bytes, in, out, finished;
    } rows[] = {
        {1, HM_TRACE_ALLOC, 1000, 0, 4096, 4}, {2, HM_TRACE_ALLOC, 8, 0, 4096, 2},
        {2, HM_TRACE_FREE, 0, 4096, 0, 3},     {2, HM_TRACE_ALLOC, 5, 0, 8192, 4},
        {2, HM_TRACE_FREE, 0, 4096, 0, 5},     {1, HM_TRACE_FREE, 0, 8192, 0, 6},
    };
    (void)state;
    hm_host_release(open_file("twice", ",size=4096", "default"));
    FILE *file = fopen(in_folder("twice"), "r+b");
    hm_trace_header header;
    assert_non_null(file);
    assert_int_equal(fread(&header, sizeof header, 1, file), 1);
    header.next = COUNT(rows);
    rewind(file);
    fwrite(&header, sizeof header, 1, file);
    fseek(file, (long)header.records_at, SEEK_SET);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const hm_trace_record r = {.state = HM_TRACE_STATE(i, HM_TRACE_STATE_FINISHED),
                                   .kind = (uint8_t)rows[i].kind,
                                   .thread = rows[i].thread,
                                   .malloc_number = 1,
                                   .bytes = rows[i].bytes,
                                   .block = rows[i].in,
                                   .result = rows[i].out,
                                   .finished = rows[i].finished};
        fwrite(&r, sizeof r, 1, file);
    }
    fclose(file);
    assert_int_equal(replay(in_folder("twice"), "--json --host debug+default"), 0);
    assert_int_equal(figure("peak_requested"), 1005);
    assert_int_equal(figure("blocks"), 3);
    assert_int_equal(figure("unknown") + figure("left"), 0);
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
        /* Not before a call is over: no thread has more than one under way. */
        hm_trace_header header = {.next = 0};
        for (int tries = 0; tries < 20000 && header.next <= 2 * THREADS; tries++) {
            FILE *file = fopen(in_folder("killed"), "rb");
            if (file) {
                (void)!fread(&header, sizeof header, 1, file);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replay__makes_the_same_calls),
        cmocka_unit_test(replay__tells_blocks_of_one_address_apart),
        cmocka_unit_test(replay__says_that_the_ring_has_wrapped),
        cmocka_unit_test(replay__shows_a_host_that_refuses),
        cmocka_unit_test(trace__is_good_after_sigkill_at_any_point),
        cmocka_unit_test(trace__shows_a_call_that_never_came_back),
        cmocka_unit_test(fork__child_has_its_own_ring),
        cmocka_unit_test(replay__refuses_what_is_no_recording),
        cmocka_unit_test(replay__refuses_a_wrong_command_line),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
