/* SPDX-License-Identifier: MIT */
/* The smallest whole program, the README's: memory from whatever host $HOSTMALLOC or the first argument names. */
#include <stdio.h>

#include <hostmalloc/hostmalloc.h>

int main(int argc, char **argv)
{
    hm_host *host;
    hm_malloc *m;
    hm_error err;
    if (hm_host_open(argc > 1 ? argv[1] : NULL, &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "greeter", 0, &m, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    char *name = hm_strdup(m, "world");
    char *text = hm_alloc(m, 64);
    if (name && text) {
        snprintf(text, 64, "hello, %s", name);
        puts(text);
    }
    hm_free(m, text); /* and name is forgotten */
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}

/* $ first debug+mimalloc
 * hello, world
 * ==hostmalloc== malloc "greeter" was released with 1 block of 6 bytes live
 * ==hostmalloc== LEAK: blocks never freed
 *     blocks         bytes    share  site
 *          1             6   100.0%  first.c:17 (main)
 *          1             6           total of 1 site
 * ==hostmalloc== SUMMARY: 0 errors, 1 block and 6 bytes leaked at 1 site
 */
