/* SPDX-License-Identifier: MIT */
/* Who is told, in which order things may happen, and that nobody is called after he left. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "lock_internal.h"
#include "memory_internal.h"
#include "os.h"
#include "pressure_internal.h"
#include "threads_after_fork.h"

static hm_subscribers set;

typedef struct listener {
    uint32_t calls;   /* atomic */
    hm_pressure last; /* atomic */
    size_t gives;
} listener;

static size_t hear(void *context, hm_pressure pressure)
{
    listener *l = context;
    __atomic_store_n(&l->last, pressure, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&l->calls, 1, __ATOMIC_SEQ_CST);
    return l->gives;
}

static size_t hear_too(void *context, hm_pressure pressure)
{
    return hear(context, pressure);
}

static void subscribers__each_pair_once(void **state)
{
    listener a = {0, 0, 10};
    listener b = {0, 0, 5};
    (void)state;
    const size_t in_use = hm__memory_in_use();
    assert_int_equal(hm__subscribers_add(&set, hear, &a), HM_OK);
    assert_int_equal(hm__subscribers_add(&set, hear, &a), HM_E_EXISTS);
    assert_int_equal(hm__subscribers_add(&set, hear_too, &a), HM_OK);
    assert_int_equal(hm__subscribers_add(&set, hear, &b), HM_OK);
    assert_int_equal(hm__subscribers_tell(&set, HM_PRESSURE_LOW), 25);
    assert_int_equal(a.calls, 2);
    assert_int_equal(b.calls, 1);
    assert_int_equal(a.last, HM_PRESSURE_LOW);
    assert_int_equal(hm__subscribers_remove(&set, hear, &a), HM_OK);
    assert_int_equal(hm__subscribers_remove(&set, hear, &a), HM_E_NOT_FOUND);
    assert_int_equal(hm__subscribers_tell(&set, HM_PRESSURE_HIGH), 15);
    assert_int_equal(hm__subscribers_any(&set), 1);
    assert_int_equal(hm__subscribers_remove(&set, hear_too, &a), HM_OK);
    assert_int_equal(hm__subscribers_remove(&set, hear, &b), HM_OK);
    assert_int_equal(hm__subscribers_any(&set), 0);
    assert_int_equal(hm__subscribers_tell(&set, HM_PRESSURE_LOW), 0);
    assert_int_equal(a.calls, 3);
    assert_null(set.list);
    assert_int_equal(hm__memory_in_use(), in_use);
}

static void subscribers__refuse(void **state)
{
    listener a = {0, 0, 0};
    (void)state;
    assert_int_equal(hm__subscribers_add(NULL, hear, &a), HM_E_INVALID);
    assert_int_equal(hm__subscribers_add(&set, NULL, &a), HM_E_INVALID);
    assert_int_equal(hm__subscribers_remove(NULL, hear, &a), HM_E_INVALID);
    assert_int_equal(hm__subscribers_remove(&set, NULL, &a), HM_E_INVALID);
    assert_int_equal(hm__subscribers_remove(&set, hear, &a), HM_E_NOT_FOUND);
    hm__memory_fail_from(1);
    assert_int_equal(hm__subscribers_add(&set, hear, &a), HM_E_NOMEM);
    hm__memory_fail_from(0);
    assert_null(set.list);
}

static void subscribers__bytes_do_not_wrap(void **state)
{
    listener a = {0, 0, SIZE_MAX - 1};
    listener b = {0, 0, SIZE_MAX - 1};
    (void)state;
    hm__subscribers_add(&set, hear, &a);
    hm__subscribers_add(&set, hear, &b);
    assert_int_equal(hm__subscribers_tell(&set, HM_PRESSURE_LOW), SIZE_MAX);
    hm__subscribers_remove(&set, hear, &a);
    hm__subscribers_remove(&set, hear, &b);
}

static void subscribers__update_tells_only_news(void **state)
{
    listener a = {0, 0, 0};
    listener late = {0, 0, 0};
    hm_pressure now = HM_PRESSURE_NEUTRAL;
    (void)state;
    hm__subscribers_add(&set, hear, &a);
    hm__subscribers_update(&set, &now);
    assert_int_equal(a.calls, 0); /* neutral is what everybody starts from */
    now = HM_PRESSURE_LOW;
    hm__subscribers_update(&set, &now);
    hm__subscribers_update(&set, &now);
    assert_int_equal(a.calls, 1);
    hm__subscribers_add(&set, hear, &late);
    hm__subscribers_update(&set, &now);
    assert_int_equal(a.calls, 1);
    assert_int_equal(late.calls, 1);
    assert_int_equal(late.last, HM_PRESSURE_LOW);
    now = HM_PRESSURE_NEUTRAL;
    hm__subscribers_update(&set, &now);
    assert_int_equal(a.calls, 2);
    assert_int_equal(late.calls, 2);
    hm__subscribers_remove(&set, hear, &a);
    hm__subscribers_remove(&set, hear, &late);
}

/* What a callback may do to the set it is called from. */
typedef struct meddler {
    uint32_t calls;
    int again; /* subscribe anew after leaving */
    listener *other;
    uint32_t deeper; /* tell the same set from inside, so many times */
} meddler;

static size_t meddle(void *context, hm_pressure pressure)
{
    meddler *m = context;
    m->calls++;
    if (m->deeper) {
        m->deeper--;
        hm__subscribers_tell(&set, pressure);
        return 0;
    }
    if (m->other) {
        hm__subscribers_remove(&set, hear, m->other);
    }
    const hm_status left = hm__subscribers_remove(&set, meddle, m);
    if (left == HM_OK && m->again) {
        hm__subscribers_add(&set, meddle, m);
    }
    return 1;
}

static void subscribers__leave_from_inside_a_callback(void **state)
{
    static const struct {
        const char *label;
        meddler how;
        uint32_t calls;
        int stays;
        int takes_other;
    } cases[] = {{"leaves", {0, 0, NULL, 0}, 1, 0, 0},
                 {"leaves and comes back", {0, 1, NULL, 0}, 1, 1, 0},
                 {"takes another along", {0, 0, NULL, 0}, 1, 0, 1},
                 {"leaves from a call in a call", {0, 0, NULL, 2}, 3, 0, 0},
                 {"comes back from a call in a call", {0, 1, NULL, 2}, 3, 1, 0}};
    (void)state;
    const size_t in_use = hm__memory_in_use();
    for (size_t i = 0; i < COUNT(cases); i++) {
        listener other = {0, 0, 0};
        meddler m = cases[i].how;
        m.other = cases[i].takes_other ? &other : NULL;
        hm__subscribers_add(&set, hear, &other);
        hm__subscribers_add(&set, meddle, &m); /* in front: called before the other */
        hm__subscribers_tell(&set, HM_PRESSURE_LOW);
        CHECK_ROW(cases[i].label, m.calls == cases[i].calls);
        CHECK_ROW(cases[i].label, (other.calls == 0) == cases[i].takes_other);
        const hm_status left = hm__subscribers_remove(&set, meddle, &m);
        CHECK_ROW(cases[i].label, (left == HM_OK) == cases[i].stays);
        const hm_status gone = hm__subscribers_remove(&set, hear, &other);
        CHECK_ROW(cases[i].label, (gone == HM_OK) != cases[i].takes_other);
        CHECK_ROW(cases[i].label, set.list == NULL);
    }
    assert_int_equal(hm__memory_in_use(), in_use);
}

/* A callback that stays inside until it is let go. */
typedef struct slow {
    uint32_t inside; /* atomic */
    uint32_t go;     /* atomic */
    uint32_t left;   /* atomic */
} slow;

static size_t dawdle(void *context, hm_pressure pressure)
{
    slow *s = context;
    (void)pressure;
    __atomic_fetch_add(&s->inside, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&s->go, __ATOMIC_SEQ_CST)) {
        hm__os_sleep_ns(100000);
    }
    __atomic_fetch_add(&s->left, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static void *tell_low(void *context)
{
    (void)context;
    hm__subscribers_tell(&set, HM_PRESSURE_LOW);
    return NULL;
}

static uint32_t remover_done; /* atomic */
static uint32_t wrong; /* atomic: what threads other than the test's own found amiss */

static void expect(int so)
{
    __atomic_fetch_add(&wrong, !so, __ATOMIC_SEQ_CST);
}

static void *remove_slow(void *context)
{
    slow *s = context;
    hm__subscribers_remove(&set, dawdle, s);
    /* Nothing is under way any more: the subscriber may be gone by now. */
    expect(__atomic_load_n(&s->left, __ATOMIC_SEQ_CST) == 2);
    __atomic_store_n(&remover_done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void until(const uint32_t *word, uint32_t value)
{
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value) {
        hm__os_sleep_ns(100000);
    }
}

static void subscribers__remove_waits_for_calls_of_others(void **state)
{
    slow s = {0, 0, 0};
    listener other = {0, 0, 0};
    pthread_t tellers[2];
    pthread_t remover;
    (void)state;
    hm__subscribers_add(&set, dawdle, &s);
    for (size_t i = 0; i < COUNT(tellers); i++) {
        assert_int_equal(pthread_create(&tellers[i], NULL, tell_low, NULL), 0);
    }
    until(&s.inside, 2);
    assert_int_equal(pthread_create(&remover, NULL, remove_slow, &s), 0);
    while (hm__subscribers_any(&set)) {
        hm__os_sleep_ns(100000);
    }
    hm__os_sleep_ns(20000000);
    assert_int_equal(__atomic_load_n(&remover_done, __ATOMIC_SEQ_CST), 0);
    /* It is out for new calls, and nobody else is held up. */
    assert_int_equal(hm__subscribers_remove(&set, dawdle, &s), HM_E_NOT_FOUND);
    assert_int_equal(hm__subscribers_add(&set, hear, &other), HM_OK);
    hm__subscribers_tell(&set, HM_PRESSURE_HIGH);
    assert_int_equal(other.calls, 1);
    assert_int_equal(__atomic_load_n(&s.inside, __ATOMIC_SEQ_CST), 2);
    assert_int_equal(hm__subscribers_remove(&set, hear, &other), HM_OK);
    __atomic_store_n(&s.go, 1, __ATOMIC_SEQ_CST);
    until(&remover_done, 1);
    pthread_join(remover, NULL);
    for (size_t i = 0; i < COUNT(tellers); i++) {
        pthread_join(tellers[i], NULL);
    }
    assert_int_equal(wrong, 0);
    assert_null(set.list);
}

static uint32_t stop_all; /* atomic */

static void *come_and_go(void *context)
{
    (void)context;
    while (!__atomic_load_n(&stop_all, __ATOMIC_RELAXED)) {
        listener mine = {0, 0, 1};
        expect(hm__subscribers_add(&set, hear, &mine) == HM_OK);
        expect(hm__subscribers_remove(&set, hear, &mine) == HM_OK);
        mine.calls = 1000; /* nobody else may touch it now */
    }
    return NULL;
}

static void *tell_on(void *context)
{
    (void)context;
    while (!__atomic_load_n(&stop_all, __ATOMIC_RELAXED)) {
        hm__subscribers_tell(&set, HM_PRESSURE_LOW);
    }
    return NULL;
}

static void subscribers__threads(void **state)
{
    pthread_t threads[4];
    (void)state;
    const size_t in_use = hm__memory_in_use();
    __atomic_store_n(&stop_all, 0, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < 2 ? come_and_go : tell_on, NULL), 0);
    }
    hm__os_sleep_ns(300000000);
    __atomic_store_n(&stop_all, 1, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(wrong, 0);
    assert_null(set.list);
    assert_int_equal(hm__memory_in_use(), in_use);
}

static int exit_of(pid_t child)
{
    int status = -1;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* The owner of a set holds its lock across a fork, as a host or a layer does with hooks of its own. */
static pid_t fork_with_set(void)
{
    hm__lock(&set.lock);
    const pid_t child = fork();
    hm__unlock(&set.lock);
    return child;
}

static void subscribers__a_child_does_not_wait_for_the_parents_calls(void **state)
{
    slow s = {0, 0, 0};
    listener other = {0, 0, 3};
    pthread_t teller;
    (void)state;
    hm__subscribers_add(&set, dawdle, &s);
    hm__subscribers_add(&set, hear, &other);
    assert_int_equal(pthread_create(&teller, NULL, tell_low, NULL), 0);
    until(&s.inside, 1);
    const pid_t child = fork_with_set();
    if (child == 0) {
        alarm(20);
        const int good = hm__subscribers_remove(&set, dawdle, &s) == HM_OK &&
                         hm__subscribers_tell(&set, HM_PRESSURE_LOW) == 3 &&
                         hm__subscribers_remove(&set, hear, &other) == HM_OK &&
                         set.list == NULL;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(exit_of(child), 0);
    __atomic_store_n(&s.go, 1, __ATOMIC_SEQ_CST);
    pthread_join(teller, NULL);
    hm__subscribers_remove(&set, dawdle, &s);
    hm__subscribers_remove(&set, hear, &other);
    assert_null(set.list);
}

static pid_t forked;
static pthread_t leaver;
static uint32_t left_early; /* atomic */

static size_t fork_inside(void *context, hm_pressure pressure);

static void *leave_for_it(void *context)
{
    hm__subscribers_remove(&set, fork_inside, context);
    __atomic_store_n(&left_early, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* In the child this call is still under way, for this thread and for others. */
static size_t fork_inside(void *context, hm_pressure pressure)
{
    (void)pressure;
    forked = fork_with_set();
    if (forked == 0) {
        alarm(20);
        if (THREADS_AFTER_FORK) {
            expect(pthread_create(&leaver, NULL, leave_for_it, context) == 0);
            hm__os_sleep_ns(20000000);
            expect(!__atomic_load_n(&left_early, __ATOMIC_SEQ_CST));
        } else {
            hm__subscribers_remove(&set, fork_inside, context);
        }
    }
    return 0;
}

static void subscribers__a_callback_may_fork(void **state)
{
    (void)state;
    hm__subscribers_add(&set, fork_inside, NULL);
    hm__subscribers_tell(&set, HM_PRESSURE_LOW);
    if (forked == 0) {
        if (THREADS_AFTER_FORK) {
            pthread_join(leaver, NULL);
        }
        _exit(set.list == NULL && set.calling == 0 && wrong == 0 ? 0 : 1);
    }
    assert_int_equal(exit_of(forked), 0);
    hm__subscribers_remove(&set, fork_inside, NULL);
    assert_null(set.list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscribers__each_pair_once),
        cmocka_unit_test(subscribers__refuse),
        cmocka_unit_test(subscribers__bytes_do_not_wrap),
        cmocka_unit_test(subscribers__update_tells_only_news),
        cmocka_unit_test(subscribers__leave_from_inside_a_callback),
        cmocka_unit_test(subscribers__remove_waits_for_calls_of_others),
        cmocka_unit_test(subscribers__threads),
        cmocka_unit_test(subscribers__a_child_does_not_wait_for_the_parents_calls),
        cmocka_unit_test(subscribers__a_callback_may_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
