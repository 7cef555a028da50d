/* SPDX-License-Identifier: MIT */
/* What mingw-w64 has under another name than POSIX, or has otherwise; included before everything else. */
#ifndef HM_TESTS_WINE_SYSTEM_H
#define HM_TESTS_WINE_SYSTEM_H

#include <stdio.h>
#include <stdlib.h>

static inline int setenv(const char *name, const char *value, int replace)
{
    return replace || !getenv(name) ? _putenv_s(name, value) : 0;
}

static inline int unsetenv(const char *name)
{
    return _putenv_s(name, "");
}

/* The library's makes its file in the root of the drive, where not everybody may. D: gone once it is closed. */
static inline FILE *hm_test_tmpfile(void)
{
    char *name = tempnam(".", "hm");
    FILE *file = name ? fopen(name, "w+bD") : NULL;
    free(name);
    return file;
}
#define tmpfile hm_test_tmpfile

#endif
