/* SPDX-License-Identifier: MIT */
/* Only what is no leak is left: the process ends as it would. */
#include "death.h"

int main(void)
{
    hm_host *none;
    hm_malloc *m = death_malloc_of("debug:exitcode=23", "rows", 0);
    EXPECT(HM_E_INVALID, hm_host_open("debug:exitcode=256", &none, NULL));
    hm_free(m, hm_alloc(m, 24));
    EXPECT(HM_OK, hm_debug_ignore(hm_debug_of_host(death_host), hm_alloc(m, 1)));
    return 0;
}

/* Report:
 * ==hostmalloc== SUMMARY: 0 errors, 0 blocks and 0 bytes leaked at 0 sites, 1 block ignored
 */
