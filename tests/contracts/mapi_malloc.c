/* SPDX-License-Identifier: MIT */
/* Cases 150 to 156: MAPI's default allocator. */
#include "mapi_world.h"

#include <string.h>

static IMalloc *default_malloc(void)
{
    IMalloc *m = MAPIGetDefaultMalloc();
    REQUIRE(m != NULL);
    return m;
}

static void is_there(const contract *self)
{
    (void)self;
    CHECK_PTR(default_malloc(), default_malloc());
}

static void answers_interface(const contract *self)
{
    static const IID other = {0x12345678, 0x9abc, 0xdef0, {1, 2, 3, 4, 5, 6, 7, 8}};
    IMalloc *m = default_malloc();
    void *object = P0;
    const IID *known = self->value ? &IID_IMalloc : &IID_IUnknown;
    CHECK_EQ(IMalloc_QueryInterface(m, known, &object), S_OK);
    REQUIRE(object != NULL && object != P0);
    IMalloc_Release((IMalloc *)object);
    object = P0;
    CHECK_EQ(IMalloc_QueryInterface(m, &other, &object), E_NOINTERFACE);
}

static void sizes_as_the_heap(const contract *self)
{
    IMalloc *m = default_malloc();
    void *p = IMalloc_Alloc(m, (SIZE_T)self->value);
    REQUIRE(p != NULL);
    CHECK_EQ(IMalloc_GetSize(m, p), mapi_heap_size(p));
    CHECK(IMalloc_GetSize(m, p) >= (SIZE_T)self->value);
    p = IMalloc_Realloc(m, p, 200);
    REQUIRE(p != NULL);
    CHECK_EQ(IMalloc_GetSize(m, p), mapi_heap_size(p));
    CHECK_PTR(IMalloc_Realloc(m, p, 0), NULL);
    p = IMalloc_Realloc(m, NULL, 8);
    CHECK(p != NULL);
    IMalloc_Free(m, p);
    IMalloc_Free(m, NULL);
    CHECK_EQ(mapi_live(), 0);
}

static void never_says_whose(const contract *self)
{
    (void)self;
    IMalloc *m = default_malloc();
    void *p = IMalloc_Alloc(m, 61);
    CHECK_EQ(IMalloc_DidAlloc(m, p), -1);
    CHECK_EQ(IMalloc_DidAlloc(m, NULL), -1);
    IMalloc_Free(m, p);
}

static void minimizes(const contract *self)
{
    (void)self;
    IMalloc *m = default_malloc();
    char *p = IMalloc_Alloc(m, 61);
    REQUIRE(p != NULL);
    memset(p, 0x5a, 61);
    IMalloc_HeapMinimize(m);
    for (int i = 0; i < 61; i++) {
        CHECK_EQ(p[i], 0x5a);
    }
    IMalloc_Free(m, p);
}

static void counts_nothing(const contract *self)
{
    (void)self;
    IMalloc *m = default_malloc();
    CHECK_EQ(IMalloc_AddRef(m), 1);
    CHECK_EQ(IMalloc_Release(m), 1);
    CHECK_EQ(IMalloc_Release(m), 1);
    IMalloc_Free(m, IMalloc_Alloc(m, 8));
}

const contract mapi_malloc_cases[7] = {
    {150, "W", "MAPIGetDefaultMalloc gives an allocator", is_there, 0},
    {151, "W", "its QueryInterface answers IUnknown", answers_interface, 0},
    {152, "W", "its QueryInterface answers IMalloc", answers_interface, 1},
    {153, "W", "its GetSize is what the heap says", sizes_as_the_heap, 61},
    {154, "W", "its DidAlloc is -1", never_says_whose, 0},
    {155, "W", "its HeapMinimize keeps blocks", minimizes, 0},
    {156, "W", "its AddRef and Release are 1", counts_nothing, 0},
};
