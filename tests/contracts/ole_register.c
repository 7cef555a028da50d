/* SPDX-License-Identifier: MIT */
/* Cases 36 to 50: who may spy, and when. */
#include "ole_world.h"

static void never(recorder *r, spy_call call)
{
    (void)r;
    CHECK_EQ(call, -1);
}

static void refuses_null(const contract *self)
{
    (void)self;
    CHECK_EQ(CoRegisterMallocSpy(NULL), E_INVALIDARG);
}

static void revokes_none(const contract *self)
{
    (void)self;
    CHECK_EQ(CoRevokeMallocSpy(), CO_E_OBJNOTREG);
}

static void registers(const contract *self)
{
    (void)self;
    recorder r;
    recorder_init(&r);
    CHECK_EQ(CoRegisterMallocSpy(&r.base), S_OK);
    ole_spy_off();
}

static void checks_null_first(const contract *self)
{
    (void)self;
    recorder r;
    recorder_init(&r);
    ole_spy_on(&r);
    CHECK_EQ(CoRegisterMallocSpy(NULL), E_INVALIDARG);
    ole_spy_off();
}

static void refuses_twice(const contract *self)
{
    (void)self;
    recorder r;
    recorder_init(&r);
    ole_spy_on(&r);
    CHECK_EQ(CoRegisterMallocSpy(&r.base), CO_E_OBJISREG);
    ole_spy_off();
    CHECK_EQ(r.references, 1);
}

static void get_malloc_is_no_call(const contract *self)
{
    (void)self;
    recorder r;
    recorder_init(&r);
    r.during = never;
    ole_spy_on(&r);
    CHECK(ole_task() != NULL);
    CHECK_EQ(r.calls, 0);
    ole_spy_off();
}

static void null_is_no_call(const contract *self)
{
    (void)self;
    recorder r;
    recorder_init(&r);
    r.during = never;
    ole_spy_on(&r);
    IMalloc_Free(ole_task(), NULL);
    CoTaskMemFree(NULL);
    CHECK_EQ(r.calls, 0);
    ole_spy_off();
}

static void release_is_no_call(const contract *self)
{
    (void)self;
    recorder r;
    recorder_init(&r);
    r.during = never;
    ole_spy_on(&r);
    IMalloc_AddRef(ole_task());
    IMalloc_Release(ole_task());
    IMalloc_Release(ole_task());
    CHECK_EQ(r.calls, 0);
    ole_spy_off();
}

static void revokes(const contract *self)
{
    (void)self;
    recorder r;
    recorder_init(&r);
    ole_spy_on(&r);
    CoTaskMemFree(CoTaskMemAlloc(8));
    CHECK_EQ(CoRevokeMallocSpy(), S_OK);
    recorder_forget(&r);
    CoTaskMemFree(CoTaskMemAlloc(8));
    CHECK_EQ(r.calls, 0);
}

static void revokes_once(const contract *self)
{
    (void)self;
    recorder r;
    recorder_init(&r);
    ole_spy_on(&r);
    ole_spy_off();
    CHECK_EQ(CoRevokeMallocSpy(), CO_E_OBJNOTREG);
}

static void refuses_no_spy(const contract *self)
{
    (void)self;
    recorder r;
    recorder_init(&r);
    r.refuse_query = E_NOINTERFACE;
    CHECK_EQ(CoRegisterMallocSpy(&r.base), E_INVALIDARG);
    CHECK_EQ(CoRevokeMallocSpy(), CO_E_OBJNOTREG);
    CHECK_EQ(r.references, 1);
    CHECK_EQ(r.calls, 0);
}

static void asks_once(const contract *self)
{
    (void)self;
    recorder r;
    recorder_init(&r);
    ole_spy_on(&r);
    CHECK_EQ(r.queries, 1);
    CHECK_EQ(r.add_refs, 0);
    CHECK_EQ(r.releases, 0);
    CHECK_EQ(r.references, 2);
    ole_spy_off();
}

static void releases_once(const contract *self)
{
    (void)self;
    recorder r;
    recorder_init(&r);
    ole_spy_on(&r);
    ole_spy_off();
    CHECK_EQ(r.releases, 1);
    CHECK_EQ(r.references, 1);
}

static void refuses_another(const contract *self)
{
    (void)self;
    recorder r;
    recorder other;
    recorder_init(&r);
    recorder_init(&other);
    ole_spy_on(&r);
    CHECK_EQ(CoRegisterMallocSpy(&other.base), CO_E_OBJISREG);
    CHECK_EQ(other.queries, 0);
    CHECK_EQ(other.references, 1);
    ole_spy_off();
}

static void registers_again(const contract *self)
{
    (void)self;
    recorder r;
    recorder_init(&r);
    ole_spy_on(&r);
    ole_spy_off();
    CHECK_EQ(CoRegisterMallocSpy(&r.base), S_OK);
    CoTaskMemFree(CoTaskMemAlloc(8));
    CHECK_EQ(r.calls, 4);
    ole_spy_off();
    CHECK_EQ(r.references, 1);
}

const contract ole_register_cases[15] = {
    {36, "W", "no spy: CoRegisterMallocSpy(NULL) is refused", refuses_null, 0},
    {37, "W", "no spy: CoRevokeMallocSpy finds none", revokes_none, 0},
    {38, "W", "CoRegisterMallocSpy takes a spy", registers, 0},
    {39, "W", "NULL is refused before the spy present", checks_null_first, 0},
    {40, "W", "the same spy twice is refused", refuses_twice, 0},
    {41, "W", "CoGetMalloc calls no spy", get_malloc_is_no_call, 0},
    {42, "W", "freeing NULL calls no spy", null_is_no_call, 0},
    {43, "W", "Release calls no spy", release_is_no_call, 0},
    {44, "W", "CoRevokeMallocSpy without blocks", revokes, 0},
    {45, "W", "CoRevokeMallocSpy again finds none", revokes_once, 0},
    {46, "Wi", "an object that is no IMallocSpy is refused", refuses_no_spy, 0},
    {47, "D", "registering asks once and adds no reference", asks_once, 0},
    {48, "D", "revoking releases once", releases_once, 0},
    {49, "D, Wi", "another spy is refused unasked", refuses_another, 0},
    {50, "D", "a revoked spy may register again", registers_again, 0},
};
