/* SPDX-License-Identifier: MIT */
#include <hostmalloc/hostmalloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "slots_internal.h"

static void *level_of_a_fresh_thread(void *seen)
{
    *(hm_level *)seen = hm_level_now();
    hm_level_enter(HM_LEVEL_DOMAIN);
    return NULL;
}

static void malloc__levels_nest_and_belong_to_the_thread(void **state)
{
    (void)state;
    assert_int_equal(hm_level_now(), HM_LEVEL_TASK);
    const hm_level outer = hm_level_enter(HM_LEVEL_PROCESS);
    assert_int_equal(outer, HM_LEVEL_TASK);
    const hm_level inner = hm_level_enter(HM_LEVEL_DOMAIN);
    assert_int_equal(inner, HM_LEVEL_PROCESS);
    assert_int_equal(hm_level_now(), HM_LEVEL_DOMAIN);

    pthread_t thread;
    hm_level seen = HM_LEVEL_PROCESS;
    assert_int_equal(pthread_create(&thread, NULL, level_of_a_fresh_thread, &seen), 0);
    pthread_join(thread, NULL);
    assert_int_equal(seen, HM_LEVEL_TASK);

    hm_level_leave(inner);
    assert_int_equal(hm_level_now(), HM_LEVEL_PROCESS);
    hm_level_leave(outer);
    assert_int_equal(hm_level_now(), HM_LEVEL_TASK);
}

static void malloc__levels_out_of_range_are_the_nearest(void **state)
{
    static const struct {
        const char *label;
        hm_level entered, want;
    } cases[] = {{"current", HM_LEVEL_CURRENT, HM_LEVEL_TASK},
                 {"lowest", INT32_MIN, HM_LEVEL_TASK},
                 {"one above", 3, HM_LEVEL_PROCESS},
                 {"highest", INT32_MAX, HM_LEVEL_PROCESS}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_level_enter(cases[i].entered);
        CHECK_ROW(cases[i].label, hm_level_now() == cases[i].want);
        hm_level_leave(HM_LEVEL_TASK);
        hm_level_leave(cases[i].entered);
        CHECK_ROW(cases[i].label, hm_level_now() == cases[i].want);
        hm_level_leave(HM_LEVEL_TASK);
    }
}

static int refusing;

static void *libc_alloc(hm_malloc *self, size_t size, hm_level level)
{
    (void)self;
    (void)level;
    return refusing ? NULL : (malloc)(size);
}

static void libc_free(hm_malloc *self, void *block)
{
    (void)self;
    (free)(block);
}

static void counted_not(hm_malloc *self)
{
    (void)self;
}

static size_t no_size(hm_malloc *self, const void *block)
{
    (void)self;
    (void)block;
    return 0;
}

static hm_malloc_vtbl whole_table(void)
{
    hm_malloc_vtbl table = hm__malloc_basics;
    table.retain = counted_not;
    table.release = counted_not;
    table.alloc = libc_alloc;
    table.free = libc_free;
    table.size_of = no_size;
    return table;
}

static void malloc__a_whole_table_passes(void **state)
{
    (void)state;
    hm_malloc_vtbl table = whole_table();
    hm_malloc m = {&table, 0, 0};
    hm_error err;
    assert_int_equal(hm_malloc_validate(&m, &err), HM_OK);
    table.size = sizeof(table) + 64; /* a newer implementer's */
    assert_int_equal(hm_malloc_validate(&m, NULL), HM_OK);
}

static void malloc__every_missing_slot_is_named(void **state)
{
    static const struct {
        const char *label;
        size_t offset;
    } slots[] = {{"retain", offsetof(hm_malloc_vtbl, retain)},
                 {"release", offsetof(hm_malloc_vtbl, release)},
                 {"alloc", offsetof(hm_malloc_vtbl, alloc)},
                 {"free", offsetof(hm_malloc_vtbl, free)},
                 {"free_sized", offsetof(hm_malloc_vtbl, free_sized)},
                 {"debug_alloc", offsetof(hm_malloc_vtbl, debug_alloc)},
                 {"debug_free", offsetof(hm_malloc_vtbl, debug_free)},
                 {"realloc", offsetof(hm_malloc_vtbl, realloc)},
                 {"alloc_zeroed", offsetof(hm_malloc_vtbl, alloc_zeroed)},
                 {"alloc_aligned", offsetof(hm_malloc_vtbl, alloc_aligned)},
                 {"request", offsetof(hm_malloc_vtbl, request)},
                 {"size_of", offsetof(hm_malloc_vtbl, size_of)},
                 {"good_size", offsetof(hm_malloc_vtbl, good_size)},
                 {"owns", offsetof(hm_malloc_vtbl, owns)},
                 {"describe", offsetof(hm_malloc_vtbl, describe)},
                 {"walk", offsetof(hm_malloc_vtbl, walk)},
                 {"stats", offsetof(hm_malloc_vtbl, stats)},
                 {"trim", offsetof(hm_malloc_vtbl, trim)},
                 {"reset", offsetof(hm_malloc_vtbl, reset)},
                 {"close", offsetof(hm_malloc_vtbl, close)},
                 {"find", offsetof(hm_malloc_vtbl, find)}};
    (void)state;
    for (size_t i = 0; i < COUNT(slots); i++) {
        hm_malloc_vtbl table = whole_table();
        memset((char *)&table + slots[i].offset, 0, sizeof(void *));
        const hm_malloc m = {&table, 0, 0};
        hm_error err;
        char want[64];
        snprintf(want, sizeof(want), "slot %s is missing", slots[i].label);
        CHECK_ROW(slots[i].label, hm_malloc_validate(&m, &err) == HM_E_INVALID);
        CHECK_ROW(slots[i].label, strcmp(err.what, want) == 0);
        CHECK_ROW(slots[i].label, strcmp(err.where, "malloc") == 0);
        CHECK_ROW(slots[i].label, err.status == HM_E_INVALID);
    }
}

static void malloc__a_short_table_is_refused_with_both_sizes(void **state)
{
    static const size_t sizes[] = {0, 8, sizeof(hm_malloc_vtbl) - 1};
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        hm_malloc_vtbl table = whole_table();
        table.size = sizes[i];
        const hm_malloc m = {&table, 0, 0};
        hm_error err;
        char want[80];
        snprintf(want, sizeof(want), "a table of %zu bytes, expected at least %zu",
                 sizes[i], sizeof(hm_malloc_vtbl));
        assert_int_equal(hm_malloc_validate(&m, &err), HM_E_ABI);
        assert_string_equal(err.what, want);
    }
}

static void malloc__nothing_to_validate_is_invalid(void **state)
{
    (void)state;
    const hm_malloc m = {NULL, 0, 0};
    hm_error err;
    assert_int_equal(hm_malloc_validate(NULL, &err), HM_E_INVALID);
    assert_string_equal(err.what, "the object is NULL");
    assert_int_equal(hm_malloc_validate(&m, &err), HM_E_INVALID);
    assert_string_equal(err.what, "its table is NULL");
    assert_int_equal(hm_malloc_validate(NULL, NULL), HM_E_INVALID);
}

static void malloc__strdup_copies_or_is_null(void **state)
{
    (void)state;
    const hm_malloc_vtbl table = whole_table();
    hm_malloc m = {&table, 0, 0};
    char text[] = "some text";
    char *copy = hm_strdup(&m, text);
    text[0] = 'S';
    assert_string_equal(copy, "some text");
    hm_free(&m, copy);
    copy = (hm_strdup)(&m, "");
    assert_string_equal(copy, "");
    hm_free(&m, copy);
    assert_null(hm_strdup(&m, NULL));
    refusing = 1;
    assert_null(hm_strdup(&m, text));
    refusing = 0;
}

#define ALL 0x1fu

static void malloc__options_are_judged(void **state)
{
    static const struct {
        const char *label;
        uint32_t flags, reserved, supported;
        hm_status want;
        const char *what; /* what the error must say */
    } cases[] = {
        {"nothing", 0, 0, 0, HM_OK, NULL},
        {"thread-safe", 1, 0, ALL, HM_OK, NULL},
        {"all that agree", 0x1e, 0, ALL, HM_OK, NULL},
        {"thread-safe, one thread", 9, 0, ALL, HM_E_INVALID, "0x1 and 0x8 in 0x9"},
        {"debug", 0x101, 0, ALL, HM_E_INVALID, "0x100 in 0x101"},
        {"unknown", 0x81, 0, ALL, HM_E_INVALID, "unknown flag 0x80 in 0x81"},
        {"unknown high", 0x80000000u, 0, ALL, HM_E_INVALID, "unknown flag 0x80000000"},
        {"unknown though supported", 0x80, 0, 0xff, HM_E_INVALID, "0x80"},
        {"not offered", 3, 0, 1, HM_E_UNSUPPORTED, "flag 0x2 in 0x3"},
        {"reserved", 0, 7, ALL, HM_E_INVALID, "reserved is 0x7"}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm_malloc_opts opts = {sizeof(opts), "n", cases[i].flags, cases[i].reserved,
                                     5};
        hm_malloc_opts copy;
        hm_error err = {HM_OK, 0, "", ""};
        CHECK_ROW(cases[i].label, hm__malloc_opts_read(&opts, cases[i].supported, &copy,
                                                       &err) == cases[i].want);
        CHECK_ROW(cases[i].label, hm__malloc_opts_read(&opts, cases[i].supported, &copy,
                                                       NULL) == cases[i].want);
        CHECK_ROW(cases[i].label, err.status == cases[i].want);
        if (cases[i].what) {
            CHECK_ROW(cases[i].label, strstr(err.what, cases[i].what));
        } else {
            CHECK_ROW(cases[i].label, copy.size == sizeof(copy) && copy.limit == 5 &&
                                          copy.flags == cases[i].flags &&
                                          strcmp(copy.name, "n") == 0);
        }
    }
}

static void malloc__no_options_mean_all_zero(void **state)
{
    (void)state;
    hm_malloc_opts copy = {1, "x", 2, 3, 4};
    assert_int_equal(hm__malloc_opts_read(NULL, 0, &copy, NULL), HM_OK);
    assert_int_equal(copy.size, sizeof(copy));
    assert_string_equal(copy.name, "malloc");
    assert_int_equal(copy.flags, 0);
    assert_int_equal(copy.reserved, 0);
    assert_int_equal(copy.limit, 0);
}

static void malloc__options_of_other_sizes(void **state)
{
    static const struct {
        const char *label;
        size_t size;
        unsigned char tail; /* every byte beyond what this build knows */
        hm_status want;
        uint32_t flags;
        size_t limit;
    } cases[] = {{"zero", 0, 0, HM_E_INVALID, 0, 0},
                 {"half a name", 12, 0, HM_E_INVALID, 0, 0},
                 {"up to the name", 16, 0, HM_OK, 0, 0},
                 {"half the flags", 18, 0, HM_OK, 0, 0},
                 {"up to the flags", 20, 0, HM_OK, HM_MALLOC_EXACT, 0},
                 {"half the limit", 28, 0, HM_OK, HM_MALLOC_EXACT, 0},
                 {"this build's", 32, 0, HM_OK, HM_MALLOC_EXACT, 77},
                 {"newer, nothing set", 48, 0, HM_OK, HM_MALLOC_EXACT, 77},
                 {"newer, something set", 48, 1, HM_E_UNSUPPORTED, 0, 0},
                 {"one byte newer, set", 33, 1, HM_E_UNSUPPORTED, 0, 0},
                 {"garbage", 4097, 0, HM_E_INVALID, 0, 0},
                 {"unknown", SIZE_MAX, 0, HM_E_INVALID, 0, 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        union {
            hm_malloc_opts opts;
            unsigned char bytes[64];
        } given;
        memset(given.bytes, cases[i].tail, sizeof(given.bytes));
        given.opts = (hm_malloc_opts){cases[i].size, NULL, HM_MALLOC_EXACT, 0, 77};
        hm_malloc_opts copy;
        hm_error err;
        CHECK_ROW(cases[i].label,
                  hm__malloc_opts_read(&given.opts, ALL, &copy, &err) == cases[i].want);
        if (cases[i].want == HM_OK) {
            CHECK_ROW(cases[i].label, copy.flags == cases[i].flags);
            CHECK_ROW(cases[i].label, copy.limit == cases[i].limit);
            CHECK_ROW(cases[i].label, strcmp(copy.name, "malloc") == 0);
        } else {
            char number[32];
            snprintf(number, sizeof(number), "of %zu bytes", cases[i].size);
            CHECK_ROW(cases[i].label, strstr(err.what, number));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malloc__levels_nest_and_belong_to_the_thread),
        cmocka_unit_test(malloc__levels_out_of_range_are_the_nearest),
        cmocka_unit_test(malloc__a_whole_table_passes),
        cmocka_unit_test(malloc__every_missing_slot_is_named),
        cmocka_unit_test(malloc__a_short_table_is_refused_with_both_sizes),
        cmocka_unit_test(malloc__nothing_to_validate_is_invalid),
        cmocka_unit_test(malloc__strdup_copies_or_is_null),
        cmocka_unit_test(malloc__options_are_judged),
        cmocka_unit_test(malloc__no_options_mean_all_zero),
        cmocka_unit_test(malloc__options_of_other_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
