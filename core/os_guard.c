/* SPDX-License-Identifier: MIT */
/* Code that may raise, on POSIX: faults of a guarded thread end what it runs, all others go where they went before.
 *
 * The handlers are in place while anything is guarded. They leave by siglongjmp, which is sound only outside of
 * what must be finished: hold and drop mark that. */
#include "os.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

#include "lock_internal.h"
#include "memory_internal.h"

#define STACK_BYTES ((size_t)64 * 1024)
#define KILL_SIGNAL SIGABRT

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};
#define FAULTS (sizeof faults / sizeof faults[0])

static struct sigaction previous[FAULTS]; /* written before the handler is in place */
static hm_lock lock;                      /* guards what follows */
static uint32_t guarded_now;

static uint32_t fork_known; /* atomic */

static _Thread_local hm__os_guard *current;

/* As it would have gone without us. */
static void pass_on(int number, siginfo_t *details, void *context)
{
    const struct sigaction *before = previous;
    for (size_t i = 0; i < FAULTS; i++) {
        before = faults[i] == number ? &previous[i] : before;
    }
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(number, details, context);
    } else if (before->sa_handler == SIG_DFL) {
        /* A fault comes again by itself, a signal that was sent has to be sent again. */
        sigaction(number, before, NULL);
        if (details->si_code <= 0) {
            raise(number);
        }
    } else if (before->sa_handler != SIG_IGN) {
        before->sa_handler(number);
    }
}

static void leave(hm__os_guard *guard, uint32_t ending, uint32_t code)
{
    __atomic_store_n(&guard->open, 0, __ATOMIC_RELAXED);
    guard->ending = ending;
    guard->code = code;
    siglongjmp(*(sigjmp_buf *)guard->back, 1);
}

static void handle(int number, siginfo_t *details, void *context)
{
    hm__os_guard *const guard = current;
    const int kept = errno;
    const int killed = guard && number == KILL_SIGNAL && details->si_code <= 0 &&
                       __atomic_load_n(&guard->killed, __ATOMIC_RELAXED);
    if (guard && !guard->held && __atomic_load_n(&guard->open, __ATOMIC_RELAXED)) {
        leave(guard, killed ? HM__OS_ENDED : HM__OS_RAISED,
              killed ? 0 : (uint32_t)number);
    }
    if (!killed) {
        pass_on(number, details, context);
    }
    errno = kept;
}

void hm__os_guard_hold(void)
{
    if (current) {
        current->held++;
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
    }
}

void hm__os_guard_drop(void)
{
    hm__os_guard *const guard = current;
    if (!guard) {
        return;
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (--guard->held == 0 && __atomic_load_n(&guard->killed, __ATOMIC_RELAXED) &&
        __atomic_load_n(&guard->open, __ATOMIC_RELAXED)) {
        leave(guard, HM__OS_ENDED, 0);
    }
}

static void before_fork(void *context)
{
    (void)context;
    hm__lock(&lock);
}

static void after_fork_parent(void *context)
{
    (void)context;
    hm__unlock(&lock);
}

static void after_fork_child(void *context)
{
    (void)context;
    hm__lock_reset(&lock);
}

static hm_fork_hooks fork_hooks = {.size = sizeof fork_hooks,
                                   .rank = HM__FORK_GUARD,
                                   .prepare = before_fork,
                                   .parent = after_fork_parent,
                                   .child = after_fork_child};

int hm__os_guard_mine(const hm__os_guard *guard)
{
    return guard == current;
}

static void handlers_on(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
    action.sa_sigaction = handle;
    sigfillset(&action.sa_mask);
    hm__lock(&lock);
    if (guarded_now++ == 0) {
        for (size_t i = 0; i < FAULTS; i++) {
            sigaction(faults[i], NULL, &previous[i]);
            sigaction(faults[i], &action, NULL);
        }
    }
    hm__unlock(&lock);
}

/* A handler that somebody put over ours stays. */
static void handlers_off(void)
{
    hm__lock(&lock);
    if (--guarded_now == 0) {
        for (size_t i = 0; i < FAULTS; i++) {
            struct sigaction now;
            sigaction(faults[i], NULL, &now);
            if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == handle) {
                sigaction(faults[i], &previous[i], NULL);
            }
        }
    }
    hm__unlock(&lock);
}

static void mask_faults(int how)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < FAULTS; i++) {
        sigaddset(&set, faults[i]);
    }
    pthread_sigmask(how, &set, NULL);
}

/* A thread that is ended takes its frames back without telling the address sanitizer, which would find what it wrote around
   their variables under later ones. */
#define FRAME_MAY_VANISH __attribute__((no_sanitize("address")))

FRAME_MAY_VANISH static void attempt(hm__os_guard *guard)
{
    sigjmp_buf back;
    if (sigsetjmp(back, 1) == 0) {
        guard->back = &back;
        __atomic_store_n(&guard->open, 1, __ATOMIC_RELAXED);
        mask_faults(SIG_UNBLOCK);
        if (__atomic_load_n(&guard->killed, __ATOMIC_RELAXED)) {
            leave(guard, HM__OS_ENDED, 0);
        }
        guard->run(guard->context);
        __atomic_store_n(&guard->open, 0, __ATOMIC_RELAXED);
        guard->ending = HM__OS_RETURNED;
    }
}

/* However the thread ends, but for its destructors: they find nothing guarded. */
static void attempted(void *stack_before)
{
    hm__os_guard *const guard = current;
    __atomic_store_n(&guard->open, 0, __ATOMIC_RELAXED);
    mask_faults(SIG_BLOCK);
    current = NULL;
    hm__lock(&lock);
    guard->over = 1;
    hm__unlock(&lock);
    sigaltstack(stack_before, NULL);
}

FRAME_MAY_VANISH static void guarded(void *context)
{
    hm__os_guard *const guard = context;
    stack_t own = {.ss_sp = guard->stack, .ss_size = STACK_BYTES};
    stack_t before;
    sigaltstack(&own, &before);
    current = guard;
    pthread_cleanup_push(attempted, &before);
    attempt(guard);
    pthread_cleanup_pop(1);
}

/* Under the lock. */
static void send_kill(const hm__os_guard *guard)
{
    if (guard->started && !guard->over) {
        pthread_kill((pthread_t)guard->thread, KILL_SIGNAL);
    }
}

int hm__os_guard_run(hm__os_guard *guard)
{
    hm__at_fork_once(&fork_known, &fork_hooks);
    guard->stack = hm__pages_map(STACK_BYTES);
    if (!guard->stack) {
        return 0;
    }
    guard->ending = HM__OS_ENDED;
    handlers_on();
    uintptr_t thread;
    const int running = hm__os_thread_start(guarded, guard, &thread);
    if (running) {
        hm__lock(&lock);
        guard->thread = thread;
        guard->started = 1;
        if (__atomic_load_n(&guard->killed, __ATOMIC_RELAXED)) {
            send_kill(guard);
        }
        hm__unlock(&lock);
        hm__os_thread_join(thread);
    }
    handlers_off();
    hm__pages_unmap(guard->stack, STACK_BYTES);
    return running;
}

int hm__os_guard_kill(hm__os_guard *guard)
{
    hm__lock(&lock);
    __atomic_store_n(&guard->killed, 1, __ATOMIC_RELAXED);
    send_kill(guard);
    hm__unlock(&lock);
    return 1;
}
