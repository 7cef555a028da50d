/* SPDX-License-Identifier: MIT */
/* The second free comes when the block has long gone back to its allocator: still a verdict, without the places. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    char *large = hm_alloc(m, 1 << 20);
    EXPECT(HM_OK, hm_free(m, large));
    EXPECT(HM_E_FREED, hm_free(m, large));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 double free of a block given back already (HM_E_FREED), malloc "rows"
 *   address      0xADDRESS
 *   freed here   double_free_late.c:10 (main), thread 1
 *   hint         the address went back to its allocator, and may be another's block by now
 * ==hostmalloc== dropped: 1 (freed blocks too large to be held back)
 * ==hostmalloc== SUMMARY: 1 error, 0 blocks and 0 bytes leaked at 0 sites
 */
