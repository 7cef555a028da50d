/* SPDX-License-Identifier: MIT */
/* A mistake of a host that is gone by the end of the process. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc_of("debug:exitcode=7", "rows", 0);
    void *block = hm_alloc(m, 24);
    hm_free(m, block);
    EXPECT(HM_E_FREED, hm_free(m, block));
    return death_end(m);
}

/* Report, exit 7:
 * ==hostmalloc== ERROR #1 double free (HM_E_FREED), malloc "rows"
 *   block        0xADDRESS, 24 bytes, #1 of its site, malloc "rows"
 *   allocated    exitcode_released.c:8 (main), thread 1
 *   freed        exitcode_released.c:9 (main), thread 1
 *   freed again  exitcode_released.c:10 (main), thread 1
 * ==hostmalloc== SUMMARY: 1 error, 0 blocks and 0 bytes leaked at 0 sites
 */
