/* SPDX-License-Identifier: MIT */
/* Reserve, commit, free, protect and query, by the rules of the Win32 calls. */
#include <string.h>
#include <sys/mman.h>

#include "pages_check.h"

static void virtual__reserve_is_a_granule_without_access(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        char *p = reserved(GRANULE + PAGE);
        assert_int_equal((uintptr_t)p % GRANULE, 0);
        assert_false(readable(p));
        assert_int_equal(asked(p).bytes, GRANULE + PAGE);
        if (i % 3 == 0) {
            released(p);
        }
    }
}

static void virtual__commit_gives_zeroes_and_keeps_contents(void **state)
{
    (void)state;
    char *p = reserved(GRANULE);
    committed(p + PAGE, PAGE, RW);
    assert_true(is_zero(p + PAGE, PAGE));
    assert_false(readable(p));
    assert_false(readable(p + 2 * PAGE));
    memset(p + PAGE, 7, PAGE);
    committed(p, 3 * PAGE, RW);
    assert_true(is_zero(p, PAGE));
    assert_true(is_zero(p + 2 * PAGE, PAGE));
    assert_int_equal(p[PAGE], 7);
    assert_int_equal(p[2 * PAGE - 1], 7);
    committed(p, 3 * PAGE, HM_PAGE_READONLY);
    assert_false(writable(p + PAGE));
    assert_int_equal(p[PAGE], 7);
    released(p);
}

static void virtual__two_bytes_across_a_boundary_take_both_pages(void **state)
{
    (void)state;
    char *p = reserved(GRANULE);
    committed(p + 2 * PAGE - 1, 2, RW);
    assert_int_equal(asked(p + PAGE).state, COMMIT);
    assert_int_equal(asked(p + PAGE).bytes, 2 * PAGE);
    assert_int_equal(asked(p).state, RESERVE);
    released(p);
}

static void virtual__reserve_and_commit_at_once(void **state)
{
    static const struct {
        const char *label;
        uint32_t type;
    } cases[] = {{"both", RESERVE | COMMIT},
                 {"commit without an address", COMMIT},
                 {"top down", RESERVE | COMMIT | HM_MEM_TOP_DOWN}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        void *p = NULL;
        CHECK_ROW(cases[i].label,
                  hm__virtual_alloc(NULL, 3 * PAGE + 1, cases[i].type, RW, &p) == HM_OK);
        CHECK_ROW(cases[i].label, is_zero(p, 4 * PAGE));
        memset(p, 1, 4 * PAGE);
        CHECK_ROW(cases[i].label, asked(p).bytes == 4 * PAGE);
        CHECK_ROW(cases[i].label, asked(p).allocation_protection == RW);
        released(p);
    }
}

static void virtual__alloc_refuses(void **state)
{
    (void)state;
    char *p = reserved(GRANULE);
    char *above = reserved(GRANULE); /* so that p + GRANULE may or may not be ours */
    char *foreign =
        mmap(NULL, 2 * GRANULE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct {
        const char *label;
        void *address;
        size_t size;
        uint32_t type;
        uint32_t protection;
        hm_status want;
    } cases[] = {
        {"no bytes", NULL, 0, RESERVE, RW, HM_E_INVALID},
        {"no type", NULL, PAGE, 0, RW, HM_E_INVALID},
        {"top down alone", NULL, PAGE, HM_MEM_TOP_DOWN, RW, HM_E_INVALID},
        {"free type", NULL, PAGE, RESERVE | HM_MEM_DECOMMIT, RW, HM_E_INVALID},
        {"unknown type", NULL, PAGE, RESERVE | 1, RW, HM_E_INVALID},
        {"reset with commit", p, PAGE, HM_MEM_RESET | COMMIT, RW, HM_E_INVALID},
        {"reset with top down", p, PAGE, HM_MEM_RESET | HM_MEM_TOP_DOWN, RW,
         HM_E_INVALID},
        {"write watch", NULL, PAGE, RESERVE | 0x200000, RW, HM_E_UNSUPPORTED},
        {"large pages", NULL, PAGE, RESERVE | COMMIT | 0x20000000, RW, HM_E_UNSUPPORTED},
        {"no protection", NULL, PAGE, RESERVE, 0, HM_E_INVALID},
        {"two protections", NULL, PAGE, RESERVE, 6, HM_E_INVALID},
        {"write copy", NULL, PAGE, RESERVE, 8, HM_E_INVALID},
        {"guard", NULL, PAGE, RESERVE | COMMIT, RW | 0x100, HM_E_UNSUPPORTED},
        {"guard alone", NULL, PAGE, RESERVE | COMMIT, 0x100, HM_E_INVALID},
        {"reset without protection", p, PAGE, HM_MEM_RESET, 0, HM_E_INVALID},
        {"all of memory", NULL, SIZE_MAX, RESERVE, RW, HM_E_NOMEM},
        {"half of memory", NULL, SIZE_MAX / 2, RESERVE, RW, HM_E_NOMEM},
        {"all of user space", NULL, (size_t)1 << 47, RESERVE, RW, HM_E_NOMEM},
        {"commit elsewhere", foreign, PAGE, COMMIT, RW, HM_E_NOT_OWNED},
        {"commit the kernel", (void *)(UINTPTR_MAX - 4095), PAGE, COMMIT, RW,
         HM_E_NOT_OWNED},
        {"reset elsewhere", foreign, PAGE, HM_MEM_RESET, RW, HM_E_NOT_OWNED},
        {"commit past the end", p, GRANULE + 1, COMMIT, RW, HM_E_INVALID},
        {"commit to the end of memory", p, SIZE_MAX, COMMIT, RW, HM_E_INVALID},
        {"reserve what is reserved", p, GRANULE, RESERVE, RW, HM_E_INVALID},
        {"reserve its last byte", p + GRANULE - 1, 1, RESERVE | COMMIT, RW, HM_E_INVALID},
        {"reserve what others have", foreign + GRANULE, 1, RESERVE, RW, HM_E_INVALID},
        {"reserve the first page", (void *)1, PAGE, RESERVE, RW, HM_E_INVALID},
        {"reserve the kernel", (void *)(UINTPTR_MAX - GRANULE + 1), 1, RESERVE, RW,
         HM_E_INVALID},
        {"reserve past user space", (void *)GRANULE, SIZE_MAX, RESERVE, RW, HM_E_INVALID},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        void *out = &out;
        CHECK_ROW(cases[i].label,
                  hm__virtual_alloc(cases[i].address, cases[i].size, cases[i].type,
                                    cases[i].protection, &out) == cases[i].want);
        CHECK_ROW(cases[i].label, out == NULL);
        CHECK_ROW(cases[i].label, asked(p).state == RESERVE);
    }
    assert_int_equal(hm__virtual_alloc(NULL, PAGE, RESERVE, RW, NULL), HM_E_INVALID);
    munmap(foreign, 2 * GRANULE);
    released(p);
    released(above);
}

static void virtual__reserve_at_an_address_rounds_down_to_a_granule(void **state)
{
    (void)state;
    char *p = reserved(4 * GRANULE);
    void *out = NULL;
    released(p);
    assert_int_equal(asked(p).state, HM_MEM_FREE);
    assert_int_equal(
        hm__virtual_alloc(p + GRANULE + 3 * PAGE, 2, RESERVE | COMMIT, RW, &out), HM_OK);
    assert_ptr_equal(out, p + GRANULE);
    assert_int_equal(asked(out).bytes, 4 * PAGE);
    assert_int_equal(asked(out).state, COMMIT);
    memset(out, 1, 4 * PAGE);
    released(out);
}

static void virtual__release_refuses(void **state)
{
    (void)state;
    char *p = reserved(GRANULE);
    char on_stack;
    committed(p, PAGE, RW);
    p[0] = 5;
    const struct {
        const char *label;
        void *address;
        size_t size;
        uint32_t type;
        hm_status want;
    } cases[] = {
        {"release with a size", p, PAGE, HM_MEM_RELEASE, HM_E_INVALID},
        {"release with the very size", p, GRANULE, HM_MEM_RELEASE, HM_E_INVALID},
        {"release from the middle", p + PAGE, 0, HM_MEM_RELEASE, HM_E_INVALID},
        {"release the second byte", p + 1, 0, HM_MEM_RELEASE, HM_E_INVALID},
        {"both", p, 0, HM_MEM_RELEASE | HM_MEM_DECOMMIT, HM_E_INVALID},
        {"both with a size", p, PAGE, HM_MEM_RELEASE | HM_MEM_DECOMMIT, HM_E_INVALID},
        {"neither", p, 0, 0, HM_E_INVALID},
        {"something else", p, 0, COMMIT, HM_E_INVALID},
        {"decommit too much", p, GRANULE + 1, HM_MEM_DECOMMIT, HM_E_INVALID},
        {"decommit beyond memory", p + 1, SIZE_MAX, HM_MEM_DECOMMIT, HM_E_INVALID},
        {"decommit nothing in the middle", p + PAGE, 0, HM_MEM_DECOMMIT, HM_E_INVALID},
        {"release the stack", &on_stack, 0, HM_MEM_RELEASE, HM_E_NOT_OWNED},
        {"decommit the stack", &on_stack, 1, HM_MEM_DECOMMIT, HM_E_NOT_OWNED},
        {"release nothing", NULL, 0, HM_MEM_RELEASE, HM_E_NOT_OWNED},
        {"release the kernel", (void *)UINTPTR_MAX, 0, HM_MEM_RELEASE, HM_E_NOT_OWNED},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_ROW(cases[i].label, hm__virtual_free(cases[i].address, cases[i].size,
                                                   cases[i].type) == cases[i].want);
        CHECK_ROW(cases[i].label, p[0] == 5 && asked(p).state == COMMIT);
    }
    released(p);
    assert_int_equal(hm__virtual_free(p, 0, HM_MEM_RELEASE), HM_E_NOT_OWNED);
    assert_int_equal(asked(p).state, HM_MEM_FREE);
    assert_null(asked(p).allocation_base);
    assert_false(readable(p));
}

static void virtual__decommit(void **state)
{
    (void)state;
    char *p = reserved(GRANULE);
    committed(p + PAGE, PAGE, RW);
    committed(p + 3 * PAGE, PAGE, HM_PAGE_READONLY);
    memset(p + PAGE, 9, PAGE);
    /* A partly committed range, from the last byte of one page to the first of another. */
    assert_int_equal(hm__virtual_free(p + 2 * PAGE - 1, 2 * PAGE, HM_MEM_DECOMMIT),
                     HM_OK);
    assert_int_equal(asked(p).state, RESERVE);
    assert_int_equal(asked(p).bytes, GRANULE);
    assert_false(readable(p + PAGE));
    assert_int_equal(hm__virtual_free(p, GRANULE, HM_MEM_DECOMMIT), HM_OK);
    committed(p, 4 * PAGE, RW);
    assert_true(is_zero(p, 4 * PAGE));
    memset(p, 9, 4 * PAGE);
    assert_int_equal(hm__virtual_free(p, 0, HM_MEM_DECOMMIT), HM_OK);
    assert_int_equal(asked(p).bytes, GRANULE);
    assert_false(readable(p));
    committed(p, GRANULE, RW);
    assert_true(is_zero(p, GRANULE));
    released(p);
}

static void virtual__reset_takes_committed_pages(void **state)
{
    (void)state;
    char *p = reserved(GRANULE);
    void *out = NULL;
    committed(p + PAGE, PAGE, RW);
    assert_int_equal(hm__virtual_alloc(p + 1, 3 * PAGE, HM_MEM_RESET, RW, &out), HM_OK);
    assert_ptr_equal(out, p);
    assert_int_equal(asked(p).state, RESERVE);
    assert_true(writable(p + PAGE));
    released(p);
}

static void virtual__query_describes_runs(void **state)
{
    (void)state;
    char *p = reserved(16 * PAGE);
    committed(p + 2 * PAGE, 3 * PAGE, RW);
    committed(p + 5 * PAGE, PAGE, HM_PAGE_READONLY);
    const struct {
        const char *label;
        size_t at;
        size_t pages;
        uint32_t state;
        uint32_t protection;
    } cases[] = {{"reserved", 0, 2, RESERVE, 0},
                 {"reserved, inside", PAGE + 17, 1, RESERVE, 0},
                 {"committed", 2 * PAGE, 3, COMMIT, RW},
                 {"committed, inside", 4 * PAGE - 1, 2, COMMIT, RW},
                 {"read only", 5 * PAGE, 1, COMMIT, HM_PAGE_READONLY},
                 {"the rest", 6 * PAGE, 10, RESERVE, 0},
                 {"the last byte", 16 * PAGE - 1, 1, RESERVE, 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm_region r = asked(p + cases[i].at);
        CHECK_ROW(cases[i].label, r.size == sizeof r);
        CHECK_ROW(cases[i].label, r.base == p + cases[i].at / PAGE * PAGE);
        CHECK_ROW(cases[i].label, r.allocation_base == p);
        CHECK_ROW(cases[i].label, r.bytes == cases[i].pages * PAGE);
        CHECK_ROW(cases[i].label, r.state == cases[i].state);
        CHECK_ROW(cases[i].label, r.protection == cases[i].protection);
        CHECK_ROW(cases[i].label, r.allocation_protection == NONE);
        CHECK_ROW(cases[i].label, r.type == HM_MEM_PRIVATE);
    }
    released(p);
}

static void virtual__query_of_free_space_ends_at_the_next_reservation(void **state)
{
    void *out = NULL;
    (void)state;
    char *p = reserved(8 * GRANULE);
    released(p);
    assert_int_equal(hm__virtual_alloc(p + 6 * GRANULE, PAGE, RESERVE, NONE, &out),
                     HM_OK);
    const hm_region r = asked(p + GRANULE + 5);
    assert_int_equal(r.state, HM_MEM_FREE);
    assert_int_equal(r.bytes, 5 * GRANULE);
    assert_int_equal(r.type, 0);
    assert_int_equal(r.protection, 0);
    assert_null(r.allocation_base);
    /* What is left of the reservation's last granule cannot be reserved, but is free. */
    assert_int_equal(asked(p + 6 * GRANULE + PAGE).state, HM_MEM_FREE);
    released(out);
    assert_true(asked((void *)(hm__os()->address_limit - 1)).bytes >= PAGE);
}

static void virtual__query_refuses(void **state)
{
    hm_region region = {.size = sizeof region - 1};
    (void)state;
    assert_int_equal(hm__virtual_query(&region, &region), HM_E_INVALID);
    assert_int_equal(hm__virtual_query(&region, NULL), HM_E_INVALID);
    region.size = sizeof region;
    assert_int_equal(hm__virtual_query((void *)UINTPTR_MAX, &region), HM_E_INVALID);
    assert_int_equal(hm__virtual_query((void *)hm__os()->address_limit, &region),
                     HM_E_INVALID);
}

static void virtual__protect(void **state)
{
    static const struct {
        const char *label;
        uint32_t protection;
        int reads;
        int writes;
    } cases[] = {{"none", NONE, 0, 0},
                 {"read", HM_PAGE_READONLY, 1, 0},
                 {"read and write", RW, 1, 1},
                 {"execute and read", HM_PAGE_EXECUTE_READ, 1, 0},
                 {"all", HM_PAGE_EXECUTE_READWRITE, 1, 1}};
    uint32_t before = RW;
    (void)state;
    char *p = reserved(GRANULE);
    committed(p, 4 * PAGE, RW);
    p[PAGE] = 3;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t old = 0;
        CHECK_ROW(cases[i].label,
                  hm__virtual_protect(p + PAGE + 1, PAGE, cases[i].protection, &old) ==
                      HM_OK);
        CHECK_ROW(cases[i].label, old == before);
        CHECK_ROW(cases[i].label, readable(p + PAGE) == cases[i].reads);
        CHECK_ROW(cases[i].label, writable(p + 2 * PAGE) == cases[i].writes);
        CHECK_ROW(cases[i].label, readable(p) && writable(p + 3 * PAGE));
        CHECK_ROW(cases[i].label, asked(p + PAGE).protection == cases[i].protection);
        before = cases[i].protection;
    }
    assert_int_equal(p[PAGE], 3);
    released(p);
}

static void virtual__protect_refuses(void **state)
{
    char on_stack = 1;
    (void)state;
    char *p = reserved(GRANULE);
    committed(p, 2 * PAGE, RW);
    committed(p + 3 * PAGE, PAGE, RW);
    const struct {
        const char *label;
        void *address;
        size_t size;
        uint32_t protection;
        hm_status want;
    } cases[] = {{"no bytes", p, 0, NONE, HM_E_INVALID},
                 {"no protection", p, PAGE, 0, HM_E_INVALID},
                 {"guard", p, PAGE, RW | 0x100, HM_E_UNSUPPORTED},
                 {"one page is not committed", p, 4 * PAGE, NONE, HM_E_INVALID},
                 {"one byte is not committed", p, 2 * PAGE + 1, NONE, HM_E_INVALID},
                 {"past the end", p, GRANULE + 1, NONE, HM_E_INVALID},
                 {"elsewhere", &on_stack, 1, RW, HM_E_NOT_OWNED}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t old = 77;
        CHECK_ROW(cases[i].label,
                  hm__virtual_protect(cases[i].address, cases[i].size,
                                      cases[i].protection, &old) == cases[i].want);
        CHECK_ROW(cases[i].label, old == 77);
        CHECK_ROW(cases[i].label, writable(p) && writable(p + PAGE));
    }
    assert_int_equal(hm__virtual_protect(p, PAGE, NONE, NULL), HM_E_INVALID);
    assert_true(writable(p));
    released(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(virtual__reserve_is_a_granule_without_access),
        cmocka_unit_test(virtual__commit_gives_zeroes_and_keeps_contents),
        cmocka_unit_test(virtual__two_bytes_across_a_boundary_take_both_pages),
        cmocka_unit_test(virtual__reserve_and_commit_at_once),
        cmocka_unit_test(virtual__alloc_refuses),
        cmocka_unit_test(virtual__reserve_at_an_address_rounds_down_to_a_granule),
        cmocka_unit_test(virtual__release_refuses),
        cmocka_unit_test(virtual__decommit),
        cmocka_unit_test(virtual__reset_takes_committed_pages),
        cmocka_unit_test(virtual__query_describes_runs),
        cmocka_unit_test(virtual__query_of_free_space_ends_at_the_next_reservation),
        cmocka_unit_test(virtual__query_refuses),
        cmocka_unit_test(virtual__protect),
        cmocka_unit_test(virtual__protect_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
