/* SPDX-License-Identifier: MIT */
/* What our tests use of POSIX and mingw-w64 has under another name; included before everything else. */
#ifndef HM_TESTS_WINE_SYSTEM_H
#define HM_TESTS_WINE_SYSTEM_H

#include <fcntl.h>
#include <io.h>
#include <stdlib.h>
#include <unistd.h>

static inline int setenv(const char *name, const char *value, int replace)
{
    return replace || !getenv(name) ? _putenv_s(name, value) : 0;
}

static inline int unsetenv(const char *name)
{
    return _putenv_s(name, "");
}

static inline int pipe(int ends[2])
{
    return _pipe(ends, 65536, _O_BINARY);
}

#endif
