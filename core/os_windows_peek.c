/* SPDX-License-Identifier: MIT */
/* os_peek.h on Windows. */
#include "os_peek.h"

#include <windows.h>

int hm__os_peek(void *to, const void *from, size_t bytes)
{
    const DWORD kept = GetLastError();
    SIZE_T read = 0;
    const int done =
        ReadProcessMemory(GetCurrentProcess(), from, to, bytes, &read) && read == bytes;
    SetLastError(kept);
    return done;
}
