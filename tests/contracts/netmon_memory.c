/* SPDX-License-Identifier: MIT */
/* Cases 183 to 193: the four memory calls of an expert. */
#include "netmon_world.h"

#include <string.h>

#define UNSET ((DWORD)0xdeadbeef)

static void *take(SIZE_T bytes)
{
    DWORD error = UNSET;
    void *block = ExpertAllocMemory(netmon_key, bytes, &error);
    REQUIRE(block != NULL);
    CHECK_EQ(error, NMERR_SUCCESS);
    return block;
}

static void give(void *block)
{
    CHECK_EQ(ExpertFreeMemory(netmon_key, block), NMERR_SUCCESS);
}

static void allocates(const contract *self)
{
    void *block = take((SIZE_T)self->value);
    memset(block, 0x5a, (size_t)self->value);
    CHECK_EQ(ExpertMemorySize(netmon_key, block), self->value);
    give(block);
}

static void stops_at_budget(const contract *self)
{
    DWORD error = UNSET;
    (void)self;
    void *block = take(NETMON_BUDGET - 10);
    CHECK_PTR(ExpertAllocMemory(netmon_key, 11, &error), NULL);
    CHECK_EQ(error, NMERR_OUT_OF_MEMORY);
    error = UNSET;
    CHECK_PTR(ExpertAllocMemory(netmon_key, (SIZE_T)-1, &error), NULL);
    CHECK_EQ(error, NMERR_OUT_OF_MEMORY);
    CHECK_EQ(netmon_live(netmon_key), 1);
    give(take(10));
    give(block);
}

/* Terminated for good, so a key of its own. */
static void stops_for_user(const contract *self)
{
    DWORD error = UNSET;
    void *block = take(20);
    memset(block, 3, 20);
    CHECK_EQ(hm_netmon_terminate(netmon_key), HM_OK);
    if (self->value == 185) {
        CHECK_PTR(ExpertAllocMemory(netmon_key, 1, &error), NULL);
        CHECK_EQ(error, NMERR_EXPERT_TERMINATE);
        error = UNSET;
        CHECK_PTR(ExpertReallocMemory(netmon_key, block, 1, &error), NULL);
        CHECK_EQ(error, NMERR_EXPERT_TERMINATE);
        CHECK_PTR(ExpertReallocMemory(netmon_key, NULL, 1, NULL), NULL);
        CHECK(((char *)block)[19] == 3);
    }
    CHECK_EQ(ExpertMemorySize(netmon_key, block), 20);
    CHECK_EQ(netmon_live(netmon_key), 1);
    give(block);
    CHECK_EQ(netmon_live(netmon_key), 0);
}

static void resizes(const contract *self)
{
    static const SIZE_T sizes[] = {200, 50};
    (void)self;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        DWORD error = UNSET;
        unsigned char *block = take(100);
        for (int at = 0; at < 100; at++) {
            block[at] = (unsigned char)at;
        }
        block = ExpertReallocMemory(netmon_key, block, sizes[i], &error);
        REQUIRE(block != NULL);
        CHECK_EQ(error, NMERR_SUCCESS);
        CHECK_EQ(ExpertMemorySize(netmon_key, block), sizes[i]);
        for (SIZE_T at = 0; at < sizes[i] && at < 100; at++) {
            CHECK_EQ(block[at], at);
        }
        give(block);
    }
}

static void failed_resize_keeps(const contract *self)
{
    static const SIZE_T sizes[] = {NETMON_BUDGET + 1, (SIZE_T)-1, (SIZE_T)-1 - 99};
    (void)self;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        DWORD error = UNSET;
        unsigned char *block = take(100);
        memset(block, 9, 100);
        CHECK_PTR(ExpertReallocMemory(netmon_key, block, sizes[i], &error), NULL);
        CHECK_EQ(error, NMERR_OUT_OF_MEMORY);
        CHECK_EQ(ExpertMemorySize(netmon_key, block), 100);
        CHECK_EQ(block[99], 9);
        give(block);
    }
}

static void resizes_without_error(const contract *self)
{
    (void)self;
    void *block = ExpertReallocMemory(netmon_key, take(10), 300, NULL);
    REQUIRE(block != NULL);
    CHECK_PTR(ExpertReallocMemory(netmon_key, block, NETMON_BUDGET + 1, NULL), NULL);
    CHECK_PTR(ExpertReallocMemory(netmon_key, (char *)block + 8, 10, NULL), NULL);
    give(block);
}

static void allocates_without_error(const contract *self)
{
    (void)self;
    void *block = ExpertAllocMemory(netmon_key, 10, NULL);
    CHECK(block != NULL);
    CHECK_PTR(ExpertAllocMemory(netmon_key, NETMON_BUDGET, NULL), NULL);
    CHECK_PTR(ExpertAllocMemory(NULL, 1, NULL), NULL);
    give(block);
}

static void frees(const contract *self)
{
    (void)self;
    give(take(10));
    CHECK_EQ(netmon_live(netmon_key), 0);
    give(NULL);
}

static void refuses_strangers(const contract *self)
{
    char local = 0;
    DWORD error = UNSET;
    (void)self;
    char *theirs = ExpertAllocMemory(netmon_other, 64, NULL);
    char *own = take(64);
    REQUIRE(theirs != NULL);
    theirs[63] = 4;
    CHECK_EQ(ExpertFreeMemory(netmon_key, theirs), NMERR_INVALID_PARAMETER);
    CHECK_EQ(ExpertMemorySize(netmon_key, theirs), 0);
    CHECK_PTR(ExpertReallocMemory(netmon_key, theirs, 8, &error), NULL);
    CHECK_EQ(error, NMERR_INVALID_PARAMETER);
    CHECK_EQ(ExpertFreeMemory(netmon_key, own + 16), NMERR_INVALID_PARAMETER);
    CHECK_EQ(ExpertFreeMemory(netmon_key, &local), NMERR_INVALID_PARAMETER);
    CHECK_EQ(netmon_live(netmon_other), 1);
    CHECK_EQ(theirs[63], 4);
    CHECK_EQ(ExpertFreeMemory(netmon_other, theirs), NMERR_SUCCESS);
    give(own);
    CHECK_EQ(ExpertFreeMemory(netmon_key, own), NMERR_INVALID_PARAMETER);
}

static void refuses_keys(const contract *self)
{
    int local = 0;
    void *block = take(8);
    const HEXPERTKEY keys[] = {NULL, &local, block, (HEXPERTKEY)(uintptr_t)-1};
    (void)self;
    for (size_t i = 0; i < COUNT(keys); i++) {
        DWORD error = UNSET;
        CHECK_PTR(ExpertAllocMemory(keys[i], 8, &error), NULL);
        CHECK_EQ(error, NMERR_INVALID_EXPERT_HANDLE);
        error = UNSET;
        CHECK_PTR(ExpertReallocMemory(keys[i], block, 16, &error), NULL);
        CHECK_EQ(error, NMERR_INVALID_EXPERT_HANDLE);
        CHECK_EQ(ExpertFreeMemory(keys[i], block), NMERR_INVALID_EXPERT_HANDLE);
        CHECK_EQ(ExpertMemorySize(keys[i], block), 0);
    }
    give(block);
}

const contract netmon_memory_cases[11] = {
    {183, "D, e R", "ExpertAllocMemory gives a block of that size", allocates, 100},
    {184, "N, R", "beyond the budget is out of memory", stops_at_budget, 0},
    {185, "D", "after a stop Alloc and Realloc say so", stops_for_user, 185},
    {186, "R", "after a stop Free really frees", stops_for_user, 186},
    {187, "D", "Realloc keeps the contents, either way", resizes, 0},
    {188, "N", "a failing Realloc keeps the block", failed_resize_keeps, 0},
    {189, "D", "Realloc without pError", resizes_without_error, 0},
    {190, "R", "Alloc without pError", allocates_without_error, 0},
    {191, "D", "Free answers success", frees, 0},
    {192, "R", "Free of another key's block is refused", refuses_strangers, 0},
    {193, "R", "an unknown key is answered everywhere", refuses_keys, 0},
};
