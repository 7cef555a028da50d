/* SPDX-License-Identifier: MIT */
/* The pages of os.h on Windows, whose own words these are. A mapping is given back whole. */
#include "os.h"

#include <windows.h>

#include <hostmalloc/host.h>

_Static_assert(HM_PAGE_NOACCESS == PAGE_NOACCESS && HM_PAGE_READONLY == PAGE_READONLY &&
                   HM_PAGE_READWRITE == PAGE_READWRITE &&
                   HM_PAGE_EXECUTE == PAGE_EXECUTE &&
                   HM_PAGE_EXECUTE_READ == PAGE_EXECUTE_READ &&
                   HM_PAGE_EXECUTE_READWRITE == PAGE_EXECUTE_READWRITE,
               "protections are passed on as they are");

void *hm__os_pages_map(size_t bytes)
{
    return VirtualAlloc(NULL, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

static int is_view(const void *pages)
{
    MEMORY_BASIC_INFORMATION found;
    return VirtualQuery(pages, &found, sizeof found) == sizeof found &&
           found.Type == MEM_MAPPED;
}

void hm__os_pages_unmap(void *pages, size_t bytes)
{
    const DWORD kept = GetLastError();
    (void)bytes;
    if (is_view(pages)) {
        UnmapViewOfFile(pages);
    } else {
        VirtualFree(pages, 0, MEM_RELEASE);
    }
    SetLastError(kept);
}

void *hm__os_pages_reserve(void *address, size_t bytes)
{
    void *pages = VirtualAlloc(address, bytes, MEM_RESERVE, PAGE_NOACCESS);
    if (pages && address && pages != address) {
        /* It was rounded down to where a mapping may start. */
        hm__os_pages_unmap(pages, bytes);
        SetLastError(ERROR_INVALID_ADDRESS);
        return NULL;
    }
    return pages;
}

int hm__os_pages_commit(void *pages, size_t bytes, uint32_t protection)
{
    return VirtualAlloc(pages, bytes, MEM_COMMIT, protection & 0xff) != NULL;
}

int hm__os_pages_decommit(void *pages, size_t bytes)
{
    return VirtualFree(pages, bytes, MEM_DECOMMIT) != 0;
}

int hm__os_pages_protect(void *pages, size_t bytes, uint32_t protection)
{
    DWORD before;
    return VirtualProtect(pages, bytes, protection & 0xff, &before) != 0;
}

int hm__os_pages_reset(void *pages, size_t bytes)
{
    return VirtualAlloc(pages, bytes, MEM_RESET, PAGE_NOACCESS) != NULL;
}

int hm__os_is_mapped(const void *address)
{
    const DWORD kept = GetLastError();
    MEMORY_BASIC_INFORMATION found;
    const int known = VirtualQuery(address, &found, sizeof found) == sizeof found &&
                      found.State != MEM_FREE;
    SetLastError(kept);
    return known;
}

/* The view keeps the mapping and the file alive by itself. */
static void *view_of(HANDLE file, size_t bytes)
{
    LARGE_INTEGER end = {.QuadPart = (LONGLONG)bytes};
    if (!SetFilePointerEx(file, end, NULL, FILE_BEGIN) || !SetEndOfFile(file)) {
        return NULL;
    }
    HANDLE mapping = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    if (!mapping) {
        return NULL;
    }
    void *pages = MapViewOfFile(mapping, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, bytes);
    const DWORD kept = GetLastError();
    CloseHandle(mapping);
    SetLastError(kept);
    return pages;
}

void *hm__os_file_map(const char *path, size_t bytes)
{
    HANDLE file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE,
                              FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                              NULL, CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        return NULL;
    }
    void *pages = view_of(file, bytes);
    const DWORD kept = GetLastError();
    CloseHandle(file);
    SetLastError(kept);
    return pages;
}
