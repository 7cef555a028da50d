/* SPDX-License-Identifier: MIT */
/* Leaks known amounts at known places and frees one block twice; writes a snapshot before and at the end. With an
 * argument it leaks at one place more; with "ignore" it ignores some, with "kill" it dies where it stands. */
#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    hm_host *host;
    hm_malloc *m;
    hm_error err;
    if (hm_host_open(NULL, &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "re\"port", 0, &m, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    for (volatile int i = 0; i < 7; i++) { /* not unrolled: one place */
        hm_debug_alloc(m, 100 + (size_t)i, HM_LEVEL_TASK, "src/db.c", 42);
    }
    void *temporary = hm_debug_alloc(m, 5000, HM_LEVEL_TASK, "src/tmp.c", 7);
    hm_debug_free(m, temporary, "src/tmp.c", 9);
    hm_debug_free(m, temporary, "src/tmp.c", 11);
    hm_debug_alloc(m, 10, HM_LEVEL_TASK, "src/a<b>&\"c\".c", 3);
    if (argc > 1 && strcmp(argv[1], "ignore") == 0) {
        for (int i = 0; i < 3; i++) {
            void *block = hm_debug_alloc(m, 20, HM_LEVEL_TASK, "src/known.c", 5);
            if (i) {
                hm_debug_ignore(hm_debug_of_host(host), block);
            }
        }
    }
    if (argc > 1 && strcmp(argv[1], "kill") == 0) {
        raise(SIGKILL);
    }
    if (argc > 1) {
        hm_debug_alloc(m, 64, HM_LEVEL_TASK, "src/new.c", 1);
    }
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}
