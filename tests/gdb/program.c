/* SPDX-License-Identifier: MIT */
/* Has known blocks live and stops where gdb waits for it. */
#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>

int main(void)
{
    hm_host *host;
    hm_malloc *m;
    hm_error err;
    void *last = NULL;
    if (hm_host_open("debug:guard=size:48", &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "rows", 0, &m, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    for (int i = 0; i < 7; i++) {
        last = hm_debug_alloc(m, 100 + (size_t)i, HM_LEVEL_TASK, "src/db.c", 42);
    }
    hm_debug_free(m, hm_debug_alloc(m, 5000, HM_LEVEL_TASK, "src/tmp.c", 7), "src/tmp.c",
                  9);
    hm_debug_alloc(m, 48, HM_LEVEL_TASK, "src/guarded.c", 1);
    hm_debug_ignore(hm_debug_of_host(host),
                    hm_debug_alloc(m, 3, HM_LEVEL_TASK, "src/ignored.c", 1));
    hm_debug_break(last);
    hm_malloc_reset(m);
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}
