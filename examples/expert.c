/* SPDX-License-Identifier: MIT */
/* An expert that crashes and is cleaned up after. Network Monitor ran analysers made by strangers: each gets memory under
 * a key of its own, so the host can free what one leaves behind, whether it forgot or died. */
#include <stdio.h>
#include <stdlib.h>

#define HM_NETMON_SITES
#include <hostmalloc/bridges/netmon.h>
#include <hostmalloc/hostmalloc.h>

/* Counts the frames of a capture by length, in a table that grows; the third kind of capture is its undoing. */
static BOOL WINAPI Run(HEXPERTKEY key,
                       PEXPERTCONFIG config,
                       PEXPERTSTARTUPINFO startup,
                       DWORD flags,
                       HWND window)
{
    DWORD error;
    DWORD *counts = NULL;
    (void)config, (void)startup, (void)window;
    for (SIZE_T frame = 1; frame <= 4; frame++) {
        DWORD *grown =
            ExpertReallocMemory(key, counts, frame * 100 * sizeof *counts, &error);
        if (!grown) {
            printf("  the expert was refused: code %u\n", (unsigned)error);
            ExpertFreeMemory(key, counts); /* it still has this one */
            return FALSE;
        }
        counts = grown;
    }
    void *names = ExpertAllocMemory(key, 64, &error);
    if (flags == 2) {
        abort(); /* it found a frame it did not believe in */
    }
    ExpertFreeMemory(key, names);
    if (flags == 0) {
        ExpertFreeMemory(key, counts);
    }
    return TRUE; /* the mistake of run 1: its table stays */
}

static void analyse(hm_runtime *rt, DWORD kind, size_t budget)
{
    static const char *const said[] = {"inactive", "starting", "running",
                                       "problem",  "aborted",  "done"};
    const hm_netmon_opts opts = {
        .size = sizeof opts, .name = "frame lengths", .budget = budget};
    hm_netmon_result result = {.size = sizeof result};
    HEXPERTKEY key;
    hm_error err;
    if (hm_netmon_open(rt, &opts, &key, &err) != HM_OK ||
        hm_netmon_run(key, Run, NULL, NULL, kind, NULL, &result, &err) != HM_OK) {
        hm_error_print(&err);
        return;
    }
    printf("run %u: %s%s, %d blocks of %d bytes freed after it\n", (unsigned)kind,
           said[result.status],
           result.how == HM_CLIENT_RAISED ? " (it raised an exception)" : "",
           (int)result.leaks.blocks, (int)result.leaks.bytes);
    hm_netmon_close(key, NULL, NULL);
}

int main(void)
{
    const hm_runtime_opts opts = {
        .size = sizeof opts, .name = "network monitor", .spec = "debug"};
    hm_leaks left = {.size = sizeof left};
    hm_runtime *rt;
    hm_error err;
    if (hm_runtime_open(&opts, &rt, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    hm_runtime_start(rt);
    analyse(rt, 0, 0);
    analyse(rt, 1, 0);
    analyse(rt, 2, 0);
    analyse(rt, 3, 1000); /* bytes, which is less than it wants */
    hm_runtime_close(rt, &left, &err);
    printf("left at the end: %d blocks\n", (int)left.blocks);
    return 0;
}

/* $ expert
 * run 0: done, 0 blocks of 0 bytes freed after it
 * run 1: done, 1 blocks of 1600 bytes freed after it
 * run 2: aborted (it raised an exception), 2 blocks of 1664 bytes freed after it
 *   the expert was refused: code 19
 * run 3: problem, 0 blocks of 0 bytes freed after it
 * left at the end: 0 blocks
 * ==hostmalloc== expert "frame lengths" returned with 1 block of 1600 bytes live
 * ==hostmalloc==     1 block of 1600 bytes from expert.c:23 (Run)
 */
