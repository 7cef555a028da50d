/* SPDX-License-Identifier: MIT */
/* The same mistake many times is printed once and counted. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    for (int i = 0; i < 1000; i++) {
        char *block = hm_alloc(m, 41);
        hm_free(m, block);
        EXPECT(HM_E_FREED, hm_free(m, block));
    }
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 double free (HM_E_FREED), malloc "rows"
 *   block        0xADDRESS, 41 bytes, #1 of its site, malloc "rows"
 *   allocated    double_free_repeated.c:9 (main), thread 1
 *   freed        double_free_repeated.c:10 (main), thread 1
 *   freed again  double_free_repeated.c:11 (main), thread 1
 * ==hostmalloc== 999 more like ERROR #1 double free
 * ==hostmalloc== SUMMARY: 1000 errors, 0 blocks and 0 bytes leaked at 0 sites
 */
