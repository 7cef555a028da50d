/* SPDX-License-Identifier: MIT */
/* A stranger's program: takes memory from every host named on its command line, and says which file each
   module came from. It knows no more of hostmalloc than its public headers. C and C++. */
#include <hostmalloc/hostmalloc.h>

#include <stdio.h>
#include <string.h>

static int print_module(void *context, const hm_host_info *info, const char *origin)
{
    (void)context;
    if (strchr(origin, '/')) {
        printf("%s is in %s\n", info->name, origin);
    }
    return 0;
}

static int use(const char *spec)
{
    enum { blocks = 100 };
    hm_error err;
    hm_host *host;
    hm_malloc *m;
    char *block[blocks];

    if (hm_host_open(spec, &host, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    if (hm_host_create_malloc(host, "stranger", HM_MALLOC_THREADSAFE, &m, &err) !=
        HM_OK) {
        hm_error_print(&err);
        hm_host_release(host);
        return 1;
    }
    int failed = 0;
    for (int i = 0; i < blocks; i++) {
        block[i] = (char *)hm_alloc(m, (size_t)i * 7);
        failed |= !block[i];
        if (block[i]) {
            memset(block[i], i, (size_t)i * 7);
        }
    }
    for (int i = 0; i < blocks; i++) {
        failed |= hm_free(m, block[i]) != HM_OK;
    }
    hm_malloc_release(m);
    hm_host_release(host);
    printf("%s: %s\n", spec, failed ? "failed" : "ok");
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        failed |= use(argv[i]);
    }
    hm_registry_visit(print_module, NULL);
    return failed;
}
