/* SPDX-License-Identifier: MIT */
/* Walks read headers of blocks that other threads are about to give back. Over an allocator that unmaps what is freed, a block that
 * goes back too soon takes its header with it, and the reader of it faults. */
#include "debug_fixture.h"
#include "sanitizer.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>

#define LARGE \
    ((size_t)200000) /* libc maps such a block by itself, and unmaps it: see main */
#define FREERS   2
#define KEPT     8
#define CHILDREN 50

static uint32_t over; /* atomic: threads still at work */

typedef struct worker {
    hm_malloc *m;
    int rounds; /* 0: until over is */
} worker;

/* Blocks of both ways: through the hot path and past it. */
static void *give_back(void *context)
{
    const worker *w = context;
    void *kept[KEPT] = {NULL};
    for (int i = 0; w->rounds ? i < w->rounds : __atomic_load_n(&over, __ATOMIC_ACQUIRE);
         i++) {
        void **place = &kept[i % KEPT];
        assert_int_equal(hm_free(w->m, *place), HM_OK);
        *place = hm_alloc(w->m, i % 3 ? LARGE : 100);
        assert_non_null(*place);
    }
    for (size_t i = 0; i < KEPT; i++) {
        assert_int_equal(hm_free(w->m, kept[i]), HM_OK);
    }
    if (w->rounds) {
        __atomic_sub_fetch(&over, 1, __ATOMIC_ACQ_REL);
    }
    return NULL;
}

static int count_one(void *context, const hm_block *block)
{
    assert_true(block->requested == LARGE || block->requested == 100);
    ++*(uint64_t *)context;
    return 0;
}

static void debug_walk__beside_threads_that_free(void **state)
{
    static const struct {
        const char *spec;
        int rounds; /* so many that one is caught between two looks at its block */
    } rows[] = {{",mode=stats+default", 40000},
                {",quarantine=0+default", 4000},
                {",quarantine_bytes=1M+default", 4000}};
    (void)state;
    for (size_t k = 0; k < COUNT(rows); k++) {
        debug_fixture f;
        pthread_t threads[FREERS];
        uint64_t seen = 0, walks = 0;
        fixture_open(&f, rows[k].spec, HM_MALLOC_THREADSAFE);
        worker w = {f.m, UNDER_SANITIZER ? 300 : rows[k].rounds};
        over = FREERS;
        for (size_t i = 0; i < FREERS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, give_back, &w), 0);
        }
        while (__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
            hm_walk(f.m, count_one, &seen);
            walks++;
        }
        for (size_t i = 0; i < FREERS; i++) {
            pthread_join(threads[i], NULL);
        }
        assert_true(walks > 0);
        assert_int_equal(fixture_stats(f.m).live_blocks, 0);
        assert_int_equal(fixture_stats(f.m).total_blocks, FREERS * (uint64_t)w.rounds);
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

/* A thread that was inside a malloc of its own at the time of a fork is not there in the child, which walks all the same. */
static void debug_walk__in_a_child_of_fork(void **state)
{
    static const char *const specs[] = {",mode=stats", ""};
    (void)state;
    for (size_t k = 0; k < COUNT(specs); k++) {
        debug_fixture f;
        hm_malloc *busy;
        pthread_t thread;
        fixture_open(&f, specs[k], HM_MALLOC_THREADSAFE);
        assert_int_equal(hm_host_create_malloc(f.host, "busy", 0, &busy, NULL), HM_OK);
        worker w = {busy, 0};
        void *block = hm_alloc(f.m, 100);
        over = 1;
        /* The allocators of sanitizers do not survive a fork while another thread is inside. */
        if (!UNDER_SANITIZER) {
            assert_int_equal(pthread_create(&thread, NULL, give_back, &w), 0);
        }
        for (int i = 0; i < CHILDREN; i++) {
            const pid_t child = fork();
            if (child == 0) {
                uint64_t seen = 0;
                alarm(60); /* a child that hangs is killed */
                hm_walk(f.m, count_one, &seen);
                _exit(seen == 1 && hm_free(f.m, block) == HM_OK ? 0 : 1);
            }
            int status = -1;
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_int_equal(status, 0);
        }
        __atomic_store_n(&over, 0, __ATOMIC_RELEASE);
        if (!UNDER_SANITIZER) {
            pthread_join(thread, NULL);
        }
        assert_int_equal(hm_free(f.m, block), HM_OK);
        hm_malloc_release(busy);
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

static pthread_key_t late;

static void free_late(void *block)
{
    hm_malloc *m = *(hm_malloc **)block;
    assert_int_equal(hm_free(m, block), HM_OK);
}

static void *leave_one(void *context)
{
    hm_malloc *m = context;
    hm_malloc **block = hm_alloc(m, 100);
    *block = m;
    pthread_setspecific(late, block);
    /* In most modes held back until the thread exits. */
    assert_int_equal(hm_free(m, hm_alloc(m, 100)), HM_OK);
    return NULL;
}

/* What is freed after a thread's books are gone is counted all the same. */
static void debug_walk__destructors_free_after_the_books_are_gone(void **state)
{
    static const char *const specs[] = {"", ",mode=stats", ",mode=full+default"};
    (void)state;
    assert_int_equal(pthread_key_create(&late, free_late), 0);
    for (size_t k = 0; k < COUNT(specs); k++) {
        debug_fixture f;
        fixture_open(&f, specs[k], HM_MALLOC_THREADSAFE);
        for (int i = 0; i < 3; i++) {
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, leave_one, f.m), 0);
            pthread_join(thread, NULL);
        }
        const hm_stats s = fixture_stats(f.m);
        assert_int_equal(s.total_blocks, 6);
        assert_int_equal(s.live_blocks, 0);
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
    pthread_key_delete(late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debug_walk__beside_threads_that_free),
        cmocka_unit_test(debug_walk__in_a_child_of_fork),
        cmocka_unit_test(debug_walk__destructors_free_after_the_books_are_gone),
    };
    /* Left alone, libc raises the threshold with the first such block that is freed. */
    mallopt(M_MMAP_THRESHOLD, 65536);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
