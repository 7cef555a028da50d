/* SPDX-License-Identifier: MIT */
/* A folder that stands in for / where memory figures are read, filled by the test. */
#ifndef HM_TESTS_FAKE_ROOT_H
#define HM_TESTS_FAKE_ROOT_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "os.h"

static char fake_root[64];

static inline void fake_root_open(void)
{
    strcpy(fake_root, "/tmp/hostmalloc-test-XXXXXX");
    assert_non_null(mkdtemp(fake_root));
    hm__os_memory_root(fake_root);
}

static inline int
fake_root_remove(const char *path, const struct stat *seen, int kind, struct FTW *at)
{
    (void)seen;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void fake_root_close(void)
{
    hm__os_memory_root(NULL);
    assert_int_equal(nftw(fake_root, fake_root_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* Appears whole, as the kernel's files do: another thread may be reading. Folders are made as needed. */
static inline void fake_root_file(const char *path, const char *text)
{
    char full[512];
    char fresh[600];
    assert_true(snprintf(full, sizeof full, "%s%s", fake_root, path) < (int)sizeof full);
    for (char *slash = full + strlen(fake_root) + 1; (slash = strchr(slash, '/'));
         slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    snprintf(fresh, sizeof fresh, "%s.new", full);
    const int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    assert_int_equal(rename(fresh, full), 0);
}

#endif
