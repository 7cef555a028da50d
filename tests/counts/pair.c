/* SPDX-License-Identifier: MIT */
/* The loop whose instructions are counted: so many pairs of an allocation and a free of 64 bytes, one after the other,
 * among blocks that stay, so that the allocators below always answer from their shortest path.
 *
 *     count_pairs SPEC safe|plain PAIRS
 *
 * `safe` is a thread-safe malloc, `plain` one whose caller serialises. A run of no pairs is what everything else takes;
 * the difference to a longer one is the pairs'. */
#include <hostmalloc/hostmalloc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_UP 4096 /* past first uses, and once around every list */
#define STAYING 200
/* Blocks in use meanwhile, and half as many free ones among them: allocators take a longer way when a page runs empty, and
   when it has one free block only. */

static void run_pairs(hm_malloc *m, unsigned long pairs)
{
    for (unsigned long i = 0; i < pairs; i++) {
        void *block = hm_alloc(m, 64);
        if (!block) {
            fputs("count_pairs: out of memory\n", stderr);
            exit(1);
        }
        hm_free(m, block);
    }
}

int main(int argc, char **argv)
{
    hm_host *host;
    hm_malloc *m;
    hm_error err;
    if (argc != 4 || (strcmp(argv[2], "safe") != 0 && strcmp(argv[2], "plain") != 0)) {
        fputs("usage: count_pairs SPEC safe|plain PAIRS\n", stderr);
        return 2;
    }
    const uint32_t flags = strcmp(argv[2], "safe") == 0 ? HM_MALLOC_THREADSAFE : 0;
    if (hm_host_open(argv[1], &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "pairs", flags, &m, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    void *staying[STAYING];
    for (size_t i = 0; i < STAYING; i++) {
        staying[i] = hm_alloc(m, 64);
    }
    for (size_t i = 0; i < STAYING; i += 2) {
        hm_free(m, staying[i]);
    }
    run_pairs(m, WARM_UP);
    run_pairs(m, strtoul(argv[3], NULL, 10));
    for (size_t i = 1; i < STAYING; i += 2) {
        hm_free(m, staying[i]);
    }
    hm_malloc_release(m);
    hm_host_release(host);
    return 0;
}
