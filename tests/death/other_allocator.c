/* SPDX-License-Identifier: MIT */
/* A block of the C library, and an address of nobody's. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    char *foreign = malloc(100);
    EXPECT(HM_E_NOT_OWNED, hm_free(m, foreign));
    EXPECT(HM_E_NOT_OWNED, hm_free(m, (void *)(uintptr_t)0x10000000000));
    free(foreign);
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 free of another allocator's memory (HM_E_NOT_OWNED), malloc "rows"
 *   address      0xADDRESS
 *   freed here   other_allocator.c:9 (main), thread 1
 *   hint         free it with the partner of what allocated it
 * ==hostmalloc== ERROR #2 free of an address where nothing is mapped (HM_E_NOT_OWNED), malloc "rows"
 *   address      0xADDRESS
 *   freed here   other_allocator.c:10 (main), thread 1
 *   hint         the pointer was overwritten, or its memory went back to the system
 * ==hostmalloc== SUMMARY: 2 errors, 0 blocks and 0 bytes leaked at 0 sites
 */
