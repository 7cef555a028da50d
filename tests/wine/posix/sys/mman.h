/* SPDX-License-Identifier: MIT */
/* Fresh mappings as our tests make them, which are given back whole. */
#ifndef HM_TESTS_WINE_MMAN_H
#define HM_TESTS_WINE_MMAN_H

#include <windows.h>

#define PROT_NONE     0
#define PROT_READ     1
#define PROT_WRITE    2
#define MAP_PRIVATE   1
#define MAP_ANONYMOUS 2
#define MAP_NORESERVE 4
#define MAP_FAILED    ((void *)-1)

static inline void *
mmap(void *address, size_t bytes, int protection, int flags, int fd, long offset)
{
    (void)flags, (void)fd, (void)offset;
    const DWORD pages = protection & PROT_WRITE  ? PAGE_READWRITE
                        : protection & PROT_READ ? PAGE_READONLY
                                                 : PAGE_NOACCESS;
    void *made = VirtualAlloc(address, bytes, MEM_RESERVE | MEM_COMMIT, pages);
    return made ? made : MAP_FAILED;
}

static inline int munmap(void *address, size_t bytes)
{
    (void)bytes;
    return VirtualFree(address, 0, MEM_RELEASE) ? 0 : -1;
}

#endif
