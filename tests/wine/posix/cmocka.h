/* SPDX-License-Identifier: MIT */
/* As much of cmocka as our tests use, for a system that has no package of it: groups, fixtures, skips and assertions. A
 * failed assertion leaves the test; on a thread of the test's own it ends the program, as nobody could go on. */
#ifndef HM_TESTS_WINE_CMOCKA_H
#define HM_TESTS_WINE_CMOCKA_H

#include <process.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test_func;
    CMFixtureFunction setup_func;
    CMFixtureFunction teardown_func;
    void *initial_state;
};

/* One for all files of a program. */
struct cmocka__now {
    jmp_buf out;
    pthread_t thread;
    int skipped;
};
__attribute__((selectany)) struct cmocka__now cmocka__now = {.skipped = 0};

static inline void cmocka__leave(int skipped)
{
    cmocka__now.skipped = skipped;
    fflush(NULL);
    if (!pthread_equal(pthread_self(), cmocka__now.thread)) {
        fprintf(stderr, "failed on a thread of the test's own\n");
        _exit(99);
    }
    longjmp(cmocka__now.out, 1);
}

/* Cases that are not for this system, by their names or a part of it: not run, because they could not end cleanly. */
static inline const char *cmocka__absent(const char *name)
{
    static const struct {
        const char *part;
        const char *why;
    } absent[] = {
        {"fork", "there is no fork"},
        {"_child", "there is no fork"},
        {"status__os_code_is_recorded", "the system's code is not errno"},
        {"status__print", "the system's code is not errno"},
        {"contracts_111__", "there is no /proc; test_windows.c runs such a block"},
        {"ole__nobody_chose", "the names are the platform's own, which verify says"},
        {"ole__the_last_choice_holds", "the names are the platform's own"},
        {"ole__bad_choices", "the names are the platform's own"},
        {"open__reads_the_environment", "no variable of the environment is empty"},
    };
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        if (strstr(name, absent[i].part)) {
            return absent[i].why;
        }
    }
    return NULL;
}

/* Not cmocka's: leave a case that wants what this system does not have. */
static inline void cmocka_no(const char *what)
{
    printf("no %s here: ", what);
    cmocka__leave(1);
}

static inline void cmocka__fail_at(const char *file, int line)
{
    fprintf(stderr, "[   LINE   ] --- %s:%d: error: Failure!\n", file, line);
    cmocka__leave(0);
}

static inline void cmocka__check(int holds, const char *text, const char *file, int line)
{
    if (!holds) {
        fprintf(stderr, "[  ERROR   ] --- %s\n", text);
        cmocka__fail_at(file, line);
    }
}

static inline void cmocka__check_int(unsigned long long one,
                                     unsigned long long other,
                                     int equal,
                                     const char *text,
                                     const char *file,
                                     int line)
{
    if ((one == other) != equal) {
        fprintf(stderr, "[  ERROR   ] --- %s: %#llx, %#llx\n", text, one, other);
        cmocka__fail_at(file, line);
    }
}

static inline void cmocka__check_text(const char *one,
                                      const char *other,
                                      int equal,
                                      const char *text,
                                      const char *file,
                                      int line)
{
    if ((strcmp(one, other) == 0) != equal) {
        fprintf(stderr, "[  ERROR   ] --- %s: \"%s\", \"%s\"\n", text, one, other);
        cmocka__fail_at(file, line);
    }
}

#define CMOCKA__INT(x)     ((unsigned long long)(long long)(x))
#define CMOCKA__POINTER(x) ((unsigned long long)(uintptr_t)(x))

#define assert_true(c)     cmocka__check(!!(c), #c, __FILE__, __LINE__)
#define assert_false(c)    cmocka__check(!(c), "not " #c, __FILE__, __LINE__)
#define assert_null(p)     cmocka__check(!(p), #p " is NULL", __FILE__, __LINE__)
#define assert_non_null(p) cmocka__check(!!(p), #p " is not NULL", __FILE__, __LINE__)
#define assert_int_equal(a, b) \
    cmocka__check_int(CMOCKA__INT(a), CMOCKA__INT(b), 1, #a " == " #b, __FILE__, __LINE__)
#define assert_int_not_equal(a, b) \
    cmocka__check_int(CMOCKA__INT(a), CMOCKA__INT(b), 0, #a " != " #b, __FILE__, __LINE__)
#define assert_ptr_equal(a, b)                                                           \
    cmocka__check_int(CMOCKA__POINTER(a), CMOCKA__POINTER(b), 1, #a " == " #b, __FILE__, \
                      __LINE__)
#define assert_ptr_not_equal(a, b)                                                       \
    cmocka__check_int(CMOCKA__POINTER(a), CMOCKA__POINTER(b), 0, #a " != " #b, __FILE__, \
                      __LINE__)
#define assert_string_equal(a, b) \
    cmocka__check_text((a), (b), 1, #a " is " #b, __FILE__, __LINE__)
#define assert_string_not_equal(a, b) \
    cmocka__check_text((a), (b), 0, #a " is not " #b, __FILE__, __LINE__)
#define assert_memory_equal(a, b, n) \
    cmocka__check(memcmp((a), (b), (n)) == 0, #a " holds " #b, __FILE__, __LINE__)
#define assert_in_range(v, low, high)                      \
    cmocka__check(CMOCKA__INT(v) >= CMOCKA__INT(low) &&    \
                      CMOCKA__INT(v) <= CMOCKA__INT(high), \
                  #low " <= " #v " <= " #high, __FILE__, __LINE__)
#define fail() cmocka__fail_at(__FILE__, __LINE__)
#define fail_msg(...)                         \
    do {                                      \
        fprintf(stderr, "[  ERROR   ] --- "); \
        fprintf(stderr, __VA_ARGS__);         \
        fputc('\n', stderr);                  \
        cmocka__fail_at(__FILE__, __LINE__);  \
    } while (0)
#define skip()             cmocka__leave(1)
#define print_message(...) printf(__VA_ARGS__)

#define cmocka_unit_test(f)     \
    {                           \
#f, f, NULL, NULL, NULL \
    }
#define cmocka_unit_test_setup(f, setup) \
    {                                    \
#f, f, setup, NULL, NULL         \
    }
#define cmocka_unit_test_teardown(f, teardown) \
    {                                          \
#f, f, NULL, teardown, NULL            \
    }
#define cmocka_unit_test_setup_teardown(f, s, t) \
    {                                            \
#f, f, s, t, NULL                        \
    }
#define cmocka_unit_test_prestate(f, state) \
    {                                       \
#f, f, NULL, NULL, state            \
    }

/* Out of line, so that nothing of the caller's lives across the jump: 1 it ran to its end. */
static __attribute__((noinline)) int cmocka__guarded(const struct CMUnitTest *test,
                                                     void **state)
{
    const char *why = cmocka__absent(test->name);
    cmocka__now.skipped = why != NULL;
    if (why) {
        printf("%s: %s\n", test->name, why);
        return 0;
    }
    if (setjmp(cmocka__now.out) != 0) {
        return 0;
    }
    if (test->setup_func && test->setup_func(state) != 0) {
        fprintf(stderr, "[  ERROR   ] --- setup of %s\n", test->name);
        return 0;
    }
    test->test_func(state);
    return 1;
}

static inline int _cmocka_run_group_tests(const char *name,
                                          const struct CMUnitTest *tests,
                                          size_t count,
                                          CMFixtureFunction setup,
                                          CMFixtureFunction teardown)
{
    int failed = 0;
    int skipped = 0;
    void *group = NULL;
    (void)name;
    cmocka__now.thread = pthread_self();
    if (setup && setup(&group) != 0) {
        fprintf(stderr, "[  ERROR   ] --- setup of the group\n");
        return (int)count;
    }
    for (size_t i = 0; i < count; i++) {
        void *state = tests[i].initial_state ? tests[i].initial_state : group;
        int held = cmocka__guarded(&tests[i], &state);
        if (tests[i].teardown_func && !cmocka__absent(tests[i].name) &&
            tests[i].teardown_func(&state) != 0) {
            held = 0;
        }
        printf("[%s] %s\n",
               cmocka__now.skipped ? "  SKIPPED "
               : held              ? "       OK "
                                   : "  FAILED  ",
               tests[i].name);
        fflush(stdout);
        failed += !held && !cmocka__now.skipped;
        skipped += cmocka__now.skipped;
    }
    if (teardown && teardown(&group) != 0) {
        failed++;
    }
    count -= (size_t)skipped;
    printf("[==========] %d of %d hold\n", (int)count - failed, (int)count);
    return failed;
}

#define cmocka_run_group_tests_name(name, tests, setup, teardown)                   \
    _cmocka_run_group_tests(name, tests, sizeof(tests) / sizeof((tests)[0]), setup, \
                            teardown)
#define cmocka_run_group_tests(tests, setup, teardown) \
    cmocka_run_group_tests_name(#tests, tests, setup, teardown)

#endif
