/* SPDX-License-Identifier: MIT */
/* The compiler's, and what it lacks. */
#ifndef HM_TESTS_WINE_UNISTD_H
#define HM_TESTS_WINE_UNISTD_H

#include_next <unistd.h>

#include <fcntl.h>
#include <io.h>

static inline int pipe(int ends[2])
{
    return _pipe(ends, 65536, _O_BINARY);
}

#endif
