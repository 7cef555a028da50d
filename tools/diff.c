/* SPDX-License-Identifier: MIT */
/* hostmalloc diff: what the second snapshot has live that the first had not, by site. */
#include "command.h"

#include "report/snapshot.h"

#include <stdlib.h>

typedef struct change {
    const site_row *row;
    int64_t blocks;
    int64_t bytes;
    int is_new;
} change;

static int by_growth(const void *a, const void *b)
{
    const change *x = a, *y = b;
    return x->bytes == y->bytes ? 0 : x->bytes < y->bytes ? 1 : -1;
}

static void print_change(const change *c)
{
    printf("%+12lld %+14lld  ", (long long)c->blocks, (long long)c->bytes);
    print_place(stdout, c->row->file, c->row->line);
    if (c->row->function) {
        printf(" (%s)", c->row->function);
    }
    puts(c->is_new ? "  new" : "");
}

/* New: the site had nothing live before. */
static int compare(snapshot *before, snapshot *after)
{
    size_t count = 0, fresh = 0;
    int64_t bytes = 0;
    change *changes = calloc(before->site_count + after->site_count + 1, sizeof *changes);
    if (!changes) {
        fprintf(stderr, "hostmalloc: no memory to compare\n");
        return EXIT_FINDINGS;
    }
    snapshot_sort(before, site_by_place);
    snapshot_sort(after, site_by_place);
    for (size_t i = 0, k = 0; i < after->site_count || k < before->site_count;) {
        const int order = i == after->site_count ? 1
                          : k == before->site_count
                              ? -1
                              : site_by_place(&after->sites[i], &before->sites[k]);
        const site_row *now = order <= 0 ? &after->sites[i++] : NULL;
        const site_row *was = order >= 0 ? &before->sites[k++] : NULL;
        change c = {now ? now : was, 0, 0, 0};
        c.blocks = (int64_t)((now ? now->count.live_blocks : 0) -
                             (was ? was->count.live_blocks : 0));
        c.bytes = (int64_t)((now ? now->count.live_bytes : 0) -
                            (was ? was->count.live_bytes : 0));
        c.is_new = now && now->count.live_blocks && (!was || !was->count.live_blocks);
        if (c.blocks || c.bytes) {
            changes[count++] = c;
            bytes += c.bytes;
            fresh += (size_t)c.is_new;
        }
    }
    qsort(changes, count, sizeof *changes, by_growth);
    printf("%12s %14s  %s\n", "live blocks", "live bytes", "site");
    for (size_t i = 0; i < count; i++) {
        print_change(&changes[i]);
    }
    printf("SUMMARY: %+lld bytes live, %zu site%s changed, %zu of them new\n",
           (long long)bytes, count, plural(count), fresh);
    free(changes);
    return fresh ? EXIT_FINDINGS : EXIT_CLEAN;
}

static int is_whole(const snapshot *s)
{
    if (s->is_cut) {
        fprintf(stderr, "hostmalloc: %s: " SNAPSHOT_CUT "\n", s->path);
    }
    return !s->is_cut;
}

static int run_diff(int count, char **arguments)
{
    snapshot before, after;
    for (int i = 0; i < count; i++) {
        if (arguments[i][0] == '-' && arguments[i][1]) {
            return usage_error(&diff_verb, "unknown option", arguments[i]);
        }
    }
    if (count != 2) {
        return usage_error(&diff_verb, "two snapshots are compared, found",
                           count == 0   ? "none"
                           : count == 1 ? "one"
                                        : "more than two");
    }
    if (!snapshot_read(arguments[0], &before)) {
        return EXIT_USAGE;
    }
    if (!snapshot_read(arguments[1], &after)) {
        snapshot_free(&before);
        return EXIT_USAGE;
    }
    int code = compare(&before, &after);
    if (!is_whole(&before) + !is_whole(&after)) { /* both are named */
        code = EXIT_FINDINGS;
    }
    snapshot_free(&before);
    snapshot_free(&after);
    return code;
}

const verb diff_verb = {
    "diff", "A B", "Compare two snapshots of the debug host, by site",
    "\nA site is new when it has blocks live in B and had none in A: with a snapshot of "
    "a good run\n"
    "kept as A, continuous integration fails on new leaks only.\n"
    "Exit codes: 0 no new site, 1 new sites or a file that ends early,\n"
    "2 usage or not a snapshot.\n",
    run_diff};
