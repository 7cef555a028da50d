/* SPDX-License-Identifier: MIT */
/* What every benchmark trusts: medians, bounds, and the lines that machines read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "measure.h"

static void measure_spread__is_the_median_and_the_quartiles(void **state)
{
    static const struct {
        size_t count;
        double values[5], q1, median, q3;
    } rows[] = {
        {1, {2}, 2, 2, 2},
        {2, {3, 1}, 1, 2, 3},
        {4, {4, 1, 3, 2}, 2, 2.5, 3},
        {5, {5, 1, 4, 2, 3}, 2, 3, 4},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        double values[5];
        memcpy(values, rows[i].values, sizeof values);
        const spread s = measure_spread(values, rows[i].count);
        if (s.q1 < rows[i].q1 || s.q1 > rows[i].q1 || s.median < rows[i].median ||
            s.median > rows[i].median || s.q3 < rows[i].q3 || s.q3 > rows[i].q3) {
            fail_msg("row %zu: %f [%f %f]", i, s.median, s.q1, s.q3);
        }
    }
}

static void measure_end__is_1_when_a_bound_was_missed(void **state)
{
    (void)state;
    measure_row(5, 0); /* no bound */
    measure_row(1.05, 1.05);
    assert_int_equal(measure_end(), 0);
    measure_row(1.06, 1.05);
    measure_row(1, 2);
    assert_int_equal(measure_end(), 1);
}

static void measure_record__writes_one_line_each(void **state)
{
    char path[] = "/tmp/test_measure.XXXXXX", text[1024] = {0};
    const int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    measure_record("nobody", "listens", "yet", 0, (spread){1, 2, 3}, 0);
    setenv("HOSTMALLOC_BENCH_JSON", path, 1);
    measure_record("churn", "a", "b", 64, (spread){0.5, 1.25, 2}, 1.05);
    measure_missing("c", "says \"no\\such\n\"");
    unsetenv("HOSTMALLOC_BENCH_JSON");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    unlink(path);
    assert_string_equal(
        text,
        "{\"program\": \"test\", \"workload\": \"churn\", \"what\": \"a\", "
        "\"against\": \"b\", \"x\": 64, \"median\": 1.2500, \"q1\": 0.5000, "
        "\"q3\": 2.0000, \"bound\": 1.05}\n"
        "{\"program\": \"test\", \"missing\": \"c\", \"why\": \"says ?no?such??\"}\n");
}

static void answer_a_number(void *context, int answer)
{
    measure_answer(answer, context, sizeof(int));
}

static void answer_nothing(void *context, int answer)
{
    (void)context;
    (void)answer;
}

static void end_badly(void *context, int answer)
{
    measure_answer(answer, context, sizeof(int));
    _exit(1);
}

static void measure_apart__is_1_when_all_of_the_answer_came(void **state)
{
    static const struct {
        void (*body)(void *context, int answer);
        int done;
    } rows[] = {{answer_a_number, 1}, {answer_nothing, 0}, {end_badly, 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int number = 42, out = 0;
        assert_int_equal(measure_apart(rows[i].body, &number, &out, sizeof out),
                         rows[i].done);
        assert_int_equal(out, rows[i].body == answer_nothing ? 0 : 42);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measure_spread__is_the_median_and_the_quartiles),
        cmocka_unit_test(measure_end__is_1_when_a_bound_was_missed),
        cmocka_unit_test(measure_record__writes_one_line_each),
        cmocka_unit_test(measure_apart__is_1_when_all_of_the_answer_came),
    };
    measure_head("test", "no figures");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
