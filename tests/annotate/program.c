/* SPDX-License-Identifier: MIT */
/* One mistake that only a tool which watches reads can see, chosen by name; "clean" makes none, in many ways. */
#include <hostmalloc/debug.h>
#include <hostmalloc/hostmalloc.h>

#include <stdio.h>
#include <string.h>

static hm_malloc *m;
static volatile char sink;

static int clean(hm_host *host)
{
    char *blocks[200];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 200; i++) {
            blocks[i] = hm_alloc(m, (size_t)i * 7);
            memset(blocks[i], i, (size_t)i * 7);
        }
        for (int i = 0; i < 200; i += 2) {
            blocks[i] = hm_realloc(m, blocks[i], (size_t)i * 11 + 1);
            memset(blocks[i], i, (size_t)i * 11 + 1);
            sink = (char)(hm_size_of(m, blocks[i]) + (size_t)hm_owns(m, blocks[i]));
        }
        if (hm_debug_check(hm_debug_of_host(host), NULL) != HM_OK) {
            return 1;
        }
        for (int i = 0; i < 200; i++) {
            hm_free(m, blocks[i]);
        }
    }
    char *zeroed = hm_alloc_zeroed(m, 10, 10);
    char *aligned = hm_alloc_aligned(m, 100, 256);
    memset(aligned, 1, 100);
    sink = zeroed[99] ? 1 : 0;
    hm_free(m, aligned);
    hm_debug_ignore(hm_debug_of_host(host), zeroed);
    hm_malloc_reset(m);
    return 0;
}

int main(int argc, char **argv)
{
    hm_host *host;
    hm_error err;
    const char *act = argc > 1 ? argv[1] : "clean";
    if (hm_host_open(argc > 2 ? argv[2] : "debug:leaks=no", &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "rows", 0, &m, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    volatile char *block = hm_alloc(m, 40);
    if (strcmp(act, "read_past") == 0) {
        sink = block[40];
    } else if (strcmp(act, "read_before") == 0) {
        sink = block[-1];
    } else if (strcmp(act, "read_freed") == 0) {
        hm_free(m, (void *)(uintptr_t)block);
        sink = block[20];
    } else if (strcmp(act, "leak") == 0) {
        for (int i = 0; i < 3; i++) {
            sink = *(char *)hm_alloc_zeroed(m, 1, 1000000);
        }
    } else if (strcmp(act, "unwritten") == 0) {
        if (block[20] == 'x') {
            puts("chance");
        }
    } else if (clean(host)) {
        return 1;
    }
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}
