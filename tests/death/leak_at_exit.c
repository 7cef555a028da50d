/* SPDX-License-Identifier: MIT */
/* A host nobody releases reports when the process ends. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    hm_alloc(m, 24);
    return 0;
}

/* Report:
 * ==hostmalloc== LEAK: blocks never freed
 *     blocks         bytes    share  site
 *          1            24   100.0%  leak_at_exit.c:8 (main)
 *          1            24           total of 1 site
 * ==hostmalloc== SUMMARY: 0 errors, 1 block and 24 bytes leaked at 1 site
 */
