/* SPDX-License-Identifier: MIT */
/* Freed on the wrong malloc: named, and not freed. */
#include "death.h"

int main(void)
{
    hm_malloc *rows = death_malloc("rows", 0);
    hm_malloc *columns = death_malloc("columns", HM_MALLOC_THREADSAFE);
    char *block = hm_alloc(rows, 100);
    EXPECT(HM_E_NOT_OWNED, hm_free(columns, block));
    EXPECT(HM_OK, hm_free(rows, block));
    block = hm_alloc(columns, 10);
    EXPECT(HM_E_NOT_OWNED, hm_free(rows, block));
    EXPECT(HM_OK, hm_free(columns, block));
    hm_malloc_release(columns);
    return death_end(rows);
}

/* Report:
 * ==hostmalloc== ERROR #1 free of a block of another malloc (HM_E_NOT_OWNED), malloc "columns"
 *   block        0xADDRESS, 100 bytes, #1 of its site, malloc "rows"
 *   allocated    other_malloc.c:9 (main), thread 1
 *   freed here   other_malloc.c:10 (main), thread 1
 * ==hostmalloc== ERROR #2 free of a block of another malloc (HM_E_NOT_OWNED), malloc "rows"
 *   block        0xADDRESS, 10 bytes, #1 of its site, malloc "columns"
 *   allocated    other_malloc.c:12 (main), thread 1
 *   freed here   other_malloc.c:13 (main), thread 1
 * ==hostmalloc== SUMMARY: 2 errors, 0 blocks and 0 bytes leaked at 0 sites
 */
