/* SPDX-License-Identifier: MIT */
/* Which line does all that memory come from? The debug host knows the site of every live block, so the program can ask
 * at any moment; what is still there when the malloc is released, the host reports by itself. */
#include <stdio.h>

#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>

static int print_site(void *context, const hm_debug_site *seen)
{
    char place[256];
    (void)context;
    hm_site_text(seen->site, 1, place, sizeof(place));
    printf("%s: %llu live, %llu in all\n", place, (unsigned long long)seen->live_blocks,
           (unsigned long long)seen->total_blocks);
    return 0;
}

static char *read_name(hm_malloc *m, int number)
{
    char *const name = hm_alloc(m, 40);
    snprintf(name, 40, "name %d", number);
    return name;
}

static void serve(hm_malloc *m, int request)
{
    char *const name = read_name(m, request);
    char *const answer = hm_strdup(m, "an answer");
    hm_free(m, answer);
    if (request % 4 != 0) { /* the mistake: every fourth name stays */
        hm_free(m, name);
    }
}

int main(void)
{
    hm_host *host;
    hm_malloc *m;
    hm_error err;
    if (hm_host_open("debug", &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "server", 0, &m, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    for (int request = 1; request <= 12; request++) {
        serve(m, request);
    }
    hm_debug_sites(hm_debug_of_malloc(m), print_site, NULL);
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}

/* $ find_leak
 * find_leak.c:21 (read_name): 3 live, 12 in all
 * find_leak.c:29 (serve): 0 live, 12 in all
 * ==hostmalloc== malloc "server" was released with 3 blocks of 120 bytes live
 * ==hostmalloc== LEAK: blocks never freed
 *     blocks         bytes    share  site
 *          3           120   100.0%  find_leak.c:21 (read_name)
 *          3           120           total of 1 site
 * ==hostmalloc== SUMMARY: 0 errors, 3 blocks and 120 bytes leaked at 1 site
 */
