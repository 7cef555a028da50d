/* SPDX-License-Identifier: MIT */
/* The world of the platform's own task memory, which nobody of ours has a hand in. How much of it is live is seen in the heap
 * of the process, where that platform keeps it: blocks that were not there when the case began. */
#include "contracts/ole_world.h"

#include <stdio.h>

#define BLOCKS_MOST 4096
/* Its table of spied blocks, made for the first of them and kept. */
#define TABLE_BYTES 32768

static const char *const worlds[] = {"native"};

static const void *before[BLOCKS_MOST];
static size_t before_count;

/* Blocks of the process's heap; those of before are left out where asked to. */
static size_t walk(int all)
{
    HANDLE heap = GetProcessHeap();
    PROCESS_HEAP_ENTRY entry = {.lpData = NULL};
    size_t count = 0;
    HeapLock(heap);
    while (HeapWalk(heap, &entry)) {
        if (!(entry.wFlags & PROCESS_HEAP_ENTRY_BUSY) || entry.cbData == TABLE_BYTES) {
            continue;
        }
        size_t i = 0;
        while (!all && i < before_count && before[i] != entry.lpData) {
            i++;
        }
        if (all && count < BLOCKS_MOST) {
            before[count] = entry.lpData;
        }
        count += all || i == before_count;
    }
    HeapUnlock(heap);
    return count;
}

static int enter(const char *world, const char **why)
{
    (void)world, (void)why;
    /* What is made at the first use of anything is not the case's. */
    CoTaskMemFree(CoTaskMemAlloc(8));
    fprintf(stderr, " \n");
    const size_t count = walk(1);
    before_count = count < BLOCKS_MOST ? count : BLOCKS_MOST;
    return 1;
}

static void leave(void)
{
    CHECK_EQ(CoRevokeMallocSpy(), CO_E_OBJNOTREG);
}

IMalloc *ole_task(void)
{
    IMalloc *m = NULL;
    CHECK_EQ(CoGetMalloc(MEMCTX_TASK, &m), S_OK);
    REQUIRE(m != NULL);
    return m;
}

size_t ole_live(void)
{
    return walk(0);
}

void ole_spy_on(recorder *r)
{
    const HRESULT status = CoRegisterMallocSpy(&r->base);
    CHECK_EQ(status, S_OK);
    REQUIRE(status == S_OK);
}

void ole_spy_start(recorder *r, SIZE_T header)
{
    recorder_init(r);
    r->header = header;
    ole_spy_on(r);
}

void ole_spy_off(void)
{
    CHECK_EQ(CoRevokeMallocSpy(), S_OK);
}

int main(int argc, char **argv)
{
    return ole_cases_run(argc, argv, worlds, COUNT(worlds), enter, leave);
}
