/* SPDX-License-Identifier: MIT */
/* Threads, their exit and fork over one host: `test_stress SPEC`. */
#include <hostmalloc/hostmalloc.h>

#include "check.h"
#include "fork_amid.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 6
#define SLOTS   256

static const char *spec = "default";

/* A block says its own size at both ends, so that whoever frees it can tell whether it stayed whole. */
static void *mark(void *block, size_t size)
{
    if (block) {
        memcpy(block, &size, sizeof size);
        memcpy((char *)block + sizeof size + size, &size, sizeof size);
    }
    return block;
}

static void *marked_alloc(hm_malloc *m, size_t size)
{
    return mark(hm_alloc(m, size + 2 * sizeof size), size);
}

static int marked_free(hm_malloc *m, void *block)
{
    size_t size, again;
    if (!block) {
        return 1;
    }
    memcpy(&size, block, sizeof size);
    memcpy(&again, (char *)block + sizeof size + size, sizeof again);
    return size == again && hm_free_sized(m, block, size + 2 * sizeof size) == HM_OK;
}

static unsigned draw(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 8;
}

static hm_host *host_open(void)
{
    hm_host *host = NULL;
    hm_error err = {0};
    if (hm_host_open(spec, &host, &err) != HM_OK) {
        fail_msg("%s: %s", err.where, err.what);
    }
    return host;
}

static hm_malloc *malloc_make(hm_host *host, uint32_t flags)
{
    hm_malloc *m = NULL;
    return hm_host_create_malloc(host, "stress", flags, &m, NULL) == HM_OK ? m : NULL;
}

typedef struct party {
    hm_host *host;
    hm_malloc *m;
    void
        *slots[SLOTS]; /* exchanged atomically: most blocks are freed by another thread */
    uint32_t wrong;    /* atomic */
    uint32_t stop;     /* atomic */
    uint32_t next_seed; /* atomic */
} party;

static void wrong_if(party *p, int condition)
{
    if (condition) {
        __atomic_fetch_add(&p->wrong, 1, __ATOMIC_RELAXED);
    }
}

static void churn(party *p, unsigned steps, unsigned *seed)
{
    for (unsigned i = 0; i < steps; i++) {
        size_t size = draw(seed) & (i % 64 ? 255 : 65535);
        void *block = marked_alloc(p->m, size);
        wrong_if(p, !block);
        if (block && i % 5 == 0) {
            size = size * 2 + 100;
            void *grown = hm_realloc(p->m, block, size + 2 * sizeof size);
            wrong_if(p, !grown);
            block = grown ? mark(grown, size) : block;
        }
        void *old =
            __atomic_exchange_n(&p->slots[draw(seed) % SLOTS], block, __ATOMIC_ACQ_REL);
        wrong_if(p, !marked_free(p->m, old));
    }
}

static void *churn_main(void *context)
{
    party *p = context;
    unsigned seed = __atomic_add_fetch(&p->next_seed, 7919, __ATOMIC_RELAXED);
    churn(p, 5000, &seed);
    return NULL;
}

static void run_threads(party *p, size_t count, void *(*run)(void *))
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, p), 0);
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void slots_free(party *p)
{
    for (size_t i = 0; i < SLOTS; i++) {
        assert_true(marked_free(p->m, p->slots[i]));
        p->slots[i] = NULL;
    }
}

/* Two generations of threads: the second frees what the first, gone by then, left behind. */
static void stress__churn_with_remote_frees(void **state)
{
    (void)state;
    static const uint32_t flags[] = {HM_MALLOC_THREADSAFE,
                                     HM_MALLOC_THREADSAFE | HM_MALLOC_SCOPED,
                                     HM_MALLOC_THREADSAFE | HM_MALLOC_EXACT};
    for (size_t i = 0; i < COUNT(flags); i++) {
        party p = {.host = host_open()};
        p.m = malloc_make(p.host, flags[i]);
        assert_non_null(p.m);
        run_threads(&p, THREADS, churn_main);
        run_threads(&p, THREADS, churn_main);
        assert_int_equal(p.wrong, 0);
        if (!(flags[i] & HM_MALLOC_SCOPED)) {
            slots_free(&p);
        }
        hm_malloc_release(p.m);
        hm_host_release(p.host);
    }
}

/* One object with some blocks, passed on through a slot. */
typedef struct estate {
    hm_malloc *m;
    void *blocks[40];
} estate;

static void estate_settle(party *p, estate *e)
{
    if (e) {
        hm_malloc *m = e->m;
        for (size_t i = 0; i < COUNT(e->blocks); i++) {
            wrong_if(p, !marked_free(m, e->blocks[i]));
        }
        wrong_if(p, hm_free(m, e) != HM_OK);
        hm_malloc_release(m);
    }
}

/* Enough allocations that a one-thread object comes to whatever it comes to with use. */
static estate *estate_found(party *p, uint32_t flags, unsigned *seed)
{
    hm_malloc *m = malloc_make(p->host, flags);
    estate *e = m ? hm_alloc_zeroed(m, 1, sizeof *e) : NULL;
    wrong_if(p, !e);
    for (size_t i = 0; e && i < 400; i++) {
        void **place = &e->blocks[i % COUNT(e->blocks)];
        wrong_if(p, !marked_free(m, *place));
        *place = marked_alloc(m, draw(seed) & 511);
        wrong_if(p, !*place);
        e->m = m;
    }
    return e;
}

static void *estates_main(void *context)
{
    static const uint32_t flags[] = {0, HM_MALLOC_THREADSAFE, HM_MALLOC_ONE_THREAD,
                                     HM_MALLOC_SCOPED, HM_MALLOC_ONE_THREAD};
    party *p = context;
    unsigned seed = __atomic_add_fetch(&p->next_seed, 7919, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 60; i++) {
        estate *e = estate_found(p, flags[draw(&seed) % COUNT(flags)], &seed);
        void **slot = &p->slots[draw(&seed) % 16];
        estate_settle(p, __atomic_exchange_n(slot, (void *)e, __ATOMIC_ACQ_REL));
    }
    return NULL;
}

static void stress__objects_end_on_other_threads(void **state)
{
    (void)state;
    party p = {.host = host_open()};
    for (int generation = 0; generation < 3; generation++) {
        run_threads(&p, THREADS, estates_main);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        estate_settle(&p, p.slots[i]);
    }
    assert_int_equal(p.wrong, 0);
    hm_host_release(p.host);
}

static void *founder_main(void *context)
{
    party *p = context;
    unsigned seed = 1;
    for (size_t i = 0; i < 8; i++) {
        p->slots[i] =
            estate_found(p, i % 2 ? HM_MALLOC_ONE_THREAD : HM_MALLOC_THREADSAFE, &seed);
    }
    return NULL;
}

static void stress__blocks_outlive_their_thread(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        party p = {.host = host_open()};
        run_threads(&p, 1, founder_main);
        for (size_t i = 0; i < 8; i++) {
            assert_non_null(p.slots[i]);
            estate_settle(&p, p.slots[i]);
        }
        assert_int_equal(p.wrong, 0);
        hm_host_release(p.host);
    }
}

static void *settler_main(void *context)
{
    party *p = context;
    for (size_t i = 0; i < 8; i++) {
        estate_settle(p, p->slots[i]);
        p->slots[i] = NULL;
    }
    return NULL;
}

/* The owner lives on, and makes new objects after others were released behind its back. */
static void stress__owner_goes_on_after_a_foreign_release(void **state)
{
    (void)state;
    party p = {.host = host_open()};
    for (int round = 0; round < 20; round++) {
        founder_main(&p);
        run_threads(&p, 1, settler_main);
    }
    assert_int_equal(p.wrong, 0);
    hm_host_release(p.host);
}

static pthread_key_t late_key;

/* A destructor of thread-local data that still uses a malloc of its thread: it runs after those of older keys. */
static void late_destructor(void *context)
{
    party *p = context;
    for (size_t i = 0; i < 8; i++) {
        estate *e = p->slots[i];
        void *blocks[50];
        for (size_t b = 0; b < COUNT(blocks); b++) {
            blocks[b] = marked_alloc(e->m, b * 10);
            wrong_if(p, !blocks[b]);
        }
        for (size_t b = 0; b < COUNT(blocks); b++) {
            wrong_if(p, !marked_free(e->m, blocks[b]));
        }
        estate_settle(p, e);
    }
}

static void *late_main(void *context)
{
    founder_main(context);
    pthread_setspecific(late_key, context);
    return NULL;
}

static void stress__thread_exit_may_still_allocate_and_release(void **state)
{
    (void)state;
    party p = {.host = host_open()};
    assert_int_equal(pthread_key_create(&late_key, late_destructor), 0);
    for (int round = 0; round < 20; round++) {
        run_threads(&p, 1, late_main);
    }
    assert_int_equal(pthread_key_delete(late_key), 0);
    assert_int_equal(p.wrong, 0);
    hm_host_release(p.host);
}

static void *churn_until_told(void *context)
{
    party *p = context;
    unsigned seed = __atomic_add_fetch(&p->next_seed, 7919, __ATOMIC_RELAXED);
    while (!__atomic_load_n(&p->stop, __ATOMIC_RELAXED)) {
        churn(p, 50, &seed);
        fork_may_come();
    }
    return NULL;
}

static int child(party *p, hm_malloc *own, void *inherited)
{
    unsigned seed = 99;
    p->wrong = 0;
    churn(p, 200, &seed);
    wrong_if(p, !marked_free(own, inherited));
    wrong_if(p, !marked_free(own, marked_alloc(own, 1000)));
    hm_malloc_release(own);
    for (size_t i = 0; i < 8; i++) {
        estate_settle(p, estate_found(p, i % 2 ? HM_MALLOC_ONE_THREAD : 0, &seed));
    }
    hm_host *again = NULL;
    wrong_if(p, hm_host_open(spec, &again, NULL) != HM_OK);
    hm_host_release(again);
    return p->wrong ? 1 : 0;
}

static void stress__fork_leaves_a_child_that_allocates(void **state)
{
    (void)state;
    party p = {.host = host_open()};
    p.m = malloc_make(p.host, HM_MALLOC_THREADSAFE);
    pthread_t threads[3];
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn_until_told, &p), 0);
    }
    for (int round = 0; round < 12; round++) {
        hm_malloc *own = malloc_make(p.host, HM_MALLOC_ONE_THREAD);
        assert_non_null(own);
        for (int i = 0; i < 600; i++) {
            assert_true(marked_free(own, marked_alloc(own, 32)));
        }
        void *inherited = marked_alloc(own, 100);
        const pid_t pid = fork_amid(COUNT(threads));
        assert_true(pid >= 0);
        if (pid == 0) {
            alarm(30);
            _exit(child(&p, own, inherited));
        }
        int status = -1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_true(marked_free(own, inherited));
        hm_malloc_release(own);
    }
    __atomic_store_n(&p.stop, 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(p.wrong, 0);
    slots_free(&p);
    hm_malloc_release(p.m);
    hm_host_release(p.host);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        spec = argv[1];
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stress__churn_with_remote_frees),
        cmocka_unit_test(stress__objects_end_on_other_threads),
        cmocka_unit_test(stress__blocks_outlive_their_thread),
        cmocka_unit_test(stress__owner_goes_on_after_a_foreign_release),
        cmocka_unit_test(stress__thread_exit_may_still_allocate_and_release),
        cmocka_unit_test(stress__fork_leaves_a_child_that_allocates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
