/* SPDX-License-Identifier: MIT */
/* Threads of os.h on Windows: waiting, starting, their stacks, and what they keep by key. */
#include "os.h"

#include <windows.h>

#include <stddef.h>

void hm__os_wait(uint32_t *word, uint32_t value)
{
    const DWORD kept = GetLastError();
    WaitOnAddress(word, &value, sizeof value, INFINITE);
    SetLastError(kept);
}

void hm__os_wait_for(uint32_t *word, uint32_t value, uint64_t ns)
{
    const DWORD kept = GetLastError();
    const uint64_t most = INFINITE - 1;
    const uint64_t ms = ns / 1000000u + (ns % 1000000u != 0);
    WaitOnAddress(word, &value, sizeof value, (DWORD)(ms < most ? ms : most));
    SetLastError(kept);
}

void hm__os_wake(uint32_t *word)
{
    const DWORD kept = GetLastError();
    WakeByAddressSingle(word);
    SetLastError(kept);
}

/* What a new thread is told; on the starter's stack until the thread has read it. */
typedef struct thread_start {
    void (*run)(void *);
    void *context;
    uint32_t taken;
} thread_start;

static DWORD WINAPI thread_main(void *argument)
{
    thread_start *start = argument;
    void (*const run)(void *) = start->run;
    void *const context = start->context;
    __atomic_store_n(&start->taken, 1, __ATOMIC_RELEASE);
    hm__os_wake(&start->taken);
    run(context);
    return 0;
}

int hm__os_thread_start(void (*run)(void *), void *context, uintptr_t *handle)
{
    thread_start start = {run, context, 0};
    HANDLE thread = CreateThread(NULL, 0, thread_main, &start, 0, NULL);
    if (!thread) {
        return 0;
    }
    while (__atomic_load_n(&start.taken, __ATOMIC_ACQUIRE) == 0) {
        hm__os_wait(&start.taken, 0);
    }
    *handle = (uintptr_t)thread;
    return 1;
}

void hm__os_thread_join(uintptr_t handle)
{
    WaitForSingleObject((HANDLE)handle, INFINITE);
    CloseHandle((HANDLE)handle);
}

int hm__os_stack_bounds(uintptr_t *low, uintptr_t *high)
{
    ULONG_PTR from, to;
    GetCurrentThreadStackLimits(&from, &to);
    *low = from;
    *high = to;
    return 1;
}

/* Keys. The system's own would call a destructor with the value still set, once, and for the last thread in the
 * middle of the process's end, when other threads were stopped wherever they were. So all keys share one of them,
 * which holds an array of values for each thread that has any. */
#define KEYS_MOST 128
#define ROUNDS    4 /* a destructor may set values again, so often */

typedef struct values {
    void *of[KEYS_MOST];
} values;

static void (*destructors[KEYS_MOST])(void *);
static uint32_t key_count;  /* atomic */
static DWORD slot;          /* stands once slot_state is 2 */
static uint32_t slot_state; /* atomic: 0 nobody, 1 under way, 2 there, 3 refused */

typedef BOOLEAN NTAPI process_ends_fn(void);
static process_ends_fn
    *process_ends; /* set with slot; NULL where the system has no answer */

static void WINAPI thread_ends(void *argument)
{
    values *mine = argument;
    /* The system may hold locks around this: nothing here may look for a library or load one. */
    if (!mine || (process_ends && process_ends())) {
        return;
    }
    /* Destructors may ask for values, and the system has forgotten them. */
    FlsSetValue(slot, mine);
    int again = 1;
    for (int round = 0; again && round < ROUNDS; round++) {
        again = 0;
        const uint32_t count = __atomic_load_n(&key_count, __ATOMIC_ACQUIRE);
        for (uint32_t key = 0; key < count && key < KEYS_MOST; key++) {
            void *const value = mine->of[key];
            void (*const destructor)(void *) = destructors[key];
            mine->of[key] = NULL;
            if (value && destructor) {
                destructor(value);
                again = 1;
            }
        }
    }
    FlsSetValue(slot, NULL);
    HeapFree(GetProcessHeap(), 0, mine);
}

static int slot_ready(void)
{
    uint32_t state = __atomic_load_n(&slot_state, __ATOMIC_ACQUIRE);
    if (state == 0 && __atomic_compare_exchange_n(&slot_state, &state, 1, 0,
                                                  __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        HMODULE system = GetModuleHandleA("ntdll.dll");
        if (system) {
            process_ends = (process_ends_fn *)(void *)GetProcAddress(
                system, "RtlDllShutdownInProgress");
        }
        slot = FlsAlloc(thread_ends);
        state = slot == FLS_OUT_OF_INDEXES ? 3 : 2;
        __atomic_store_n(&slot_state, state, __ATOMIC_RELEASE);
    }
    while (state == 1) {
        SwitchToThread();
        state = __atomic_load_n(&slot_state, __ATOMIC_ACQUIRE);
    }
    return state == 2;
}

int hm__os_key_create(uint32_t *key, void (*at_exit)(void *))
{
    if (!slot_ready()) {
        return 0;
    }
    const uint32_t made = __atomic_fetch_add(&key_count, 1, __ATOMIC_ACQ_REL);
    if (made >= KEYS_MOST) {
        __atomic_store_n(&key_count, KEYS_MOST, __ATOMIC_RELEASE);
        return 0;
    }
    destructors[made] = at_exit;
    *key = made;
    return 1;
}

void *hm__os_key_get(uint32_t key)
{
    const DWORD kept = GetLastError();
    const values *mine = FlsGetValue(slot);
    SetLastError(kept);
    return mine ? mine->of[key] : NULL;
}

int hm__os_key_set(uint32_t key, void *value)
{
    values *mine = FlsGetValue(slot);
    if (!mine && !value) {
        return 1;
    }
    if (!mine) {
        mine = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, sizeof *mine);
        if (!mine || !FlsSetValue(slot, mine)) {
            HeapFree(GetProcessHeap(), 0, mine);
            return 0;
        }
    }
    mine->of[key] = value;
    return 1;
}

int hm__os_barrier_others(void)
{
    FlushProcessWriteBuffers();
    return 1;
}
