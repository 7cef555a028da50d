/* SPDX-License-Identifier: MIT */
/* One program, any host: each argument is a spec, and the work below does not know which it runs on. Without arguments
 * $HOSTMALLOC decides. */
#include <stdio.h>

#include <hostmalloc/hostmalloc.h>

typedef struct node {
    struct node *next;
    int value;
} node;

static int work(hm_malloc *m)
{
    node *first = NULL;
    int sum = 0;
    for (int i = 1; i <= 1000; i++) {
        node *const made = hm_alloc(m, sizeof(*made));
        if (!made) {
            break;
        }
        made->next = first;
        made->value = i;
        first = made;
    }
    while (first) {
        node *const next = first->next;
        sum += first->value;
        hm_free(m, first);
        first = next;
    }
    return sum;
}

static int run_on(const char *spec)
{
    hm_host *host = NULL;
    hm_malloc *m = NULL;
    hm_error err;
    if (hm_host_open(spec, &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "list", 0, &m, &err) != HM_OK) {
        hm_error_print(&err);
        hm_host_release(host);
        return 1;
    }
    printf("%s: sum %d\n", spec ? spec : "$HOSTMALLOC", work(m));
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2 ? run_on(NULL) : 0;
    for (int i = 1; i < argc; i++) {
        failed |= run_on(argv[i]);
    }
    return failed;
}

/* $ swap_host default mimalloc debug+mimalloc
 * default: sum 500500
 * mimalloc: sum 500500
 * debug+mimalloc: sum 500500
 */
