/* SPDX-License-Identifier: MIT */
/* A sized free with another size, and a free with another alignment: the block stays the caller's. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    char *block = hm_alloc(m, 41);
    EXPECT(HM_E_SIZE, hm_free_sized(m, block, 4100));
    EXPECT(HM_OK, hm_free_sized(m, block, 41));
    block = hm_alloc_aligned(m, 100, 64);
    EXPECT(HM_E_SIZE, hm_free_at(m, block, 100, 32, HM_SITE));
    EXPECT(HM_E_INVALID, hm_free_at(m, block, 100, 24, HM_SITE));
    EXPECT(HM_OK, hm_free_at(m, block, 100, 64, HM_SITE));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 free with the wrong size (HM_E_SIZE), malloc "rows"
 *   block        0xADDRESS, 41 bytes, #1 of its site, malloc "rows"
 *   allocated    wrong_size.c:8 (main), thread 1
 *   said to be   4100 bytes
 *   freed here   wrong_size.c:9 (main), thread 1
 * ==hostmalloc== ERROR #2 free with the wrong alignment (HM_E_SIZE), malloc "rows"
 *   block        0xADDRESS, 100 bytes, #1 of its site, malloc "rows"
 *   allocated    wrong_size.c:11 (main), thread 1
 *   said to be   aligned to 32
 *   freed here   wrong_size.c:12 (main), thread 1
 * ==hostmalloc== ERROR #3 free with the wrong alignment (HM_E_INVALID), malloc "rows"
 *   block        0xADDRESS, 100 bytes, #1 of its site, malloc "rows"
 *   allocated    wrong_size.c:11 (main), thread 1
 *   said to be   aligned to 24
 *   freed here   wrong_size.c:13 (main), thread 1
 * ==hostmalloc== SUMMARY: 3 errors, 0 blocks and 0 bytes leaked at 0 sites
 */
