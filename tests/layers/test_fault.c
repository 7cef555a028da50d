/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <hostmalloc/fault.h>
#include <hostmalloc/hostmalloc.h>

#include "check.h"

static hm_host *host;
static hm_malloc *m;

static void open_stack(const char *spec, uint32_t flags)
{
    hm_error err;
    if (hm_host_open(spec, &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "faulty", flags, &m, &err) != HM_OK) {
        fail_msg("%s: %s: %s", spec, err.where, err.what);
    }
}

static void close_stack(void)
{
    hm_malloc_release(m);
    hm_host_release(host);
}

/* "1" for a block, "0" for a refusal, of ten allocations of 100 bytes. */
static const char *ten(void)
{
    static char pattern[11];
    for (int i = 0; i < 10; i++) {
        void *block = hm_alloc(m, 100);
        pattern[i] = block ? '1' : '0';
        hm_free(m, block);
    }
    return pattern;
}

static void fault__chooses(void **state)
{
    static const struct {
        const char *spec;
        const char *want;
    } cases[] = {
        {"fault+default", "1111111111"},
        {"fault:nth=3+default", "1101111111"},
        {"fault:nth=3,persistent+default", "1100000000"},
        {"fault:every=4+default", "1110111011"},
        {"fault:at=(2,5-6,9-)+mimalloc", "1011001100"},
        {"fault:p=1+default", "0000000000"},
        {"fault:p=0+default", "1111111111"},
        {"fault:nth=1,min=101+default", "1111111111"},
        {"fault:nth=1,min=100,max=100+default", "0111111111"},
        {"fault:nth=1,max=99+default", "1111111111"},
        {"fault:nth=1,level=process+default", "1111111111"},
        {"fault:nth=1,level=task+default", "0111111111"},
        {"fault:nth=1,site=*test_fault.c:*+default", "0111111111"},
        {"fault:nth=1,site=*other.c:*+default", "1111111111"},
        {"fault:nth=2+debug+default", "1011111111"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        open_stack(cases[i].spec, 0);
        const char *got = ten();
        if (strcmp(got, cases[i].want) != 0) {
            fail_msg("%s: got %s, want %s", cases[i].spec, got, cases[i].want);
        }
        close_stack();
    }
}

static void fault__chance_repeats_with_its_seed(void **state)
{
    char first[11];
    (void)state;
    open_stack("fault:p=1/2,seed=7+default", 0);
    strcpy(first, ten());
    close_stack();
    assert_non_null(strchr(first, '0'));
    assert_non_null(strchr(first, '1'));
    open_stack("fault:p=1/2,seed=7+default", 0);
    assert_string_equal(ten(), first);
    close_stack();
    open_stack("fault:p=1/2,seed=8+default", 0);
    assert_string_not_equal(ten(), first);
    close_stack();
}

static void fault__refuses_bad_schedules(void **state)
{
    static const char *const specs[] = {
        "fault:at=(0)", "fault:at=(3,3)", "fault:at=(5-4)",    "fault:at=(1,)",
        "fault:at=x",   "fault:at=(-3)",  "fault:min=2,max=1", "fault:p=2"};
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        hm_host *refused = NULL;
        hm_error err = {0};
        CHECK_ROW(specs[i], hm_host_open(specs[i], &refused, &err) == HM_E_INVALID);
        CHECK_ROW(specs[i], !refused && err.what[0]);
    }
}

static void fault__every_way_to_ask(void **state)
{
    void *out;
    const hm_request request = {.size = sizeof request, .bytes = 8};
    (void)state;
    open_stack("fault+default", 0);
    char *block = hm_alloc(m, 10);
    strcpy(block, "kept");
    const hm_fault_rule all = {.size = sizeof all, .any_level = 1, .at = "1-"};
    assert_int_equal(hm_fault_set(host, &all), HM_OK);
    assert_null(hm_alloc(m, 1));
    assert_null((hm_alloc)(m, 1));
    assert_null(hm_alloc_zeroed(m, 1, 1));
    assert_null(hm_alloc_aligned(m, 1, 64));
    assert_null(hm_realloc(m, NULL, 1));
    assert_null(hm_realloc(m, block, 5000));
    assert_null(hm_strdup(m, "x"));
    assert_int_equal(hm_malloc_request(m, &request, &out), HM_E_NOMEM);
    assert_null(out);
    assert_string_equal(block, "kept");
    block = hm_realloc(m, block, 5); /* a shrink is no allocation */
    assert_non_null(block);
    hm_free(m, block);
    hm_fault_count count;
    assert_int_equal(hm_fault_counted(host, &count), HM_OK);
    assert_int_equal(count.counted, 8);
    assert_int_equal(count.failed, 8);
    assert_int_equal(count.last_failed, 8);
    close_stack();
}

static void fault__benign_brackets_nest(void **state)
{
    (void)state;
    open_stack("fault:p=1+default", 0);
    hm_fault_benign_begin(host);
    hm_fault_benign_begin(host);
    hm_fault_benign_end(host);
    assert_string_equal(ten(), "1111111111");
    hm_fault_benign_end(host);
    assert_string_equal(ten(), "0000000000");
    hm_fault_benign_end(host); /* one too many does no harm */
    assert_string_equal(ten(), "0000000000");
    close_stack();
}

/* Makes three blocks; forgets to look at the third when careless. */
static int three_blocks(void *careless)
{
    char *blocks[3] = {NULL, NULL, NULL};
    int bad = 0;
    for (int i = 0; i < 3; i++) {
        blocks[i] = hm_alloc(m, 16);
        if (!blocks[i]) {
            bad = i == 2 && *(int *)careless;
            break;
        }
    }
    for (int i = 0; i < 3; i++) {
        hm_free(m, blocks[i]);
    }
    return bad;
}

static void fault__sweep_finds_the_one(void **state)
{
    hm_fault_count last;
    int careless = 0;
    (void)state;
    open_stack("fault+debug", 0);
    assert_int_equal(hm_fault_sweep(host, NULL, three_blocks, &careless, &last), HM_OK);
    assert_int_equal(last.counted, 3);
    assert_int_equal(last.failed, 0);
    careless = 1;
    assert_int_equal(hm_fault_sweep(host, NULL, three_blocks, &careless, &last),
                     HM_E_INVALID);
    assert_int_equal(last.last_failed, 3);
    assert_non_null(last.last_site);
    assert_string_equal(last.last_site->function, "three_blocks");
    assert_string_equal(ten(), "1111111111"); /* the rule is gone afterwards */
    close_stack();
    open_stack("default", 0);
    assert_int_equal(hm_fault_sweep(host, NULL, three_blocks, &careless, &last),
                     HM_E_NOT_FOUND);
    close_stack();
}

static void fault__fork_explores_each_in_one_pass(void **state)
{
    (void)state;
    open_stack("fault:fork+default", 0);
    int got = 0;
    for (int i = 0; i < 5; i++) {
        char *block = hm_alloc(m, 16);
        if (!block) {
            if (i == 3) {
                raise(9); /* the planted bug */
            }
            _exit(0);
        }
        got++;
        hm_free(m, block);
    }
    assert_int_equal(got, 5);
    hm_fault_count count;
    hm_fault_counted(host, &count);
    assert_int_equal(count.copies, 5);
    assert_int_equal(count.copies_died, 1);
    assert_int_equal(count.failed, 0);
    close_stack();
}

static void fault__counts_as_denied(void **state)
{
    hm_stats stats;
    (void)state;
    open_stack("fault:every=2+debug", 0);
    ten();
    assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
    assert_int_equal(stats.denied, 5);
    assert_int_equal(stats.failed, 5);
    assert_int_equal(stats.total_blocks, 5);
    close_stack();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fault__chooses),
        cmocka_unit_test(fault__chance_repeats_with_its_seed),
        cmocka_unit_test(fault__refuses_bad_schedules),
        cmocka_unit_test(fault__every_way_to_ask),
        cmocka_unit_test(fault__benign_brackets_nest),
        cmocka_unit_test(fault__sweep_finds_the_one),
        cmocka_unit_test(fault__fork_explores_each_in_one_pass),
        cmocka_unit_test(fault__counts_as_denied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
