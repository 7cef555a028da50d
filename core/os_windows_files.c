/* SPDX-License-Identifier: MIT */
/* Files, paths and the environment of os.h on Windows. Paths are in the code page that main's arguments and getenv are in;
 * those we give out have / between their folders, which the system takes as well. */
#include "os.h"

#include <windows.h>

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WRITE_MOST 0x40000000u /* bytes in one call */

int hm__os_write(int fd, const char *text, size_t bytes)
{
    const int kept = errno;
    const DWORD last = GetLastError();
    int error = 0;
    while (bytes > 0 && !error) {
        const int written =
            _write(fd, text, bytes < WRITE_MOST ? (unsigned)bytes : WRITE_MOST);
        if (written > 0) {
            text += written;
            bytes -= (size_t)written;
        } else {
            /* A full disk or a closed descriptor: the report is lost, the program is not. */
            error = written < 0 ? errno : ENOSPC;
        }
    }
    SetLastError(last);
    errno = kept;
    return error;
}

/* A program is not given other rights than those of whoever starts it. */
const char *hm__os_getenv(const char *name)
{
    return getenv(name);
}

long hm__os_read_file(const char *path, char *text, size_t size)
{
    const int fd = _open(path, _O_RDONLY | _O_BINARY | _O_NOINHERIT);
    if (fd < 0) {
        return -1;
    }
    size_t filled = 0;
    int got = 1;
    while (filled + 1 < size && got > 0) {
        const size_t room = size - 1 - filled;
        got = _read(fd, text + filled, room < WRITE_MOST ? (unsigned)room : WRITE_MOST);
        filled += got > 0 ? (size_t)got : 0;
    }
    _close(fd);
    text[filled] = '\0';
    return got < 0 ? -1 : (long)filled;
}

void hm__os_list_folder(const char *folder,
                        int (*visit)(void *context, const char *name),
                        void *context)
{
    char pattern[MAX_PATH];
    WIN32_FIND_DATAA entry;
    const size_t length = strlen(folder);
    if (length + sizeof "/*" > sizeof pattern) {
        return;
    }
    memcpy(pattern, folder, length);
    memcpy(pattern + length, "/*", sizeof "/*");
    HANDLE search = FindFirstFileA(pattern, &entry);
    if (search == INVALID_HANDLE_VALUE) {
        return;
    }
    do {
        if (visit(context, entry.cFileName)) {
            break;
        }
    } while (FindNextFileA(search, &entry));
    FindClose(search);
}

int hm__os_file_exists(const char *path)
{
    const DWORD attributes = GetFileAttributesA(path);
    return attributes != INVALID_FILE_ATTRIBUTES &&
           !(attributes & FILE_ATTRIBUTE_DIRECTORY);
}

int hm__os_file_create(const char *path, int append)
{
    return _open(path,
                 _O_WRONLY | _O_CREAT | _O_BINARY | _O_NOINHERIT |
                     (append ? _O_APPEND : _O_TRUNC),
                 _S_IREAD | _S_IWRITE);
}

void hm__os_file_close(int fd)
{
    const int kept = errno;
    _close(fd);
    errno = kept;
}

uint32_t hm__os_process_id(void)
{
    return GetCurrentProcessId();
}

/* Of a module, with / between folders; its length, or 0 when it does not fit or is not known. */
static size_t module_path(HMODULE module, char *path, size_t size)
{
    const DWORD length = GetModuleFileNameA(module, path, (DWORD)size);
    if (length == 0 || length >= size) {
        return 0;
    }
    for (char *at = path; (at = strchr(at, '\\')) != NULL; at++) {
        *at = '/';
    }
    return length;
}

int hm__os_object_path(const void *inside, char *path, size_t size)
{
    HMODULE module;
    return GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                                  GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                              inside, &module) &&
           module_path(module, path, size) > 0;
}

const char *hm__os_program(void)
{
    /* Whoever comes first writes, and others see the whole name or an empty one. */
    static char path[MAX_PATH];
    static const char *name;
    const char *known = __atomic_load_n(&name, __ATOMIC_ACQUIRE);
    if (!known) {
        const size_t length = module_path(NULL, path, sizeof path);
        const char *slash = length ? strrchr(path, '/') : NULL;
        known = slash ? slash + 1 : path;
        __atomic_store_n(&name, known, __ATOMIC_RELEASE);
    }
    return known;
}
