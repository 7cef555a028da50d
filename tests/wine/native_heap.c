/* SPDX-License-Identifier: MIT */
/* A walk through the heap of the process, where Wine keeps task memory and MAPI's buffers. */
#include "native_heap.h"

#include <stdio.h>

#include <windows.h>

#define BLOCKS_MOST 4096

static const void *before[BLOCKS_MOST];
static size_t before_count;

static int was_there(const void *block)
{
    for (size_t i = 0; i < before_count; i++) {
        if (before[i] == block) {
            return 1;
        }
    }
    return 0;
}

void native_heap_begin(void)
{
    PROCESS_HEAP_ENTRY entry = {.lpData = NULL};
    fprintf(stderr, " \n"); /* the stream's own memory is made now */
    before_count = 0;
    while (HeapWalk(GetProcessHeap(), &entry)) {
        if ((entry.wFlags & PROCESS_HEAP_ENTRY_BUSY) && before_count < BLOCKS_MOST) {
            before[before_count++] = entry.lpData;
        }
    }
}

size_t native_heap_live(size_t but_of_bytes)
{
    PROCESS_HEAP_ENTRY entry = {.lpData = NULL};
    size_t live = 0;
    while (HeapWalk(GetProcessHeap(), &entry)) {
        live += (entry.wFlags & PROCESS_HEAP_ENTRY_BUSY) &&
                (!but_of_bytes || entry.cbData != but_of_bytes) &&
                !was_there(entry.lpData);
    }
    return live;
}
