/* SPDX-License-Identifier: MIT */
/* Memory load and the watching thread, over figures the test writes itself. */
#include <pthread.h>
#include <sys/wait.h>

#include "fake_root.h"
#include "fork_amid.h"
#include "memory_internal.h"
#include "pressure_internal.h"
#include "threads_after_fork.h"

#define LOW     HM_PRESSURE_LOW
#define NEUTRAL HM_PRESSURE_NEUTRAL
#define HIGH    HM_PRESSURE_HIGH

static uint32_t wrong; /* atomic: what threads other than the test's own found amiss */

static void expect(int so)
{
    __atomic_fetch_add(&wrong, !so, __ATOMIC_SEQ_CST);
}

/* The machine has 1000 MB, so many of them available, and waited for memory for such a share of the time. */
static void machine(unsigned available, const char *stalled)
{
    char text[128];
    snprintf(text, sizeof text, "MemTotal: 1024000 kB\nMemAvailable: %u kB\n",
             available * 1024);
    fake_root_file("/proc/meminfo", text);
    snprintf(text, sizeof text, "some avg10=%s avg60=0.00\n", stalled);
    fake_root_file("/proc/pressure/memory", text);
}

static int open_root(void **state)
{
    (void)state;
    fake_root_open();
    return 0;
}

/* Each case starts in between, whatever the one before it left. */
static int calm(void **state)
{
    (void)state;
    machine(150, "0.00");
    return hm__pressure_look() != NEUTRAL;
}

static int close_root(void **state)
{
    (void)state;
    assert_int_equal(wrong, 0);
    fake_root_close();
    return 0;
}

static void pressure__load(void **state)
{
    static const struct {
        unsigned available;
        uint32_t percent;
    } cases[] = {{1000, 0}, {999, 1}, {500, 50}, {150, 85}, {1, 100}, {0, 100}};
    uint32_t percent = 0;
    size_t available = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        machine(cases[i].available, "0.00");
        assert_int_equal(hm__memory_load(&percent, &available), HM_OK);
        assert_int_equal(percent, cases[i].percent);
        assert_int_equal(available, (size_t)cases[i].available << 20);
    }
    assert_int_equal(hm__memory_load(NULL, &available), HM_E_INVALID);
    assert_int_equal(hm__memory_load(&percent, NULL), HM_E_INVALID);
    fake_root_file("/proc/meminfo", "");
    assert_int_equal(hm__memory_load(&percent, &available), HM_E_OS);
    machine(150, "0.00");
    fake_root_file("/proc/self/cgroup", "0::/\n");
    fake_root_file("/sys/fs/cgroup/unified/memory.max", "0\n");
    fake_root_file("/sys/fs/cgroup/unified/memory.current", "0\n");
    assert_int_equal(hm__memory_load(&percent, &available), HM_OK);
    assert_int_equal(percent, 100);
    assert_int_equal(available, 0);
    fake_root_file("/sys/fs/cgroup/unified/memory.max", "max\n");
}

static void pressure__states_are_left_later_than_entered(void **state)
{
    static const struct {
        const char *label;
        unsigned available;
        const char *stalled;
        hm_pressure want;
    } steps[] = {
        {"in between", 150, "0.00", NEUTRAL},
        {"nearly low", 50, "0.00", NEUTRAL},
        {"low", 49, "0.00", LOW},
        {"still low", 60, "0.00", LOW},
        {"still low at the border", 99, "0.00", LOW},
        {"no longer", 100, "0.00", NEUTRAL},
        {"nearly high", 259, "0.00", NEUTRAL},
        {"high", 260, "0.00", HIGH},
        {"still high", 200, "0.00", HIGH},
        {"no longer high", 199, "0.00", NEUTRAL},
        {"from high", 900, "0.00", HIGH},
        {"to low at once", 10, "0.00", LOW},
        {"and back", 900, "0.00", HIGH},
        {"some waiting", 900, "9.99", HIGH},
        {"much waiting", 900, "10.00", LOW},
        {"it takes a while", 900, "2.00", LOW},
        {"to be over", 900, "1.99", HIGH},
        {"in between again", 150, "0.00", NEUTRAL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(steps); i++) {
        machine(steps[i].available, steps[i].stalled);
        CHECK_ROW(steps[i].label, hm__pressure_look() == steps[i].want);
    }
}

static void pressure__unknown_keeps_the_state(void **state)
{
    (void)state;
    machine(10, "0.00");
    assert_int_equal(hm__pressure_look(), LOW);
    fake_root_file("/proc/meminfo", "nonsense");
    assert_int_equal(hm__pressure_look(), LOW);
    machine(150, "0.00");
    assert_int_equal(hm__pressure_look(), NEUTRAL);
}

typedef struct listener {
    uint32_t calls[4]; /* atomic, by pressure */
    int leave;
} listener;

static size_t hear(void *context, hm_pressure pressure)
{
    listener *l = context;
    __atomic_fetch_add(&l->calls[pressure], 1, __ATOMIC_SEQ_CST);
    if (l->leave) {
        expect(hm__pressure_unsubscribe(hear, l) == HM_OK);
    }
    return 0;
}

static uint32_t heard(const listener *l, hm_pressure pressure)
{
    return __atomic_load_n(&l->calls[pressure], __ATOMIC_SEQ_CST);
}

static void until_heard(const listener *l, hm_pressure pressure, uint32_t times)
{
    const uint64_t end = hm__os_now_ns() + 30000000000u;
    while (heard(l, pressure) < times && hm__os_now_ns() < end) {
        hm__os_sleep_ns(1000000);
    }
    assert_int_equal(heard(l, pressure), times);
}

static int count_thread(void *context, const char *name)
{
    *(unsigned *)context += name[0] != '.';
    return 0;
}

static unsigned threads_now(void)
{
    unsigned count = 0;
    hm__os_list_folder("/proc/self/task", count_thread, &count);
    return count;
}

/* A joined thread may be seen in its folder for a moment longer. */
static int threads_become(unsigned count)
{
    const uint64_t end = hm__os_now_ns() + 10000000000u;
    while (threads_now() != count && hm__os_now_ns() < end) {
        hm__os_sleep_ns(1000000);
    }
    return threads_now() == count;
}

static void pressure__subscribers_hear_each_change_once(void **state)
{
    listener a = {{0}, 0};
    listener late = {{0}, 0};
    (void)state;
    assert_int_equal(hm__pressure_subscribe(hear, &a), HM_OK);
    assert_int_equal(hm__pressure_subscribe(hear, &a), HM_E_EXISTS);
    machine(10, "0.00");
    hm__pressure_look();
    hm__pressure_look();
    until_heard(&a, LOW, 1);
    assert_int_equal(hm__pressure_subscribe(hear, &late), HM_OK);
    hm__pressure_look();
    until_heard(&late, LOW, 1);
    machine(150, "0.00");
    hm__pressure_look();
    until_heard(&a, NEUTRAL, 1);
    until_heard(&late, NEUTRAL, 1);
    machine(900, "0.00");
    hm__pressure_look();
    until_heard(&a, HIGH, 1);
    until_heard(&late, HIGH, 1);
    assert_int_equal(heard(&a, LOW), 1);
    assert_int_equal(heard(&a, NEUTRAL), 1);
    assert_int_equal(hm__pressure_unsubscribe(hear, &a), HM_OK);
    assert_int_equal(hm__pressure_unsubscribe(hear, &a), HM_E_NOT_FOUND);
    machine(10, "0.00");
    hm__pressure_look();
    until_heard(&late, LOW, 2);
    assert_int_equal(heard(&a, LOW), 1);
    assert_int_equal(hm__pressure_unsubscribe(hear, &late), HM_OK);
}

static void pressure__one_thread_while_anybody_listens(void **state)
{
    listener a = {{0}, 0};
    listener b = {{0}, 0};
    (void)state;
    const unsigned before = threads_now();
    const size_t in_use = hm__memory_in_use();
    assert_int_equal(hm__pressure_subscribe(hear, &a), HM_OK);
    assert_int_equal(hm__pressure_subscribe(hear, &b), HM_OK);
    assert_true(threads_become(before + 1));
    /* It looks by itself. */
    machine(10, "0.00");
    until_heard(&a, LOW, 1);
    machine(150, "0.00");
    until_heard(&a, NEUTRAL, 1);
    until_heard(&b, NEUTRAL, 1);
    assert_int_equal(hm__pressure_unsubscribe(hear, &a), HM_OK);
    assert_true(threads_become(before + 1));
    assert_int_equal(hm__pressure_unsubscribe(hear, &b), HM_OK);
    assert_true(threads_become(before));
    assert_int_equal(hm__memory_in_use(), in_use);
}

static void pressure__the_thread_is_woken_to_stop(void **state)
{
    listener a = {{0}, 0};
    (void)state;
    uint64_t fastest = UINT64_MAX;
    for (int i = 0; i < 6; i++) {
        const uint64_t start = hm__os_now_ns();
        assert_int_equal(hm__pressure_subscribe(hear, &a), HM_OK);
        hm__os_sleep_ns(10000000); /* it has looked, and sleeps */
        assert_int_equal(hm__pressure_unsubscribe(hear, &a), HM_OK);
        const uint64_t took = hm__os_now_ns() - start;
        fastest = took < fastest ? took : fastest;
    }
    assert_true(fastest < 900000000u); /* the next look would be after a second */
}

static void pressure__leave_from_inside_the_callback(void **state)
{
    listener a = {{0}, 1};
    listener b = {{0}, 0};
    (void)state;
    const unsigned before = threads_now();
    const size_t in_use = hm__memory_in_use();
    assert_int_equal(hm__pressure_subscribe(hear, &a), HM_OK);
    machine(10, "0.00");
    until_heard(&a, LOW, 1); /* nobody but the watching thread looks here */
    assert_true(threads_become(before));
    /* The next one to come joins it, and has a thread of its own. */
    assert_int_equal(hm__pressure_subscribe(hear, &b), HM_OK);
    assert_true(threads_become(before + 1));
    until_heard(&b, LOW, 1);
    assert_int_equal(hm__pressure_unsubscribe(hear, &b), HM_OK);
    assert_true(threads_become(before));
    assert_int_equal(hm__memory_in_use(), in_use);
    assert_int_equal(heard(&a, LOW), 1);
}

static void pressure__refuses(void **state)
{
    listener a = {{0}, 0};
    (void)state;
    const unsigned before = threads_now();
    const size_t in_use = hm__memory_in_use();
    assert_int_equal(hm__pressure_subscribe(NULL, &a), HM_E_INVALID);
    assert_int_equal(hm__pressure_unsubscribe(NULL, &a), HM_E_INVALID);
    assert_int_equal(hm__pressure_unsubscribe(hear, &a), HM_E_NOT_FOUND);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        hm__memory_fail_from(nth);
        assert_int_equal(hm__pressure_subscribe(hear, &a), HM_E_NOMEM);
        hm__memory_fail_from(0);
        assert_true(threads_become(before));
        assert_int_equal(hm__memory_in_use(), in_use);
    }
    assert_int_equal(hm__pressure_unsubscribe(hear, &a), HM_E_NOT_FOUND);
}

static uint32_t stop_all; /* atomic */

static void *come_and_go(void *context)
{
    (void)context;
    while (!__atomic_load_n(&stop_all, __ATOMIC_RELAXED)) {
        listener mine = {{0}, 0};
        expect(hm__pressure_subscribe(hear, &mine) == HM_OK);
        expect(hm__pressure_unsubscribe(hear, &mine) == HM_OK);
        fork_may_come(); /* without a watching thread, if all are here */
    }
    return NULL;
}

static void pressure__threads_come_and_go(void **state)
{
    pthread_t threads[3];
    (void)state;
    const unsigned before = threads_now();
    const size_t in_use = hm__memory_in_use();
    __atomic_store_n(&stop_all, 0, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    }
    for (unsigned i = 0; i < 60; i++) {
        machine(i % 2 ? 10 : 900, "0.00");
        hm__pressure_look();
        hm__os_sleep_ns(2000000);
    }
    __atomic_store_n(&stop_all, 1, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(threads_become(before));
    assert_int_equal(hm__memory_in_use(), in_use);
}

static int child_watches_anew(listener *a)
{
    int good = threads_become(1);
    if (THREADS_AFTER_FORK) {
        hm__pressure_look();
        good = good && threads_become(2);
        machine(10, "0.00");
        until_heard(a, LOW, 1);
        good = good && hm__pressure_unsubscribe(hear, a) == HM_OK && threads_become(1);
        good = good && hm__pressure_subscribe(hear, a) == HM_OK && threads_become(2);
    }
    return good && hm__pressure_unsubscribe(hear, a) == HM_OK;
}

static void pressure__a_child_gets_its_own_thread(void **state)
{
    listener a = {{0}, 0};
    int status = -1;
    (void)state;
    assert_int_equal(hm__pressure_subscribe(hear, &a), HM_OK);
    const pid_t child = fork();
    if (child == 0) {
        alarm(30);
        _exit(child_watches_anew(&a) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(hm__pressure_unsubscribe(hear, &a), HM_OK);
}

static void pressure__fork_while_others_come_and_go(void **state)
{
    pthread_t threads[2];
    (void)state;
    __atomic_store_n(&stop_all, 0, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    }
    for (int i = 0; i < 20; i++) {
        int status = -1;
        const pid_t child = fork_amid(COUNT(threads));
        if (child == 0) {
            listener mine = {{0}, 0};
            alarm(20);
            hm__memory_fail_from(
                !THREADS_AFTER_FORK); /* short of memory, it locks but starts none */
            const hm_status want = THREADS_AFTER_FORK ? HM_OK : HM_E_NOMEM;
            const int good = hm__pressure_subscribe(hear, &mine) == want;
            hm__pressure_unsubscribe(hear, &mine);
            _exit(good ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    __atomic_store_n(&stop_all, 1, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(pressure__load, calm),
        cmocka_unit_test_setup(pressure__states_are_left_later_than_entered, calm),
        cmocka_unit_test_setup(pressure__unknown_keeps_the_state, calm),
        cmocka_unit_test_setup(pressure__subscribers_hear_each_change_once, calm),
        cmocka_unit_test_setup(pressure__one_thread_while_anybody_listens, calm),
        cmocka_unit_test_setup(pressure__the_thread_is_woken_to_stop, calm),
        cmocka_unit_test_setup(pressure__leave_from_inside_the_callback, calm),
        cmocka_unit_test_setup(pressure__refuses, calm),
        cmocka_unit_test_setup(pressure__threads_come_and_go, calm),
        cmocka_unit_test_setup(pressure__a_child_gets_its_own_thread, calm),
        cmocka_unit_test_setup(pressure__fork_while_others_come_and_go, calm),
    };
    return cmocka_run_group_tests(tests, open_root, close_root);
}
