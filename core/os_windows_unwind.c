/* SPDX-License-Identifier: MIT */
/* os_unwind.h on Windows, where every function says how it is unwound. */
#include "os_unwind.h"

#include <windows.h>

int hm__os_unwind_prepare(void)
{
    return 1;
}

size_t hm__os_unwind(uintptr_t *frames, size_t most)
{
    const DWORD count = most < 62 ? (DWORD)most : 62; /* older systems refuse more */
    return CaptureStackBackTrace(1, count, (void **)frames, NULL);
}

int hm__os_code_place(uintptr_t address, char *path, size_t size, uint64_t *offset)
{
    HMODULE module;
    if (!GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                                GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                            (const char *)address, &module)) {
        return 0;
    }
    const DWORD length = GetModuleFileNameA(module, path, (DWORD)size);
    *offset = address - (uintptr_t)module;
    return length && length < size;
}

/* A module's exports are its own there; what is looked for by name in the whole process are tools of other systems. */
void *hm__os_process_symbol(const char *name)
{
    (void)name;
    return NULL;
}
