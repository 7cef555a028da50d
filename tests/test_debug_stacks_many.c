/* SPDX-License-Identifier: MIT */
/* Reports of very many sites with stacks: all stacks are gone through a fixed number of times, whatever is shown of them. */
#include "debug_fixture.h"

typedef struct debug_host debug_host;
typedef struct debug_stack debug_stack;
typedef int visitor(void *context, const debug_stack *stack);

#define SITES 100000u

static debug_fixture f;
static unsigned passes;

int __real_hm__debug_stacks_visit(const debug_host *host, visitor *visit, void *context);
int __wrap_hm__debug_stacks_visit(const debug_host *host, visitor *visit, void *context);
int __wrap_hm__debug_stacks_visit(const debug_host *host, visitor *visit, void *context)
{
    passes++;
    return __real_hm__debug_stacks_visit(host, visit, context);
}

/* The first has most, so that what is shown is known. */
static void fill(void)
{
    char file[32];
    for (uint32_t i = 0; i < SITES; i++) {
        snprintf(file, sizeof(file), "many%u.c", i / 1000);
        assert_non_null(
            hm_debug_alloc(f.m, i < 30 ? 3000 - i : 8, 0, file, 1 + i % 1000));
    }
}

static const char *end_of_report(FILE *file)
{
    fseek(file, -20000, SEEK_END);
    f.text[fread(f.text, 1, sizeof(f.text) - 1, file)] = '\0';
    return f.text;
}

static void stacks__of_many_sites_are_gone_through_once(void **state)
{
    char shown[80];
    FILE *file = tmpfile();
    (void)state;
    assert_non_null(file);
    fixture_open(&f, ",leaks=no,frames=2", HM_MALLOC_SCOPED);
    fill();
    passes = 0;
    assert_int_equal(hm_debug_report(hm_debug_of_host(f.host), fileno(file)), HM_OK);
    assert_int_equal(passes, 3); /* two to count, one to choose */
    const char *at = end_of_report(file);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(shown, sizeof(shown), "1 block and %u bytes of many0.c:%u came by\n",
                 3000 - i, i + 1);
        at = strstr(at, shown);
        assert_non_null(at);
    }
    assert_null(strstr(at + strlen(shown), "came by"));
    assert_non_null(strstr(at, " blocks have no stack, for lack of room\n"));
    assert_non_null(strstr(at, " live at 100000 sites\n"));
    passes = 0;
    assert_int_equal(hm_debug_snapshot(hm_debug_of_host(f.host), fileno(file)), HM_OK);
    assert_int_equal(passes, 3); /* two to count, one to write */
    fclose(file);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stacks__of_many_sites_are_gone_through_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
