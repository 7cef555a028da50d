/* SPDX-License-Identifier: MIT */
/* A block of the C library, and an address of nobody's. */
#include "death.h"

#include <sys/mman.h>

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    char *foreign = malloc(100);
    EXPECT(HM_E_NOT_OWNED, hm_free(m, foreign));
    char *pages = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages, 1 << 20);
    EXPECT(HM_E_NOT_OWNED, hm_free(m, pages + (1 << 19)));
    free(foreign);
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 free of another allocator's memory (HM_E_NOT_OWNED), malloc "rows"
 *   address      0xADDRESS
 *   freed here   other_allocator.c:11 (main), thread 1
 *   hint         free it with the partner of what allocated it
 * ==hostmalloc== ERROR #2 free of an address where nothing is mapped (HM_E_NOT_OWNED), malloc "rows"
 *   address      0xADDRESS
 *   freed here   other_allocator.c:14 (main), thread 1
 *   hint         the pointer was overwritten, or its memory went back to the system
 * ==hostmalloc== SUMMARY: 2 errors, 0 blocks and 0 bytes leaked at 0 sites
 */
