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

typedef struct kept {
    int held;
    struct stat opened;
} kept;

static kept report = {.held = -1};
static kept errors = {.held = -1}; /* standard error, where that is not the report's */
static const char *path;           /* NULL: standard error */

static int is_still(const kept *k, int fd)
{
    struct stat now;
    return fd >= 0 && fstat(fd, &now) == 0 && now.st_dev == k->opened.st_dev &&
           now.st_ino == k->opened.st_ino && now.st_rdev == k->opened.st_rdev;
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

static void keep(kept *k, int fd)
{
    k->held = fd;
    if (fd < 0 || fstat(fd, &k->opened) != 0) {
        memset(&k->opened, 0, sizeof k->opened);
    }
}

void hm__preload_output_start(const char *file)
{
    path = file;
    keep(&report, path ? open_held() : hold(2));
    if (path) {
        keep(&errors, hold(2));
    }
}

static void forget(kept *k)
{
    if (is_still(k, k->held)) {
        close(k->held);
    }
    k->held = -1;
}

void hm__preload_output_forget(void)
{
    forget(&report);
    forget(&errors);
}

static int standard_error(const kept *k)
{
    return is_still(k, k->held) ? k->held : is_still(k, 2) ? 2 : -1;
}

int hm__preload_output(void)
{
    if (path && !is_still(&report, report.held)) {
        report.held = open_held();
    }
    return path ? report.held : standard_error(&report);
}

int hm__preload_errors(void)
{
    return standard_error(path ? &errors : &report);
}
