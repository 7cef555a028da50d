/* SPDX-License-Identifier: MIT */
/* A program that takes no library runs as if nobody had asked for more: that is said, lest its silence be taken for a clean
 * report. Only its file is looked at. */
#include "run_notice.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int find(const char *program, char *path, size_t size)
{
    const char *at = getenv("PATH");
    if (strchr(program, '/')) {
        return (size_t)snprintf(path, size, "%s", program) < size;
    }
    while (at && *at) {
        const size_t length = strcspn(at, ":");
        const int written =
            snprintf(path, size, "%.*s%s%s", (int)length, at, length ? "/" : "", program);
        if (written > 0 && (size_t)written < size && access(path, X_OK) == 0) {
            return 1;
        }
        at += length + (at[length] == ':');
    }
    return 0;
}

/* 1: a program of this machine's kind that names no loader. The loader itself names none either, but its like lies at no
   fixed address. */
static int is_static(int fd)
{
    ElfW(Ehdr) head;
    ElfW(Phdr) part;
    if (pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        head.e_type != ET_EXEC || head.e_phentsize != sizeof part) {
        return 0;
    }
    for (size_t i = 0; i < head.e_phnum; i++) {
        const off_t at = (off_t)(head.e_phoff + i * sizeof part);
        if (pread(fd, &part, sizeof part, at) != (ssize_t)sizeof part ||
            part.p_type == PT_INTERP) {
            return 0;
        }
    }
    return 1;
}

const char *run_takes_none(const char *program)
{
    char path[PATH_MAX];
    struct stat file;
    if (!find(program, path, sizeof path) || stat(path, &file) != 0 ||
        !S_ISREG(file.st_mode)) {
        return NULL;
    }
    if ((file.st_mode & S_ISUID && file.st_uid != getuid()) ||
        (file.st_mode & S_ISGID && file.st_gid != getgid())) {
        return "runs with other rights than yours";
    }
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *why = fd >= 0 && is_static(fd) ? "is statically linked" : NULL;
    if (fd >= 0) {
        close(fd);
    }
    return why;
}
