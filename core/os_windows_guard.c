/* SPDX-License-Identifier: MIT */
/* Code that may raise, on Windows: an exception that nobody handles on a guarded thread ends that thread, and the waiter
 * knows why. All others go where they went before. */
#include "os.h"

#include <signal.h>

#include <windows.h>

#include "lock_internal.h"

#define STACK_LEFT ((ULONG)32 * 1024) /* for the filter, when the stack is full */

static LPTOP_LEVEL_EXCEPTION_FILTER previous; /* these are guarded by lock */
static void(__cdecl *previous_abort)(int number);
static hm_lock lock;
static uint32_t guarded_now;

static _Thread_local hm__os_guard *current;

static _Noreturn void leave(hm__os_guard *guard, uint32_t ending, uint32_t code)
{
    __atomic_store_n(&guard->open, 0, __ATOMIC_RELAXED);
    guard->ending = ending;
    guard->code = code;
    current = NULL;
    ExitThread(0);
}

static int may_leave(const hm__os_guard *guard)
{
    return guard && !__atomic_load_n(&guard->held, __ATOMIC_RELAXED) &&
           __atomic_load_n(&guard->open, __ATOMIC_RELAXED);
}

static LONG WINAPI filter(EXCEPTION_POINTERS *raised)
{
    if (may_leave(current)) {
        leave(current, HM__OS_RAISED, (uint32_t)raised->ExceptionRecord->ExceptionCode);
    }
    return previous ? previous(raised) : EXCEPTION_CONTINUE_SEARCH;
}

static void __cdecl on_abort(int number)
{
    signal(SIGABRT, on_abort); /* the system takes it out for each call */
    if (may_leave(current)) {
        leave(current, HM__OS_RAISED, (uint32_t)number);
    }
    if (previous_abort != SIG_DFL && previous_abort != SIG_IGN) {
        previous_abort(number);
    }
}

void hm__os_guard_hold(void)
{
    if (current) {
        __atomic_fetch_add(&current->held, 1, __ATOMIC_SEQ_CST);
    }
}

void hm__os_guard_drop(void)
{
    hm__os_guard *const guard = current;
    if (guard && __atomic_sub_fetch(&guard->held, 1, __ATOMIC_SEQ_CST) == 0 &&
        __atomic_load_n(&guard->killed, __ATOMIC_SEQ_CST) && may_leave(guard)) {
        leave(guard, HM__OS_ENDED, 0);
    }
}

int hm__os_guard_mine(const hm__os_guard *guard)
{
    return guard == current;
}

static void handlers_on(void)
{
    hm__lock(&lock);
    if (guarded_now++ == 0) {
        previous = SetUnhandledExceptionFilter(filter);
        previous_abort = signal(SIGABRT, on_abort);
    }
    hm__unlock(&lock);
}

static void handlers_off(void)
{
    hm__lock(&lock);
    if (--guarded_now == 0) {
        SetUnhandledExceptionFilter(previous);
        signal(SIGABRT, previous_abort);
    }
    hm__unlock(&lock);
}

static void guarded(void *context)
{
    hm__os_guard *const guard = context;
    ULONG left = STACK_LEFT;
    SetThreadStackGuarantee(&left);
    current = guard;
    __atomic_store_n(&guard->open, 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&guard->killed, __ATOMIC_SEQ_CST)) {
        leave(guard, HM__OS_ENDED, 0);
    }
    guard->run(guard->context);
    __atomic_store_n(&guard->open, 0, __ATOMIC_RELAXED);
    guard->ending = HM__OS_RETURNED;
    current = NULL;
}

/* Under the lock. A thread that has to finish something first ends itself when it has. */
static void send_kill(hm__os_guard *guard)
{
    const HANDLE thread = (HANDLE)guard->thread;
    if (!guard->started || guard->over || SuspendThread(thread) == (DWORD)-1) {
        return;
    }
    CONTEXT stopped = {.ContextFlags = CONTEXT_CONTROL};
    GetThreadContext(thread, &stopped); /* it has really stopped when this returns */
    if (may_leave(guard)) {
        guard->ending = HM__OS_ENDED;
        TerminateThread(thread, 0);
    }
    ResumeThread(thread);
}

int hm__os_guard_run(hm__os_guard *guard)
{
    uintptr_t thread;
    guard->ending = HM__OS_ENDED;
    handlers_on();
    const int running = hm__os_thread_start(guarded, guard, &thread);
    if (running) {
        hm__lock(&lock);
        guard->thread = thread;
        guard->started = 1;
        if (__atomic_load_n(&guard->killed, __ATOMIC_SEQ_CST)) {
            send_kill(guard);
        }
        hm__unlock(&lock);
        WaitForSingleObject((HANDLE)thread, INFINITE);
        hm__lock(&lock);
        guard->over = 1;
        hm__unlock(&lock);
        hm__os_thread_join(thread);
    }
    handlers_off();
    return running;
}

int hm__os_guard_kill(hm__os_guard *guard)
{
    hm__lock(&lock);
    __atomic_store_n(&guard->killed, 1, __ATOMIC_SEQ_CST);
    send_kill(guard);
    hm__unlock(&lock);
    return 1;
}
