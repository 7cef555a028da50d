/* SPDX-License-Identifier: MIT */
/* A few bytes past the end, on thread-safe and aligned blocks as well. */
#include "death.h"

#include <string.h>

int main(void)
{
    hm_malloc *m = death_malloc("rows", HM_MALLOC_THREADSAFE);
    char *block = hm_alloc(m, 41);
    memset(block, 'a', 41 + 3);
    EXPECT(HM_E_CORRUPT, hm_free(m, block));
    block = hm_alloc_aligned(m, 100, 64);
    block[101] = 7;
    EXPECT(HM_E_CORRUPT, hm_free(m, block));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 write past the end of a block (HM_E_CORRUPT), malloc "rows"
 *   block        0xADDRESS, 41 bytes, #1 of its site, malloc "rows"
 *   allocated    overrun.c:10 (main), thread 1
 *   bytes        +33: 61 61 61 61 61 61 61 61 | [61] [61] [61] .. .. .. .. ..
 *   freed here   overrun.c:12 (main), thread 1
 * ==hostmalloc== ERROR #2 write past the end of a block (HM_E_CORRUPT), malloc "rows"
 *   block        0xADDRESS, 100 bytes, #1 of its site, malloc "rows"
 *   allocated    overrun.c:13 (main), thread 1
 *   bytes        +92: cd cd cd cd cd cd cd cd | .. [07] .. .. .. .. .. ..
 *   freed here   overrun.c:15 (main), thread 1
 * ==hostmalloc== SUMMARY: 2 errors, 0 blocks and 0 bytes leaked at 0 sites
 */
