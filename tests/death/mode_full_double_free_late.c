/* SPDX-License-Identifier: MIT */
/* Many blocks were freed since the first free, and all that was known of this one is still there. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc_of("debug:mode=full", "rows", 0);
    char *block = hm_alloc(m, 41);
    EXPECT(HM_OK, hm_free(m, block));
    for (int i = 0; i < 1500; i++) {
        EXPECT(HM_OK, hm_free(m, hm_alloc(m, 16)));
    }
    EXPECT(HM_E_FREED, hm_free(m, block));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 double free (HM_E_FREED), malloc "rows"
 *   block        0xADDRESS, 41 bytes, #1 of its site, malloc "rows"
 *   allocated    mode_full_double_free_late.c:8 (main), thread 1
 *   freed        mode_full_double_free_late.c:9 (main), thread 1
 *   freed again  mode_full_double_free_late.c:13 (main), thread 1
 * ==hostmalloc== SUMMARY: 1 error, 0 blocks and 0 bytes leaked at 0 sites
 */
