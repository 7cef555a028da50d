/* SPDX-License-Identifier: MIT */
/* Blocks through the cache layer: which one is next, what is told of it, and when the layer keeps out of the way. */
#include <string.h>

#include "cache_check.h"

static void fill(void *block, size_t size, int seed)
{
    for (size_t i = 0; i < size; i++) {
        ((unsigned char *)block)[i] = (unsigned char)(i * 7 + (size_t)seed);
    }
}

static int is_filled(const void *block, size_t size, int seed)
{
    for (size_t i = 0; i < size; i++) {
        if (((const unsigned char *)block)[i] != (unsigned char)(i * 7 + (size_t)seed)) {
            return 0;
        }
    }
    return 1;
}

static void cache__the_block_freed_last_is_the_next_of_its_class(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        hm_host *host = open_host("cache+default");
        hm_malloc *m = create(host, kinds[k].flags);
        void *a = hm_alloc(m, 33), *b = hm_alloc(m, 48), *other = hm_alloc(m, 49);
        hm_free_sized(m, a, 33);
        hm_free_sized(m, b, 48);
        hm_free_sized(m, other, 49);
        CHECK_ROW(kinds[k].label, hm_alloc(m, 40) == b);
        CHECK_ROW(kinds[k].label, hm_alloc(m, 41) == a);
        CHECK_ROW(kinds[k].label, hm_alloc(m, 64) == other);
        void *zero = hm_alloc(m, 0);
        hm_free_sized(m, zero, 0);
        CHECK_ROW(kinds[k].label, hm_alloc(m, 16) == zero);
        hm_free_sized(m, zero, 16);
        CHECK_ROW(kinds[k].label, hm_alloc(m, 0) == zero);
        hm_free_sized(m, NULL, 40);
        hm_free(m, NULL);
        void *block[] = {a, b, other, zero};
        for (size_t i = 0; i < COUNT(block); i++) {
            hm_free(m, block[i]); /* without a size: straight through */
        }
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

static void cache__every_size_fits_and_is_told_truly(void **state)
{
    (void)state;
    static const char *const specs[] = {"cache+default", "cache+mimalloc",
                                        "cache+lock+default", "debug+cache+mimalloc"};
    for (size_t s = 0; s < COUNT(specs); s++) {
        for (size_t k = 0; k < COUNT(kinds); k++) {
            hm_host *host = open_host(specs[s]);
            hm_malloc *m = create(host, kinds[k].flags);
            for (int round = 0; round < 3; round++) {
                for (size_t n = 0; n < 1100; n++) {
                    void *block = round == 1 ? hm_alloc_aligned(m, n, 64)
                                             : hm_alloc_zeroed(m, 1, n);
                    CHECK_ROW(specs[s], block && (uintptr_t)block % 16 == 0);
                    CHECK_ROW(specs[s], round != 1 || (uintptr_t)block % 64 == 0);
                    CHECK_ROW(specs[s], hm_size_of(m, block) >= n);
                    for (size_t i = 0; round != 1 && i < n; i++) {
                        CHECK_ROW(specs[s], ((char *)block)[i] == 0);
                    }
                    memset(block, 0xA5, n);
                    hm_free_sized(m, block, n);
                    const size_t good = hm_good_size(m, n);
                    block = hm_alloc(m, good);
                    CHECK_ROW(specs[s], good >= n && hm_size_of(m, block) >= good);
                    memset(block, 0x5A, good);
                    hm_free_sized(m, block, good);
                }
            }
            CHECK_ROW(specs[s], !hm_alloc(m, SIZE_MAX) && !hm_alloc(m, SIZE_MAX - 14));
            CHECK_ROW(specs[s], !hm_alloc_zeroed(m, SIZE_MAX / 2, 3));
            CHECK_ROW(specs[s], !hm_alloc_aligned(m, 8, 3) && !hm_alloc_aligned(m, 8, 0));
            hm_malloc_release(m);
            hm_host_release(host);
        }
    }
}

static void cache__realloc_keeps_the_bytes(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,   1,   15,   16,   17,   100,
                                   112, 113, 1000, 1024, 1025, 5000};
    for (size_t k = 0; k < COUNT(kinds); k++) {
        hm_host *host = open_host("cache+mimalloc");
        hm_malloc *m = create(host, kinds[k].flags);
        for (size_t i = 0; i < COUNT(sizes) * COUNT(sizes) * 2; i++) {
            const size_t from = sizes[i / 2 % COUNT(sizes)];
            const size_t to = sizes[i / 2 / COUNT(sizes)];
            hm_free_sized(m, hm_alloc(m, to), to); /* one to be had */
            void *block = hm_alloc(m, from);
            fill(block, from, 3);
            block = i % 2 ? hm_realloc(m, block, to)
                          : hm_realloc_at(m, block, from, to, HM_LEVEL_TASK, NULL);
            CHECK_ROW(kinds[k].label,
                      block && is_filled(block, from < to ? from : to, 3));
            CHECK_ROW(kinds[k].label, hm_size_of(m, block) >= to);
            fill(block, to, 5);
            hm_free_sized(m, block, to);
        }
        void *block = hm_realloc(m, NULL, 30);
        fill(block, 30, 1);
        hm_request request = {.size = sizeof request,
                              .block = block,
                              .old_bytes = 30,
                              .bytes = 600,
                              .flags = HM_REQUEST_ZEROED};
        void *moved = NULL;
        assert_int_equal(hm_malloc_request(m, &request, &moved), HM_OK);
        CHECK_ROW(kinds[k].label, is_filled(moved, 30, 1));
        for (size_t i = 30; i < 600; i++) {
            CHECK_ROW(kinds[k].label, ((char *)moved)[i] == 0);
        }
        assert_null(hm_realloc(m, moved, SIZE_MAX));
        hm_free_sized(m, moved, 600);
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

static void cache__is_off_where_somebody_checks(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        uint32_t flags;
        size_t limit;
    } cases[] = {{"cache+debug+default", 0, 0},
                 {"cache+default", HM_MALLOC_EXACT, 0},
                 {"cache+default", HM_MALLOC_SCOPED, 0},
                 {"cache+default", 0, 1000},
                 {"cache+mimalloc", HM_MALLOC_EXACT | HM_MALLOC_THREADSAFE, 0}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_host *host = open_host(cases[i].spec);
        const hm_malloc_opts opts = {sizeof opts, "exact", cases[i].flags, 0,
                                     cases[i].limit};
        hm_malloc *m = NULL;
        assert_int_equal(hm_host_create_malloc_opts(host, &opts, &m, NULL), HM_OK);
        void *block = hm_alloc(m, 33);
        hm_block seen;
        CHECK_ROW(cases[i].spec, hm_describe(m, block, &seen) == HM_OK);
        CHECK_ROW(cases[i].spec, seen.requested == 33 && hm_owns(m, block) == 1);
        CHECK_ROW(cases[i].spec, hm_free_sized(m, block, 33) == HM_OK);
        CHECK_ROW(cases[i].spec, hm_owns(m, block) == 0);
        CHECK_ROW(cases[i].spec,
                  !(m->flags & HM_MALLOC_DEBUG) || hm_free(m, block) != HM_OK);
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

static void cache__closed_frees_and_shrinks_only(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        hm_host *host = open_host("cache+default");
        hm_malloc *m = create(host, kinds[k].flags);
        void *a = hm_alloc(m, 100), *b = hm_alloc(m, 100), *c = hm_alloc(m, 2000);
        hm_free_sized(m, a, 100);
        hm_malloc_close(m);
        hm_malloc_close(m);
        hm_request request = {.size = sizeof request, .bytes = 10};
        void *out = m;
        CHECK_ROW(kinds[k].label, !hm_alloc(m, 100) && !hm_alloc(m, 0));
        CHECK_ROW(kinds[k].label, !hm_alloc_zeroed(m, 1, 100) && !hm_realloc(m, NULL, 1));
        CHECK_ROW(kinds[k].label,
                  hm_malloc_request(m, &request, &out) == HM_E_CLOSED && !out);
        CHECK_ROW(kinds[k].label, !hm_realloc_at(m, b, 100, 5000, HM_LEVEL_TASK, NULL));
        b = hm_realloc_at(m, b, 100, 20, HM_LEVEL_TASK, NULL);
        CHECK_ROW(kinds[k].label, b);
        hm_malloc_trim(m);
        hm_free_sized(m, b, 20);
        hm_free(m, c);
        hm_malloc_release(m);
        hm_host_release(host);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache__the_block_freed_last_is_the_next_of_its_class),
        cmocka_unit_test(cache__every_size_fits_and_is_told_truly),
        cmocka_unit_test(cache__realloc_keeps_the_bytes),
        cmocka_unit_test(cache__is_off_where_somebody_checks),
        cmocka_unit_test(cache__closed_frees_and_shrinks_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
