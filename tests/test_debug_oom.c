/* SPDX-License-Identifier: MIT */
/* Out of memory at every place the debug host can meet it: its own memory from the n-th request on, and each single
 * block of the inner host. Calls answer NULL or a status, nothing is reported, nothing is kept. */
#include "debug_fixture.h"

#include "block_map_internal.h"
#include "memory_internal.h"
#include "slots_internal.h"

#include <pthread.h>

/* A leaf of the block map, with its entry in the list of leaves. */
#define LEAF_BYTES (HM__MAP_LEAF_BYTES + 32)

/* The inner host: counts what is out, fails when told. */
static long inner_blocks;
static long inner_fail_at; /* the n-th allocation from now fails; 0: none */

static void *counting_alloc(void *context, size_t bytes)
{
    (void)context;
    if (inner_fail_at && --inner_fail_at == 0) {
        return NULL;
    }
    void *block = malloc(bytes);
    inner_blocks += block != NULL;
    return block;
}

static void counting_release(void *context, void *block, size_t bytes)
{
    (void)context;
    (void)bytes;
    inner_blocks--;
    free(block);
}

static hm_status counting_open(const hm_option_values *values,
                               hm_host *inner,
                               hm_host **out,
                               hm_error *err)
{
    static const hm_allocator allocator = {.size = sizeof(hm_allocator),
                                           .alloc = counting_alloc,
                                           .release = counting_release,
                                           .flags = HM_ALLOCATOR_THREADSAFE};
    (void)values;
    (void)inner;
    return hm__wrap_host(&allocator, "counting", out, err);
}

static const hm_host_info counting = {.size = sizeof(counting),
                                      .abi = HM_ABI,
                                      .kind = HM_KIND_HOST,
                                      .name = "counting",
                                      .summary = "counts and fails",
                                      .version = "1",
                                      .open = counting_open};

static int ignore_site(void *context, const hm_debug_site *site)
{
    (void)context;
    (void)site;
    return 0;
}

/* Every kind of call, each allowed to fail; whatever was had is given back. */
static void use_malloc(hm_malloc *m)
{
    void *blocks[40] = {NULL};
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = i % 4 == 0   ? hm_alloc_aligned(m, i * 10, 256)
                    : i % 4 == 1 ? hm_alloc_zeroed(m, i, 10)
                                 : hm_alloc(m, i * 1000);
        if (blocks[i] && i % 3 == 0) {
            void *resized = hm_realloc(m, blocks[i], 70000);
            blocks[i] = resized ? resized : blocks[i];
        }
    }
    hm_stats stats;
    assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
    uint64_t live = 0;
    for (size_t i = 0; i < COUNT(blocks); i++) {
        live += blocks[i] != NULL;
        assert_int_equal(hm_free(m, blocks[i]), HM_OK);
    }
    assert_int_equal(stats.live_blocks, live);
    hm_debug_sites(hm_debug_of_malloc(m), ignore_site, NULL);
    hm_malloc_trim(m);
}

static void *use_on_a_thread(void *m)
{
    use_malloc(m);
    return NULL;
}

static void scenario(const char *spec)
{
    hm_host *host = NULL;
    if (hm_host_open(spec, &host, NULL) != HM_OK) {
        assert_null(host);
        return;
    }
    for (uint32_t flags = 0; flags <= HM_MALLOC_THREADSAFE; flags++) {
        hm_malloc *m = NULL;
        if (hm_host_create_malloc(host, "m", flags, &m, NULL) != HM_OK) {
            assert_null(m);
            continue;
        }
        pthread_t thread;
        use_malloc(m);
        if (pthread_create(&thread, NULL, use_on_a_thread, m) == 0) {
            pthread_join(thread, NULL);
        }
        hm_stats stats;
        assert_int_equal(hm_malloc_stats(m, &stats), HM_OK);
        assert_int_equal(stats.live_blocks, 0);
        assert_int_equal(stats.live_bytes, 0);
        hm_malloc_close(m);
        hm_malloc_release(m);
    }
    uint64_t findings = 0;
    assert_int_equal(hm_debug_findings(hm_debug_of_host(host), &findings), HM_OK);
    assert_int_equal(findings, 0);
    hm_host_release(host);
}

static void debug_oom__own_memory(void **state)
{
    static const char *const specs[] = {"debug+counting", "debug:quarantine=0+counting"};
    (void)state;
    for (size_t i = 0; i < COUNT(specs); i++) {
        scenario(specs[i]); /* what stays for good is made now */
        scenario(specs[i]);
        const size_t before = hm__memory_in_use();
        hm__memory_fail_from(UINT64_MAX);
        scenario(specs[i]);
        const uint64_t calls = hm__memory_calls();
        assert_true(calls > 20);
        for (uint64_t nth = 1; nth <= calls + 1; nth++) {
            hm__memory_fail_from(nth);
            scenario(specs[i]);
            hm__memory_fail_from(0);
            /* Leaves of the block map stay, and an allocator may go to new addresses any time. */
            const size_t kept = (hm__memory_in_use() - before) % LEAF_BYTES;
            if (kept != 0 || inner_blocks != 0) {
                fail_msg("%s: request %d: %d bytes and %d blocks left", specs[i],
                         (int)nth, (int)(hm__memory_in_use() - before),
                         (int)inner_blocks);
            }
        }
    }
}

static void debug_oom__inner_blocks(void **state)
{
    (void)state;
    for (long nth = 1; nth < 300; nth++) {
        inner_fail_at = nth;
        scenario("debug+counting");
        const int reached = inner_fail_at == 0;
        inner_fail_at = 0;
        assert_int_equal(inner_blocks, 0);
        if (!reached) {
            return;
        }
    }
    fail_msg("the scenario has no end");
}

/* A block at an address where the map has no leaf yet, and no memory for one: refused, and not kept below. */
static void *alloc_here(hm_malloc *m, size_t bytes)
{
    return hm_alloc(m, bytes);
}

static void debug_oom__no_leaf_for_the_block(void **state)
{
    debug_fixture f;
    void *blocks[64];
    size_t refused = 0;
    (void)state;
    fixture_open(&f, "+counting", 0);
    assert_int_equal(hm_free(f.m, alloc_here(f.m, 10)), HM_OK);
    const size_t large = (size_t)1 << HM__MAP_LEAF_BITS;
    for (size_t i = 0; i < COUNT(blocks); i++) {
        const long before = inner_blocks;
        hm__memory_fail_from(1 + i / 2 % 4); /* the inner host may need some too */
        blocks[i] = i % 2 ? alloc_here(f.m, large) : hm_alloc_zeroed(f.m, 1, large);
        hm__memory_fail_from(0);
        assert_int_equal(inner_blocks - before, blocks[i] != NULL);
        if (!blocks[i]) {
            refused++;
            blocks[i] = alloc_here(f.m, large); /* with memory for its leaf */
        }
    }
    assert_true(refused > 0);
    assert_int_equal(fixture_stats(f.m).failed, refused);
    for (size_t i = 0; i < COUNT(blocks); i++) {
        assert_int_equal(hm_free(f.m, blocks[i]), HM_OK);
    }
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

/* A resize that finds no memory leaves the block as it was; a smaller size is always had. */
static void debug_oom__realloc_keeps_the_block(void **state)
{
    debug_fixture f;
    (void)state;
    fixture_open(&f, "+counting", 0);
    char *block = hm_alloc(f.m, 1000);
    memset(block, 'a', 1000);
    inner_fail_at = 1;
    assert_null(hm_realloc(f.m, block, 100000));
    assert_int_equal(hm_size_of(f.m, block), 1000);
    inner_fail_at = 1;
    char *smaller = hm_realloc(f.m, block, 10);
    assert_ptr_equal(smaller, block);
    assert_int_equal(hm_size_of(f.m, block), 10);
    assert_int_equal(memcmp(block, "aaaaaaaaaa", 10), 0);
    assert_int_equal(fixture_stats(f.m).live_bytes, 10);
    assert_int_equal(fixture_stats(f.m).failed, 1);
    inner_fail_at = 0;
    assert_int_equal(hm_free_sized(f.m, block, 10), HM_OK);
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debug_oom__own_memory),
        cmocka_unit_test(debug_oom__inner_blocks),
        cmocka_unit_test(debug_oom__no_leaf_for_the_block),
        cmocka_unit_test(debug_oom__realloc_keeps_the_block),
    };
    if (hm_registry_add(&counting, NULL) != HM_OK) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
