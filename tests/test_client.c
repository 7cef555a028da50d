/* SPDX-License-Identifier: MIT */
/* Clients: keys, budgets, whose block is whose, and that nothing stays behind. */
#include "toy_runtime.h"

#include <fcntl.h>
#include <hostmalloc/client.h>
#include <hostmalloc/debug.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static hm_runtime *rt;

static hm_runtime *open_on(const char *spec)
{
    const hm_runtime_opts opts = {.size = sizeof opts, .name = "guest", .spec = spec};
    hm_runtime *opened;
    hm_error err;
    if (hm_runtime_open(&opts, &opened, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    hm_runtime_start(opened);
    return opened;
}

static hm_client_key open_client(const char *name, size_t budget)
{
    const hm_client_opts opts = {.size = sizeof opts, .name = name, .budget = budget};
    hm_client_key key;
    hm_error err;
    if (hm_client_open(rt, &opts, &key, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    assert_true(key != 0);
    return key;
}

/* In a case: go over to another host, and back. What that host keeps for good is not this test's. */
static hm_runtime *usual;
static size_t memory_on_the_way;

static void go_to(const char *spec)
{
    usual = rt;
    memory_on_the_way = hm__memory_in_use();
    rt = open_on(spec);
}

static void go_back(void)
{
    hm_leaks leaks = {.size = sizeof leaks};
    assert_int_equal(HM_OK, hm_runtime_close(rt, &leaks, NULL));
    assert_true(leaks.blocks == 0);
    rt = usual;
    memory_before += hm__memory_in_use() - memory_on_the_way;
}

static void close_client(hm_client_key key)
{
    assert_int_equal(HM_OK, hm_client_close(key, NULL, NULL));
}

static uint64_t live(hm_client_key key)
{
    hm_stats stats;
    assert_int_equal(HM_OK, hm_client_stats(key, &stats));
    return stats.live_blocks;
}

/* A host for one call at a time, which says when it is not so. */
static hm_host_vtbl single_host_vtbl;
static hm_malloc_vtbl single_malloc_vtbl;
static uint32_t single_inside;    /* atomic */
static uint32_t single_overlaps;  /* atomic */
static hm_runtime *single_closes; /* while a malloc is made; NULL: nothing */

static void *single_alloc(hm_malloc *self, size_t size, hm_level level)
{
    if (__atomic_fetch_add(&single_inside, 1, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&single_overlaps, 1, __ATOMIC_RELAXED);
    }
    void *block = toy_alloc(self, size, level);
    __atomic_fetch_sub(&single_inside, 1, __ATOMIC_RELAXED);
    return block;
}

static void single_free(hm_malloc *self, void *block)
{
    if (__atomic_fetch_add(&single_inside, 1, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&single_overlaps, 1, __ATOMIC_RELAXED);
    }
    toy_free(self, block);
    __atomic_fetch_sub(&single_inside, 1, __ATOMIC_RELAXED);
}

static hm_status single_create_malloc(hm_host *self,
                                      const hm_malloc_opts *opts,
                                      hm_malloc **out,
                                      hm_error *err)
{
    *out = NULL;
    if (opts && opts->flags) {
        return hm_error_set(err, HM_E_UNSUPPORTED, "host:single", "no flags are offered");
    }
    if (single_closes) {
        assert_int_equal(HM_OK, hm_runtime_close(single_closes, NULL, NULL));
        single_closes = NULL;
    }
    const hm_status status = toy_create_malloc(self, opts, out, err);
    if (status == HM_OK) {
        (*out)->vtbl = &single_malloc_vtbl;
    }
    return status;
}

static hm_status
single_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    const hm_status status = toy_open(values, inner, out, err);
    if (status == HM_OK) {
        (*out)->vtbl = &single_host_vtbl;
    }
    return status;
}

static const hm_host_info single = {.size = sizeof(hm_host_info),
                                    .abi = HM_ABI,
                                    .kind = HM_KIND_HOST,
                                    .name = "single",
                                    .summary = "for one call at a time",
                                    .version = "1",
                                    .open = single_open};

/* The first client makes a place for clients, which stays; the toy host offers nothing that the others do not. */
static int client_setup(void **state)
{
    setup(state);
    single_host_vtbl = toy_host_vtbl;
    single_host_vtbl.create_malloc = single_create_malloc;
    single_malloc_vtbl = toy_malloc_vtbl;
    single_malloc_vtbl.alloc = single_alloc;
    (single_malloc_vtbl.free) = single_free;
    assert_int_equal(HM_OK, hm_registry_add(&single, NULL));
    rt = open_on("toy");
    close_client(open_client("first", 0));
    return hm_runtime_close(rt, NULL, NULL);
}

static int client_begin(void **state)
{
    begin(state);
    rt = open_on("toy");
    return 0;
}

static int client_end(void **state)
{
    hm__memory_fail_from(0);
    assert_int_equal(HM_OK, hm_runtime_close(rt, NULL, NULL));
    return end(state);
}

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

static int count_shown(void *context, const hm_block *block)
{
    assert_true(block->state == HM_BLOCK_LIVE);
    ++*(size_t *)context;
    return 0;
}

static void client__as_a_malloc(void **state)
{
    static const char *const specs[] = {"toy", "single", "default", "debug"};
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        hm_malloc *m, *later;
        hm_block seen;
        hm_stats stats;
        size_t shown = 0;
        go_to(specs[i]);
        const hm_client_key key = open_client("guest", 100);
        assert_int_equal(HM_OK, hm_client_as_malloc(key, &m, NULL));
        assert_int_equal(HM_OK, hm_malloc_validate(m, NULL));
        char *p = hm_alloc(m, 40);
        char *q = hm_strdup(m, "guest");
        char *r = hm_alloc_zeroed(m, 2, 4);
        char *nothing = hm_alloc(m, 0);
        CHECK_ROW(specs[i], p && q && r && nothing && live(key) == 4);
        CHECK_ROW(specs[i], !r[7] && strcmp(q, "guest") == 0);
        CHECK_ROW(specs[i], hm_size_of(m, p) >= 40);
        CHECK_ROW(specs[i], hm_size_of(m, NULL) == 0 && hm_owns(m, NULL) == 0);
        CHECK_ROW(specs[i], hm_owns(m, p) == 1 && hm_owns(m, p + 16) == 0);
        CHECK_ROW(specs[i], hm_describe(m, p, &seen) == HM_OK && seen.requested == 40);
        CHECK_ROW(specs[i], hm_describe(m, &seen, &seen) == HM_E_NOT_OWNED);
        CHECK_ROW(specs[i], hm_walk(m, count_shown, &shown) == HM_OK && shown == 4);
        CHECK_ROW(specs[i], hm_malloc_stats(m, &stats) == HM_OK);
        CHECK_ROW(specs[i], stats.live_blocks == 4 && stats.live_bytes == 40 + 6 + 8);
        /* The client's budget, and its blocks whoever asked. */
        CHECK_ROW(specs[i], !hm_alloc(m, 47) && !hm_realloc(m, p, 87));
        p = hm_realloc(m, p, 60);
        CHECK_ROW(specs[i], p && hm_client_free(key, p, NULL) == HM_OK);
        CHECK_ROW(specs[i], hm_free(m, hm_client_alloc(key, 5, NULL, NULL)) == HM_OK);
        CHECK_ROW(specs[i], hm_free_sized(m, q, 6) == HM_OK && live(key) == 2);
        /* Stopped it still shrinks, as every malloc does. */
        assert_int_equal(HM_OK, hm_client_stop(key));
        r = hm_realloc(m, r, 3);
        CHECK_ROW(specs[i], r && !hm_realloc(m, r, 9) && !hm_alloc(m, 1));
        CHECK_ROW(specs[i], hm_malloc_reset(m) == HM_OK && live(key) == 0);
        hm__memory_fail_from(1);
        CHECK_ROW(specs[i], hm_client_as_malloc(key, &later, NULL) == HM_E_NOMEM);
        hm__memory_fail_from(0);
        CHECK_ROW(specs[i], !later);
        close_client(key);
        /* It outlives the client, with nothing. */
        shown = 0;
        CHECK_ROW(specs[i], !hm_alloc(m, 1) && hm_free(m, NULL) == HM_OK);
        CHECK_ROW(specs[i], hm_owns(m, r) == 0 && hm_size_of(m, r) == 0);
        CHECK_ROW(specs[i], hm_walk(m, count_shown, &shown) == HM_OK && !shown);
        CHECK_ROW(specs[i], hm_malloc_stats(m, &stats) == HM_OK && !stats.live_blocks);
        CHECK_ROW(specs[i], hm_client_as_malloc(key, &later, NULL) == HM_E_NOT_FOUND);
        CHECK_ROW(specs[i], hm_client_as_malloc(key, NULL, NULL) == HM_E_INVALID);
        hm_malloc_retain(m);
        hm_malloc_release(m);
        hm_malloc_release(m);
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

/* A client that is too late is none, though its host made it a malloc. */
static void client__opened_while_its_runtime_closes(void **state)
{
    size_t memory = 0;
    (void)state;
    for (int i = 0; i < 2; i++) { /* the second time nothing is made for good */
        hm_client_key key = 77;
        hm_error err;
        hm_runtime *const before = rt;
        rt = open_on("single");
        single_closes = rt;
        assert_int_equal(HM_E_CLOSED, hm_client_open(rt, NULL, &key, &err));
        assert_non_null(strstr(err.what, "is closing"));
        assert_true(key == 0 && !single_closes);
        rt = before;
        close_client(open_client("next", 0));
        assert_true(i == 0 || memory == hm__memory_in_use());
        memory = hm__memory_in_use();
    }
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

static int count_block(void *context, const hm_block *block)
{
    uint64_t *sums = context;
    sums[0]++;
    sums[1] += block->requested;
    return sums[2] && sums[0] == sums[2];
}

static void client__reclaims_everything(void **state)
{
    hm_leaks leaks = {.size = sizeof leaks};
    uint64_t sums[3] = {0, 0, 0}, two[3] = {0, 0, 2};
    (void)state;
    const hm_client_key key = open_client("forgetful", 1 << 20);
    const hm_client_key other = open_client("other", 0);
    void *kept = hm_client_alloc(other, 5, NULL, NULL);
    for (size_t i = 0; i < 1000; i++) {
        assert_non_null(hm_client_alloc(key, i, NULL, NULL));
    }
    assert_int_equal(HM_OK, hm_client_walk(key, count_block, sums));
    assert_true(sums[0] == 1000 && sums[1] == 499500);
    assert_int_equal(HM_OK, hm_client_walk(key, count_block, two));
    assert_true(two[0] == 2 && two[1] == 999 + 998); /* the newest first */
    assert_int_equal(HM_OK, hm_client_reclaim(key, &leaks));
    assert_true(leaks.mallocs == 1 && leaks.blocks == 1000 && leaks.bytes == 499500);
    assert_int_equal(HM_OK, hm_client_reclaim(key, &leaks));
    assert_true(leaks.mallocs == 0 && leaks.blocks == 0 && leaks.bytes == 0);
    /* It goes on, with its whole budget. */
    assert_non_null(hm_client_alloc(key, 1 << 20, NULL, NULL));
    assert_int_equal(HM_OK, hm_client_close(key, &leaks, NULL));
    assert_true(leaks.blocks == 1 && leaks.bytes == 1 << 20);
    assert_int_equal(HM_OK, hm_client_free(other, kept, NULL));
    close_client(other);
}

static void client__stopped_may_only_clean_up(void **state)
{
    hm_status status;
    size_t bytes;
    (void)state;
    const hm_client_key key = open_client("stopped", 0);
    void *p = hm_client_alloc(key, 5, NULL, NULL);
    assert_int_equal(HM_OK, hm_client_state(key));
    assert_int_equal(HM_OK, hm_client_stop(key));
    assert_int_equal(HM_OK, hm_client_stop(key));
    assert_int_equal(HM_E_CLOSED, hm_client_state(key));
    assert_null(hm_client_alloc(key, 1, NULL, &status));
    assert_int_equal(HM_E_CLOSED, status);
    assert_null(hm_client_realloc(key, p, 1, NULL, &status));
    assert_int_equal(HM_E_CLOSED, status);
    assert_null(hm_client_realloc(key, NULL, 1, NULL, &status));
    assert_int_equal(HM_E_CLOSED, status);
    assert_int_equal(HM_OK, hm_client_size(key, p, &bytes));
    assert_int_equal(5, bytes);
    assert_int_equal(HM_OK, hm_client_free(key, p, NULL));
    assert_int_equal(0, live(key));
    close_client(key);
}

static void client__runtime_takes_its_clients_along(void **state)
{
    hm_leaks leaks = {.size = sizeof leaks};
    hm_error err;
    hm_host *host;
    (void)state;
    hm_runtime *const before = rt;
    const hm_client_key outside = open_client("outside", 0);
    rt = open_on("toy");
    const hm_client_key key = open_client("inside", 0);
    assert_int_equal(HM_OK, hm_host_open("toy", &host, NULL));
    assert_int_equal(HM_E_STARTED, hm_runtime_set_host(rt, host, &err));
    assert_string_equal("runtime \"guest\": a client was opened first", err.what);
    hm_host_release(host);
    assert_non_null(hm_client_alloc(key, 30, NULL, NULL));
    assert_non_null(hm_client_alloc(key, 3, NULL, NULL));
    assert_int_equal(HM_OK, hm_runtime_close(rt, &leaks, NULL));
    assert_true(leaks.mallocs == 1 && leaks.blocks == 2 && leaks.bytes == 33);
    assert_int_equal(HM_E_NOT_FOUND, hm_client_close(key, NULL, &err));
    rt = before;
    assert_non_null(hm_client_alloc(outside, 1, NULL, NULL));
    close_client(outside);
}

static void client__places_are_used_again(void **state)
{
    hm_client_key seen[100];
    const size_t before = hm__memory_in_use();
    (void)state;
    const hm_client_key first = open_client("first", 0);
    for (size_t i = 0; i < COUNT(seen); i++) {
        seen[i] = open_client("many", 0);
        for (size_t j = 0; j < i; j++) {
            assert_true(seen[i] != seen[j] && seen[i] != first);
        }
    }
    for (size_t i = 0; i < COUNT(seen); i++) {
        close_client(seen[i]);
    }
    /* What they made stays, and is all there will be. */
    const size_t places = hm__memory_in_use();
    for (size_t i = 0; i < 1000; i++) {
        const hm_client_key key = open_client("again", 0);
        assert_non_null(hm_client_alloc(key, 9, NULL, NULL));
        close_client(key);
    }
    assert_true(hm__memory_in_use() == places);
    close_client(first);
    memory_before += hm__memory_in_use() - before;
}

/* Everything there is to do, as far as it gets. */
static hm_status whole_life(void)
{
    void *blocks[40];
    hm_client_key key;
    hm_status status = hm_client_open(rt, NULL, &key, NULL);
    if (status != HM_OK) {
        return status;
    }
    for (size_t i = 0; status == HM_OK && i < COUNT(blocks); i++) {
        blocks[i] = hm_client_alloc(key, i, NULL, &status);
        assert_true((blocks[i] != NULL) == (status == HM_OK));
    }
    if (status == HM_OK) {
        char *moved = hm_client_realloc(key, blocks[3], 5000, NULL, &status);
        size_t bytes;
        assert_int_equal(HM_OK, hm_client_size(key, moved ? moved : blocks[3], &bytes));
        assert_int_equal(moved ? 5000 : 3, bytes);
    }
    assert_int_equal(HM_OK, hm_client_close(key, NULL, NULL));
    return status;
}

static void client__out_of_memory_at_every_step(void **state)
{
    uint64_t steps = 0;
    (void)state;
    for (;;) {
        const size_t before = hm__memory_in_use();
        hm__memory_fail_from(++steps);
        const hm_status status = whole_life();
        const uint64_t calls = hm__memory_calls();
        hm__memory_fail_from(0);
        assert_true(hm__memory_in_use() == before);
        if (status == HM_OK && calls < steps) {
            break;
        }
        assert_true(status == HM_E_NOMEM ||
                    status == HM_OK); /* growing a table is no must */
        assert_true(steps < 1000);
    }
    assert_true(steps > 80);
}

typedef struct busy {
    hm_client_key key;
    uint32_t stop;
    uint32_t rounds; /* atomic */
} busy;

static void *allocate_on(void *context)
{
    busy *b = context;
    void *p = NULL;
    uint32_t i = 0;
    while (!__atomic_load_n(&b->stop, __ATOMIC_RELAXED)) {
        hm_status status;
        p = hm_client_realloc(b->key, p, i++ % 700, NULL, &status);
        if (!p && status == HM_E_NOT_FOUND) {
            break; /* it was closed */
        }
        if (i % 3 == 0) {
            hm_client_free(b->key, p, NULL);
            p = NULL;
        }
        __atomic_fetch_add(&b->rounds, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void client__reclaims_while_others_allocate(void **state)
{
    static const char *const specs[] = {"toy", "single", "default"};
    (void)state;
    for (size_t s = 0; s < COUNT(specs); s++) {
        pthread_t threads[4];
        go_to(specs[s]);
        busy b = {open_client("busy", 4096), 0, 0};
        for (size_t i = 0; i < COUNT(threads); i++) {
            assert_int_equal(0, pthread_create(&threads[i], NULL, allocate_on, &b));
        }
        for (uint32_t n = 0; n < 200; n++) {
            const uint32_t seen = __atomic_load_n(&b.rounds, __ATOMIC_RELAXED);
            assert_int_equal(HM_OK, hm_client_reclaim(b.key, NULL));
            while (__atomic_load_n(&b.rounds, __ATOMIC_RELAXED) == seen) {
                sched_yield();
            }
        }
        assert_int_equal(HM_OK, hm_client_close(b.key, NULL, NULL)); /* in the middle */
        for (size_t i = 0; i < COUNT(threads); i++) {
            pthread_join(threads[i], NULL);
        }
        go_back();
        assert_int_equal(0, single_overlaps);
    }
}

static void client__survives_fork(void **state)
{
    pthread_t thread;
    int status;
    (void)state;
    busy b = {open_client("busy", 0), 0, 0};
    const hm_client_key key = open_client("forked", 0);
    void *p = hm_client_alloc(key, 7, NULL, NULL);
    assert_int_equal(0, pthread_create(&thread, NULL, allocate_on, &b));
    for (int i = 0; i < 20; i++) {
        const pid_t child = fork();
        if (child == 0) {
            hm_client_key own = 0;
            alarm(60);
            const int good = hm_client_alloc(b.key, 9, NULL, NULL) &&
                             hm_client_free(key, p, NULL) == HM_OK &&
                             hm_client_open(rt, NULL, &own, NULL) == HM_OK &&
                             hm_client_alloc(own, 9, NULL, NULL) &&
                             hm_client_close(own, NULL, NULL) == HM_OK &&
                             hm_client_reclaim(key, NULL) == HM_OK;
            _exit(good ? 0 : 1);
        }
        assert_true(child > 0);
        assert_int_equal(child, waitpid(child, &status, 0));
        assert_int_equal(0, status);
    }
    __atomic_store_n(&b.stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    assert_int_equal(1, live(key));
    close_client(key);
    close_client(b.key);
}

/* What hm_client_report() writes. */
static const char *report_of(hm_client_key key)
{
    static char text[4096];
    int ends[2];
    assert_int_equal(0, pipe(ends));
    assert_int_equal(HM_OK, hm_client_report(key, "guest", "ended", ends[1]));
    close(ends[1]);
    const ssize_t got = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    text[got > 0 ? got : 0] = 0;
    return text;
}

static void client__reports_by_place(void **state)
{
    static hm_site sites[20];
    (void)state;
    hm_client_key key = open_client("plain", 0);
    assert_string_equal("", report_of(key));
    assert_non_null(hm_client_alloc(key, 6, HM_SITE, NULL));
    assert_string_equal(
        "==hostmalloc== guest \"plain\" ended with 1 block of 6 bytes live\n",
        report_of(key));
    close_client(key);

    go_to("debug");
    key = open_client("seen", 0);
    sites[0] = (hm_site){"a.c", "work", 4, 0};
    sites[1] = (hm_site){"b.c", NULL, 9, 0};
    hm_client_alloc(key, 6, &sites[0], NULL);
    hm_client_alloc(key, 7, &sites[1], NULL);
    hm_client_alloc(key, 8, &sites[0], NULL);
    assert_string_equal(
        "==hostmalloc== guest \"seen\" ended with 3 blocks of 21 bytes live\n"
        "==hostmalloc==     2 blocks of 14 bytes from a.c:4 (work)\n"
        "==hostmalloc==     1 block of 7 bytes from b.c:9\n",
        report_of(key));
    for (uint32_t i = 0; i < COUNT(sites); i++) {
        sites[i] = (hm_site){"many.c", NULL, i + 1, 0};
        hm_client_alloc(key, 1, &sites[i], NULL);
    }
    /* Of 22 places the 16 largest are told apart. */
    assert_non_null(
        strstr(report_of(key), "    2 blocks of 14 bytes from a.c:4 (work)\n"));
    assert_non_null(
        strstr(report_of(key), "    6 blocks of 6 bytes from other places\n"));
    close_client(key);
    go_back();
}

#define CLIENT_CASE(name) cmocka_unit_test_setup_teardown(name, client_begin, client_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_CASE(client__allocates_on_any_host),
        CLIENT_CASE(client__refuses_nonsense),
        CLIENT_CASE(client__unknown_keys_are_answered),
        CLIENT_CASE(client__strangers_are_answered),
        CLIENT_CASE(client__strangers_are_named),
        CLIENT_CASE(client__as_a_malloc),
        CLIENT_CASE(client__opened_while_its_runtime_closes),
        CLIENT_CASE(client__budgets_hold),
        CLIENT_CASE(client__reclaims_everything),
        CLIENT_CASE(client__stopped_may_only_clean_up),
        CLIENT_CASE(client__runtime_takes_its_clients_along),
        CLIENT_CASE(client__places_are_used_again),
        CLIENT_CASE(client__out_of_memory_at_every_step),
        CLIENT_CASE(client__reclaims_while_others_allocate),
        CLIENT_CASE(client__survives_fork),
        CLIENT_CASE(client__reports_by_place),
    };
    return cmocka_run_group_tests(tests, client_setup, NULL);
}
