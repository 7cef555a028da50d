/* SPDX-License-Identifier: MIT */
/* What bridges to hooks of the whole process share, alone: who holds the malloc after each answer, what is remembered, and
 * the hooks at their edges. And every such bridge in a process without its runtime. */
#include "hook_internal.h"

#include <errno.h>
#include <string.h>

#include <hostmalloc/hostmalloc.h>

#include "check.h"
#include "fake_malloc.h"
#include "slots_internal.h"

#define HM_BRIDGE_PLAIN
#include <hostmalloc/bridges/cpython.h>
#include <hostmalloc/bridges/curl.h>
#include <hostmalloc/bridges/gmp.h>
#include <hostmalloc/bridges/libgit2.h>
#include <hostmalloc/bridges/libuv.h>
#include <hostmalloc/bridges/libxml2.h>
#include <hostmalloc/bridges/openssl.h>
#include <hostmalloc/bridges/sqlite.h>

static const hm_bridge *const bridges[] = {
    &hm_cpython_bridge, &hm_cpython_arenas_bridge, &hm_curl_bridge,
    &hm_gmp_bridge,     &hm_libgit2_bridge,        &hm_libuv_bridge,
    &hm_libxml2_bridge, &hm_openssl_bridge,        &hm_sqlite_bridge};

static hm_site site = {"hook:block", NULL, 0, 0};
static int named; /* what find_known() answers with */

static void *find_nothing(void *context, const char *name)
{
    (void)context;
    (void)name;
    return NULL;
}

static void *find_known(void *context, const char *name)
{
    (void)context;
    return strcmp(name, "known") == 0 ? &named : NULL;
}

static hm_bridge_opts over(hm_malloc *m)
{
    return (hm_bridge_opts){.size = sizeof(hm_bridge_opts), .m = m, .lookup = find_known};
}

static hm__hook make_hook(void)
{
    return (hm__hook){.name = "hook", .where = "bridge:hook"};
}

/* One reference while installed, none after any refusal; a refused one begins again. */
static void hook__holds_its_malloc(void **state)
{
    fake_malloc fake;
    hm_error err;
    (void)state;
    fake_malloc_init(&fake, HM_MALLOC_THREADSAFE);
    const hm_bridge_opts opts = over(&fake.base);
    hm__hook hook = make_hook();
    assert_int_equal(hm__hook_verify(&hook, NULL, &err), HM_E_NOT_FOUND);

    assert_int_equal(hm__hook_begin(&hook, &opts, &err), HM_OK);
    assert_int_equal(fake.references, 2);
    assert_ptr_equal(hm__hook_need(&hook, &opts, "known", &err), &named);
    assert_int_equal(fake.references, 2);
    assert_null(hm__hook_need(&hook, &opts, "unknown", &err));
    assert_non_null(strstr(err.what, "unknown"));
    assert_int_equal(fake.references, 1);
    assert_int_equal(hm__hook_verify(&hook, NULL, NULL), HM_E_NOT_FOUND);

    assert_int_equal(hm__hook_begin(&hook, &opts, &err), HM_OK);
    assert_int_equal(hm__hook_refuse(&hook, HM_E_STARTED, &err, "too late"),
                     HM_E_STARTED);
    assert_int_equal(fake.references, 1);
    assert_int_equal(hm__hook_verify(&hook, NULL, &err), HM_E_STARTED);
    assert_non_null(strstr(err.what, "too late"));

    assert_int_equal(hm__hook_begin(&hook, &opts, NULL), HM_OK);
    assert_int_equal(hm__hook_begin(&hook, &opts, &err), HM_E_EXISTS);
    assert_int_equal(hm__hook_begin(&hook, NULL, NULL), HM_E_EXISTS);
    assert_int_equal(fake.references, 2);
    assert_int_equal(hm__hook_verify(&hook, NULL, NULL), HM_OK);
    fake_malloc_fini(&fake);
}

static fake_malloc from_host;

static hm_status
give_fake(hm_host *self, const hm_malloc_opts *opts, hm_malloc **out, hm_error *err)
{
    (void)self;
    (void)err;
    fake_malloc_init(&from_host, opts->flags);
    *out = &from_host.base;
    return HM_OK;
}

static void stay(hm_host *self)
{
    (void)self;
}

/* A malloc that is made for the hook goes with the refusal. */
static void hook__gives_back_what_it_made(void **state)
{
    hm_host_vtbl table = hm__host_basics;
    hm_host host = {.vtbl = &table};
    hm__hook hook = make_hook();
    hm_bridge_opts opts = over(NULL);
    (void)state;
    table.retain = table.release = stay;
    table.create_malloc = give_fake;
    opts.host = &host;
    assert_int_equal(hm__hook_begin(&hook, &opts, NULL), HM_OK);
    assert_true(hook.m->flags & HM_MALLOC_THREADSAFE);
    assert_int_equal(from_host.references, 1);
    hm__hook_refuse(&hook, HM_E_STARTED, NULL, "too late");
    assert_int_equal(from_host.references, 0);
    assert_int_equal(hm__hook_begin(&hook, &opts, NULL), HM_OK);
    assert_null(hm__hook_need(&hook, &opts, "unknown", NULL));
    assert_int_equal(from_host.references, 0);
}

static void hook__refuses_options(void **state)
{
    fake_malloc fake, alone;
    hm__hook hook = make_hook();
    (void)state;
    fake_malloc_init(&fake, HM_MALLOC_THREADSAFE);
    fake_malloc_init(&alone, 0);
    hm_malloc no_table = {.flags = HM_MALLOC_THREADSAFE};
    const struct {
        const char *label;
        hm_bridge_opts opts;
    } rows[] = {
        {"no size", {.m = &fake.base, .lookup = find_known}},
        {"a size below flags",
         {.size = offsetof(hm_bridge_opts, flags),
          .m = &fake.base,
          .lookup = find_known}},
        {"no lookup", {.size = sizeof(hm_bridge_opts), .m = &fake.base}},
        {"neither malloc nor host", over(NULL)},
        {"not for all threads", over(&alone.base)},
        {"a malloc without a table", over(&no_table)},
        {"an unknown flag",
         {.size = sizeof(hm_bridge_opts),
          .m = &fake.base,
          .lookup = find_known,
          .flags = 0x4}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CHECK_ROW(rows[i].label, hm__hook_begin(&hook, &rows[i].opts, NULL) != HM_OK);
        CHECK_ROW(rows[i].label, !hook.m);
        CHECK_ROW(rows[i].label, hm__hook_verify(&hook, NULL, NULL) != HM_OK);
        CHECK_ROW(rows[i].label, fake.references == 1 && alone.references == 1);
    }
    fake_malloc_fini(&fake);
    fake_malloc_fini(&alone);
}

static void hook__calls_at_their_edges(void **state)
{
    fake_malloc fake;
    hm_error err;
    const hm_site *first;
    (void)state;
    fake_malloc_init(&fake, HM_MALLOC_THREADSAFE | HM_MALLOC_DEBUG);
    const hm_bridge_opts opts = over(&fake.base);
    hm__hook hook = make_hook();
    assert_int_equal(hm__hook_begin(&hook, &opts, &err), HM_OK);
    assert_int_equal(hm__hook_verify(&hook, &first, NULL), HM_OK);
    assert_null(first);

    assert_null(hm__hook_strdup(&hook, NULL, &site, NULL));
    char *const text = hm__hook_strdup(&hook, "text", &site, NULL);
    assert_string_equal(text, "text");
    assert_int_equal(hm__hook_verify(&hook, &first, NULL), HM_OK);
    assert_ptr_equal(first, &site);

    char *block = hm__hook_realloc(&hook, NULL, 4, &site, NULL);
    assert_non_null(block);
    memcpy(block, "abc", 4);
    fake.fail_from = fake.requests + 1;
    assert_null(hm__hook_realloc(&hook, block, 4000, &site, NULL));
    assert_string_equal(block, "abc"); /* and stays */
    assert_null(hm__hook_realloc(&hook, NULL, 4, &site, NULL));
    assert_null(hm__hook_strdup(&hook, "text", &site, NULL));
    fake.fail_from = 0;
    hm__hook_free(&hook, block, &site);
    hm__hook_free(&hook, text, &site);
    hm__hook_free(&hook, NULL, &site);
    assert_int_equal(fake.live, 0);
    assert_int_equal(fake.wrong_sizes, 0);

    hm_site *const line = hm__hook_line(&hook, "a.c", 7, &site, NULL);
    assert_int_equal(line->line, 7);
    assert_ptr_equal(hm__hook_line(&hook, NULL, 7, &site, NULL), &site);
    assert_int_equal(hm__hook_line(&hook, "a.c", -1, &site, NULL)->line, 0);
    fake.base.flags &= ~HM_MALLOC_DEBUG;
    assert_null(hm__hook_line(&hook, "a.c", 7, &site, NULL)); /* nobody wants it */
    fake_malloc_fini(&fake);
}

/* A block of before is counted and left alone. */
static void hook__counts_what_came_too_late(void **state)
{
    hm_host *host;
    hm_error err;
    char elsewhere[64] = "of another allocator";
    hm__hook hook = make_hook();
    hm_bridge_opts opts = over(NULL);
    (void)state;
    assert_int_equal(hm_host_open("debug:report=/dev/null", &host, &err), HM_OK);
    opts.host = host;
    assert_int_equal(hm__hook_begin(&hook, &opts, NULL), HM_OK);
    hm__hook_free(&hook, elsewhere, &site);
    assert_string_equal(elsewhere, "of another allocator");
    assert_int_equal(hm__hook_verify(&hook, NULL, &err), HM_E_STARTED);
    assert_non_null(strstr(err.what, "1 block"));
    hm_malloc_release(hook.m);
    hm_host_release(host);
}

/* Libraries free on their way out of a failure, and look at errno behind it. */
static void hook__free_keeps_errno(void **state)
{
    static const char *const specs[] = {"default", "debug", "mimalloc"};
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        hm_host *host;
        hm__hook hook = make_hook();
        hm_bridge_opts opts = over(NULL);
        if (hm_host_open(specs[i], &host, NULL) != HM_OK) {
            print_message("no host %s here\n", specs[i]);
            continue;
        }
        opts.host = host;
        assert_int_equal(hm__hook_begin(&hook, &opts, NULL), HM_OK);
        for (size_t size = 1; size < (size_t)64 << 20; size *= 4) {
            void *const block = hm__hook_realloc(&hook, NULL, size, &site, NULL);
            assert_non_null(block);
            errno = EBADF;
            hm__hook_free(&hook, block, &site);
            CHECK_ROW(specs[i], errno == EBADF);
        }
        hm_malloc_release(hook.m);
        hm_host_release(host);
    }
}

/* None keeps anything of a process that its runtime is not in, however often it is asked. */
static void bridges__without_their_runtime(void **state)
{
    fake_malloc fake;
    hm_host *host;
    hm_error err;
    (void)state;
    fake_malloc_init(&fake, HM_MALLOC_THREADSAFE);
    assert_int_equal(hm_host_open("default", &host, NULL), HM_OK);
    hm_bridge_opts opts = over(&fake.base);
    opts.lookup = find_nothing;
    for (size_t i = 0; i < COUNT(bridges); i++) {
        CHECK_ROW(bridges[i]->name, bridges[i]->size >= sizeof(hm_bridge));
        for (int times = 0; times < 3; times++) {
            opts.m = &fake.base;
            opts.host = NULL;
            CHECK_ROW(bridges[i]->name,
                      bridges[i]->install(&opts, &err) == HM_E_NOT_FOUND);
            CHECK_ROW(bridges[i]->name, fake.references == 1);
            opts.m = NULL;
            opts.host = host;
            CHECK_ROW(bridges[i]->name,
                      bridges[i]->install(&opts, NULL) == HM_E_NOT_FOUND);
            CHECK_ROW(bridges[i]->name, bridges[i]->install(NULL, NULL) == HM_E_INVALID);
            CHECK_ROW(bridges[i]->name, bridges[i]->verify(NULL, NULL) != HM_OK);
        }
    }
    hm_host_release(host);
    fake_malloc_fini(&fake);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(hook__holds_its_malloc),
        cmocka_unit_test(hook__gives_back_what_it_made),
        cmocka_unit_test(hook__refuses_options),
        cmocka_unit_test(hook__calls_at_their_edges),
        cmocka_unit_test(hook__counts_what_came_too_late),
        cmocka_unit_test(hook__free_keeps_errno),
        cmocka_unit_test(bridges__without_their_runtime)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
