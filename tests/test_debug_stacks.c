/* SPDX-License-Identifier: MIT */
/* Stacks of allocations: exact by content, live figures without a hook in the free, estimates from a sample. */
#include "debug_fixture.h"

#include <pthread.h>

#define KEPT __attribute__((noinline))

typedef struct stack_seen {
    unsigned long long blocks;
    unsigned long long bytes;
    unsigned long long total_blocks;
    unsigned frames;
} stack_seen;

static debug_fixture f;

/* What the last line of a snapshot says of stacks; their number. */
static unsigned stacks_of(stack_seen *out, unsigned most)
{
    static char text[1 << 20];
    FILE *file = tmpfile();
    unsigned count = 0;
    assert_non_null(file);
    assert_int_equal(hm_debug_snapshot(hm_debug_of_host(f.host), fileno(file)), HM_OK);
    rewind(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    for (const char *at = text; (at = strstr(at, "{\"type\":\"stack\"")); at++) {
        assert_true(count < most);
        stack_seen *seen = &out[count++];
        const char *figures = strstr(at, "\"live_blocks\":");
        assert_int_equal(sscanf(figures,
                                "\"live_blocks\":%llu,\"live_bytes\":%llu,"
                                "\"total_blocks\":%llu",
                                &seen->blocks, &seen->bytes, &seen->total_blocks),
                         3);
        seen->frames = 1;
        for (const char *c = strstr(at, "\"frames\":["); *c != ']'; c++) {
            seen->frames += *c == ',';
        }
    }
    return count;
}

static KEPT void *make(size_t size)
{
    void *block = hm_debug_alloc(f.m, size, 0, "stacks.c", 1);
    assert_non_null(block);
    return block;
}

/* Not tail calls: the frame must be there. */
static KEPT void *by_one(size_t size)
{
    void *volatile block = make(size);
    return block;
}

static KEPT void *by_two(size_t size)
{
    void *volatile block = make(size);
    return block;
}

static void stacks__tell_callers_apart(void **state)
{
    static const uint32_t flags[] = {0, HM_MALLOC_THREADSAFE};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        stack_seen seen[16];
        fixture_open(&f, ",leaks=no,frames=16", flags[i]);
        void *blocks[10];
        for (volatile int k = 0; k < 10; k++) { /* not unrolled: one call */
            blocks[k] = by_one(100);
        }
        by_two(7);
        assert_int_equal(stacks_of(seen, 16), 2);
        const int one = seen[0].blocks == 10 ? 0 : 1;
        assert_int_equal(seen[one].blocks, 10);
        assert_int_equal(seen[one].bytes, 1000);
        assert_int_equal(seen[1 - one].bytes, 7);
        assert_true(seen[one].frames >= 3);
        for (int k = 0; k < 4; k++) {
            assert_int_equal(hm_free(f.m, blocks[k]), HM_OK);
        }
        blocks[9] = hm_realloc(f.m, blocks[9], 5000);
        assert_non_null(blocks[9]);
        const unsigned count = stacks_of(seen, 16);
        unsigned long long total = 0, live = 0;
        for (unsigned k = 0; k < count; k++) {
            total += seen[k].total_blocks;
            live += seen[k].bytes;
        }
        assert_int_equal(count, 3);
        assert_int_equal(total, 12);
        assert_int_equal(live, 500 + 5000 + 7);
        fixture_close(&f);
    }
}

static void stacks__are_cut_at_the_number_asked_for(void **state)
{
    stack_seen seen[16];
    (void)state;
    fixture_open(&f, ",leaks=no,frames=1", 0);
    by_one(10);
    by_two(10);
    assert_int_equal(stacks_of(seen, 16), 1); /* make's own frame */
    assert_int_equal(seen[0].frames, 1);
    assert_int_equal(seen[0].blocks, 2);
    fixture_close(&f);
}

static void stacks__are_in_reports(void **state)
{
    (void)state;
    fixture_open(&f, ",frames=8", 0);
    void *block = by_one(41);
    assert_int_equal(hm_free(f.m, block), HM_OK);
    assert_int_equal(hm_free(f.m, block), HM_E_FREED);
    const char *report = fixture_report(&f);
    const char *allocated = strstr(report, "  allocated    stacks.c:1");
    assert_non_null(allocated);
    const char *frame = strstr(allocated, "      #0 /");
    assert_non_null(frame);
    assert_non_null(strstr(frame, "test_debug_stacks+0x"));
    assert_true(strstr(report, "  freed ") > frame);
    by_two(9);
    fixture_close(&f);
    assert_non_null(
        strstr(f.text, "    1 block and 9 bytes of stacks.c:1 came by\n      #0 /"));
}

/* Guarded blocks keep what is known of them elsewhere. */
static void stacks__are_known_of_guarded_blocks(void **state)
{
    stack_seen seen[16];
    (void)state;
    fixture_open(&f, ",leaks=no,frames=8,guard=all", 0);
    void *block = by_one(10);
    assert_int_equal(stacks_of(seen, 16), 1);
    assert_int_equal(seen[0].blocks, 1);
    assert_int_equal(hm_free(f.m, block), HM_OK);
    assert_int_equal(stacks_of(seen, 16), 1);
    assert_int_equal(seen[0].blocks, 0);
    fixture_close(&f);
}

/* Each draw has a standard deviation of some percent here; what is asked for is ten times as wide. */
static void stacks__of_a_sample_are_estimates(void **state)
{
    static const size_t sizes[] = {50, 1000, 20000};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        stack_seen seen[16];
        fixture_open(&f, ",leaks=no,frames=8,sample=4K", 0);
        for (volatile int k = 0; k < 20000; k++) {
            by_one(sizes[i]);
        }
        assert_int_equal(stacks_of(seen, 16), 1);
        const double share = (double)seen[0].bytes / (20000.0 * (double)sizes[i]);
        assert_true(share > 0.5 && share < 1.5);
        assert_true(seen[0].total_blocks >= seen[0].blocks - 1);
        fixture_close(&f);
    }
}

static void *thread_run(void *argument)
{
    hm_malloc *m = argument;
    for (int i = 0; i < 2000; i++) {
        void *block = hm_debug_alloc(m, 64, 0, "threads.c", 1);
        if (i % 4) {
            hm_free(m, block);
        }
    }
    return NULL;
}

static void stacks__of_many_threads_are_one(void **state)
{
    stack_seen seen[16];
    pthread_t threads[4];
    (void)state;
    fixture_open(&f, ",leaks=no,frames=1", HM_MALLOC_THREADSAFE);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, thread_run, f.m), 0);
    }
    for (int i = 0; i < 4; i++) {
        stacks_of(seen, 16);
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(stacks_of(seen, 16), 1);
    assert_int_equal(seen[0].blocks, 2000);
    assert_int_equal(seen[0].total_blocks, 8000);
    fixture_close(&f);
}

static void stacks__refuse_too_many_frames(void **state)
{
    hm_host *host = NULL;
    hm_error err;
    (void)state;
    assert_int_equal(hm_host_open("debug:frames=65", &host, &err), HM_E_INVALID);
    assert_null(host);
    assert_non_null(strstr(err.what, "frames: 65, expected at most 64"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stacks__tell_callers_apart),
        cmocka_unit_test(stacks__are_cut_at_the_number_asked_for),
        cmocka_unit_test(stacks__are_in_reports),
        cmocka_unit_test(stacks__are_known_of_guarded_blocks),
        cmocka_unit_test(stacks__of_a_sample_are_estimates),
        cmocka_unit_test(stacks__of_many_threads_are_one),
        cmocka_unit_test(stacks__refuse_too_many_frames)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
