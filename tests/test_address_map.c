/* SPDX-License-Identifier: MIT */
#include "address_map_internal.h"
#include "check.h"
#include "memory_internal.h"

static void address_map__ranges_of_every_shape(void **state)
{
    static const struct {
        const char *label;
        uintptr_t from;
        uintptr_t to;
    } cases[] = {{"a granule", 0x3a5000010000, 0x3a5000020000},
                 {"a byte", 0x3a5000010000, 0x3a5000010001},
                 {"a whole node", 0x3a5001000000, 0x3a5002000000},
                 {"over three nodes", 0x3a5001ff0000, 0x3a5003010000},
                 {"over a level", 0x3a50ffff0000, 0x3a5200010000},
                 {"a whole terabyte", 0x3b0000000000, 0x3c0000000000},
                 {"terabytes and a bit", 0x3affffff0000, 0x3d0000010000},
                 {"the highest", 0xffffffff0000, 0x1000000000000}};
    static char value[16];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const uintptr_t from = cases[i].from;
        const uintptr_t to = cases[i].to;
        const uintptr_t end = (to + 0xffff) & ~(uintptr_t)0xffff;
        const uintptr_t after =
            end < HM__ADDRESS_LIMIT ? hm__address_map_next(end) : HM__ADDRESS_LIMIT;
        CHECK_ROW(cases[i].label, hm__address_map_set(from, to, value));
        CHECK_ROW(cases[i].label, hm__address_map_get(from) == value);
        CHECK_ROW(cases[i].label, hm__address_map_get(to - 1) == value);
        CHECK_ROW(cases[i].label, hm__address_map_get(from + (to - from) / 2) == value);
        CHECK_ROW(cases[i].label, hm__address_map_get(from - 1) == NULL);
        CHECK_ROW(cases[i].label,
                  end == HM__ADDRESS_LIMIT || hm__address_map_get(end) == NULL);
        CHECK_ROW(cases[i].label, hm__address_map_next(from - 0x10000) == from);
        CHECK_ROW(cases[i].label, hm__address_map_next(from) == from);
        CHECK_ROW(cases[i].label, hm__address_map_next(end) == after);
        hm__address_map_clear(from, to);
        CHECK_ROW(cases[i].label, hm__address_map_get(from) == NULL);
        CHECK_ROW(cases[i].label, hm__address_map_get(to - 1) == NULL);
        CHECK_ROW(cases[i].label, hm__address_map_next(from) == after);
    }
}

static void address_map__no_memory_changes_nothing(void **state)
{
    static char value[16];
    const uintptr_t from =
        0x4affff010000; /* nodes on both sides of a terabyte's border */
    const uintptr_t to = 0x4b0000ff0000;
    unsigned refused = 0;
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        hm__memory_fail_from(nth);
        const int done = hm__address_map_set(from, to, value);
        hm__memory_fail_from(0);
        if (done) {
            break;
        }
        refused++;
        assert_null(hm__address_map_get(from));
        assert_null(hm__address_map_get(to - 1));
        assert_true(hm__address_map_next(from) >= to);
    }
    assert_true(refused > 0);
    assert_ptr_equal(hm__address_map_get(from), value);
    hm__address_map_clear(from, to);
    assert_null(hm__address_map_get(from));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_map__ranges_of_every_shape),
        cmocka_unit_test(address_map__no_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
