/* SPDX-License-Identifier: MIT */
/* What linked blocks cost over a malloc of the same host, as MAPI's buffers and as a tree.
 *
 *     mapi_cost [--quick] [SPEC]
 *
 * Pairs of 64 bytes; structures of one root and 8 blocks; one root with 1000 blocks. Without a tree the blocks are freed
 * one by one. In every round each contender runs once, and its ratio to the plain malloc is taken within the
 * round; printed are the median and the quartiles. MAPI's malloc is exact on every host; the tree is over the plain
 * one. */
#include "measure.h"

#include <stdio.h>
#include <string.h>

#include <hostmalloc/bridges/mapi.h>
#include <hostmalloc/hostmalloc.h>

#define MOST_ROUNDS 201
#define MOST_LINKS  1000

static hm_malloc *plain;
static hm_tree *tree;
static unsigned long blocks_a_round = 20000;

/* Blocks that a contender without owners has to remember. */
static void *linked[MOST_LINKS];
static size_t links;

static void *plain_root(size_t bytes)
{
    links = 0;
    return hm_alloc(plain, bytes);
}

static void *plain_more(void *root, size_t bytes)
{
    (void)root;
    return linked[links++] = hm_alloc(plain, bytes);
}

static void plain_free(void *root)
{
    while (links) {
        hm_free(plain, linked[--links]);
    }
    hm_free(plain, root);
}

static void *tree_root(size_t bytes)
{
    return hm_tree_alloc(tree, NULL, bytes);
}

static void *tree_more(void *root, size_t bytes)
{
    return hm_tree_alloc(tree, root, bytes);
}

static void tree_free(void *root)
{
    hm_tree_free(tree, root);
}

static void *mapi_root(size_t bytes)
{
    void *root = NULL;
    (void)hm_mapi_allocate((ULONG)bytes, &root);
    return root;
}

static void *mapi_more(void *root, size_t bytes)
{
    void *more = NULL;
    (void)hm_mapi_allocate_more((ULONG)bytes, root, &more);
    return more;
}

static void mapi_free(void *root)
{
    (void)hm_mapi_free(root);
}

static const struct contender {
    const char *name;
    void *(*root)(size_t bytes);
    void *(*more)(void *root, size_t bytes);
    void (*free)(void *root);
} contenders[] = {
    {"hm_alloc, freed one by one", plain_root, plain_more, plain_free},
    {"hm_tree_alloc", tree_root, tree_more, tree_free},
    {"MAPIAllocateBuffer and More", mapi_root, mapi_more, mapi_free},
};

/* ns a block; below 0 when memory was short. */
static double run(const struct contender *c, size_t more)
{
    unsigned long done = 0;
    const double begin = measure_cpu();
    while (done < blocks_a_round) {
        char *root = c->root(64);
        if (!root) {
            return -1;
        }
        *(volatile char *)root = 1;
        for (size_t i = 0; i < more; i++) {
            char *block = c->more(root, 16 + i % 8 * 16);
            if (!block) {
                return -1;
            }
            *(volatile char *)block = 1;
        }
        c->free(root);
        done += 1 + more;
    }
    return (measure_cpu() - begin) / (double)done;
}

static int compare(const char *name, size_t more, int rounds)
{
    static double ns[COUNT(contenders)][MOST_ROUNDS];
    static double ratios[COUNT(contenders)][MOST_ROUNDS];
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < COUNT(contenders); i++) {
            const size_t who = round % 2 ? COUNT(contenders) - 1 - i : i;
            ns[who][round] = run(&contenders[who], more);
            if (ns[who][round] < 0) {
                return 0;
            }
        }
        for (size_t i = 0; i < COUNT(contenders); i++) {
            ratios[i][round] = ns[i][round] / ns[0][round];
        }
    }
    printf("%-22s%20s  median [quartiles]\n", name, "ns a block");
    for (size_t i = 0; i < COUNT(contenders); i++) {
        const spread time = measure_spread(ns[i], (size_t)rounds);
        const spread ratio = measure_spread(ratios[i], (size_t)rounds);
        printf("  %-32s %7.1f  %.2f [%.2f-%.2f]", contenders[i].name, time.median,
               ratio.median, ratio.q1, ratio.q3);
        measure_record(name, contenders[i].name, contenders[0].name, 0, ratio, 0);
        measure_row(ratio.median, 0);
    }
    return 1;
}

int main(int argc, char **argv)
{
    const char *spec = "mimalloc";
    int rounds = MOST_ROUNDS;
    hm_host *host;
    hm_error err;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            blocks_a_round = 3000;
            rounds = 3;
        } else {
            spec = argv[i];
        }
    }
    if (hm_host_open(spec, &host, &err) != HM_OK ||
        hm_host_create_malloc(host, "bench", HM_MALLOC_THREADSAFE, &plain, &err) !=
            HM_OK ||
        hm_tree_create(plain, &tree, &err) != HM_OK ||
        hm_mapi_set_host(host, &err) != HM_OK) {
        hm_error_print(&err);
        return err.status == HM_E_NOT_FOUND ? 77 : 2;
    }
    measure_head("mapi_cost", "ratios to hm_alloc, taken within each round");
    measure_pin();
    if (!compare("roots alone", 0, rounds) || !compare("a root and 8", 8, rounds) ||
        !compare("a root and 1000", MOST_LINKS, rounds)) {
        fprintf(stderr, "mapi_cost: memory was short\n");
        return 1;
    }
    hm_mapi_close(NULL, NULL);
    hm_tree_release(tree);
    hm_malloc_release(plain);
    hm_host_release(host);
    return measure_end();
}
