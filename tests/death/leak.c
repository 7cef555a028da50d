/* SPDX-License-Identifier: MIT */
/* Blocks never freed, listed by line when the host goes. */
#include "death.h"

static void load_rows(hm_malloc *m)
{
    for (int i = 0; i < 10; i++) {
        hm_alloc(m, 410);
    }
}

static void *grow(hm_malloc *m)
{
    return hm_alloc(m, 320);
}

int main(void)
{
    hm_malloc *m = death_malloc("rows", 0);
    void *kept = hm_alloc(m, 77);
    load_rows(m);
    grow(m);
    hm_free(m, grow(m));
    hm_free(m, kept);
    return death_end(m);
}

/* Report:
 * ==hostmalloc== malloc "rows" was released with 11 blocks of 4420 bytes live
 * ==hostmalloc== LEAK: blocks never freed
 *     blocks         bytes    share  site
 *         10          4100    92.7%  leak.c:8 (load_rows)
 *          1           320     7.2%  leak.c:14 (grow)
 *         11          4420           total of 2 sites
 * ==hostmalloc== SUMMARY: 0 errors, 11 blocks and 4420 bytes leaked at 2 sites
 */
