/* SPDX-License-Identifier: MIT */
/* A local variable is freed. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    char local[64];
    EXPECT(HM_E_NOT_OWNED, hm_free(m, local + ((uintptr_t)local & 8)));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 free of an address on this thread's stack (HM_E_NOT_OWNED), malloc "rows"
 *   address      0xADDRESS
 *   freed here   stack.c:9 (main), thread 1
 *   hint         a local variable goes by itself when its function returns
 * ==hostmalloc== SUMMARY: 1 error, 0 blocks and 0 bytes leaked at 0 sites
 */
