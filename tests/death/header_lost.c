/* SPDX-License-Identifier: MIT */
/* A far write takes a whole header: the victim cannot say where it came from, the block before it can. */
#include "death.h"

#include <string.h>

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    char *before = hm_alloc(m, 40);
    char *victim = hm_alloc(m, 40);
    if (victim < before) {
        char *swap = victim;
        victim = before;
        before = swap;
    }
    memset(victim - 16, 'x', 16);
    EXPECT(HM_E_CORRUPT, hm_free(m, victim));
    EXPECT(HM_OK, hm_free(m, before));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 header of a block overwritten (HM_E_CORRUPT), malloc "rows"
 *   block        0xADDRESS, size and site are overwritten
 *   bytes        -16: 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78
 *   freed here   header_lost.c:18 (main), thread 1
 *   block before 0xADDRESS, 40 bytes, #1 of its site, malloc "rows"
 *   allocated    header_lost.c:10 (main), thread 1
 *   hint         a write far past the end of the block before it, or far before its own start
 * ==hostmalloc== malloc "rows" was released with 1 block of 40 bytes live
 * ==hostmalloc== LEAK: blocks never freed
 *     blocks         bytes    share  site
 *          1            40   100.0%  header_lost.c:11 (main)
 *          1            40           total of 1 site
 *     among them 1 block freed with the header overwritten: the site is not known
 * ==hostmalloc== SUMMARY: 1 error, 1 block and 40 bytes leaked at 1 site
 */
