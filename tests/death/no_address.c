/* SPDX-License-Identifier: MIT */
/* Words that are no addresses: the kernel's half, and what fresh and freed memory is filled with. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    EXPECT(HM_E_NOT_OWNED, hm_free(m, (void *)(uintptr_t)0xFFFF800000000010u));
    void **fresh = hm_alloc(m, sizeof(void *));
    EXPECT(HM_E_NOT_OWNED, hm_free(m, *fresh));
    hm_free(m, fresh);
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 free of an address no program can own (HM_E_NOT_OWNED), malloc "rows"
 *   address      0xADDRESS
 *   freed here   no_address.c:8 (main), thread 1
 *   hint         the pointer was overwritten, or holds something else
 * ==hostmalloc== ERROR #2 free of an address no program can own (HM_E_NOT_OWNED), malloc "rows"
 *   address      0xADDRESS
 *   freed here   no_address.c:10 (main), thread 1
 *   hint         the pointer was overwritten, or holds something else
 * ==hostmalloc== SUMMARY: 2 errors, 0 blocks and 0 bytes leaked at 0 sites
 */
