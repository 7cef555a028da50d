/* SPDX-License-Identifier: MIT */
/* Cases 76 to 85: a spy that was revoked while its blocks live. */
#include "ole_world.h"

/* A spy with one live block, already revoked. */
static void *pending(recorder *r)
{
    recorder_init(r);
    ole_spy_on(r);
    void *p = CoTaskMemAlloc(32);
    REQUIRE(p != NULL);
    CHECK_EQ(CoRevokeMallocSpy(), E_ACCESSDENIED);
    CHECK_EQ(r->releases, 0);
    recorder_forget(r);
    return p;
}

/* It left: released once, and not called any more. */
static void check_gone(recorder *r)
{
    CHECK_EQ(r->releases, 1);
    CHECK_EQ(r->references, 1);
    recorder_forget(r);
    CoTaskMemFree(CoTaskMemAlloc(8));
    CHECK_EQ(r->calls, 0);
    CHECK_EQ(CoRevokeMallocSpy(), CO_E_OBJNOTREG);
}

static void waits(const contract *self)
{
    (void)self;
    recorder r;
    CoTaskMemFree(pending(&r));
}

static void leaves_with_the_block(const contract *self)
{
    (void)self;
    recorder r;
    void *p = pending(&r);
    CoTaskMemFree(p);
    recorder_expect(&r, 0, PRE_FREE, 0, p, TRUE);
    recorder_expect(&r, 1, POST_FREE, 0, NULL, TRUE);
    CHECK_EQ(r.calls, 2);
    check_gone(&r);
}

static void makes_room(const contract *self)
{
    (void)self;
    recorder r;
    recorder other;
    CoTaskMemFree(pending(&r));
    CHECK_EQ(CoRevokeMallocSpy(), CO_E_OBJNOTREG);
    recorder_init(&other);
    CHECK_EQ(CoRegisterMallocSpy(&other.base), S_OK);
    ole_spy_off();
}

static void waits_once(const contract *self)
{
    (void)self;
    recorder r;
    void *p = pending(&r);
    CHECK_EQ(CoRevokeMallocSpy(), E_ACCESSDENIED);
    CoTaskMemFree(p);
    check_gone(&r);
}

static void lets_nobody_in(const contract *self)
{
    (void)self;
    recorder r;
    recorder other;
    void *p = pending(&r);
    recorder_init(&other);
    CHECK_EQ(CoRegisterMallocSpy(&other.base), CO_E_OBJISREG);
    CHECK_EQ(CoRegisterMallocSpy(&r.base), CO_E_OBJISREG);
    CHECK_EQ(other.references, 1);
    CoTaskMemFree(p);
    check_gone(&r);
}

static void old_blocks_do_not_count(const contract *self)
{
    (void)self;
    recorder r;
    void *old = CoTaskMemAlloc(16);
    void *p = pending(&r);
    CoTaskMemFree(old);
    recorder_expect(&r, 0, PRE_FREE, 0, old, FALSE);
    recorder_expect(&r, 1, POST_FREE, 0, NULL, FALSE);
    CHECK_EQ(r.releases, 0);
    CHECK_EQ(CoRevokeMallocSpy(), E_ACCESSDENIED);
    CoTaskMemFree(p);
    check_gone(&r);
}

static void moved_block_stays(const contract *self)
{
    (void)self;
    recorder r;
    void *p = pending(&r);
    void *q = CoTaskMemRealloc(p, 64);
    REQUIRE(q != NULL);
    recorder_expect(&r, 0, PRE_REALLOC, 64, p, TRUE);
    recorder_expect(&r, 1, POST_REALLOC, 0, q, TRUE);
    CHECK_EQ(r.releases, 0);
    recorder_forget(&r);
    CoTaskMemFree(q);
    recorder_expect(&r, 0, PRE_FREE, 0, q, TRUE);
    check_gone(&r);
}

static void realloc_to_zero_is_the_end(const contract *self)
{
    (void)self;
    recorder r;
    void *p = pending(&r);
    CHECK_PTR(CoTaskMemRealloc(p, 0), NULL);
    recorder_expect(&r, 0, PRE_REALLOC, 0, p, TRUE);
    recorder_expect(&r, 1, POST_REALLOC, 0, NULL, TRUE);
    CHECK_EQ(ole_live(), 0);
    check_gone(&r);
}

static void new_blocks_count(const contract *self)
{
    (void)self;
    recorder r;
    void *p = pending(&r);
    void *q = CoTaskMemAlloc(8);
    recorder_expect(&r, 0, PRE_ALLOC, 8, NULL, FALSE);
    recorder_expect(&r, 1, POST_ALLOC, 0, q, FALSE);
    CoTaskMemFree(p);
    CHECK_EQ(r.releases, 0);
    recorder_forget(&r);
    CoTaskMemFree(q);
    recorder_expect(&r, 0, PRE_FREE, 0, q, TRUE);
    check_gone(&r);
}

static void last_of_three(const contract *self)
{
    (void)self;
    static const unsigned char orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                               {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (size_t i = 0; i < COUNT(orders); i++) {
        recorder r;
        void *blocks[3];
        recorder_init(&r);
        ole_spy_on(&r);
        for (int k = 0; k < 3; k++) {
            blocks[k] = CoTaskMemAlloc(8);
        }
        CHECK_EQ(CoRevokeMallocSpy(), E_ACCESSDENIED);
        for (int k = 0; k < 3; k++) {
            CHECK_EQ(r.releases, 0);
            CoTaskMemFree(blocks[orders[i][k]]);
        }
        check_gone(&r);
    }
}

const contract ole_revoke_cases[10] = {
    {76, "D", "revoking waits while a spied block lives", waits, 0},
    {77, "D", "the spy leaves with its last block", leaves_with_the_block, 0},
    {78, "D", "after that another may register", makes_room, 0},
    {79, "Wi", "revoking twice releases once", waits_once, 0},
    {80, "Wi", "a waiting spy lets nobody in", lets_nobody_in, 0},
    {81, "D", "blocks of before do not count", old_blocks_do_not_count, 0},
    {82, "R, x", "a reallocated block stays spied", moved_block_stays, 0},
    {83, "D, x", "Realloc(p, 0) of the last lets the spy go", realloc_to_zero_is_the_end,
     0},
    {84, "Wi", "blocks of after count", new_blocks_count, 0},
    {85, "D", "three blocks, freed in any order", last_of_three, 0},
};
