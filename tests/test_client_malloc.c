/* SPDX-License-Identifier: MIT */
/* A client as a malloc: its budget and its blocks, for what takes a malloc; and what is left of it afterwards. */
#include "client_check.h"

#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_CASE(client__as_a_malloc),
    };
    return cmocka_run_group_tests(tests, client_setup, NULL);
}
