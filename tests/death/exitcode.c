/* SPDX-License-Identifier: MIT */
/* A leak decides how the process ends, and what it printed is not lost. */
#include "death.h"

#include <stdio.h>

int main(void)
{
    hm_malloc *m = death_malloc_of("debug:exitcode=23", "rows", 0);
    FILE *stream = fopen("/dev/stderr", "w");
    hm_alloc(m, 24);
    fputs("from the buffer of a stream", stream);
    return 0;
}

/* Report, exit 23:
 * ==hostmalloc== LEAK: blocks never freed
 *     blocks         bytes    share  site
 *          1            24   100.0%  exitcode.c:11 (main)
 *          1            24           total of 1 site
 * ==hostmalloc== SUMMARY: 0 errors, 1 block and 24 bytes leaked at 1 site
 * from the buffer of a stream
 */
