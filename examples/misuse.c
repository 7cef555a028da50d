/* SPDX-License-Identifier: MIT */
/* Two mistakes, planted: a block that is never freed and one that is freed twice. The debug host names each by its
 * lines, and the program goes on. */
#include <stdio.h>

#include <hostmalloc/hostmalloc.h>

static char *open_session(hm_malloc *m)
{
    return hm_alloc(m, 100);
}

static void close_session(hm_malloc *m, char *session)
{
    hm_free(m, session);
}

int main(void)
{
    hm_host *host;
    hm_malloc *m;
    hm_error err;
    if (hm_host_open("debug", &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "sessions", 0, &m, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    open_session(m); /* the leak */
    char *const session = open_session(m);
    close_session(m, session);
    printf("freed again: %s\n", hm_status_name(hm_free(m, session)));
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}

/* $ misuse
 * freed again: HM_E_FREED
 * ==hostmalloc== ERROR #1 double free (HM_E_FREED), malloc "sessions"
 *   block        0xADDRESS, 100 bytes, #2 of its site, malloc "sessions"
 *   allocated    misuse.c:10 (open_session), thread 1
 *   freed        misuse.c:15 (close_session), thread 1
 *   freed again  misuse.c:31 (main), thread 1
 * ==hostmalloc== malloc "sessions" was released with 1 block of 100 bytes live
 * ==hostmalloc== LEAK: blocks never freed
 *     blocks         bytes    share  site
 *          1           100   100.0%  misuse.c:10 (open_session)
 *          1           100           total of 1 site
 * ==hostmalloc== SUMMARY: 1 error, 1 block and 100 bytes leaked at 1 site
 */
