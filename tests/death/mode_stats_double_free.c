/* SPDX-License-Identifier: MIT */
/* A mode that only counts still knows that the block is gone, though not whose it was. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc_of("debug:mode=stats", "rows", 0);
    char *block = hm_alloc(m, 5);
    block[4] = 7;
    EXPECT(HM_OK, hm_free(m, block));
    EXPECT(HM_E_FREED, hm_free(m, block));
    hm_alloc(m, 7);
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 double free of a block given back already (HM_E_FREED), malloc "rows"
 *   address      0xADDRESS
 *   freed here   mode_stats_double_free.c:11 (main), thread 1
 *   hint         the address went back to its allocator, and may be another's block by now
 * ==hostmalloc== malloc "rows" was released with 1 block of 7 bytes live
 * ==hostmalloc== LEAK: blocks never freed
 *     blocks         bytes    share  site
 *          1             7   100.0%  mode_stats_double_free.c:12 (main)
 *          1             7           total of 1 site
 * ==hostmalloc== SUMMARY: 1 error, 1 block and 7 bytes leaked at 1 site
 */
