/* SPDX-License-Identifier: MIT */
/* What comes to a debug host from where nobody expects it: from the inner host in the middle of a call, from destructors of a thread
 * that is nearly over, and after blocks of sizes that few programs have. */
#include "debug_fixture.h"

#include <pthread.h>

#include "sanitizer.h"
#include "slots_internal.h"

/* Of destructors, as the system says at least. ThreadSanitizer is gone in the last one. */
#define ROUNDS (UNDER_TSAN ? 3u : 4u)

/* An inner host that calls back. */
static void (*on_alloc)(void);
static void (*on_free)(void);

static void call_back(void (*back)(void))
{
    static _Thread_local int inside;
    if (back && !inside) {
        inside = 1;
        back();
        inside = 0;
    }
}

static void *hooked_alloc(void *context, size_t bytes)
{
    (void)context;
    call_back(on_alloc);
    return (malloc)(bytes);
}

static void hooked_release(void *context, void *block, size_t bytes)
{
    (void)context;
    (void)bytes;
    call_back(on_free);
    (free)(block);
}

static hm_status
hooked_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    static const hm_allocator allocator = {.size = sizeof(hm_allocator),
                                           .alloc = hooked_alloc,
                                           .release = hooked_release,
                                           .flags = HM_ALLOCATOR_THREADSAFE};
    (void)values;
    (void)inner;
    return hm__wrap_host(&allocator, "hooked", out, err);
}

static const hm_host_info hooked = {.size = sizeof(hooked),
                                    .abi = HM_ABI,
                                    .kind = HM_KIND_HOST,
                                    .name = "hooked",
                                    .summary = "calls back",
                                    .version = "1",
                                    .open = hooked_open};

/* One line for all, so that the last block comes by the hot path. */
static void *alloc_here(hm_malloc *m, size_t bytes)
{
    return hm_alloc(m, bytes);
}

/* What a large block leaves as room is not for blocks whose size a header's field does not hold. */
static void debug_inside__after_a_large_block_shrinks(void **state)
{
    static const char *const specs[] = {",mode=stats+default", "+default"};
    const size_t large = ((size_t)1 << 32) + 4096;
    (void)state;
    for (size_t k = 0; k < 2 * COUNT(specs); k++) {
        debug_fixture f;
        hm_block shown = {.size = sizeof(shown)};
        fixture_open(&f, specs[k / 2], k % 2 ? HM_MALLOC_THREADSAFE : 0);
        assert_int_equal(hm_free(f.m, alloc_here(f.m, 100)), HM_OK);
        void *block = hm_realloc(f.m, alloc_here(f.m, large), 10);
        void *next = alloc_here(f.m, large);
        assert_non_null(next);
        assert_int_equal(hm_describe(f.m, next, &shown), HM_OK);
        assert_int_equal(shown.requested, large);
        assert_int_equal(hm_free_sized(f.m, next, large), HM_OK);
        assert_int_equal(hm_free(f.m, block), HM_OK);
        assert_int_equal(fixture_stats(f.m).live_bytes, 0);
        assert_int_equal(fixture_stats(f.m).peak_bytes, large + 10);
        fixture_close(&f);
    }
}

static hm_malloc *mine, *other;

static void use_other(void)
{
    for (int i = 0; i < 4; i++) {
        assert_int_equal(hm_free(other, alloc_here(other, 40)), HM_OK);
    }
}

static void use_mine(void)
{
    for (int i = 0; i < 4; i++) {
        char *block = alloc_here(mine, 48);
        memset(block, 'a', 48);
        assert_int_equal(hm_free_sized(mine, block, 48), HM_OK);
    }
}

/* What is freed while blocks go back finds no room among them. */
static void debug_inside__frees_while_blocks_go_back(void **state)
{
    static const char *const specs[] = {",mode=stats+hooked", "+hooked",
                                        ",quarantine=0+hooked", ",quarantine=3+hooked",
                                        ",mode=full,edges=no,quarantine=6+hooked"};
    (void)state;
    for (size_t k = 0; k < 2 * COUNT(specs); k++) {
        debug_fixture f;
        void *blocks[100];
        fixture_open(&f, specs[k / 2], k % 2 ? HM_MALLOC_THREADSAFE : 0);
        mine = f.m;
        for (size_t i = 0; i < COUNT(blocks); i++) {
            blocks[i] = alloc_here(mine, i * 40);
        }
        on_free = use_mine;
        for (size_t i = 0; i < COUNT(blocks); i++) {
            assert_int_equal(hm_free(mine, blocks[i]), HM_OK);
        }
        hm_malloc_trim(mine);
        on_free = NULL;
        assert_int_equal(fixture_stats(mine).live_blocks, 0);
        assert_int_equal(fixture_stats(mine).live_bytes, 0);
        hm_malloc_trim(mine);
        assert_int_equal(fixture_stats(mine).overhead_bytes, 0);
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

static void ask_mine(void)
{
    fixture_stats(mine);
}

static int count_one(void *context, const hm_block *block)
{
    (void)block;
    ++*(uint64_t *)context;
    return 0;
}

static void walk_mine(void)
{
    uint64_t seen = 0;
    assert_int_equal(hm_walk(mine, count_one, &seen), HM_OK);
}

static void free_inside_other(void)
{
    char *block = alloc_here(other, 100);
    assert_int_equal(hm_free(other, block + 16), HM_E_NOT_OWNED);
    assert_int_equal(hm_free(other, block), HM_OK);
}

static uint32_t over; /* atomic */

static void *allocate_and_free(void *context)
{
    const int *rounds = context;
    for (int i = 0; i < *rounds; i++) {
        assert_int_equal(hm_free(mine, alloc_here(mine, 32)), HM_OK);
    }
    return NULL;
}

static void *walk_until_over(void *context)
{
    (void)context;
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        walk_mine();
        usleep(50); /* locks are not fair */
    }
    return NULL;
}

/* Whoever walks waits for those that give blocks back, and these may ask, walk, free or be told of a mistake before they are done. */
static void debug_inside__walks_while_the_inner_host_comes_back(void **state)
{
    static const char *const specs[] = {",mode=stats+hooked", ",quarantine=0+hooked"};
    static const struct {
        void (*back)(void);
        int rounds;
    } rows[] = {{ask_mine, 2000},
                {use_mine, 500},
                {walk_mine, 200},
                {use_other, 1000},
                {free_inside_other, 200}};
    (void)state;
    for (size_t k = 0; k < COUNT(specs) * COUNT(rows); k++) {
        debug_fixture f, g;
        pthread_t freers[2], walker;
        int rounds = rows[k / 2].rounds / (UNDER_SANITIZER ? 10 : 1);
        fixture_open(&f, specs[k % 2], HM_MALLOC_THREADSAFE);
        fixture_open(&g, ",mode=stats+default", HM_MALLOC_THREADSAFE);
        mine = f.m;
        other = g.m;
        over = 0;
        on_free = rows[k / 2].back;
        alarm(100); /* a test that hangs is killed */
        pthread_create(&walker, NULL, walk_until_over, NULL);
        for (size_t i = 0; i < COUNT(freers); i++) {
            pthread_create(&freers[i], NULL, allocate_and_free, &rounds);
        }
        for (size_t i = 0; i < COUNT(freers); i++) {
            pthread_join(freers[i], NULL);
        }
        __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
        pthread_join(walker, NULL);
        on_free = NULL;
        alarm(0);
        assert_int_equal(fixture_stats(mine).live_blocks, 0);
        assert_int_equal(fixture_stats(other).live_blocks, 0);
        fixture_close(&f);
        fixture_close(&g);
        assert_string_equal(f.text, "");
    }
}

static void *allocate_large_until_over(void *context)
{
    (void)context;
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
        assert_int_equal(hm_free(mine, alloc_here(mine, (size_t)1 << 30)), HM_OK);
    }
    return NULL;
}

/* Who asks beside a thread that counts is told of no more than there were at any time. */
static void debug_inside__a_peak_beside_its_writer(void **state)
{
    debug_fixture f;
    pthread_t thread;
    (void)state;
    fixture_open(&f, ",mode=stats+default", HM_MALLOC_THREADSAFE);
    mine = f.m;
    over = 0;
    pthread_create(&thread, NULL, allocate_large_until_over, NULL);
    for (int i = 0; i < (UNDER_SANITIZER ? 200 : 100000); i++) {
        assert_true(fixture_stats(mine).peak_bytes <= (size_t)1 << 30);
    }
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

static void *make_mistakes(void *context)
{
    (void)context;
    for (int i = 0; i < (UNDER_SANITIZER ? 40 : 500); i++) {
        char *block = alloc_here(mine, 100);
        assert_int_equal(hm_free(mine, block + 16), HM_E_NOT_OWNED);
        assert_int_equal(hm_free(mine, block), HM_OK);
    }
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* Snapshots and reports look at blocks as well, for those that are ignored and for stacks. */
static void debug_inside__snapshots_beside_verdicts(void **state)
{
    static const char *const specs[] = {"+default", ",frames=8+default"};
    (void)state;
    for (size_t k = 0; k < COUNT(specs); k++) {
        debug_fixture f;
        pthread_t thread;
        FILE *to = tmpfile();
        assert_non_null(to);
        fixture_open(&f, specs[k], HM_MALLOC_THREADSAFE);
        hm_debug *debug = hm_debug_of_host(f.host);
        mine = f.m;
        over = 0;
        void *ignored = hm_alloc(f.m, 30);
        assert_int_equal(hm_debug_ignore(debug, ignored), HM_OK);
        alarm(100);
        pthread_create(&thread, NULL, make_mistakes, NULL);
        while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
            assert_int_equal(hm_debug_snapshot(debug, fileno(to)), HM_OK);
            assert_int_equal(hm_debug_report(debug, fileno(to)), HM_OK);
        }
        pthread_join(thread, NULL);
        alarm(0);
        assert_int_equal(hm_free(f.m, ignored), HM_OK);
        fixture_close(&f);
        fclose(to);
    }
}

static void *resize_until_over(void *context)
{
    hm_malloc *m = context;
    char *block = alloc_here(m, 60);
    for (size_t i = 0; !__atomic_load_n(&over, __ATOMIC_ACQUIRE); i++) {
        block = hm_realloc(m, block, 40 + i % 20);
    }
    assert_int_equal(hm_free(m, block), HM_OK);
    return NULL;
}

/* Blocks of a malloc whose caller serialises are checked by other threads as well, and what its own is writing is no damage. */
static void debug_inside__checks_beside_resizes(void **state)
{
    static const char *const specs[] = {"+default", ",mode=full+default"};
    (void)state;
    for (size_t k = 0; k < COUNT(specs); k++) {
        debug_fixture f;
        pthread_t threads[2];
        hm_malloc *others[2];
        fixture_open(&f, specs[k], 0);
        over = 0;
        for (size_t i = 0; i < COUNT(threads); i++) {
            assert_int_equal(
                hm_host_create_malloc(f.host, "resized", 0, &others[i], NULL), HM_OK);
            pthread_create(&threads[i], NULL, resize_until_over, others[i]);
        }
        uint64_t damaged = 0;
        for (int i = 0; i < (UNDER_SANITIZER ? 100 : 500) && !damaged; i++) {
            hm_debug_check(hm_debug_of_host(f.host), &damaged);
        }
        __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
        for (size_t i = 0; i < COUNT(threads); i++) {
            pthread_join(threads[i], NULL);
            hm_malloc_release(others[i]);
        }
        assert_int_equal(damaged, 0);
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

static void *leave_blocks_held(void *key)
{
    use_other();
    assert_int_equal(hm_free(mine, alloc_here(mine, 10)), HM_OK);
    pthread_setspecific(*(pthread_key_t *)key, key);
    return NULL;
}

static void use_other_late(void *value)
{
    (void)value;
    on_free = NULL;
    use_other();
}

/* What is held back goes to an inner host that uses another malloc: the books of that one are gone as well then. */
static void debug_inside__a_thread_ends_below(void **state)
{
    debug_fixture f, g;
    pthread_t thread;
    pthread_key_t key;
    (void)state;
    fixture_open(&f, "+hooked", HM_MALLOC_THREADSAFE);
    fixture_open(&g, "+default", HM_MALLOC_THREADSAFE);
    mine = f.m;
    other = g.m;
    assert_int_equal(pthread_key_create(&key, use_other_late), 0);
    on_free = use_other;
    assert_int_equal(pthread_create(&thread, NULL, leave_blocks_held, &key), 0);
    pthread_join(thread, NULL);
    on_free = NULL;
    pthread_key_delete(key);
    assert_int_equal(fixture_stats(other).total_blocks, 12);
    assert_int_equal(fixture_stats(other).live_blocks, 0);
    fixture_close(&f);
    fixture_close(&g);
    assert_string_equal(f.text, "");
    assert_string_equal(g.text, "");
}

static pthread_key_t again;
static uint32_t laps;

static void allocate_again(void *value)
{
    assert_int_equal(hm_free(mine, alloc_here(mine, 32)), HM_OK);
    if (++laps < ROUNDS) {
        pthread_setspecific(again, value);
    }
}

static void *set_again(void *context)
{
    assert_int_equal(hm_free(mine, alloc_here(mine, 10)), HM_OK);
    pthread_setspecific(again, context);
    return NULL;
}

/* In the last round of destructors nobody hears of the end of the thread any more, whose stack and words are unmapped then. */
static void debug_inside__after_the_last_destructor(void **state)
{
    debug_fixture f;
    pthread_t thread;
    pthread_attr_t attributes;
    (void)state;
    fixture_open(&f, "+default", HM_MALLOC_THREADSAFE);
    mine = f.m;
    laps = 0;
    assert_int_equal(pthread_key_create(&again, allocate_again), 0);
    pthread_attr_init(&attributes);
    /* More than libc keeps for the next thread. */
    pthread_attr_setstacksize(&attributes, (size_t)64 << 20);
    assert_int_equal(pthread_create(&thread, &attributes, set_again, &laps), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    pthread_key_delete(again);
    assert_int_equal(laps, ROUNDS);
    assert_int_equal(fixture_stats(mine).total_blocks, 1 + laps);
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debug_inside__after_a_large_block_shrinks),
        cmocka_unit_test(debug_inside__frees_while_blocks_go_back),
        cmocka_unit_test(debug_inside__walks_while_the_inner_host_comes_back),
        cmocka_unit_test(debug_inside__a_peak_beside_its_writer),
        cmocka_unit_test(debug_inside__snapshots_beside_verdicts),
        cmocka_unit_test(debug_inside__checks_beside_resizes),
        cmocka_unit_test(debug_inside__a_thread_ends_below),
        cmocka_unit_test(debug_inside__after_the_last_destructor),
    };
    if (hm_registry_add(&hooked, NULL) != HM_OK) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
