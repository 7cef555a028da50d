/* SPDX-License-Identifier: MIT */
/* The bridge under a real mruby, on every host: scripts, and a limit that they survive. */
#include <hostmalloc/bridges/mruby.h>

#include "over_hosts.h"

#include <mruby/compile.h>
#include <mruby/string.h>

static uint64_t run(mrb_state *mrb, const char *script)
{
    uint64_t digest = 0;
    const int arena = mrb_gc_arena_save(mrb);
    const mrb_value answer = mrb_load_string(mrb, script);
    if (!mrb->exc && mrb_string_p(answer)) {
        digest =
            work_digest(WORK_DIGEST, RSTRING_PTR(answer), (size_t)RSTRING_LEN(answer));
    }
    mrb->exc = NULL;
    mrb_gc_arena_restore(mrb, arena);
    return digest;
}

static uint64_t work(hm_malloc *m)
{
    static const char script[] =
        "def tree(d) d == 0 ? [nil, nil] : [tree(d - 1), tree(d - 1)] end\n"
        "def count(t) t[0] ? 1 + count(t[0]) + count(t[1]) : 1 end\n"
        "h = {}\n100.times { |i| h[\"k#{i}\"] = [i, i * 0.5, 'v' * i] }\n"
        "[count(tree(8)), h, (1..50).map { |x| x * x }.select { |x| x % 2 == 0 "
        "}].inspect\n";
    mrb_state *const mrb = m ? hm_mruby_open(m) : mrb_open();
    uint64_t digest = 0;
    if (mrb) {
        digest = run(mrb, script);
        mrb_close(mrb);
    }
    return digest;
}

/* mruby 3 does not cope with every failure while it opens, so failures are a limit's, in the middle of a script. */
static void mruby__runs_as_ever(void **state)
{
    (void)state;
    assert_int_not_equal(work(NULL), 0);
    work_everywhere("mruby", work, WORK_NOT_FAILED);
}

static void mruby__limit(void **state)
{
    const hm_malloc_opts opts = {.size = sizeof(opts), .name = "small", .limit = 4 << 20};
    hm_host *host;
    hm_malloc *m;
    hm_stats stats;
    (void)state;
    assert_int_equal(hm_host_open("default", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc_opts(host, &opts, &m, NULL), HM_OK);
    mrb_state *const mrb = hm_mruby_open(m);
    assert_non_null(mrb);
    assert_int_equal(
        run(mrb, "def much() a = []; while true do a << 'x' * 1000 end end; much"), 0);
    assert_int_not_equal(run(mrb, "'and' + ' on'"), 0);
    mrb_close(mrb);
    assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
    assert_int_equal(stats.live_blocks, 0);
    assert_true(stats.denied > 0 && stats.peak_bytes <= opts.limit);
    hm_malloc_release(m);
    hm_host_release(host);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(mruby__runs_as_ever),
                                              cmocka_unit_test(mruby__limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
