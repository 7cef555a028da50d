/* SPDX-License-Identifier: MIT */
/* A block of zero bytes has no byte to write to. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    char *block = hm_alloc(m, 0);
    block[0] = 1;
    EXPECT(HM_E_CORRUPT, hm_free(m, block));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 write past the end of a block (HM_E_CORRUPT), malloc "rows"
 *   block        0xADDRESS, 0 bytes, #1 of its site, malloc "rows"
 *   allocated    zero_bytes.c:8 (main), thread 1
 *   bytes        +0: | [01] .. .. .. .. .. .. ..
 *   freed here   zero_bytes.c:10 (main), thread 1
 *   hint         off by one
 * ==hostmalloc== SUMMARY: 1 error, 0 blocks and 0 bytes leaked at 0 sites
 */
