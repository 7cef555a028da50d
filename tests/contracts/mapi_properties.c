/* SPDX-License-Identifier: MIT */
/* Cases 157 to 162: a property and a deep copy of it in buffers that are linked. */
#include "mapi_world.h"

#include <string.h>

static char text[] = "Hi!";
static WCHAR wide[] = {'H', 'i', '!', 0};
static BYTE bytes[] = {1, 2, 0, 255};

static void allocates_root(const contract *self)
{
    (void)self;
    void *to = mapi_root(sizeof(SPropValue));
    memset(to, 0xff, sizeof(SPropValue));
    CHECK_EQ(MAPIFreeBuffer(to), S_OK);
}

static void allocates_linked(const contract *self)
{
    (void)self;
    void *to = mapi_root(sizeof(SPropValue));
    void *from = mapi_more(sizeof(SPropValue), to);
    memset(from, 0xff, sizeof(SPropValue));
    CHECK(to != from);
    CHECK_EQ(mapi_live(), 2);
    CHECK_EQ(MAPIFreeBuffer(to), S_OK);
}

/* *to is a copy of a property of this type, *from what it was made from, linked to it. */
static void copies(ULONG type, SPropValue **to, SPropValue **from)
{
    *to = mapi_root(sizeof(SPropValue));
    *from = mapi_more(sizeof(SPropValue), *to);
    memset(*to, 0xff, sizeof **to);
    memset(*from, 0, sizeof **from);
    (*from)->ulPropTag = type;
    if (type == PT_STRING8) {
        (*from)->Value.lpszA = text;
    } else if (type == PT_UNICODE) {
        (*from)->Value.lpszW = wide;
    } else {
        (*from)->Value.bin.cb = sizeof bytes;
        (*from)->Value.bin.lpb = bytes;
    }
    const SCODE status = PropCopyMore(*to, *from, MAPIAllocateMore, *to);
    CHECK_EQ(status, S_OK);
    REQUIRE(status == S_OK);
    CHECK_EQ((*to)->ulPropTag, type);
}

static void copies_text(const contract *self)
{
    (void)self;
    SPropValue *to;
    SPropValue *from;
    copies(PT_STRING8, &to, &from);
    CHECK(to->Value.lpszA != text);
    CHECK(strcmp(to->Value.lpszA, text) == 0);
    CHECK_EQ(MAPIFreeBuffer(to), S_OK);
}

static void copies_wide(const contract *self)
{
    (void)self;
    SPropValue *to;
    SPropValue *from;
    copies(PT_UNICODE, &to, &from);
    CHECK(to->Value.lpszW != wide);
    CHECK(memcmp(to->Value.lpszW, wide, sizeof wide) == 0);
    CHECK_EQ(MAPIFreeBuffer(to), S_OK);
}

static void copies_binary(const contract *self)
{
    (void)self;
    SPropValue *to;
    SPropValue *from;
    copies(PT_BINARY, &to, &from);
    CHECK(to->Value.bin.lpb != bytes);
    CHECK_EQ(to->Value.bin.cb, sizeof bytes);
    CHECK(memcmp(to->Value.bin.lpb, bytes, sizeof bytes) == 0);
    CHECK_EQ(MAPIFreeBuffer(to), S_OK);
}

static void frees_all_of_it(const contract *self)
{
    static const ULONG types[] = {PT_STRING8, PT_UNICODE, PT_BINARY};
    (void)self;
    for (size_t i = 0; i < COUNT(types); i++) {
        SPropValue *to;
        SPropValue *from;
        copies(types[i], &to, &from);
        CHECK_EQ(mapi_live(), 3);
        CHECK_EQ(MAPIFreeBuffer(to), S_OK);
        CHECK_EQ(mapi_live(), 0);
    }
}

const contract mapi_property_cases[6] = {
    {157, "W", "MAPIAllocateBuffer gives a root", allocates_root, 0},
    {158, "W", "MAPIAllocateMore gives a linked buffer", allocates_linked, 0},
    {159, "W", "PropCopyMore copies a string", copies_text, 0},
    {160, "W", "PropCopyMore copies a wide string", copies_wide, 0},
    {161, "W", "PropCopyMore copies a binary", copies_binary, 0},
    {162, "W", "MAPIFreeBuffer frees all of it", frees_all_of_it, 0},
};
