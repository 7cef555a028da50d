/* SPDX-License-Identifier: MIT */
/* Clients: keys, budgets, and whose block is whose. */
#include "client_check.h"

#include <fcntl.h>
#include <hostmalloc/debug.h>
#include <string.h>
#include <unistd.h>

static void client__allocates_on_any_host(void **state)
{
    static const char *const specs[] = {"toy", "single", "default", "debug", "debug+toy"};
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        hm_status status = HM_E_OS;
        size_t bytes = 1;
        go_to(specs[i]);
        const hm_client_key key = open_client("guest", 0);
        char *p = hm_client_alloc(key, 100, HM_SITE, &status);
        CHECK_ROW(specs[i], p && status == HM_OK && (uintptr_t)p % 16 == 0);
        memset(p, 7, 100);
        CHECK_ROW(specs[i], hm_client_size(key, p, &bytes) == HM_OK && bytes == 100);
        p = hm_client_realloc(key, p, 3000, HM_SITE, &status);
        CHECK_ROW(specs[i], p && status == HM_OK && p[99] == 7);
        CHECK_ROW(specs[i], hm_client_size(key, p, &bytes) == HM_OK && bytes == 3000);
        p = hm_client_realloc(key, p, 10, HM_SITE, NULL);
        CHECK_ROW(specs[i], p && p[9] == 7);
        CHECK_ROW(specs[i], hm_client_size(key, p, &bytes) == HM_OK && bytes == 10);
        void *empty = hm_client_alloc(key, 0, NULL, NULL);
        void *other = hm_client_realloc(key, NULL, 0, NULL, NULL);
        CHECK_ROW(specs[i], empty && other && empty != other);
        CHECK_ROW(specs[i], hm_client_size(key, empty, &bytes) == HM_OK && bytes == 0);
        CHECK_ROW(specs[i], hm_client_size(key, NULL, &bytes) == HM_OK && bytes == 0);
        CHECK_ROW(specs[i], live(key) == 3);
        CHECK_ROW(specs[i], hm_client_free(key, NULL, NULL) == HM_OK);
        CHECK_ROW(specs[i], hm_client_free(key, p, NULL) == HM_OK);
        CHECK_ROW(specs[i], hm_client_free(key, empty, NULL) == HM_OK);
        CHECK_ROW(specs[i], hm_client_free(key, other, NULL) == HM_OK);
        CHECK_ROW(specs[i], live(key) == 0);
        close_client(key);
        go_back();
    }
}

static void client__refuses_nonsense(void **state)
{
    hm_client_key key = 77;
    hm_error err;
    hm_leaks unsized = {0, 0, 0, 0, 0};
    hm_client_opts opts = {.size = sizeof opts};
    (void)state;
    assert_int_equal(HM_E_INVALID, hm_client_open(rt, NULL, NULL, &err));
    assert_int_equal(HM_E_INVALID, hm_client_open(NULL, NULL, &key, &err));
    assert_true(key == 0);
    opts.flags = 1;
    assert_int_equal(HM_E_INVALID, hm_client_open(rt, &opts, &key, &err));
    opts.flags = 0;
    opts.size = 3;
    assert_int_equal(HM_E_INVALID, hm_client_open(rt, &opts, &key, &err));
    assert_string_equal("client", err.where);
    /* A caller of an older release knows only the first members. */
    opts.size = offsetof(hm_client_opts, budget);
    opts.budget = 1;
    assert_int_equal(HM_OK, hm_client_open(rt, &opts, &key, NULL));
    void *p = hm_client_alloc(key, 2, NULL, NULL);
    assert_non_null(p);
    assert_int_equal(HM_E_INVALID, hm_client_size(key, p, NULL));
    assert_int_equal(HM_E_INVALID, hm_client_stats(key, NULL));
    assert_int_equal(HM_E_INVALID, hm_client_walk(key, NULL, NULL));
    assert_int_equal(HM_E_INVALID, hm_client_reclaim(key, &unsized));
    assert_int_equal(HM_E_INVALID, hm_client_close(key, &unsized, &err));
    assert_int_equal(1, live(key));
    close_client(key);
}

static void nothing(void *context)
{
    (void)context;
}

static int look(void *context, const hm_block *block)
{
    (void)context, (void)block;
    return 0;
}

static void client__unknown_keys_are_answered(void **state)
{
    (void)state;
    int local = 0;
    const hm_client_key good = open_client("good", 0);
    const hm_client_key stale = open_client("stale", 0);
    void *p = hm_client_alloc(good, 8, NULL, NULL);
    void *theirs = hm_client_alloc(stale, 8, NULL, NULL);
    assert_non_null(theirs);
    assert_int_equal(HM_OK, hm_client_close(stale, NULL, NULL));
    const hm_client_key next = open_client("next", 0); /* in the same place */
    const struct {
        const char *label;
        hm_client_key key;
    } cases[] = {{"none", 0},
                 {"closed", stale},
                 {"all ones", UINTPTR_MAX},
                 {"a pointer", (uintptr_t)&local},
                 {"a block", (uintptr_t)p},
                 {"nearly", good ^ (uintptr_t)1 << 20},
                 {"a place nobody made", (good & ~(uintptr_t)0x7fff) | 0x7fff}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm_client_key key = cases[i].key;
        hm_status status = HM_OK;
        hm_stats stats;
        size_t bytes;
        hm_error err;
        const char *label = cases[i].label;
        CHECK_ROW(label, !hm_client_alloc(key, 8, NULL, &status));
        CHECK_ROW(label, status == HM_E_NOT_FOUND);
        CHECK_ROW(label, !hm_client_alloc(key, 8, NULL, NULL));
        status = HM_OK;
        CHECK_ROW(label, !hm_client_realloc(key, p, 8, NULL, &status));
        CHECK_ROW(label, status == HM_E_NOT_FOUND);
        CHECK_ROW(label, hm_client_free(key, p, NULL) == HM_E_NOT_FOUND);
        CHECK_ROW(label, hm_client_free(key, NULL, NULL) == HM_E_NOT_FOUND);
        CHECK_ROW(label, hm_client_size(key, p, &bytes) == HM_E_NOT_FOUND);
        CHECK_ROW(label, hm_client_stop(key) == HM_E_NOT_FOUND);
        CHECK_ROW(label, hm_client_state(key) == HM_E_NOT_FOUND);
        CHECK_ROW(label, hm_client_kill(key) == HM_E_NOT_FOUND);
        CHECK_ROW(label, hm_client_stats(key, &stats) == HM_E_NOT_FOUND);
        CHECK_ROW(label, hm_client_walk(key, look, NULL) == HM_E_NOT_FOUND);
        CHECK_ROW(label, hm_client_report(key, NULL, NULL, 2) == HM_E_NOT_FOUND);
        CHECK_ROW(label, hm_client_reclaim(key, NULL) == HM_E_NOT_FOUND);
        CHECK_ROW(label, hm_client_run(key, nothing, NULL, NULL, &err) == HM_E_NOT_FOUND);
        CHECK_ROW(label, !hm_client_malloc(key));
        CHECK_ROW(label, hm_client_close(key, NULL, &err) == HM_E_NOT_FOUND);
    }
    assert_int_equal(1, live(good));
    assert_int_equal(0, live(next));
    assert_int_equal(HM_OK, hm_client_free(good, p, NULL));
    close_client(next);
    close_client(good);
}

static void client__strangers_are_answered(void **state)
{
    static const char *const specs[] = {"toy", "default"};
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        go_to(specs[i]);
        const hm_client_key mine = open_client("mine", 0);
        const hm_client_key other = open_client("other", 0);
        char *p = hm_client_alloc(mine, 64, NULL, NULL);
        char *q = hm_client_alloc(other, 64, NULL, NULL);
        char *freed = hm_client_alloc(mine, 32, NULL, NULL);
        char *around = hm_alloc(hm_client_malloc(mine), 64);
        char local[64];
        assert_true(p && q && freed && around);
        memset(p, 1, 64);
        memset(q, 2, 64);
        assert_int_equal(HM_OK, hm_client_free(mine, freed, NULL));
        const struct {
            const char *label;
            void *block;
        } cases[] = {{"of another key", q},
                     {"interior", p + 16},
                     {"just past", p + 64},
                     {"on the stack", local},
                     {"freed", freed},
                     {"around it", around},
                     {"nowhere", (void *)(uintptr_t)1},
                     {"at the end", (void *)UINTPTR_MAX}};
        for (size_t n = 0; n < COUNT(cases); n++) {
            hm_status status = HM_OK;
            size_t bytes = 1;
            void *const block = cases[n].block;
            CHECK_ROW(cases[n].label,
                      hm_client_free(mine, block, NULL) == HM_E_NOT_OWNED);
            CHECK_ROW(cases[n].label,
                      hm_client_size(mine, block, &bytes) == HM_E_NOT_OWNED && !bytes);
            CHECK_ROW(cases[n].label,
                      !hm_client_realloc(mine, block, 128, NULL, &status) &&
                          status == HM_E_NOT_OWNED);
        }
        assert_int_equal(1, live(mine));
        assert_int_equal(1, live(other));
        assert_true(p[63] == 1 && q[63] == 2);
        hm_free(hm_client_malloc(mine), around);
        close_client(mine);
        close_client(other);
        go_back();
    }
}

static char told[64];

static void hear(void *context, const hm_debug_finding *finding)
{
    (void)context;
    told[0] = 0;
    strncat(told, finding->kind, sizeof told - 1);
}

/* A checking host says what was tried: a free or a resize. */
static void client__strangers_are_named(void **state)
{
    hm_status status = HM_OK;
    (void)state;
    go_to("debug");
    const hm_client_key key = open_client("mine", 0);
    char *p = hm_client_alloc(key, 64, NULL, NULL);
    char *freed = hm_client_alloc(key, 64, NULL, NULL);
    assert_true(p && freed);
    assert_int_equal(HM_OK, hm_client_free(key, freed, NULL));
    hm_debug *debug = hm_debug_of_malloc(hm_client_malloc(key));
    assert_int_equal(HM_OK, hm_debug_on_finding(debug, hear, NULL));
    const int errors = dup(2);
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, 2);
    const hm_status twice = hm_client_free(key, freed, NULL);
    CHECK_ROW(told, twice == HM_E_FREED && strcmp(told, "double free") == 0);
    assert_null(hm_client_realloc(key, freed, 8, NULL, &status));
    CHECK_ROW(told,
              status == HM_E_FREED && strcmp(told, "realloc of a freed block") == 0);
    assert_null(hm_client_realloc(key, p + 16, 8, NULL, &status));
    CHECK_ROW(told, status == HM_E_NOT_OWNED &&
                        strcmp(told, "realloc of an address inside a block") == 0);
    dup2(errors, 2);
    close(nowhere);
    close(errors);
    assert_int_equal(HM_OK, hm_debug_on_finding(debug, NULL, NULL));
    assert_int_equal(1, live(key));
    assert_int_equal(HM_OK, hm_client_free(key, p, NULL));
    close_client(key);
    go_back();
}

static void client__budgets_hold(void **state)
{
    const size_t far = sizeof(size_t) > 4 ? (size_t)UINT32_MAX + 1 : (size_t)1 << 30;
    const struct {
        const char *label;
        size_t budget, first, second;
        int granted;
    } cases[] = {{"just", 100, 60, 40, 1},
                 {"one over", 100, 60, 41, 0},
                 {"nothing more", 100, 100, 1, 0},
                 {"no bytes at the end", 100, 100, 0, 1},
                 {"a budget of one", 1, 0, 1, 1},
                 {"a sum that wraps", 100, 60, SIZE_MAX, 0},
                 {"a sum that wraps to fit", 100, 60, SIZE_MAX - 59, 0},
                 {"the widest budget", SIZE_MAX, 60, SIZE_MAX - 60, 0},
                 {"without a budget", 0, 60, SIZE_MAX, 0},
                 {"without a budget, wrapping", 0, 60, SIZE_MAX - 20, 0},
                 {"2^32 of less", far - 1, 0, far, 0},
                 {"2^32 truncated", 60, 0, far, 0},
                 {"2^32 and 1 truncated", 60, 0, far + 1, 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm_client_key key = open_client("bounded", cases[i].budget);
        hm_status status = HM_OK;
        hm_stats stats;
        char *p = hm_client_alloc(key, cases[i].first, NULL, NULL);
        CHECK_ROW(cases[i].label, p != NULL);
        void *q = hm_client_alloc(key, cases[i].second, NULL, &status);
        CHECK_ROW(cases[i].label, (q != NULL) == cases[i].granted);
        CHECK_ROW(cases[i].label, status == (q ? HM_OK : HM_E_NOMEM));
        hm_client_stats(key, &stats);
        CHECK_ROW(cases[i].label,
                  stats.live_bytes == cases[i].first + (q ? cases[i].second : 0));
        CHECK_ROW(cases[i].label, stats.failed == !q);
        /* Growing by as much is judged alike, and what is refused keeps the block. */
        hm_client_free(key, q, NULL);
        if (cases[i].second <= SIZE_MAX - cases[i].first) {
            const size_t grown = cases[i].first + cases[i].second;
            q = hm_client_realloc(key, p, grown, NULL, &status);
            CHECK_ROW(cases[i].label, (q != NULL) == cases[i].granted);
            p = q ? q : p;
        }
        q = hm_client_realloc(key, p, 0, NULL, &status);
        CHECK_ROW(cases[i].label, q && status == HM_OK);
        CHECK_ROW(cases[i].label, hm_client_free(key, q, NULL) == HM_OK);
        hm_client_stats(key, &stats);
        CHECK_ROW(cases[i].label, stats.live_bytes == 0 && stats.live_blocks == 0);
        /* All of the budget is there again. */
        p = hm_client_alloc(key, cases[i].budget < 4096 ? cases[i].budget : 1, NULL,
                            NULL);
        CHECK_ROW(cases[i].label, p != NULL);
        close_client(key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_CASE(client__allocates_on_any_host),
        CLIENT_CASE(client__refuses_nonsense),
        CLIENT_CASE(client__unknown_keys_are_answered),
        CLIENT_CASE(client__strangers_are_answered),
        CLIENT_CASE(client__strangers_are_named),
        CLIENT_CASE(client__budgets_hold),
    };
    return cmocka_run_group_tests(tests, client_setup, NULL);
}
