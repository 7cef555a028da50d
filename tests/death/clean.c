/* SPDX-License-Identifier: MIT */
/* Every call there is, each used as it should be: nothing is wrong, so nothing is said. */
#include "death.h"

#include <string.h>

static void use(hm_malloc *m)
{
    hm_free(m, NULL);
    hm_free(m, hm_alloc(m, 0));
    for (size_t size = 1; size < 5000; size += size / 3 + 1) {
        char *block = hm_alloc(m, size);
        memset(block, 1, size);
        block = hm_realloc(m, block, 2 * size);
        memset(block, 2, 2 * size);
        block = hm_realloc(m, block, size / 2);
        hm_free_sized(m, block, size / 2);
        hm_free(m, hm_alloc_zeroed(m, 3, size));
        hm_free(m, hm_alloc_aligned(m, size, 256));
        hm_free(m, hm_strdup(m, "text"));
    }
}

int main(void)
{
    hm_malloc *m = death_malloc("plain", 0);
    hm_malloc *shared = death_malloc("shared", HM_MALLOC_THREADSAFE);
    hm_malloc *scoped = death_malloc("scoped", HM_MALLOC_SCOPED);
    use(m);
    use(shared);
    use(scoped);
    hm_alloc(scoped, 100); /* goes with its malloc, as promised */
    EXPECT(HM_OK, hm_debug_check(hm_debug_of_host(death_host), NULL));
    hm_malloc_release(scoped);
    hm_malloc_release(shared);
    return death_end(m);
}

/* Nothing */
