/* SPDX-License-Identifier: MIT */
/* Written to after the free; seen when the block is about to go back to its allocator. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    char *block = hm_alloc(m, 41);
    EXPECT(HM_OK, hm_free(m, block));
    block[3] = 7;
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 write after free (HM_E_CORRUPT), malloc "rows"
 *   block        0xADDRESS, 41 bytes, #1 of its site, malloc "rows"
 *   allocated    write_after_free.c:8 (main), thread 1
 *   freed        write_after_free.c:9 (main), thread 1
 *   bytes        +3: [07] .. .. .. .. .. .. .. .. .. .. .. .. .. .. ..
 *   hint         found when the block was about to go back to its allocator
 * ==hostmalloc== SUMMARY: 1 error, 0 blocks and 0 bytes leaked at 0 sites
 */
