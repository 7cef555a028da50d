/* SPDX-License-Identifier: MIT */
/* A global and a literal are freed. */
#include "death.h"

static char global[100];

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    EXPECT(HM_E_NOT_OWNED, hm_free(m, global));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 free of static data or code (HM_E_NOT_OWNED), malloc "rows"
 *   address      0xADDRESS
 *   which is in  PROGRAM
 *   freed here   static_data.c:10 (main), thread 1
 * ==hostmalloc== SUMMARY: 1 error, 0 blocks and 0 bytes leaked at 0 sites
 */
