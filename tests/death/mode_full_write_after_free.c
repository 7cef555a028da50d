/* SPDX-License-Identifier: MIT */
/* Written to far from the ends of a freed block, long before it goes back: only all of the fill shows that. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc_of("debug:mode=full", "rows", 0);
    char *block = hm_alloc(m, 1000);
    EXPECT(HM_OK, hm_free(m, block));
    for (int i = 0; i < 200; i++) {
        EXPECT(HM_OK, hm_free(m, hm_alloc(m, 16)));
    }
    block[500] = 7;
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 write after free (HM_E_CORRUPT), malloc "rows"
 *   block        0xADDRESS, 1000 bytes, #1 of its site, malloc "rows"
 *   allocated    mode_full_write_after_free.c:8 (main), thread 1
 *   freed        mode_full_write_after_free.c:9 (main), thread 1
 *   bytes        +500: [07] .. .. .. .. .. .. .. .. .. .. .. .. .. .. ..
 *   hint         found when the block was about to go back to its allocator
 * ==hostmalloc== SUMMARY: 1 error, 0 blocks and 0 bytes leaked at 0 sites
 */
