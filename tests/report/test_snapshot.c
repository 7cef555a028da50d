/* SPDX-License-Identifier: MIT */
/* Reading a snapshot of many sites: what is done for each stack does not grow with their number. Steps are counted, by what the
 * index looks like and by a finder of symbols of our own. */
#include "symbols.h"

#include "../check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SITES  100000u
#define PLACES 1001u /* that frames lie at */

static unsigned finds;

void symbol_find(const char *module, uint64_t offset, symbol *out)
{
    assert_string_equal(module, "/lib/many.so");
    memset(out, 0, sizeof *out);
    finds++;
    if (offset % 3 == 0) {
        out->function = strdup("by_three");
    } else if (offset % 3 == 1) {
        out->file = strdup("one.c");
        out->line = offset;
    }
}

void symbol_done(void)
{
}

/* A stack for each fourth site, of two frames, of which the first is not one of a file. */
static void write_many(FILE *to)
{
    fputs("{\"type\":\"snapshot\",\"schema\":1}\n", to);
    for (unsigned i = 1; i <= SITES; i++) {
        fprintf(to, "{\"type\":\"site\",\"id\":%u,\"file\":\"f.c\",\"line\":%u}\n", i, i);
        if (i % 4 == 0) {
            fprintf(to,
                    "{\"type\":\"stack\",\"site\":%u,\"frames\":[\"0x10\",\"/lib/"
                    "many.so+0x%x\"]}\n",
                    i, i % PLACES + 1);
        }
    }
    fputs("{\"type\":\"end\",\"lines\":125001}\n", to);
}

static snapshot read_text(void (*write)(FILE *to))
{
    char path[] = "/tmp/hm-snapshot-XXXXXX";
    const int fd = mkstemp(path);
    FILE *to = fd >= 0 ? fdopen(fd, "w") : NULL;
    snapshot s;
    assert_non_null(to);
    write(to);
    assert_int_equal(fclose(to), 0);
    assert_true(snapshot_read(path, &s));
    unlink(path);
    return s;
}

/* Rows that a look at a number may have to pass. */
static size_t longest_run(const site_index *index)
{
    size_t longest = 0, run = 0;
    for (size_t i = 0; i < 2 * index->room; i++) {
        run = index->slots[i & (index->room - 1)] ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* Numbers as the debug host gives them, or far apart. */
static void index__finds_a_row_in_few_steps(void **state)
{
    static const uint64_t aparts[] = {1, 16, 4096, 1u << 20};
    site_row *rows = calloc(SITES, sizeof *rows);
    site_index index;
    (void)state;
    assert_non_null(rows);
    assert_true(site_index_make(&index, SITES));
    for (size_t i = 0; i < COUNT(aparts); i++) {
        for (uint64_t k = 0; k < SITES; k++) {
            rows[k].id = (k + 1) * aparts[i];
        }
        site_index_fill(&index, rows, SITES);
        assert_true(longest_run(&index) < 64);
        for (uint64_t k = 0; k < SITES; k++) {
            assert_ptr_equal(site_index_find(&index, rows, (k + 1) * aparts[i]),
                             &rows[k]);
        }
        assert_null(site_index_find(&index, rows, 0));
        assert_null(site_index_find(&index, rows, (SITES + 1) * aparts[i]));
    }
    site_index_free(&index);
    free(rows);
}

static void snapshot__looks_each_frame_up_once(void **state)
{
    (void)state;
    snapshot s = read_text(write_many);
    finds = 0;
    snapshot_symbolize(&s);
    assert_int_equal(finds, PLACES);
    for (size_t i = 0; i < s.stack_count; i++) {
        const frame_row *frames = s.stacks[i].frames;
        const uint64_t offset = s.stacks[i].site % PLACES; /* of the call before it */
        assert_null(frames[0].function);
        assert_int_equal(frames[1].function != NULL, offset % 3 == 0);
        assert_int_equal(frames[1].line, offset % 3 == 1 ? offset : 0);
    }
    snapshot_free(&s);
}

/* Three numbers of one line, one of another; stacks follow theirs. */
static void write_lines(FILE *to)
{
    fputs("{\"type\":\"snapshot\",\"schema\":1}\n", to);
    for (unsigned i = 1; i <= 4; i++) {
        fprintf(
            to,
            "{\"type\":\"site\",\"id\":%u,\"file\":\"f.c\",\"line\":%u,\"live_bytes\":"
            "%u}\n",
            i * 10, i == 3 ? 7u : 8u, i);
        fprintf(to, "{\"type\":\"stack\",\"site\":%u,\"frames\":[]}\n", i * 10);
    }
    fputs("{\"type\":\"stack\",\"site\":99,\"frames\":[]}\n", to);
}

static void snapshot__sites_of_one_line_are_one(void **state)
{
    (void)state;
    snapshot s = read_text(write_lines);
    snapshot_symbolize(&s);
    assert_int_equal(s.site_count, 2);
    for (size_t i = 0; i < 4; i++) {
        const site_row *row = snapshot_site(&s, s.stacks[i].site);
        assert_non_null(row);
        assert_int_equal(row->line, i == 2 ? 7 : 8);
        assert_int_equal(row->count.live_bytes, i == 2 ? 3 : 1 + 2 + 4);
    }
    assert_int_equal(s.stacks[4].site, 99); /* not listed: a file that was cut */
    assert_null(snapshot_site(&s, 99));
    assert_true(s.is_cut);
    snapshot_free(&s);
}

/* As where files were joined: what holds more stands for the number. */
static void write_twice(FILE *to)
{
    fputs("{\"type\":\"snapshot\",\"schema\":1}\n", to);
    for (unsigned i = 1; i <= 2; i++) {
        fprintf(
            to,
            "{\"type\":\"site\",\"id\":5,\"file\":\"f.c\",\"line\":%u,\"live_bytes\":%u}"
            "\n",
            i, i);
    }
}

static void snapshot__a_number_twice_is_the_first_row(void **state)
{
    (void)state;
    snapshot s = read_text(write_twice);
    assert_int_equal(s.site_count, 2);
    assert_int_equal(snapshot_site(&s, 5)->line, 2);
    snapshot_sort(&s, site_by_place);
    assert_int_equal(snapshot_site(&s, 5)->line, 1);
    snapshot_free(&s);
}

static void snapshot__refuses_what_is_none(void **state)
{
    static const char *const paths[] = {"/", "/dev/null", "/no/such/file"};
    snapshot s;
    (void)state;
    for (size_t i = 0; i < COUNT(paths); i++) {
        assert_int_equal(snapshot_read(paths[i], &s), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index__finds_a_row_in_few_steps),
        cmocka_unit_test(snapshot__looks_each_frame_up_once),
        cmocka_unit_test(snapshot__sites_of_one_line_are_one),
        cmocka_unit_test(snapshot__a_number_twice_is_the_first_row),
        cmocka_unit_test(snapshot__refuses_what_is_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
