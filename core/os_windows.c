/* SPDX-License-Identifier: MIT */
/* The part of os.h that is about the Windows system itself: what it is, time, chance, modules, memory of the machine
 * and the process's malloc. Windows 8 is the oldest that has all of it. */
#include "os.h"

#include <windows.h>

#include <errno.h>
#include <malloc.h>
#include <ntsecapi.h>
#include <stdlib.h>
#include <string.h>

const hm__os_info *hm__os(void)
{
    static hm__os_info info = {.has_overcommit = 0,
                               .has_aligned_blocks = 0,
                               .host_file = "hm_host_%s.dll",
                               .layer_file = "hm_layer_%s.dll",
                               .path_list_separator = ';'};
    /* Every thread that finds 0 stores the same values. */
    if (__atomic_load_n(&info.page_size, __ATOMIC_ACQUIRE) == 0) {
        SYSTEM_INFO system;
        GetSystemInfo(&system);
        __atomic_store_n(&info.granularity, system.dwAllocationGranularity,
                         __ATOMIC_RELAXED);
        __atomic_store_n(&info.address_limit,
                         (uintptr_t)system.lpMaximumApplicationAddress + 1,
                         __ATOMIC_RELAXED);
        __atomic_store_n(&info.page_size, system.dwPageSize, __ATOMIC_RELEASE);
    }
    return &info;
}

uint64_t hm__os_now_ns(void)
{
    LARGE_INTEGER frequency, now;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    const uint64_t per_second = (uint64_t)frequency.QuadPart;
    const uint64_t ticks = (uint64_t)now.QuadPart;
    return ticks / per_second * 1000000000u +
           ticks % per_second * 1000000000u / per_second;
}

size_t hm__os_random(void *bytes, size_t count)
{
    const ULONG wanted = count < 4096 ? (ULONG)count : 4096;
    return RtlGenRandom(bytes, wanted) ? wanted : 0;
}

int hm__os_error(void)
{
    return (int)GetLastError();
}

void hm__os_abort(void)
{
    abort();
}

void hm__os_sleep_ns(uint64_t ns)
{
    const uint64_t most = INFINITE - 1;
    const uint64_t ms = ns / 1000000u + (ns % 1000000u != 0);
    Sleep((DWORD)(ms < most ? ms : most));
}

/* There is no fork here. */
int hm__os_fork_run(int *outcome)
{
    (void)outcome;
    return -1;
}

void hm__os_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    (void)prepare, (void)parent, (void)child;
}

/* Nor are there signals that another process sends. */
int hm__os_signal_count(const char *name, uint32_t *counter)
{
    (void)name, (void)counter;
    return 0;
}

/* What the system says to its error, in one line. */
static void error_text(DWORD code, char *text, size_t size)
{
    DWORD length =
        FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS |
                           FORMAT_MESSAGE_MAX_WIDTH_MASK,
                       NULL, code, 0, text, (DWORD)size, NULL);
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '.')) {
        text[--length] = '\0';
    }
    if (length == 0 && size > 32) {
        strcpy(text, "the system gave no reason");
    }
}

void *hm__os_module_open(const char *path, char *why, size_t why_size)
{
    char full[MAX_PATH];
    DWORD mode;
    HMODULE module = NULL;
    const DWORD length = GetFullPathNameA(path, sizeof full, full, NULL);
    /* A module that lacks another one is an answer, not a box on somebody's screen. */
    SetThreadErrorMode(SEM_FAILCRITICALERRORS, &mode);
    if (length > 0 && length < sizeof full) {
        /* What it needs is looked for beside it first. */
        module = LoadLibraryExA(full, NULL, LOAD_WITH_ALTERED_SEARCH_PATH);
    } else if (length > 0) {
        SetLastError(ERROR_FILENAME_EXCED_RANGE);
    }
    const DWORD code = GetLastError();
    SetThreadErrorMode(mode, NULL);
    HMODULE pinned;
    /* Never unmapped: blocks, thread exits and sites outlive a close. */
    if (module && !GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_PIN |
                                          GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                                      (LPCSTR)(void *)module, &pinned)) {
        error_text(GetLastError(), why, why_size);
        return NULL;
    }
    if (!module) {
        error_text(code, why, why_size);
    }
    return (void *)module;
}

void *hm__os_module_symbol(void *module, const char *name)
{
    return (void *)(uintptr_t)GetProcAddress((HMODULE)module, name);
}

int hm__os_memory_status(hm__os_memory *out)
{
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    if (!GlobalMemoryStatusEx(&status)) {
        return 0;
    }
    out->limit = status.ullTotalPhys;
    out->available = status.ullAvailPhys < status.ullTotalPhys ? status.ullAvailPhys
                                                               : status.ullTotalPhys;
    out->stalled = 0;
    return 1;
}

/* The figures come from calls; there is no folder to read others from. */
void hm__os_memory_root(const char *folder)
{
    (void)folder;
}

size_t hm__os_block_size(const void *block)
{
    /* It only reads, though its declaration is older than const. */
    return block ? _msize((void *)(uintptr_t)block) : 0;
}

/* An aligned block of this libc may not be given to free. */
void *hm__os_block_aligned(size_t alignment, size_t bytes)
{
    (void)alignment, (void)bytes;
    return NULL;
}

void hm__os_blocks_trim(void)
{
    const int kept = errno;
    const DWORD error = GetLastError();
    _heapmin();
    SetLastError(error);
    errno = kept;
}
