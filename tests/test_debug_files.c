/* SPDX-License-Identifier: MIT */
/* Files of reports and snapshots: whose they are after a fork, and in a process without standard streams. */
#include "debug_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t file_read(const char *path, char *to, size_t size)
{
    FILE *file = fopen(path, "r");
    const size_t length = file ? fread(to, 1, size - 1, file) : 0;
    to[length] = '\0';
    if (file) {
        fclose(file);
    }
    return length;
}

static void free_twice(hm_malloc *m, const char *file)
{
    void *block = hm_debug_alloc(m, 10, 0, file, 1);
    hm_debug_free(m, block, file, 2);
    hm_debug_free(m, block, file, 3);
}

typedef struct paths {
    char spec[200];
    char report[2][64]; /* the parent's, the child's */
    char snapshot[2][64];
} paths;

/* own: with the process number in the names. */
static void paths_make(paths *out, int own)
{
    const long me = (long)getpid();
    const char *mark = own ? "-%p" : "";
    snprintf(out->spec, sizeof(out->spec),
             "debug:report=/tmp/hm-files-r-%ld%s,snapshot=/tmp/hm-files-s-%ld%s", me,
             mark, me, mark);
    snprintf(out->report[0], sizeof(out->report[0]), "/tmp/hm-files-r-%ld", me);
    snprintf(out->snapshot[0], sizeof(out->snapshot[0]), "/tmp/hm-files-s-%ld", me);
}

static void paths_number(paths *out, unsigned which, long process)
{
    snprintf(out->report[which], sizeof(out->report[which]), "/tmp/hm-files-r-%ld-%ld",
             (long)getpid(), process);
    snprintf(out->snapshot[which], sizeof(out->snapshot[which]),
             "/tmp/hm-files-s-%ld-%ld", (long)getpid(), process);
}

static void fixture_open_spec(debug_fixture *f, const char *spec)
{
    assert_int_equal(hm_host_open(spec, &f->host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(f->host, "files", 0, &f->m, NULL), HM_OK);
}

static void fixture_end(debug_fixture *f)
{
    hm_malloc_release(f->m);
    hm_host_release(f->host);
}

static void files__are_the_childs_own_where_they_are_numbered(void **state)
{
    static char text[20000];
    (void)state;
    for (int own = 0; own < 2; own++) {
        debug_fixture f;
        paths p;
        int status = 0;
        paths_make(&p, own);
        fixture_open_spec(&f, p.spec);
        const pid_t child = fork();
        if (child == 0) {
            free_twice(f.m, "child.c");
            fixture_end(&f);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        free_twice(f.m, "parent.c");
        fixture_end(&f);
        if (own) {
            paths_number(&p, 0, (long)getpid());
            paths_number(&p, 1, (long)child);
            file_read(p.report[1], text, sizeof(text));
            assert_non_null(strstr(text, "freed again  child.c:3"));
            file_read(p.snapshot[1], text, sizeof(text));
            assert_non_null(strstr(text, "child.c"));
            assert_non_null(strstr(text, "\"type\":\"end\""));
            unlink(p.report[1]);
            unlink(p.snapshot[1]);
        }
        file_read(p.report[0], text, sizeof(text));
        assert_non_null(strstr(text, "freed again  parent.c:3"));
        assert_int_equal(strstr(text, "child.c") == NULL, own);
        file_read(p.snapshot[0], text, sizeof(text));
        assert_memory_equal(text, "{\"type\":\"snapshot\"", 18);
        assert_null(strstr(text + 18, "\"type\":\"snapshot\""));
        assert_non_null(strstr(text, "parent.c"));
        assert_null(strstr(text, "child.c"));
        unlink(p.report[0]);
        unlink(p.snapshot[0]);
    }
}

/* Blocks a child was born with are its parent's; what it makes on a host of its own is not. */
static void files__tell_no_child_of_its_parents_blocks(void **state)
{
    static char text[20000];
    char path[2][64], spec[2][160];
    debug_fixture f;
    int status = 0;
    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof(path[i]), "/tmp/hm-files-%d-%ld", i, (long)getpid());
        snprintf(spec[i], sizeof(spec[i]), "debug:report=%s", path[i]);
    }
    fixture_open_spec(&f, spec[0]);
    void *block = hm_debug_alloc(f.m, 10, 0, "parents.c", 1);
    const pid_t child = fork();
    if (child == 0) {
        fixture_open_spec(&f, spec[1]);
        hm_debug_alloc(f.m, 10, 0, "childs.c", 1);
        exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    hm_free(f.m, block);
    fixture_end(&f);
    assert_int_equal(file_read(path[0], text, sizeof(text)), 0);
    file_read(path[1], text, sizeof(text));
    assert_non_null(strstr(text, "childs.c:1"));
    unlink(path[0]);
    unlink(path[1]);
}

/* What goes to standard error must not land in whatever file was opened in its place. */
static void files__do_not_take_the_place_of_standard_streams(void **state)
{
    static char text[20000];
    char path[64], spec[100];
    int status = 0;
    (void)state;
    snprintf(path, sizeof(path), "/tmp/hm-files-n-%ld", (long)getpid());
    snprintf(spec, sizeof(spec), "debug:snapshot=%s", path);
    const pid_t child = fork();
    if (child == 0) {
        debug_fixture f;
        close(0);
        close(1);
        close(2);
        fixture_open_spec(&f, spec);
        free_twice(f.m, "closed.c");
        fixture_end(&f);
        _exit(fcntl(2, F_GETFD) >= 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    file_read(path, text, sizeof(text));
    assert_memory_equal(text, "{\"type\":\"snapshot\"", 18);
    assert_null(strstr(text, "==hostmalloc=="));
    unlink(path);
}

static void files__that_take_nothing_are_answered(void **state)
{
    static const struct {
        const char *path;
        int mode;
        hm_status expected;
    } cases[] = {{"/dev/full", O_WRONLY, HM_E_OS},
                 {"/dev/null", O_RDONLY, HM_E_OS},
                 {"/dev/null", O_WRONLY, HM_OK},
                 {NULL, 0, HM_E_OS}};
    debug_fixture f;
    (void)state;
    fixture_open_spec(&f, "debug:leaks=no,frames=4");
    void *block = hm_debug_alloc(f.m, 10, 0, "kept.c", 1);
    hm_debug *const asked[] = {hm_debug_of_host(f.host), hm_debug_of_malloc(f.m)};
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        const char *path = cases[i / 2].path;
        const int fd = path ? open(path, cases[i / 2].mode) : -1;
        errno = 77;
        assert_int_equal(hm_debug_report(asked[i & 1], fd), cases[i / 2].expected);
        assert_int_equal(hm_debug_snapshot(asked[i & 1], fd), cases[i / 2].expected);
        assert_int_equal(errno, 77);
        if (path) {
            close(fd);
        }
    }
    hm_free(f.m, block);
    /* Nothing to say, nothing lost. */
    assert_int_equal(hm_debug_report(asked[1], -1), HM_OK);
    fixture_end(&f);
}

/* A pipe that nobody reads is no end of the program either. */
static void files__may_be_pipes_that_nobody_reads(void **state)
{
    debug_fixture f;
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    fixture_open_spec(&f, "debug:leaks=no");
    void *block = hm_debug_alloc(f.m, 10, 0, "kept.c", 1);
    assert_int_equal(hm_debug_report(hm_debug_of_host(f.host), ends[1]), HM_E_OS);
    assert_int_equal(hm_debug_snapshot(hm_debug_of_host(f.host), ends[1]), HM_E_OS);
    hm_free(f.m, block);
    fixture_end(&f);
    close(ends[1]);
}

/* In a child whose standard error is a file: a mistake, another like it, and the end. */
static void child_of_lost_files(const char *spec, const char *errors, int is_limited)
{
    debug_fixture f;
    const int fd = open(errors, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || dup2(fd, 2) != 2) {
        _exit(100);
    }
    fixture_open_spec(&f, spec);
    if (is_limited) {
        /* The lines on standard error are shorter. */
        const struct rlimit small = {250, 250};
        setrlimit(RLIMIT_FSIZE, &small);
    }
    free_twice(f.m, "lost.c");
    errno = 77;
    free_twice(f.m, "lost.c");
    if (errno != 77) {
        _exit(101);
    }
    exit(3);
}

static void files__that_are_not_whole_are_told_once(void **state)
{
    static const struct {
        const char *options;
        const char *told; /* with the child's number */
        int is_limited;
    } cases[] = {
        {"report=/dev/null,snapshot=/dev/null", "", 0},
        {"report=/dev/full",
         "hostmalloc: host:debug: report: not all of it could be written, expected room "
         "in /dev/full (HM_E_OS, system code 28)\n",
         0},
        {"snapshot=/dev/full,report=/dev/full",
         "hostmalloc: host:debug: report: not all of it could be written, expected room "
         "in /dev/full (HM_E_OS, system code 28)\n"
         "hostmalloc: host:debug: snapshot: not all of it could be written, expected "
         "room in /dev/full (HM_E_OS, system code 28)\n",
         0},
        {"report=/tmp/hm-files-l-%p",
         "hostmalloc: host:debug: report: not all of it could be written, expected room "
         "in /tmp/hm-files-l-%p (HM_E_OS, system code 27)\n",
         1}};
    static char text[20000];
    char spec[200], errors[64], file[64], expected[512];
    (void)state;
    snprintf(errors, sizeof(errors), "/tmp/hm-files-e-%ld", (long)getpid());
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = 0;
        snprintf(spec, sizeof(spec), "debug:%s", cases[i].options);
        const pid_t child = fork();
        if (child == 0) {
            child_of_lost_files(spec, errors, cases[i].is_limited);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 3);
        const char *told = cases[i].told;
        const char *mark = strstr(told, "%p");
        if (mark) {
            snprintf(expected, sizeof(expected), "%.*s%ld%s", (int)(mark - told), told,
                     (long)child, mark + 2);
        } else {
            snprintf(expected, sizeof(expected), "%s", told);
        }
        file_read(errors, text, sizeof(text));
        assert_string_equal(text, expected);
        snprintf(file, sizeof(file), "/tmp/hm-files-l-%ld", (long)child);
        assert_int_equal(file_read(file, text, sizeof(text)),
                         cases[i].is_limited ? 250 : 0);
        unlink(file);
    }
    unlink(errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files__are_the_childs_own_where_they_are_numbered),
        cmocka_unit_test(files__tell_no_child_of_its_parents_blocks),
        cmocka_unit_test(files__do_not_take_the_place_of_standard_streams),
        cmocka_unit_test(files__that_take_nothing_are_answered),
        cmocka_unit_test(files__may_be_pipes_that_nobody_reads),
        cmocka_unit_test(files__that_are_not_whole_are_told_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
