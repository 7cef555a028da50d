/* SPDX-License-Identifier: MIT */
/* Addresses inside a block, even and odd, and inside one that was freed. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    char *block = hm_alloc(m, 100);
    EXPECT(HM_E_NOT_OWNED, hm_free(m, block + 32));
    EXPECT(HM_E_NOT_OWNED, hm_free(m, block + 99));
    EXPECT(HM_OK, hm_free(m, block));
    EXPECT(HM_E_NOT_OWNED, hm_free(m, block + 16));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 free of an address inside a block (HM_E_NOT_OWNED), malloc "rows"
 *   address      0xADDRESS
 *   block        0xADDRESS, 100 bytes, #1 of its site, malloc "rows"
 *   allocated    inside.c:8 (main), thread 1
 *   which is     32 bytes inside it
 *   freed here   inside.c:9 (main), thread 1
 * ==hostmalloc== ERROR #2 free of an address inside a block (HM_E_NOT_OWNED), malloc "rows"
 *   address      0xADDRESS
 *   block        0xADDRESS, 100 bytes, #1 of its site, malloc "rows"
 *   allocated    inside.c:8 (main), thread 1
 *   which is     99 bytes inside it
 *   freed here   inside.c:10 (main), thread 1
 * ==hostmalloc== ERROR #3 free of an address inside a freed block (HM_E_NOT_OWNED), malloc "rows"
 *   address      0xADDRESS
 *   block        0xADDRESS, 100 bytes, #1 of its site, malloc "rows"
 *   allocated    inside.c:8 (main), thread 1
 *   freed        inside.c:11 (main), thread 1
 *   which is     16 bytes inside it
 *   freed here   inside.c:12 (main), thread 1
 * ==hostmalloc== SUMMARY: 3 errors, 0 blocks and 0 bytes leaked at 0 sites
 */
