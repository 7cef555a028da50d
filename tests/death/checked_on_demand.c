/* SPDX-License-Identifier: MIT */
/* A check finds an overrun before any free does; the block stays live. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    char *block = hm_alloc(m, 10);
    uint64_t damaged = 0;
    const char kept = block[10];
    block[10] = 0;
    EXPECT(HM_E_CORRUPT, hm_debug_check(hm_debug_of_malloc(m), &damaged));
    if (damaged != 1) {
        exit(3);
    }
    block[10] = kept;
    EXPECT(HM_OK, hm_free(m, block));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 write past the end of a block (HM_E_CORRUPT), malloc "rows"
 *   block        0xADDRESS, 10 bytes, #1 of its site, malloc "rows"
 *   allocated    checked_on_demand.c:8 (main), thread 1
 *   bytes        +2: cd cd cd cd cd cd cd cd | [00] .. .. .. .. .. .. ..
 *   hint         off by one: no room for the terminating NUL
 * ==hostmalloc== SUMMARY: 1 error, 0 blocks and 0 bytes leaked at 0 sites
 */
