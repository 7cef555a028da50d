/* SPDX-License-Identifier: MIT */
/* The wrapping malloc under many threads, and across fork. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fork_amid.h"
#include "memory_internal.h"
#include "pool.h"

#define THREADS 8
#define ROUNDS  3000

/* Calls run on THREADS threads at once, each with its number. */
typedef struct crew {
    void (*work)(struct crew *c, size_t number);
    pool *p;
    hm_malloc *mallocs[2];
    void *slots[64];  /* atomic: blocks on their way from one thread to another */
    size_t counts[8]; /* atomic */
    pthread_barrier_t start;
} crew;

typedef struct member {
    crew *c;
    size_t number;
} member;

static void *member_run(void *context)
{
    member *self = context;
    pthread_barrier_wait(&self->c->start);
    self->c->work(self->c, self->number);
    return NULL;
}

static void crew_run(crew *c)
{
    pthread_t threads[THREADS];
    member members[THREADS];
    pthread_barrier_init(&c->start, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        members[i] = (member){c, i};
        assert_int_equal(pthread_create(&threads[i], NULL, member_run, &members[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&c->start);
}

static void count(crew *c, size_t which)
{
    __atomic_fetch_add(&c->counts[which], 1, __ATOMIC_RELAXED);
}

/* Blocks are swapped through slots, so most are freed by another thread than the one that allocated them. Even
   slots belong to the first malloc, odd ones to the second. */
static void churn(crew *c, size_t number)
{
    size_t random = number * 7919 + 1;
    for (size_t i = 0; i < ROUNDS; i++) {
        fork_may_come();
        random = random * 6364136223846793005u + 1442695040888963407u;
        const size_t slot = (random >> 33) % COUNT(c->slots);
        const size_t size = (random >> 40) % 300 + 1;
        hm_malloc *m = c->mallocs[slot % 2];
        unsigned char *mine = hm_alloc(m, size);
        if (!mine) {
            count(c, 0);
            continue;
        }
        memset(mine, (int)size, size);
        if (i % 16 == 0) {
            unsigned char *grown = hm_realloc(m, mine, size * 2);
            mine = grown ? grown : mine;
        }
        assert_int_equal(mine[0], (unsigned char)size);
        assert_int_equal(mine[size - 1], (unsigned char)size);
        unsigned char *theirs =
            __atomic_exchange_n(&c->slots[slot], (void *)mine, __ATOMIC_ACQ_REL);
        if (theirs) {
            assert_in_range(hm_size_of(c->mallocs[!(slot % 2)], theirs), 1, 600);
            assert_int_equal(hm_owns(c->mallocs[!(slot % 2)], theirs), 0);
            assert_int_equal(hm_free(m, theirs), HM_OK);
        }
    }
}

static void run_churn(uint32_t allocator_flags, size_t limit)
{
    pool p = pool_make(allocator_flags);
    crew c = {.work = churn, .p = &p};
    const uint32_t flags = HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT;
    c.mallocs[0] = pool_malloc(&p, flags, limit);
    c.mallocs[1] = pool_malloc(&p, flags, limit);
    crew_run(&c);
    for (size_t i = 0; i < COUNT(c.slots); i++) {
        assert_int_equal(hm_free(c.mallocs[i % 2], c.slots[i]), HM_OK);
    }
    for (size_t i = 0; i < 2; i++) {
        const hm_stats stats = stats_of(c.mallocs[i]);
        assert_int_equal(stats.live_blocks, 0);
        assert_int_equal(stats.live_bytes, 0);
        assert_int_equal(stats.overhead_bytes, 0);
        assert_true(!limit || stats.peak_bytes <= limit);
        assert_int_equal(limit != 0, stats.denied != 0);
        hm_malloc_release(c.mallocs[i]);
    }
    pool_check_empty(&p);
}

static void threads__churn_with_remote_frees(void **state)
{
    (void)state;
    run_churn(HM_ALLOCATOR_THREADSAFE, 0);
}

static void
threads__an_allocator_that_is_not_safe_is_called_by_one_at_a_time(void **state)
{
    (void)state;
    run_churn(0, 0);
}

static void threads__a_limit_holds_under_churn(void **state)
{
    (void)state;
    run_churn(HM_ALLOCATOR_THREADSAFE, 1500);
}

/* Every thread frees every block; some by the malloc it is not from. */
static void free_all_of_them(crew *c, size_t number)
{
    for (size_t i = 0; i < COUNT(c->slots); i++) {
        const hm_status wrong = hm_free(c->mallocs[1], c->slots[i]);
        assert_true(wrong == HM_E_NOT_OWNED || wrong == HM_E_FREED);
        const hm_status status = number % 2
                                     ? hm_free(c->mallocs[0], c->slots[i])
                                     : hm_free_sized(c->mallocs[0], c->slots[i], 40);
        assert_true(status == HM_OK || status == HM_E_FREED);
        if (status == HM_OK) {
            count(c, 0);
        }
    }
}

static void threads__of_racing_frees_one_wins(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        pool p = pool_make(HM_ALLOCATOR_THREADSAFE);
        crew c = {.work = free_all_of_them, .p = &p};
        const uint32_t flags = HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT;
        c.mallocs[0] = pool_malloc(&p, flags, 0);
        c.mallocs[1] = pool_malloc(&p, flags, 0);
        for (size_t i = 0; i < COUNT(c.slots); i++) {
            c.slots[i] = hm_alloc(c.mallocs[0], 40);
        }
        crew_run(&c);
        assert_int_equal(c.counts[0], COUNT(c.slots));
        assert_int_equal(stats_of(c.mallocs[0]).live_blocks, 0);
        hm_malloc_release(c.mallocs[0]);
        hm_malloc_release(c.mallocs[1]);
        pool_check_empty(&p);
    }
}

/* Half of the threads move each block, the other half free it: whoever is second does nothing. */
static void move_or_free(crew *c, size_t number)
{
    hm_malloc *m = c->mallocs[0];
    for (size_t i = 0; i < COUNT(c->slots); i++) {
        if (number % 2) {
            void *moved = hm_realloc(m, c->slots[i], 4000);
            if (moved && hm_free(m, moved) == HM_OK) {
                count(c, 0);
            }
        } else if (hm_free(m, c->slots[i]) == HM_OK) {
            count(c, 0);
        }
    }
}

static void threads__of_realloc_and_free_one_wins(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        pool p = pool_make(HM_ALLOCATOR_THREADSAFE);
        crew c = {.work = move_or_free, .p = &p};
        c.mallocs[0] = pool_malloc(&p, HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT, 0);
        for (size_t i = 0; i < COUNT(c.slots); i++) {
            c.slots[i] = hm_alloc(c.mallocs[0], 40);
        }
        crew_run(&c);
        assert_int_equal(stats_of(c.mallocs[0]).live_blocks, 0);
        hm_malloc_release(c.mallocs[0]);
        pool_check_empty(&p);
    }
}

static void allocate_and_leave(crew *c, size_t number)
{
    for (size_t i = 0; i < 100; i++) {
        if (!hm_alloc(c->mallocs[0], number * i)) {
            count(c, 0);
        }
    }
    hm_malloc_release(c->mallocs[0]);
}

static void *release_it(void *m)
{
    hm_malloc_release(m);
    return NULL;
}

static void threads__a_scoped_malloc_ends_after_its_threads(void **state)
{
    (void)state;
    pool p = pool_make(HM_ALLOCATOR_THREADSAFE);
    crew c = {.work = allocate_and_leave, .p = &p};
    c.mallocs[0] = pool_malloc(&p, HM_MALLOC_THREADSAFE | HM_MALLOC_SCOPED, 0);
    for (size_t i = 0; i < THREADS; i++) {
        hm_malloc_retain(c.mallocs[0]);
    }
    crew_run(&c);
    assert_int_equal(c.counts[0], 0);
    assert_int_equal(p.live, THREADS * 100);
    pthread_t last;
    assert_int_equal(pthread_create(&last, NULL, release_it, c.mallocs[0]), 0);
    pthread_join(last, NULL);
    pool_check_empty(&p);
}

static int sum_up(void *context, const hm_block *block)
{
    *(size_t *)context += block->requested;
    return 0;
}

/* The first closes while the others allocate, and looks; the object is drained once close has returned. */
static void close_look_or_allocate(crew *c, size_t number)
{
    hm_malloc *m = c->mallocs[0];
    for (size_t i = 0; i < 500; i++) {
        void *block = hm_alloc(m, 10);
        if (number == 0 && i % 50 == 0) {
            size_t bytes = 0;
            hm_walk(m, sum_up, &bytes);
            assert_in_range(bytes, 0, 10 * THREADS);
            assert_in_range(stats_of(m).live_bytes, 0, 10 * THREADS);
        }
        hm_free(m, block);
    }
    if (number == 0) {
        hm_malloc_close(m);
        assert_null(hm_alloc(m, 10));
    }
}

static void threads__look_and_close_while_others_allocate(void **state)
{
    (void)state;
    pool p = pool_make(HM_ALLOCATOR_THREADSAFE);
    crew c = {.work = close_look_or_allocate, .p = &p};
    c.mallocs[0] = pool_malloc(&p, HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT, 0);
    crew_run(&c);
    assert_null(hm_alloc(c.mallocs[0], 1));
    hm_malloc_release(c.mallocs[0]);
    pool_check_empty(&p);
}

/* Objects come and go while others are used: the list fork walks stays whole. */
static void make_and_release(crew *c, size_t number)
{
    for (size_t i = 0; i < 300; i++) {
        hm_malloc *m = pool_malloc(c->p, number % 2 ? HM_MALLOC_SCOPED : 0, 0);
        void *block = hm_alloc(m, 10);
        hm_malloc_release(m);
        if (!(number % 2)) {
            hm_free(m, block); /* the object goes with its last block */
        }
    }
}

static void threads__objects_come_and_go(void **state)
{
    (void)state;
    pool p = pool_make(HM_ALLOCATOR_THREADSAFE);
    p.allocator.context = &p;
    hm_malloc_release(pool_malloc(&p, 0, 0));
    const size_t before = hm__memory_in_use();
    crew c = {.work = make_and_release, .p = &p};
    crew_run(&c);
    pool_check_empty(&p);
    assert_int_equal(hm__memory_in_use(), before);
}

/* In the child: what the other threads were doing has stopped, and everything can go on. 0 for all is well. */
static int child(crew *c, void *from_before)
{
    for (size_t i = 0; i < 2; i++) {
        hm_malloc *m = c->mallocs[i];
        void *block = hm_alloc(m, 100);
        void *larger = hm_realloc(m, block, 1000);
        if (!block || !larger || hm_free(m, larger) != HM_OK) {
            return 1;
        }
    }
    if (hm_free(c->mallocs[0], from_before) != HM_OK) {
        return 2;
    }
    for (size_t i = 0; i < COUNT(c->slots); i++) {
        if (hm_owns(c->mallocs[i % 2], c->slots[i]) &&
            hm_free(c->mallocs[i % 2], c->slots[i]) != HM_OK) {
            return 3;
        }
    }
    /* Nothing stays held by a thread that is gone. */
    if (hm_malloc_reset(c->mallocs[0]) != HM_OK || stats_of(c->mallocs[0]).live_blocks) {
        return 4;
    }
    hm_malloc *fresh = pool_malloc(c->p, 0, 0);
    void *block = hm_alloc(fresh, 10);
    hm_free(fresh, block);
    hm_malloc_release(fresh);
    return block ? 0 : 5;
}

static uint32_t forks_over; /* atomic */

static void churn_or_fork(crew *c, size_t number)
{
    while (number) {
        churn(c, number);
        if (__atomic_load_n(&forks_over, __ATOMIC_ACQUIRE)) {
            return;
        }
    }
    for (int i = 0; i < 10; i++) {
        void *block = hm_alloc(c->mallocs[0], 64);
        const pid_t pid = fork_amid(THREADS - 1);
        if (pid == 0) {
            alarm(60);
            _exit(child(c, block));
        }
        int status = -1;
        assert_int_not_equal(pid, -1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_int_equal(hm_free(c->mallocs[0], block), HM_OK);
    }
    __atomic_store_n(&forks_over, 1, __ATOMIC_RELEASE);
}

static void threads__the_child_of_a_fork_goes_on(void **state)
{
    static const uint32_t flags[] = {0, HM_ALLOCATOR_THREADSAFE};
    (void)state;
    for (size_t f = 0; f < COUNT(flags); f++) {
        pool p = pool_make(flags[f]);
        crew c = {.work = churn_or_fork, .p = &p};
        forks_over = 0;
        c.mallocs[0] = pool_malloc(
            &p, HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT | HM_MALLOC_SCOPED, 100000);
        c.mallocs[1] =
            pool_malloc(&p, HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT | HM_MALLOC_SCOPED, 0);
        crew_run(&c);
        hm_malloc_release(c.mallocs[0]);
        hm_malloc_release(c.mallocs[1]);
        pool_check_empty(&p);
    }
}

/* An allocator in whose call the process forks, as another thread might at that moment. */
static hm_malloc *forked_malloc;
static void *forked_block;
static int forked_status;

static void *fork_and_alloc(void *context, size_t bytes)
{
    const pid_t pid = forked_block ? fork() : -1;
    if (pid == 0) {
        /* The realloc under way is this thread's no more than anybody's: the block is what it was. */
        hm_malloc *m = forked_malloc;
        const int whole = hm_owns(m, forked_block) == 1 &&
                          stats_of(m).live_bytes == 100 &&
                          hm_free(m, forked_block) == HM_OK;
        forked_block = NULL;
        _exit(whole && hm_alloc(m, 1000) && !hm_alloc(m, 1) ? 0 : 1);
    }
    if (pid > 0) {
        assert_int_equal(waitpid(pid, &forked_status, 0), pid);
    }
    return pool_alloc(context, bytes);
}

static void threads__a_fork_in_the_middle_of_a_realloc(void **state)
{
    (void)state;
    pool p = pool_make(HM_ALLOCATOR_THREADSAFE);
    p.allocator.alloc = fork_and_alloc;
    forked_malloc = pool_malloc(&p, HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT, 1000);
    void *block = hm_alloc(forked_malloc, 100);
    forked_block = block;
    forked_status = -1;
    block = hm_realloc(forked_malloc, block, 900);
    forked_block = NULL;
    assert_non_null(block);
    assert_true(WIFEXITED(forked_status));
    assert_int_equal(WEXITSTATUS(forked_status), 0);
    assert_int_equal(hm_free(forked_malloc, block), HM_OK);
    hm_malloc_release(forked_malloc);
    pool_check_empty(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads__churn_with_remote_frees),
        cmocka_unit_test(
            threads__an_allocator_that_is_not_safe_is_called_by_one_at_a_time),
        cmocka_unit_test(threads__a_limit_holds_under_churn),
        cmocka_unit_test(threads__of_racing_frees_one_wins),
        cmocka_unit_test(threads__of_realloc_and_free_one_wins),
        cmocka_unit_test(threads__a_scoped_malloc_ends_after_its_threads),
        cmocka_unit_test(threads__look_and_close_while_others_allocate),
        cmocka_unit_test(threads__objects_come_and_go),
        cmocka_unit_test(threads__the_child_of_a_fork_goes_on),
        cmocka_unit_test(threads__a_fork_in_the_middle_of_a_realloc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
