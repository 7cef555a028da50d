/* SPDX-License-Identifier: MIT */
/* A pointer next to NULL, as the member of a NULL struct has. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    EXPECT(HM_E_NOT_OWNED, hm_free(m, (void *)17));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 free of an address just above NULL (HM_E_NOT_OWNED), malloc "rows"
 *   address      0xADDRESS
 *   freed here   small_number.c:8 (main), thread 1
 *   hint         a member of a NULL struct, or a small number
 * ==hostmalloc== SUMMARY: 1 error, 0 blocks and 0 bytes leaked at 0 sites
 */
