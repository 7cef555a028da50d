/* SPDX-License-Identifier: MIT */
/* Leaks known amounts at known places and frees one block twice; writes a snapshot before and at the end. With an
 * argument it leaks at one place more; with "ignore" it ignores some, with "kill" it dies where it stands, with "hostile" its
 * names are what no format expects. */
#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Quotes, lines, controls, no UTF-8, a character cut, half a pair, what XML has not, and more than a text has room for. */
static void leak_with_names(hm_host *host)
{
    static char endless[5000], controls[2000];
    const char *const names[] = {"a\"b\\",
                                 "two\nlines",
                                 "\t\x01\x1f\x7f",
                                 "\xff\xfe\xc0\xaf",
                                 "cut\xe2\x82",
                                 "\xed\xa0\x80",
                                 "\xef\xbf\xbf\xf4\x90\x80\x80",
                                 "semi;colon and <&>'",
                                 "\xe2\x82\xac",
                                 endless,
                                 controls,
                                 "01234567890123456789012345678901234567\xe2\x82\xac"};
    const size_t count = sizeof(names) / sizeof(names[0]);
    memset(endless, 'x', sizeof(endless) - 1);
    memset(controls, 1, sizeof(controls) - 1);
    for (size_t i = 0; i < count; i++) {
        hm_malloc *m;
        hm_site *site = hm_site_intern(names[i], names[(i + 1) % count], (uint32_t)i);
        if (hm_host_create_malloc(host, names[i], 0, &m, NULL) == HM_OK) {
            hm_alloc_at(m, 10, HM_LEVEL_TASK, site);
            void *block = hm_alloc_at(m, 20, HM_LEVEL_TASK, site);
            hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, site);
            hm_free_at(m, block, HM_SIZE_UNKNOWN, 0, site);
            hm_malloc_release(m);
        }
    }
}

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
    if (argc > 1 && strcmp(argv[1], "hostile") == 0) {
        leak_with_names(host);
    }
    if (argc > 1) {
        hm_debug_alloc(m, 64, HM_LEVEL_TASK, "src/new.c", 1);
    }
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}
