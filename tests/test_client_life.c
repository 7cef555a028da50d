/* SPDX-License-Identifier: MIT */
/* How clients end: stopped, reclaimed, reported, with their runtime, without memory; and that nothing stays behind. */
#include "client_check.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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

static void client__reports_that_are_lost_are_answered(void **state)
{
    (void)state;
    const int full = open("/dev/full", O_WRONLY);
    hm_client_key key = open_client("full", 0);
    assert_int_equal(HM_OK, hm_client_report(key, NULL, NULL, full)); /* nothing to say */
    assert_non_null(hm_client_alloc(key, 6, HM_SITE, NULL));
    assert_int_equal(HM_E_OS, hm_client_report(key, NULL, NULL, full));
    assert_int_equal(HM_E_OS, hm_client_report(key, NULL, NULL, -1));
    close_client(key);
    close(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_CASE(client__opened_while_its_runtime_closes),
        CLIENT_CASE(client__reclaims_everything),
        CLIENT_CASE(client__stopped_may_only_clean_up),
        CLIENT_CASE(client__runtime_takes_its_clients_along),
        CLIENT_CASE(client__places_are_used_again),
        CLIENT_CASE(client__out_of_memory_at_every_step),
        CLIENT_CASE(client__reports_by_place),
        CLIENT_CASE(client__reports_that_are_lost_are_answered),
    };
    return cmocka_run_group_tests(tests, client_setup, NULL);
}
