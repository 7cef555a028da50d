/* SPDX-License-Identifier: MIT */
/* Cases 51 to 64: the pairs around allocating, freeing and reallocating. */
#include "ole_world.h"

#include <string.h>

/* The pointer the heap gave in the last pair. */
static void *raw_of(const recorder *r)
{
    REQUIRE(r->calls > 0 && r->calls <= COUNT(r->log));
    return r->log[r->calls - 1].pointer;
}

static void alloc_pair(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 0);
    void *p = CoTaskMemAlloc(32);
    REQUIRE(p != NULL);
    CHECK_EQ(r.calls, 2);
    recorder_expect(&r, 0, PRE_ALLOC, 32, NULL, FALSE);
    recorder_expect(&r, 1, POST_ALLOC, 0, p, FALSE);
    CoTaskMemFree(p);
    ole_spy_off();
}

static void header_fits(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 16);
    char *p = CoTaskMemAlloc(32);
    char *raw = raw_of(&r);
    REQUIRE(p != NULL);
    CHECK_PTR(p, raw + 16);
    CHECK_EQ(ole_live(), 1);
    memset(p, 0x77, 32);
    recorder_forget(&r);
    CoTaskMemFree(p);
    recorder_expect(&r, 0, PRE_FREE, 0, p, TRUE);
    CHECK_EQ(ole_live(), 0);
    ole_spy_off();
}

static void zero_refuses(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 0);
    r.force = 1;
    CHECK_PTR(CoTaskMemAlloc(32), NULL);
    CHECK_EQ(r.calls, 1);
    CHECK_EQ(ole_live(), 0);
    ole_spy_off();
}

static void zero_for_zero_is_granted(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 0);
    r.force = 1;
    void *p = CoTaskMemAlloc(0);
    CHECK(p != NULL);
    CHECK_EQ(r.calls, 2);
    recorder_expect(&r, 1, POST_ALLOC, 0, p, FALSE);
    CoTaskMemFree(p);
    ole_spy_off();
}

static void post_hears_of_failure(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 0);
    r.force = 1;
    r.forced = SIZE_MAX;
    CHECK_PTR(CoTaskMemAlloc(32), NULL);
    CHECK_EQ(r.calls, 2);
    recorder_expect(&r, 1, POST_ALLOC, 0, NULL, FALSE);
    CHECK_EQ(ole_live(), 0);
    ole_spy_off();
}

static void free_pair(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 0);
    void *p = CoTaskMemAlloc(8);
    recorder_forget(&r);
    CoTaskMemFree(p);
    CHECK_EQ(r.calls, 2);
    recorder_expect(&r, 0, PRE_FREE, 0, p, TRUE);
    recorder_expect(&r, 1, POST_FREE, 0, NULL, TRUE);
    ole_spy_off();
}

static void free_of_an_old_block(const contract *self)
{
    (void)self;
    recorder r;
    void *p = CoTaskMemAlloc(8);
    ole_spy_start(&r, 16);
    CoTaskMemFree(p);
    CHECK_EQ(r.calls, 2);
    recorder_expect(&r, 0, PRE_FREE, 0, p, FALSE);
    recorder_expect(&r, 1, POST_FREE, 0, NULL, FALSE);
    CHECK_EQ(ole_live(), 0);
    ole_spy_off();
}

static void realloc_pair(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 0);
    void *p = CoTaskMemAlloc(8);
    recorder_forget(&r);
    void *q = CoTaskMemRealloc(p, 64);
    REQUIRE(q != NULL);
    CHECK_EQ(r.calls, 2);
    recorder_expect(&r, 0, PRE_REALLOC, 64, p, TRUE);
    recorder_expect(&r, 1, POST_REALLOC, 0, q, TRUE);
    CoTaskMemFree(q);
    ole_spy_off();
}

static void realloc_adopts(const contract *self)
{
    (void)self;
    recorder r;
    void *p = CoTaskMemAlloc(8);
    ole_spy_start(&r, 0);
    void *q = CoTaskMemRealloc(p, 64);
    REQUIRE(q != NULL);
    recorder_expect(&r, 0, PRE_REALLOC, 64, p, FALSE);
    recorder_expect(&r, 1, POST_REALLOC, 0, q, FALSE);
    recorder_forget(&r);
    CHECK_EQ(IMalloc_GetSize(ole_task(), q), 64);
    recorder_expect(&r, 0, PRE_GET_SIZE, 0, q, TRUE);
    CHECK_EQ(CoRevokeMallocSpy(), E_ACCESSDENIED);
    CoTaskMemFree(q);
    CHECK_EQ(r.releases, 1);
}

static void refused_realloc_keeps(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 0);
    char *p = CoTaskMemAlloc(8);
    REQUIRE(p != NULL);
    memset(p, 0x11, 8);
    recorder_forget(&r);
    r.force = 1;
    CHECK_PTR(CoTaskMemRealloc(p, 64), NULL);
    CHECK_EQ(r.calls, 1);
    CHECK(p[0] == 0x11 && p[7] == 0x11);
    CHECK_EQ(ole_live(), 1);
    r.force = 0;
    recorder_forget(&r);
    CoTaskMemFree(p);
    recorder_expect(&r, 0, PRE_FREE, 0, p, TRUE);
    ole_spy_off();
}

static void realloc_to_zero(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 0);
    void *p = CoTaskMemAlloc(8);
    recorder_forget(&r);
    CHECK_PTR(CoTaskMemRealloc(p, 0), NULL);
    CHECK_EQ(r.calls, 2);
    recorder_expect(&r, 0, PRE_REALLOC, 0, p, TRUE);
    recorder_expect(&r, 1, POST_REALLOC, 0, NULL, TRUE);
    CHECK_EQ(ole_live(), 0);
    ole_spy_off();
}

static void realloc_of_null(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 16);
    char *kept = CoTaskMemAlloc(8);
    CoTaskMemFree(CoTaskMemAlloc(8));
    recorder_forget(&r);
    char *p = CoTaskMemRealloc(NULL, 32);
    REQUIRE(p != NULL);
    recorder_expect(&r, 0, PRE_REALLOC, 32, NULL, FALSE);
    recorder_expect(&r, 1, POST_REALLOC, 0, p - 16, FALSE);
    CHECK_EQ(CoRevokeMallocSpy(), E_ACCESSDENIED);
    CoTaskMemFree(kept);
    CHECK_EQ(r.releases, 0);
    recorder_forget(&r);
    CoTaskMemFree(p);
    recorder_expect(&r, 0, PRE_FREE, 0, p, TRUE);
    CHECK_EQ(r.releases, 1);
}

static void failed_realloc(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 0);
    char *p = CoTaskMemAlloc(8);
    REQUIRE(p != NULL);
    p[0] = 1;
    recorder_forget(&r);
    CHECK_PTR(CoTaskMemRealloc(p, SIZE_MAX), NULL);
    CHECK_EQ(r.calls, 2);
    recorder_expect(&r, 1, POST_REALLOC, 0, NULL, TRUE);
    CHECK_EQ(p[0], 1);
    recorder_forget(&r);
    CoTaskMemFree(p);
    recorder_expect(&r, 0, PRE_FREE, 0, p, TRUE);
    ole_spy_off();
}

static void unwritten_request(const contract *self)
{
    (void)self;
    recorder r;
    ole_spy_start(&r, 0);
    r.silent = 1;
    char *p = CoTaskMemAlloc(8);
    REQUIRE(p != NULL);
    p[7] = 7;
    p = CoTaskMemRealloc(p, 64);
    REQUIRE(p != NULL);
    CHECK_EQ(p[7], 7);
    CHECK_EQ(ole_live(), 1);
    CoTaskMemFree(p);
    p = CoTaskMemRealloc(NULL, 8);
    CHECK(p != NULL);
    CoTaskMemFree(p);
    CHECK_EQ(ole_live(), 0);
    ole_spy_off();
}

const contract ole_pair_cases[14] = {
    {51, "D", "Alloc: PreAlloc, then PostAlloc", alloc_pair, 0},
    {52, "D, x", "PreAlloc makes room for a header", header_fits, 0},
    {53, "D", "PreAlloc answers 0: refused", zero_refuses, 0},
    {54, "D", "PreAlloc answers 0 for 0: granted", zero_for_zero_is_granted, 0},
    {55, "D", "the heap refuses: PostAlloc(NULL)", post_hears_of_failure, 0},
    {56, "D", "Free of a spied block", free_pair, 0},
    {57, "D", "Free of a block of before", free_of_an_old_block, 0},
    {58, "D", "Realloc of a spied block", realloc_pair, 0},
    {59, "D", "Realloc makes a block of before spied", realloc_adopts, 0},
    {60, "D, last part R, x", "a refused Realloc keeps block and mark",
     refused_realloc_keeps, 0},
    {61, "D, x", "Realloc(p, 0) frees and tells", realloc_to_zero, 0},
    {62, "R, x", "Realloc(NULL, n) is a new spied block", realloc_of_null, 0},
    {63, "D, x", "the heap refuses: PostRealloc(NULL)", failed_realloc, 0},
    {64, "R", "PreRealloc that names no block means the same", unwritten_request, 0},
};
