/* SPDX-License-Identifier: MIT */
/* One NUL too far, the commonest overrun. */
#include "death.h"

#include <string.h>

int main(void)
{
    hm_malloc *m = death_malloc("names", 0);
    const char *name = "no room for the NUL";
    const size_t length = strlen(name);
    char *copy = hm_alloc(m, length);
    memcpy(copy, name, length);
    copy[length] = '\0';
    EXPECT(HM_E_CORRUPT, hm_free(m, copy));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 write past the end of a block (HM_E_CORRUPT), malloc "names"
 *   block        0xADDRESS, 19 bytes, #1 of its site, malloc "names"
 *   allocated    overrun_nul.c:12 (main), thread 1
 *   bytes        +11: 20 74 68 65 20 4e 55 4c | [00] .. .. .. .. .. .. ..
 *   freed here   overrun_nul.c:15 (main), thread 1
 *   hint         off by one: no room for the terminating NUL
 * ==hostmalloc== SUMMARY: 1 error, 0 blocks and 0 bytes leaked at 0 sites
 */
