/* SPDX-License-Identifier: MIT */
/* A malloc is used after its last release, and released once more. */
#include "death.h"

int main(void)
{
    hm_malloc *keeper = death_malloc("keeper", 0);
    hm_malloc *m = death_malloc("rows", 0);
    char *block = hm_alloc(m, 10);
    hm_malloc_release(m);
    if (hm_alloc(m, 10)) {
        exit(3);
    }
    EXPECT(HM_OK, hm_free(m, block));
    hm_malloc_release(m);
    return death_end(keeper);
}

/* Report:
 * ==hostmalloc== malloc "rows" was released with 1 block of 10 bytes live
 * ==hostmalloc== ERROR #1 allocation from a released malloc, malloc "rows"
 *   here         released.c:11 (main), thread 1
 * ==hostmalloc== ERROR #2 free on a released malloc, malloc "rows"
 *   here         released.c:14 (main), thread 1
 * ==hostmalloc== ERROR #3 release of a released malloc, malloc "rows"
 *   here         (unknown), thread 1
 * ==hostmalloc== SUMMARY: 3 errors, 0 blocks and 0 bytes leaked at 0 sites
 */
