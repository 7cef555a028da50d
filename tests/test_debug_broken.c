/* SPDX-License-Identifier: MIT */
/* Blocks whose header is gone, when their host goes and takes the memory with it: nobody may read there any more. */
#include "debug_fixture.h"

typedef struct broken_case {
    const char *label;
    const char *inner;
    uint32_t flags;
    int freed;  /* 1: the program tried */
    int beside; /* another debug host stays */
    hm_status then;
} broken_case;

/* What mimalloc gave stays its, and readable; whoever asks is told of it. */
static const broken_case cases[] = {
    {"an arena's", "arena", 0, 0, 1, HM_E_FREED},
    {"an arena's, freed", "arena", 0, 1, 1, HM_E_FREED},
    {"of a scoped arena", "arena", HM_MALLOC_SCOPED, 0, 1, HM_E_FREED},
    {"of a scoped arena, freed", "arena", HM_MALLOC_SCOPED, 1, 1, HM_E_FREED},
    {"of mimalloc", "mimalloc", 0, 0, 1, HM_E_CORRUPT},
    {"of mimalloc, freed", "mimalloc", 0, 1, 1, HM_E_FREED},
    {"of a scoped mimalloc", "mimalloc", HM_MALLOC_SCOPED, 0, 1, HM_E_CORRUPT},
    {"of the only host", "arena", 0, 0, 0, HM_E_FREED},
    {"of the only host, freed", "arena", 0, 1, 0, HM_E_FREED},
    {"of mimalloc, of the only host", "mimalloc", 0, 0, 0, HM_E_FREED}};

static debug_fixture f, other;

static void run(const broken_case *c)
{
    char spec[64];
    uint64_t found = 7;
    if (c->beside) {
        fixture_open(&other, ",leaks=no+default", 0);
    }
    snprintf(spec, sizeof(spec), ",leaks=no+%s", c->inner);
    fixture_open(&f, spec, c->flags);
    char *block = NULL;
    for (int i = 0; i < 50; i++) {
        block = hm_alloc(f.m, 100);
        assert_non_null(block);
    }
    memset(block - 16, 'z', 16);
    if (c->freed) {
        assert_int_equal(hm_free(f.m, block), HM_E_CORRUPT);
    }
    fixture_close(&f);
    if (!c->beside) {
        fixture_open(&other, ",leaks=no+default", 0);
    }
    const hm_status seen = c->then == HM_E_CORRUPT ? HM_E_CORRUPT : HM_OK;
    assert_int_equal(hm_debug_check(hm_debug_of_host(other.host), &found), seen);
    assert_int_equal(found, seen == HM_E_CORRUPT);
    const hm_status then = hm_free(other.m, block);
    if (then != c->then) {
        fail_msg("%s: %s, expected %s", c->label, hm_status_name(then),
                 hm_status_name(c->then));
    }
    fixture_close(&other);
}

static void broken__blocks_are_forgotten_with_their_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        run(&cases[i]);
    }
}

/* The mark of a block that another host has broken, too, is that host's. */
static void broken__blocks_of_another_host_stay(void **state)
{
    uint64_t found = 0;
    (void)state;
    fixture_open(&other, ",leaks=no+mimalloc", HM_MALLOC_SCOPED);
    fixture_open(&f, ",leaks=no+arena", 0);
    char *theirs = hm_alloc(other.m, 100), *ours = hm_alloc(f.m, 100);
    memset(theirs - 16, 'z', 16);
    memset(ours - 16, 'z', 16);
    fixture_close(&f);
    assert_int_equal(hm_debug_check(hm_debug_of_host(other.host), &found), HM_E_CORRUPT);
    assert_int_equal(found, 1);
    assert_int_equal(hm_free(other.m, theirs), HM_E_CORRUPT);
    fixture_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken__blocks_are_forgotten_with_their_memory),
        cmocka_unit_test(broken__blocks_of_another_host_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
