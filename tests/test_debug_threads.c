/* SPDX-License-Identifier: MIT */
/* The debug host under threads: figures stay exact, racing frees are told apart, overlaps are seen, a fork goes on. */
#include "debug_fixture.h"
#include "sanitizer.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#include "slots_internal.h"

#define THREADS 4
#define SLOTS   64

typedef struct worker {
    hm_malloc *m;
    void **slots; /* shared with the others; exchanged atomically */
    unsigned seed;
    int rounds;
} worker;

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Blocks travel: most are freed by another thread than the one they came from. */
static void *churn(void *context)
{
    worker *w = context;
    for (int i = 0; i < w->rounds; i++) {
        const size_t size = next_random(&w->seed) % 500;
        char *fresh = hm_alloc(w->m, size);
        assert_non_null(fresh);
        memset(fresh, 1, size);
        if (i % 7 == 0) {
            fresh = hm_realloc(w->m, fresh, size * 2);
        }
        void *old = __atomic_exchange_n(&w->slots[next_random(&w->seed) % SLOTS], fresh,
                                        __ATOMIC_ACQ_REL);
        assert_int_equal(hm_free(w->m, old), HM_OK);
    }
    return NULL;
}

static void run_threads(void *(*run)(void *), worker *workers, size_t count)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, &workers[i]), 0);
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

static uint64_t sum_of_sizes;

static int add_size(void *context, const hm_block *block)
{
    (void)context;
    sum_of_sizes += block->requested;
    return 0;
}

static void debug_threads__figures_add_up(void **state)
{
    static const char *const specs[] = {"", ",quarantine=0", ",quarantine=256"};
    (void)state;
    for (size_t k = 0; k < COUNT(specs); k++) {
        debug_fixture f;
        void *slots[SLOTS] = {NULL};
        fixture_open(&f, specs[k], HM_MALLOC_THREADSAFE);
        for (int again = 0; again < 3; again++) {
            worker workers[THREADS];
            for (unsigned i = 0; i < THREADS; i++) {
                workers[i] = (worker){f.m, slots, i + 1, 3000};
            }
            run_threads(churn, workers, THREADS);
        }
        const hm_stats s = fixture_stats(f.m);
        uint64_t blocks = 0;
        for (size_t i = 0; i < SLOTS; i++) {
            blocks += slots[i] != NULL;
        }
        sum_of_sizes = 0;
        hm_walk(f.m, add_size, NULL);
        assert_int_equal(s.live_blocks, blocks);
        assert_int_equal(s.live_bytes, sum_of_sizes);
        assert_true(s.peak_bytes >= s.live_bytes && s.peak_bytes <= s.total_bytes);
        for (size_t i = 0; i < SLOTS; i++) {
            assert_int_equal(hm_free(f.m, slots[i]), HM_OK);
        }
        assert_int_equal(fixture_stats(f.m).live_bytes, 0);
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

/* Readers go on while others write: nothing is damaged, and more is never freed than was allocated. */
static uint32_t reading_over;

static void *read_along(void *context)
{
    worker *w = context;
    while (!__atomic_load_n(&reading_over, __ATOMIC_ACQUIRE)) {
        hm_stats s;
        assert_int_equal(hm_malloc_stats(w->m, &s), HM_OK);
        assert_true(s.live_blocks <= s.total_blocks);
        assert_true(s.live_bytes <= s.total_bytes);
        assert_int_equal(hm_debug_check(hm_debug_of_malloc(w->m), NULL), HM_OK);
        sum_of_sizes = 0;
        hm_walk(w->m, add_size, NULL);
    }
    return NULL;
}

static void debug_threads__questions_while_others_work(void **state)
{
    debug_fixture f;
    void *slots[SLOTS] = {NULL};
    worker reader, workers[2];
    pthread_t thread;
    (void)state;
    fixture_open(&f, "", HM_MALLOC_THREADSAFE);
    reader = (worker){f.m, slots, 0, 0};
    reading_over = 0;
    assert_int_equal(pthread_create(&thread, NULL, read_along, &reader), 0);
    for (unsigned i = 0; i < 2; i++) {
        workers[i] = (worker){f.m, slots, i + 1, 10000};
    }
    run_threads(churn, workers, 2);
    __atomic_store_n(&reading_over, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_int_equal(hm_malloc_reset(f.m), HM_OK);
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

/* Two threads free the same block at the same time: one gets HM_OK, the other a report. */
#define RACES 10000

static void *race_blocks[RACES];
static uint32_t race_turn[2];

typedef struct racer {
    hm_malloc *m;
    int self;
    int freed;
    int refused;
} racer;

static void *race(void *context)
{
    racer *r = context;
    for (uint32_t i = 0; i < RACES; i++) {
        __atomic_store_n(&race_turn[r->self], i + 1, __ATOMIC_RELEASE);
        /* Without a yield at first: it would keep the two apart. */
        for (int spin = 0;
             __atomic_load_n(&race_turn[!r->self], __ATOMIC_ACQUIRE) < i + 1;) {
            if (++spin > 3000) {
                sched_yield();
            }
        }
        const hm_status seen = hm_free(r->m, race_blocks[i]);
        r->freed += seen == HM_OK;
        r->refused += seen == HM_E_FREED;
    }
    return NULL;
}

static void debug_threads__racing_frees(void **state)
{
    static const char *const specs[] = {"", ",quarantine=0"};
    (void)state;
    for (size_t k = 0; k < COUNT(specs); k++) {
        debug_fixture f;
        pthread_t threads[2];
        fixture_open(&f, specs[k], HM_MALLOC_THREADSAFE);
        racer racers[2] = {{f.m, 0, 0, 0}, {f.m, 1, 0, 0}};
        for (size_t i = 0; i < RACES; i++) {
            race_blocks[i] = hm_alloc(f.m, 24);
        }
        race_turn[0] = race_turn[1] = 0;
        for (size_t i = 0; i < 2; i++) {
            pthread_create(&threads[i], NULL, race, &racers[i]);
        }
        for (size_t i = 0; i < 2; i++) {
            pthread_join(threads[i], NULL);
        }
        assert_int_equal(racers[0].freed + racers[1].freed, RACES);
        assert_int_equal(racers[0].refused + racers[1].refused, RACES);
        assert_int_equal(fixture_findings(&f), RACES);
        const hm_stats s = fixture_stats(f.m);
        assert_int_equal(s.live_blocks, 0);
        assert_int_equal(s.live_bytes, 0);
        fixture_close(&f);
    }
}

/* Threads that come, allocate, and go: what they left is still theirs in the figures. */
static void *come_and_go(void *context)
{
    worker *w = context;
    w->slots[w->seed] = hm_alloc(w->m, 100);
    hm_free(w->m, hm_alloc(w->m, 50));
    return NULL;
}

static void debug_threads__exited_threads_are_counted(void **state)
{
    debug_fixture f;
    void *slots[300];
    (void)state;
    fixture_open(&f, "", HM_MALLOC_THREADSAFE);
    for (unsigned i = 0; i < COUNT(slots); i++) {
        worker w = {f.m, slots, i, 0};
        run_threads(come_and_go, &w, 1);
    }
    hm_stats s = fixture_stats(f.m);
    assert_int_equal(s.live_blocks, COUNT(slots));
    assert_int_equal(s.live_bytes, 100 * COUNT(slots));
    assert_int_equal(s.total_blocks, 2 * COUNT(slots));
    for (size_t i = 0; i < COUNT(slots); i++) {
        assert_int_equal(hm_free(f.m, slots[i]), HM_OK);
    }
    assert_int_equal(hm_free(f.m, slots[COUNT(slots) - 1]), HM_E_FREED);
    s = fixture_stats(f.m);
    assert_int_equal(s.live_blocks, 0);
    assert_int_equal(s.live_bytes, 0);
    fixture_close(&f);
    assert_non_null(strstr(f.text, "double free"));
}

static void *start_until_over(void *context)
{
    while (!__atomic_load_n(&reading_over, __ATOMIC_ACQUIRE)) {
        void *slot = NULL;
        worker one = {context, &slot, 0, 0};
        run_threads(come_and_go, &one, 1);
        assert_int_equal(hm_free(one.m, slot), HM_OK);
    }
    return NULL;
}

/* A host that opens or ends looks at threads that are beginning on another. */
static void debug_threads__begin_beside_hosts_that_come_and_go(void **state)
{
    static const char *const specs[] = {"", ",frames=4"};
    (void)state;
    for (size_t k = 0; k < COUNT(specs); k++) {
        debug_fixture f;
        pthread_t thread;
        fixture_open(&f, specs[k], HM_MALLOC_THREADSAFE);
        reading_over = 0;
        assert_int_equal(pthread_create(&thread, NULL, start_until_over, f.m), 0);
        for (int i = 0; i < 50; i++) {
            debug_fixture g;
            fixture_open(&g, specs[k], HM_MALLOC_THREADSAFE);
            assert_int_equal(hm_free(g.m, hm_alloc(g.m, 10)), HM_OK);
            fixture_close(&g);
        }
        __atomic_store_n(&reading_over, 1, __ATOMIC_RELEASE);
        pthread_join(thread, NULL);
        assert_int_equal(fixture_stats(f.m).live_blocks, 0);
        fixture_close(&f);
        assert_string_equal(f.text, "");
    }
}

/* An unsynchronised malloc may move between threads that take turns; it may not be used by two at once. */
static void *use_alone(void *context)
{
    worker *w = context;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(hm_free(w->m, hm_alloc(w->m, 100)), HM_OK);
    }
    return NULL;
}

static void debug_threads__taking_turns_is_no_overlap(void **state)
{
    debug_fixture f;
    (void)state;
    fixture_open(&f, "", 0);
    for (int i = 0; i < 20; i++) {
        worker w = {f.m, NULL, 0, 0};
        run_threads(use_alone, &w, 1);
        use_alone(&w);
    }
    fixture_close(&f);
    assert_string_equal(f.text, "");
}

/* An inner host that stops in the middle of an allocation of 1000 bytes until told to go on. */
static pthread_barrier_t gate;

static void *gate_alloc(void *context, size_t bytes)
{
    (void)context;
    if (bytes > 1000 && bytes < 2000) {
        pthread_barrier_wait(&gate);
        pthread_barrier_wait(&gate);
    }
    return malloc(bytes);
}

static void gate_release(void *context, void *block, size_t bytes)
{
    (void)context;
    (void)bytes;
    free(block);
}

static hm_status
gate_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    static const hm_allocator allocator = {.size = sizeof(hm_allocator),
                                           .alloc = gate_alloc,
                                           .release = gate_release,
                                           .flags = HM_ALLOCATOR_THREADSAFE};
    (void)values;
    (void)inner;
    return hm__wrap_host(&allocator, "gate", out, err);
}

static void *pass_the_gate(void *context)
{
    worker *w = context;
    w->slots[0] = hm_alloc(w->m, 1000);
    return NULL;
}

/* One line for both: the first time a line is seen is not the common case. */
static void free_here(hm_malloc *m, void *block)
{
    assert_int_equal(hm_free(m, block), HM_OK);
}

static void debug_threads__overlap_names_both(void **state)
{
    static const hm_host_info info = {.size = sizeof(info),
                                      .abi = HM_ABI,
                                      .kind = HM_KIND_HOST,
                                      .name = "gate",
                                      .summary = "stops",
                                      .version = "1",
                                      .open = gate_open};
    debug_fixture f;
    void *slots[2];
    pthread_t thread;
    (void)state;
    assert_int_equal(hm_registry_add(&info, NULL), HM_OK);
    assert_int_equal(pthread_barrier_init(&gate, NULL, 2), 0);
    fixture_open(&f, "+gate", 0);
    worker w = {f.m, slots, 0, 0};
    free_here(f.m, hm_alloc(f.m, 10));
    slots[1] = hm_alloc(f.m, 10);
    pthread_create(&thread, NULL, pass_the_gate, &w);
    pthread_barrier_wait(&gate);
    free_here(f.m, slots[1]);
    pthread_barrier_wait(&gate);
    pthread_join(thread, NULL);
    hm_free(f.m, slots[0]);
    assert_int_equal(fixture_findings(&f), 1);
    fixture_close(&f);
    assert_non_null(strstr(f.text, "unsynchronised malloc used by two threads at once"));
    assert_non_null(strstr(f.text, "(pass_the_gate), thread "));
    assert_non_null(strstr(f.text, "(free_here), thread 1"));
    pthread_barrier_destroy(&gate);
}

/* The child frees what the parent allocated, allocates, reports on its own, and owes no report of what the parent holds. */
static void child_of(debug_fixture *f, void *from_parent)
{
    int good = hm_free(f->m, from_parent) == HM_OK;
    void *own = hm_alloc(f->m, 30);
    good = good && own && hm_free(f->m, own) == HM_OK;
    good = good && hm_free(f->m, own) == HM_E_FREED;
    good = good && fixture_stats(f->m).live_blocks == 1;
    _exit(good ? 0 : 1);
}

static uint32_t forking_over;

static void *churn_until_over(void *context)
{
    worker *w = context;
    while (!__atomic_load_n(&forking_over, __ATOMIC_ACQUIRE)) {
        void *block = hm_alloc(w->m, next_random(&w->seed) % 500);
        hm_free(w->m, block);
    }
    return NULL;
}

static void debug_threads__fork_goes_on(void **state)
{
    debug_fixture f;
    pthread_t threads[2];
    worker workers[2];
    hm_malloc *busy;
    (void)state;
    fixture_open(&f, "", HM_MALLOC_THREADSAFE);
    assert_int_equal(
        hm_host_create_malloc(f.host, "busy", HM_MALLOC_THREADSAFE, &busy, NULL), HM_OK);
    forking_over = 0;
    /* The allocators of sanitizers do not survive a fork while another thread is inside. */
    const unsigned others = UNDER_SANITIZER ? 0 : 2;
    for (unsigned i = 0; i < others; i++) {
        workers[i] = (worker){busy, NULL, i, 0};
        pthread_create(&threads[i], NULL, churn_until_over, &workers[i]);
    }
    void *block = hm_alloc(f.m, 100);
    void *kept = hm_alloc(f.m, 200);
    for (int i = 0; i < 100; i++) {
        const pid_t child = fork();
        if (child == 0) {
            child_of(&f, block);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    __atomic_store_n(&forking_over, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < others; i++) {
        pthread_join(threads[i], NULL);
    }
    hm_free(f.m, block);
    hm_free(f.m, kept);
    hm_malloc_release(busy);
    assert_int_equal(fixture_findings(&f), 0);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debug_threads__figures_add_up),
        cmocka_unit_test(debug_threads__questions_while_others_work),
        cmocka_unit_test(debug_threads__racing_frees),
        cmocka_unit_test(debug_threads__exited_threads_are_counted),
        cmocka_unit_test(debug_threads__begin_beside_hosts_that_come_and_go),
        cmocka_unit_test(debug_threads__taking_turns_is_no_overlap),
        cmocka_unit_test(debug_threads__overlap_names_both),
        cmocka_unit_test(debug_threads__fork_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
