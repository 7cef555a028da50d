/* SPDX-License-Identifier: MIT */
/* The bridge under a real Duktape, on every host: scripts, with each allocation failing once, and under a limit. */
#include <hostmalloc/bridges/duktape.h>

#include "over_hosts.h"

static const char script[] =
    "function tree(d) { return d ? { l: tree(d - 1), r: tree(d - 1) } : {}; }"
    "function count(t) { return t.l ? 1 + count(t.l) + count(t.r) : 1; }"
    "var data = {}, s = '';"
    "for (var i = 0; i < 40; i++) { data['k' + i] = [i, i / 7, 'v' + i]; s += i; }"
    "JSON.stringify([count(tree(5)), JSON.parse(JSON.stringify(data)), s,"
    " s.replace(/[0-4]+/g, '-'), [5, 3, 9].sort()])";

static duk_ret_t evaluate(duk_context *ctx, void *text)
{
    duk_eval_string(ctx, text);
    return 1;
}

static uint64_t run(duk_context *ctx, const char *text)
{
    uint64_t digest = 0;
    if (duk_safe_call(ctx, evaluate, (void *)(uintptr_t)text, 0, 1) == DUK_EXEC_SUCCESS) {
        duk_size_t size;
        const char *const answer = duk_get_lstring(ctx, -1, &size);
        digest = work_digest(WORK_DIGEST, answer, answer ? size : 0);
    }
    duk_pop(ctx);
    return digest;
}

static uint64_t work(hm_malloc *m)
{
    duk_context *const ctx =
        m ? hm_duktape_create_heap(m, NULL) : duk_create_heap_default();
    uint64_t digest = 0;
    if (ctx) {
        digest = run(ctx, script);
        duk_destroy_heap(ctx);
    }
    return digest;
}

static void duktape__runs_as_ever(void **state)
{
    (void)state;
    assert_int_not_equal(work(NULL), 0);
    work_everywhere("duktape", work, WORK_NOT_FAILED); /* one by one in the next case */
}

static int survive(void *ctx)
{
    run(ctx, "JSON.stringify([1, { a: 'b' + 'c' }, [3, 2].sort()])");
    return 0;
}

/* Each failure has Duktape collect up to ten times, so a small heap is failed, and a small script. */
static void duktape__every_allocation_fails(void **state)
{
    hm_host *host;
    hm_malloc *m;
    hm_fault_count last;
    (void)state;
    assert_int_equal(hm_host_open("fault+debug", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc(host, "failing", 0, &m, NULL), HM_OK);
    duk_context *const ctx = hm_duktape_create_heap(m, NULL);
    assert_non_null(ctx);
    assert_int_equal(hm_fault_sweep(host, NULL, survive, ctx, &last), HM_OK);
    assert_true(last.counted > 10);
    assert_int_not_equal(run(ctx, script), 0);
    duk_destroy_heap(ctx);
    hm_malloc_release(m);
    hm_host_release(host);
}

/* A script that wants too much sees an Error, and the next one runs. */
static void duktape__limit(void **state)
{
    const hm_malloc_opts opts = {.size = sizeof(opts), .name = "small", .limit = 1 << 20};
    hm_host *host;
    hm_malloc *m;
    hm_stats stats;
    (void)state;
    assert_int_equal(hm_host_open("default", &host, NULL), HM_OK);
    assert_int_equal(hm_host_create_malloc_opts(host, &opts, &m, NULL), HM_OK);
    duk_context *const ctx = hm_duktape_create_heap(m, NULL);
    assert_non_null(ctx);
    assert_int_equal(run(ctx, "var a = []; while (1) a.push('x' + a.length)"), 0);
    assert_int_not_equal(run(ctx, "a = null; 'and on'"), 0);
    duk_destroy_heap(ctx);
    assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
    assert_int_equal(stats.live_blocks, 0);
    assert_true(stats.denied > 0 && stats.peak_bytes <= opts.limit);
    hm_malloc_release(m);
    hm_host_release(host);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(duktape__runs_as_ever),
        cmocka_unit_test(duktape__every_allocation_fails),
        cmocka_unit_test(duktape__limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
