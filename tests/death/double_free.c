/* SPDX-License-Identifier: MIT */
/* Freed twice: three places. */
#include "death.h"

static void drop(hm_malloc *m, void *block)
{
    EXPECT(HM_OK, hm_free(m, block));
}

int main(void)
{
    hm_malloc *m = death_malloc("rows", HM_MALLOC_THREADSAFE);
    char *block = hm_alloc(m, 41);
    drop(m, block);
    EXPECT(HM_E_FREED, hm_free(m, block));
    EXPECT(HM_E_FREED, hm_free_sized(m, block, 41));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 double free (HM_E_FREED), malloc "rows"
 *   block        0xADDRESS, 41 bytes, #1 of its site, malloc "rows"
 *   allocated    double_free.c:13 (main), thread 1
 *   freed        double_free.c:7 (drop), thread 1
 *   freed again  double_free.c:15 (main), thread 1
 * ==hostmalloc== ERROR #2 double free (HM_E_FREED), malloc "rows"
 *   block        0xADDRESS, 41 bytes, #1 of its site, malloc "rows"
 *   allocated    double_free.c:13 (main), thread 1
 *   freed        double_free.c:7 (drop), thread 1
 *   freed again  double_free.c:16 (main), thread 1
 * ==hostmalloc== SUMMARY: 2 errors, 0 blocks and 0 bytes leaked at 0 sites
 */
