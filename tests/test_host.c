/* SPDX-License-Identifier: MIT */
#include <hostmalloc/hostmalloc.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "pressure_internal.h"
#include "slots_internal.h"
#include "virtual_internal.h"

/* What the host under test answers next to create_malloc, and what it was asked. */
static hm_status next_status;
static hm_malloc *next_malloc;
static const char *next_reason;
static hm_malloc_opts seen;
static int asked;
static int released;

static hm_status
answer(hm_host *self, const hm_malloc_opts *opts, hm_malloc **out, hm_error *err)
{
    (void)self;
    asked++;
    seen = opts ? *opts : (hm_malloc_opts){.size = 0};
    *out = next_malloc;
    return next_reason ? hm_error_set(err, next_status, "host:test", "%s", next_reason)
                       : next_status;
}

static void not_counted(hm_host *self)
{
    (void)self;
}

static hm_host_vtbl whole_table(void)
{
    hm_host_vtbl table = hm__host_basics;
    table.retain = not_counted;
    table.release = not_counted;
    table.create_malloc = answer;
    return table;
}

static void count_release(hm_malloc *self)
{
    (void)self;
    released++;
}

static void *no_block(hm_malloc *self, size_t size, hm_level level)
{
    (void)self;
    (void)size;
    (void)level;
    return NULL;
}

static void no_free(hm_malloc *self, void *block)
{
    (void)self;
    (void)block;
}

static size_t no_size(hm_malloc *self, const void *block)
{
    (void)self;
    (void)block;
    return 0;
}

static hm_malloc_vtbl whole_malloc_table(void)
{
    hm_malloc_vtbl table = hm__malloc_basics;
    table.retain = count_release;
    table.release = count_release;
    table.alloc = no_block;
    table.free = no_free;
    table.size_of = no_size;
    return table;
}

static int reset_answers(void **state)
{
    (void)state;
    next_status = HM_OK;
    next_malloc = NULL;
    next_reason = NULL;
    asked = released = 0;
    return 0;
}

static void host__a_whole_table_passes(void **state)
{
    (void)state;
    hm_host_vtbl table = whole_table();
    const hm_host host = {&table};
    assert_int_equal(hm_host_validate(&host, NULL), HM_OK);
    table.size += 64; /* a newer implementer's */
    assert_int_equal(hm_host_validate(&host, NULL), HM_OK);
}

static void host__every_missing_slot_is_named(void **state)
{
    static const struct {
        const char *label;
        size_t offset;
    } slots[] = {
        {"retain", offsetof(hm_host_vtbl, retain)},
        {"release", offsetof(hm_host_vtbl, release)},
        {"create_malloc", offsetof(hm_host_vtbl, create_malloc)},
        {"virtual_alloc", offsetof(hm_host_vtbl, virtual_alloc)},
        {"virtual_free", offsetof(hm_host_vtbl, virtual_free)},
        {"virtual_query", offsetof(hm_host_vtbl, virtual_query)},
        {"virtual_protect", offsetof(hm_host_vtbl, virtual_protect)},
        {"memory_load", offsetof(hm_host_vtbl, memory_load)},
        {"subscribe", offsetof(hm_host_vtbl, subscribe)},
        {"unsubscribe", offsetof(hm_host_vtbl, unsubscribe)},
        {"needs_address_space", offsetof(hm_host_vtbl, needs_address_space)},
        {"acquired_address_space", offsetof(hm_host_vtbl, acquired_address_space)},
        {"released_address_space", offsetof(hm_host_vtbl, released_address_space)},
        {"find", offsetof(hm_host_vtbl, find)}};
    (void)state;
    for (size_t i = 0; i < COUNT(slots); i++) {
        hm_host_vtbl table = whole_table();
        memset((char *)&table + slots[i].offset, 0, sizeof(void *));
        hm_host host = {&table};
        hm_error err;
        char want[64];
        snprintf(want, sizeof(want), "slot %s is missing", slots[i].label);
        CHECK_ROW(slots[i].label, hm_host_validate(&host, &err) == HM_E_INVALID);
        CHECK_ROW(slots[i].label, strcmp(err.what, want) == 0);
        hm_malloc *m = (hm_malloc *)&host;
        CHECK_ROW(slots[i].label,
                  hm_host_create_malloc(&host, "x", 0, &m, &err) == HM_E_INVALID);
        CHECK_ROW(slots[i].label, strcmp(err.what, want) == 0 && !m && !asked);
    }
}

static void host__a_table_that_is_none_is_refused(void **state)
{
    (void)state;
    hm_host_vtbl table = whole_table();
    table.size = sizeof(table) - 1;
    const hm_host small = {&table};
    const hm_host none = {NULL};
    hm_error err;
    char want[80];
    snprintf(want, sizeof(want), "a table of %zu bytes, expected at least %zu",
             sizeof(table) - 1, sizeof(table));
    assert_int_equal(hm_host_validate(&small, &err), HM_E_ABI);
    assert_string_equal(err.what, want);
    assert_int_equal(hm_host_validate(&none, &err), HM_E_INVALID);
    assert_string_equal(err.what, "its table is NULL");
    assert_int_equal(hm_host_validate(NULL, &err), HM_E_INVALID);
    assert_string_equal(err.what, "the object is NULL");
    hm_malloc *m = (hm_malloc *)&err;
    assert_int_equal(hm_host_create_malloc(NULL, "x", 0, &m, NULL), HM_E_INVALID);
    assert_null(m);
}

static void host__options_reach_the_host(void **state)
{
    (void)state;
    const hm_host_vtbl table = whole_table();
    const hm_malloc_vtbl malloc_table = whole_malloc_table();
    hm_malloc made = {&malloc_table, 0, 0};
    hm_host host = {&table};
    hm_malloc *m = NULL;
    next_malloc = &made;
    assert_int_equal(hm_host_create_malloc(&host, "name", 0x85, &m, NULL), HM_OK);
    assert_ptr_equal(m, &made);
    assert_int_equal(seen.size, sizeof(seen));
    assert_string_equal(seen.name, "name");
    assert_int_equal(seen.flags, 0x85); /* judging them is the host's */
    assert_int_equal(seen.limit, 0);
    const hm_malloc_opts opts = {sizeof(opts), NULL, 4, 0, 1234};
    assert_int_equal(hm_host_create_malloc_opts(&host, &opts, &m, NULL), HM_OK);
    assert_int_equal(seen.limit, 1234);
    assert_int_equal(hm_host_create_malloc_opts(&host, NULL, &m, NULL), HM_OK);
    assert_int_equal(seen.size, 0);
    assert_int_equal(asked, 3);
    assert_int_equal(hm_host_create_malloc(&host, "name", 0, NULL, NULL), HM_E_INVALID);
    hm_error err;
    assert_int_equal(hm_host_create_malloc_opts(&host, NULL, NULL, &err), HM_E_INVALID);
    assert_non_null(strstr(err.what, "out is NULL"));
    assert_int_equal(asked, 3);
}

static void host__bad_answers_are_named(void **state)
{
    hm_malloc_vtbl whole = whole_malloc_table();
    hm_malloc_vtbl no_walk = whole;
    no_walk.walk = NULL;
    hm_malloc_vtbl no_release = whole;
    no_release.release = NULL;
    hm_malloc_vtbl small = whole;
    small.size = sizeof(small) - 8;
    hm_malloc_vtbl tiny = whole;
    tiny.size = 8;
    hm_malloc good = {&whole, 0, 0}, lacks_walk = {&no_walk, 0, 0},
              lacks_release = {&no_release, 0, 0}, is_small = {&small, 0, 0},
              is_tiny = {&tiny, 0, 0}, has_none = {NULL, 0, 0};
    const struct {
        const char *label;
        hm_status status;
        hm_malloc *made;
        const char *reason;
        hm_status want;
        const char *what;
        int released; /* how often what was made went back */
    } cases[] = {
        {"nothing made", HM_OK, NULL, NULL, HM_E_INVALID,
         "create_malloc answered HM_OK with NULL", 0},
        {"refused", HM_E_NOMEM, NULL, "no memory today", HM_E_NOMEM, "no memory today",
         0},
        {"refused with an object", HM_E_NOMEM, &good, "no", HM_E_NOMEM, "no", 0},
        {"refused, no reason", HM_E_UNSUPPORTED, NULL, NULL, HM_E_UNSUPPORTED,
         "create_malloc gave no reason", 0},
        {"unknown status", -77, NULL, NULL, -77, "create_malloc gave no reason", 0},
        {"slot missing", HM_OK, &lacks_walk, NULL, HM_E_INVALID, "slot walk is missing",
         1},
        {"release missing", HM_OK, &lacks_release, NULL, HM_E_INVALID,
         "slot release is missing", 0},
        {"small table", HM_OK, &is_small, NULL, HM_E_ABI, "bytes, expected at least", 1},
        {"tiny table", HM_OK, &is_tiny, NULL, HM_E_ABI, "a table of 8 bytes", 0},
        {"no table", HM_OK, &has_none, NULL, HM_E_INVALID, "its table is NULL", 0}};
    const hm_host_vtbl table = whole_table();
    hm_host host = {&table};
    for (size_t i = 0; i < COUNT(cases); i++) {
        reset_answers(state);
        next_status = cases[i].status;
        next_malloc = cases[i].made;
        next_reason = cases[i].reason;
        hm_malloc *m = &good;
        hm_error err = {HM_E_TIMEOUT, 1, "stale", "stale"};
        CHECK_ROW(cases[i].label,
                  hm_host_create_malloc(&host, "x", 0, &m, &err) == cases[i].want);
        CHECK_ROW(cases[i].label, !m);
        CHECK_ROW(cases[i].label, err.status == cases[i].want);
        CHECK_ROW(cases[i].label, strstr(err.what, cases[i].what));
        CHECK_ROW(cases[i].label, released == cases[i].released);
        CHECK_ROW(cases[i].label,
                  hm_host_create_malloc(&host, "x", 0, &m, NULL) == cases[i].want && !m);
    }
}

static size_t heard(void *context, hm_pressure pressure)
{
    (void)context;
    (void)pressure;
    return 0;
}

static void host__basics_pass_pages_and_load_to_the_system(void **state)
{
    (void)state;
    const hm_host_vtbl table = whole_table();
    hm_host host = {&table};
    void *pages = NULL;
    hm_region region;
    uint32_t old = 0;
    assert_int_equal(hm_host_virtual_alloc(&host, NULL, 65536,
                                           HM_MEM_RESERVE | HM_MEM_COMMIT,
                                           HM_PAGE_READWRITE, HM_LEVEL_TASK, &pages),
                     HM_OK);
    assert_non_null(pages);
    memset(pages, 1, 65536);
    assert_int_equal(hm_host_virtual_protect(&host, pages, 4096, HM_PAGE_READONLY, &old),
                     HM_OK);
    assert_int_equal(old, HM_PAGE_READWRITE);
    assert_int_equal(hm_host_virtual_query(&host, pages, &region), HM_OK);
    assert_ptr_equal(region.allocation_base, pages);
    assert_int_equal(region.protection, HM_PAGE_READONLY);
    hm_region direct = {.size = sizeof(direct)};
    assert_int_equal(hm__virtual_query(pages, &direct), HM_OK);
    assert_memory_equal(&direct, &region, sizeof(region));
    assert_int_equal(hm_host_virtual_free(&host, pages, 0, HM_MEM_RELEASE), HM_OK);
    assert_int_not_equal(hm_host_virtual_free(&host, pages, 0, HM_MEM_RELEASE), HM_OK);

    uint32_t percent = 1000;
    size_t available = 0;
    assert_int_equal(hm_host_memory_load(&host, &percent, &available), HM_OK);
    assert_in_range(percent, 0, 100);
    assert_int_equal(hm_host_memory_load(&host, NULL, &available), HM_E_INVALID);

    int context;
    assert_int_equal(hm_host_subscribe(&host, heard, &context), HM_OK);
    assert_int_equal(hm__pressure_subscribe(heard, &context), HM_E_EXISTS);
    assert_int_equal(hm_host_unsubscribe(&host, heard, &context), HM_OK);
    assert_int_equal(hm_host_unsubscribe(&host, heard, &context), HM_E_NOT_FOUND);
}

static void host__basics_hold_nothing_back(void **state)
{
    (void)state;
    const hm_host_vtbl table = whole_table();
    hm_host host = {&table};
    void *found = &host;
    assert_int_equal(table.needs_address_space(&host, NULL, 0), HM_E_NOMEM);
    table.acquired_address_space(&host, &host, SIZE_MAX);
    table.released_address_space(&host, NULL);
    assert_int_equal(hm_host_find(&host, "debug", &found), HM_E_NOT_FOUND);
    assert_null(found);
    assert_int_equal(hm_host_find(&host, "debug", NULL), HM_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(host__a_whole_table_passes, reset_answers),
        cmocka_unit_test_setup(host__every_missing_slot_is_named, reset_answers),
        cmocka_unit_test_setup(host__a_table_that_is_none_is_refused, reset_answers),
        cmocka_unit_test_setup(host__options_reach_the_host, reset_answers),
        cmocka_unit_test_setup(host__bad_answers_are_named, reset_answers),
        cmocka_unit_test_setup(host__basics_pass_pages_and_load_to_the_system,
                               reset_answers),
        cmocka_unit_test_setup(host__basics_hold_nothing_back, reset_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
