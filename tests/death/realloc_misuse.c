/* SPDX-License-Identifier: MIT */
/* Realloc judges its block as a free does; an overrun block's bytes are saved. */
#include "death.h"

#include <string.h>

static void must(int condition)
{
    if (!condition) {
        exit(3);
    }
}

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    char *block = hm_alloc(m, 10);
    must(!hm_realloc_at(m, block, 11, 20, HM_LEVEL_TASK, HM_SITE));
    must(!hm_realloc(m, block + 3, 20));
    hm_free(m, block);
    must(!hm_realloc(m, block, 20));
    block = hm_alloc(m, 10);
    memset(block, 'a', 12);
    block = hm_realloc(m, block, 20);
    must(block && memcmp(block, "aaaaaaaaaa", 10) == 0);
    EXPECT(HM_OK, hm_free(m, block));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 realloc with the wrong old size (HM_E_SIZE), malloc "rows"
 *   block        0xADDRESS, 10 bytes, #1 of its site, malloc "rows"
 *   allocated    realloc_misuse.c:17 (main), thread 1
 *   said to be   11 bytes
 *   realloc here realloc_misuse.c:18 (main), thread 1
 * ==hostmalloc== ERROR #2 realloc of an address inside a block (HM_E_NOT_OWNED), malloc "rows"
 *   address      0xADDRESS
 *   block        0xADDRESS, 10 bytes, #1 of its site, malloc "rows"
 *   allocated    realloc_misuse.c:17 (main), thread 1
 *   which is     3 bytes inside it
 *   realloc here realloc_misuse.c:19 (main), thread 1
 * ==hostmalloc== ERROR #3 realloc of a freed block (HM_E_FREED), malloc "rows"
 *   block        0xADDRESS, 10 bytes, #1 of its site, malloc "rows"
 *   allocated    realloc_misuse.c:17 (main), thread 1
 *   freed        realloc_misuse.c:20 (main), thread 1
 *   realloc here realloc_misuse.c:21 (main), thread 1
 * ==hostmalloc== ERROR #4 write past the end of a block (HM_E_CORRUPT), malloc "rows"
 *   block        0xADDRESS, 10 bytes, #1 of its site, malloc "rows"
 *   allocated    realloc_misuse.c:22 (main), thread 1
 *   bytes        +2: 61 61 61 61 61 61 61 61 | [61] [61] .. .. .. .. .. ..
 *   realloc here realloc_misuse.c:24 (main), thread 1
 * ==hostmalloc== SUMMARY: 4 errors, 0 blocks and 0 bytes leaked at 0 sites
 */
