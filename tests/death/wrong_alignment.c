/* SPDX-License-Identifier: MIT */
/* Alignments there are none of, and one that is another block's. */
#include "death.h"

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    hm_site *site = HM_SITE;
    void *none = site;
    const hm_request request = {
        .size = sizeof(request), .bytes = 41, .alignment = 48, .site = site};
    if (hm_alloc_aligned(m, 41, 24)) {
        return 1;
    }
    EXPECT(HM_E_INVALID, hm_malloc_request(m, &request, &none));
    char *block = hm_alloc_aligned(m, 41, 64);
    EXPECT(HM_E_SIZE, hm_free_at(m, block, 41, 128, site));
    EXPECT(HM_OK, hm_free_at(m, block, 41, 64, site));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== ERROR #1 allocation with an alignment that is no power of two (HM_E_INVALID), malloc "rows"
 *   said to be   aligned to 24
 *   asked here   wrong_alignment.c:12 (main), thread 1
 * ==hostmalloc== ERROR #2 allocation with an alignment that is no power of two (HM_E_INVALID), malloc "rows"
 *   said to be   aligned to 48
 *   asked here   wrong_alignment.c:8 (main), thread 1
 * ==hostmalloc== ERROR #3 free with the wrong alignment (HM_E_SIZE), malloc "rows"
 *   block        0xADDRESS, 41 bytes, #1 of its site, malloc "rows"
 *   allocated    wrong_alignment.c:16 (main), thread 1
 *   said to be   aligned to 128
 *   freed here   wrong_alignment.c:8 (main), thread 1
 * ==hostmalloc== SUMMARY: 3 errors, 0 blocks and 0 bytes leaked at 0 sites
 */
