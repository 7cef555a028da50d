/* SPDX-License-Identifier: MIT */
/* Where the report goes. A program may close every descriptor it does not know, and open its own files in their place: what
 * we hold is used only while it is still what we opened. */
#include "report_internal.h"

#include <hostmalloc/module.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Above what programs count on being theirs. */
#define HIGH_ENOUGH 500

static int held = -1;
static struct stat opened;
static const char *path; /* NULL: standard error */

static int is_still(int fd)
{
    struct stat now;
    return fd >= 0 && fstat(fd, &now) == 0 && now.st_dev == opened.st_dev &&
           now.st_ino == opened.st_ino && now.st_rdev == opened.st_rdev;
}

static int hold(int fd)
{
    const int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_ENOUGH);
    return high >= 0 ? high : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* "%p" is the process's number: with children that follow each one has a file of its own. */
static int open_file(void)
{
    char name[4096];
    const char *mark = strstr(path, "%p");
    if (!mark) {
        return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    }
    snprintf(name, sizeof name, "%.*s%ld%s", (int)(mark - path), path, (long)getpid(),
             mark + 2);
    return open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

/* Never at one of the first three: the command that writes the report is given those. */
static int open_held(void)
{
    const int fd = open_file();
    const int high = hold(fd);
    if (fd >= 0) {
        close(fd);
    }
    return high;
}

void hm__preload_output_start(const char *file)
{
    path = file;
    held = path ? open_held() : hold(2);
    if (held < 0 || fstat(held, &opened) != 0) {
        memset(&opened, 0, sizeof opened);
    }
}

void hm__preload_output_forget(void)
{
    if (is_still(held)) {
        close(held);
    }
    held = -1;
}

int hm__preload_output(void)
{
    if (is_still(held)) {
        return held;
    }
    if (path) {
        held = open_held();
        return held;
    }
    return is_still(2) ? 2 : -1;
}
