/* SPDX-License-Identifier: MIT */
/* One byte before the start. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    char *block = hm_alloc_zeroed(m, 1, 41);
    block[-1] = 7;
    EXPECT(HM_E_CORRUPT, hm_free(m, block));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 write before the start of a block (HM_E_CORRUPT), malloc "rows"
 *   block        0xADDRESS, 41 bytes, #1 of its site, malloc "rows"
 *   allocated    underrun.c:8 (main), thread 1
 *   bytes        -3: .. .. [07] | 00 00 00 00 00 00 00 00
 *   freed here   underrun.c:10 (main), thread 1
 * ==hostmalloc== SUMMARY: 1 error, 0 blocks and 0 bytes leaked at 0 sites
 */
