/* SPDX-License-Identifier: MIT */
/* Out of private memory at every point of a program's life: open, create, run, close, over each host. Whatever is
 * refused is refused in order, nothing stays behind, and the next attempt works. */
#include <stdio.h>
#include <string.h>

#include <hostmalloc/hostmalloc.h>

#include "block_map_internal.h"
#include "check.h"
#include "memory_internal.h"

enum { SITES = 40 };
#define LEAF_BYTES (HM__MAP_LEAF_BYTES + 32) /* of the map of addresses, and its entry */

/* Allocates at sites nobody has seen, resizes, aligns, frees. Blocks may be refused; what came must hold. */
static void run(hm_malloc *m, uint32_t round)
{
    void *blocks[SITES] = {NULL};
    for (uint32_t i = 0; i < SITES; i++) {
        char file[32];
        snprintf(file, sizeof file, "starve-%u.c", (unsigned)(round * SITES + i));
        blocks[i] = hm_debug_alloc(m, 50 + i, HM_LEVEL_TASK, file, i + 1);
        if (blocks[i]) {
            memset(blocks[i], 0x3c, 50 + i);
        }
    }
    for (uint32_t i = 0; i < SITES; i += 3) {
        void *moved = hm_realloc(m, blocks[i], 400);
        blocks[i] = moved ? moved : blocks[i];
        if (blocks[i] && moved && *(unsigned char *)moved == 0x3c) {
            assert_int_equal(((unsigned char *)moved)[49], 0x3c);
        }
    }
    void *aligned = hm_alloc_aligned(m, 100, 4096);
    assert_int_equal((uintptr_t)aligned % 4096, 0);
    hm_free(m, aligned);
    for (uint32_t i = 0; i < SITES; i++) {
        assert_int_equal(hm_free(m, blocks[i]), HM_OK);
    }
}

/* 1 when nothing was refused. */
static int live(const char *spec, uint32_t round)
{
    static const uint32_t flags[] = {0, HM_MALLOC_THREADSAFE,
                                     HM_MALLOC_THREADSAFE | HM_MALLOC_SCOPED,
                                     HM_MALLOC_EXACT, HM_MALLOC_ONE_THREAD};
    hm_runtime *rt = NULL;
    hm_error err = {0};
    const hm_runtime_opts opts = {sizeof opts, "starved", NULL, spec};
    hm_status status = hm_runtime_open(&opts, &rt, &err);
    if (status != HM_OK) {
        assert_null(rt);
        assert_int_equal(status, HM_E_NOMEM);
        assert_true(err.what[0] != '\0');
        return 0;
    }
    int whole = 1;
    for (size_t i = 0; i < COUNT(flags); i++) {
        hm_malloc *m = NULL;
        const hm_malloc_opts wanted = {sizeof wanted, "starving", flags[i], 0,
                                       i == 1 ? 1 << 20 : 0};
        status = hm_runtime_create_malloc(rt, &wanted, &m, &err);
        if (status != HM_OK) {
            assert_null(m);
            assert_int_equal(status, HM_E_NOMEM);
            whole = 0;
            continue;
        }
        run(m, round);
        hm_malloc_release(m);
    }
    hm_runtime_start(rt);
    hm_leaks leaks = {.size = sizeof leaks};
    assert_int_equal(hm_runtime_close(rt, &leaks, &err), HM_OK);
    assert_int_equal(leaks.blocks, 0);
    return whole;
}

/* Fails the 1st, 2nd, 3rd ... private allocation of a life. Sites, thread state and the map of addresses are made
   once and kept: the second time round nothing may be added any more. */
static void sweep(const char *spec, int known)
{
    for (uint64_t n = 1;; n++) {
        const size_t before = hm__memory_in_use();
        hm__memory_fail_from(n);
        live(spec, (uint32_t)n);
        const int reached = hm__memory_calls() >= n;
        hm__memory_fail_from(0);
        if (known) {
            /* An inner host may still come to addresses where no block was before. */
            assert_int_equal((hm__memory_in_use() - before) % LEAF_BYTES, 0);
        }
        if (!reached) {
            return;
        }
        assert_true(n < 5000);
    }
}

static void starve__every_private_allocation(void **state)
{
    const char *spec = *state;
    assert_true(live(spec, 0));
    sweep(spec, 0);
    for (uint32_t n = 1; n < 200; n++) {
        live(spec, n); /* every site that a shortage kept from being known */
    }
    sweep(spec, 1);
    assert_true(live(spec, 0));
}

int main(int argc, char **argv)
{
    char *spec = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(starve__every_private_allocation, spec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
