/* SPDX-License-Identifier: MIT */
/* Cases 163 to 175: buffers at their edges, and pointers that are none. */
#include "mapi_world.h"

#include <string.h>

static void frees_null(const contract *self)
{
    (void)self;
    CHECK_EQ(MAPIFreeBuffer(NULL), 0);
    void *root = mapi_root(8);
    CHECK_EQ(MAPIFreeBuffer(NULL), 0);
    CHECK_EQ(MAPIFreeBuffer(root), 0);
}

static void refuses_no_place(const contract *self)
{
    (void)self;
    CHECK_EQ(MAPIAllocateBuffer(8, NULL), MAPI_E_INVALID_PARAMETER);
    CHECK_EQ(mapi_live(), 0);
}

static void refuses_no_place_for_more(const contract *self)
{
    (void)self;
    void *root = mapi_root(8);
    CHECK_EQ(MAPIAllocateMore(8, root, NULL), MAPI_E_INVALID_PARAMETER);
    CHECK_EQ(mapi_live(), 1);
    CHECK_EQ(MAPIFreeBuffer(root), S_OK);
}

static void refuses_no_root(const contract *self)
{
    (void)self;
    void *out = P0;
    CHECK_EQ(MAPIAllocateMore(8, NULL, &out), MAPI_E_INVALID_PARAMETER);
    CHECK(!out || out == P0);
    CHECK_EQ(mapi_live(), 0);
}

static void gives_zero_bytes(const contract *self)
{
    (void)self;
    void *p = mapi_root(0);
    void *q = mapi_root(0);
    void *r = mapi_more(0, p);
    CHECK(p != q && p != r && q != r);
    CHECK_EQ(MAPIFreeBuffer(p), S_OK);
    CHECK_EQ(MAPIFreeBuffer(q), S_OK);
    CHECK_EQ(mapi_live(), 0);
}

static void refuses_too_much(const contract *self)
{
    (void)self;
    void *out = P0;
    mapi_budget((size_t)1 << 20);
    for (ULONG less = 0; less < 80; less++) {
        out = P0;
        CHECK_EQ(MAPIAllocateBuffer(0xffffffffu - less, &out), MAPI_E_NOT_ENOUGH_MEMORY);
        CHECK(!out || out == P0);
    }
    CHECK_EQ(mapi_live(), 0);
}

static void fails_to_give_more(const contract *self)
{
    (void)self;
    mapi_budget((size_t)1 << 20);
    void *root = mapi_root(8);
    void *out = P0;
    CHECK_EQ(MAPIAllocateMore(2u << 20, root, &out), MAPI_E_NOT_ENOUGH_MEMORY);
    CHECK(!out || out == P0);
    CHECK_EQ(mapi_live(), 1);
    CHECK_EQ(MAPIFreeBuffer(root), S_OK);
    CHECK_EQ(mapi_live(), 0);
}

static void links_many(const contract *self)
{
    void *root = mapi_root(8);
    for (long i = 0; i < self->value; i++) {
        *(char *)mapi_more(1 + (ULONG)i % 32, root) = 1;
    }
    CHECK_EQ(mapi_live(), self->value + 1);
    CHECK_EQ(MAPIFreeBuffer(root), S_OK);
    CHECK_EQ(mapi_live(), 0);
}

static void keeps_the_chain(const contract *self)
{
    (void)self;
    void *root = mapi_root(8);
    void *links[5];
    for (size_t i = 0; i < COUNT(links); i++) {
        links[i] = mapi_more(16, root);
        memset(links[i], (int)i, 16);
    }
    for (size_t i = 0; i < COUNT(links); i++) {
        CHECK_EQ(MAPIFreeBuffer(links[i]), (ULONG)MAPI_E_INVALID_PARAMETER);
    }
    CHECK_EQ(mapi_live(), COUNT(links) + 1);
    for (size_t i = 0; i < COUNT(links); i++) {
        CHECK_EQ(((char *)links[i])[15], i);
    }
    CHECK_EQ(MAPIFreeBuffer(root), S_OK);
    CHECK_EQ(mapi_live(), 0);
}

static void owns_by_roots_alone(const contract *self)
{
    (void)self;
    void *root = mapi_root(8);
    void *linked = mapi_more(8, root);
    void *out = P0;
    CHECK_EQ(MAPIAllocateMore(8, linked, &out), MAPI_E_INVALID_PARAMETER);
    CHECK(!out || out == P0);
    CHECK_EQ(mapi_live(), 2);
    CHECK_EQ(MAPIFreeBuffer(root), S_OK);
}

static void refuses_strangers(const contract *self)
{
    (void)self;
    static char here[64];
    char *root = mapi_root(64);
    char *gone = mapi_root(64);
    void *of_the_other = IMalloc_Alloc(MAPIGetDefaultMalloc(), 64);
    CHECK_EQ(MAPIFreeBuffer(gone), S_OK);
    void *const strangers[] = {gone, here, here + 16, root + 4, root + 16, of_the_other};
    for (size_t i = 0; i < COUNT(strangers); i++) {
        void *out = P0;
        CHECK_EQ(MAPIFreeBuffer(strangers[i]), (ULONG)MAPI_E_INVALID_PARAMETER);
        CHECK_EQ(MAPIAllocateMore(8, strangers[i], &out), MAPI_E_INVALID_PARAMETER);
        CHECK(!out || out == P0);
        CHECK_EQ(mapi_live(), 2);
    }
    IMalloc_Free(MAPIGetDefaultMalloc(), of_the_other);
    CHECK_EQ(MAPIFreeBuffer(root), S_OK);
    CHECK_EQ(mapi_live(), 0);
}

static void aligns(const contract *self)
{
    (void)self;
    void *root = mapi_root(1);
    for (ULONG bytes = 0; bytes <= 256; bytes++) {
        void *own = mapi_root(bytes);
        CHECK_EQ((uintptr_t)own % (2 * sizeof(void *)), 0);
        CHECK_EQ((uintptr_t)mapi_more(bytes, root) % (2 * sizeof(void *)), 0);
        CHECK_EQ(MAPIFreeBuffer(own), S_OK);
    }
    CHECK_EQ(MAPIFreeBuffer(root), S_OK);
}

static void link_to(void *context, int index)
{
    for (int i = 0; i < 10000; i++) {
        void *out = NULL;
        CHECK_EQ(MAPIAllocateMore(8, context, &out), S_OK);
        if (out) {
            memset(out, index, 8);
        }
    }
}

static void links_from_threads(const contract *self)
{
    void *root = mapi_root(8);
    contracts_threads((int)self->value, link_to, root);
    CHECK_EQ(mapi_live(), self->value * 10000 + 1);
    CHECK_EQ(MAPIFreeBuffer(root), S_OK);
    CHECK_EQ(mapi_live(), 0);
}

const contract mapi_buffer_cases[13] = {
    {163, "D", "MAPIFreeBuffer(NULL) is 0", frees_null, 0},
    {164, "Wi, K", "MAPIAllocateBuffer refuses no place", refuses_no_place, 0},
    {165, "Wi, K", "MAPIAllocateMore refuses no place", refuses_no_place_for_more, 0},
    {166, "Wi", "MAPIAllocateMore refuses no root", refuses_no_root, 0},
    {167, "Wi, K", "zero bytes are a buffer", gives_zero_bytes, 0},
    {168, "R, x", "sizes near 2^32 fail and wrap nowhere", refuses_too_much, 0},
    {169, "D, x", "a failing MAPIAllocateMore says so", fails_to_give_more, 0},
    {170, "D, x", "100000 buffers on one root", links_many, 100000},
    {171, "R, x", "a linked buffer is not freed alone", keeps_the_chain, 0},
    {172, "D, R", "a linked buffer owns nothing", owns_by_roots_alone, 0},
    {173, "R", "freed and foreign pointers change nothing", refuses_strangers, 0},
    {174, "D, R", "buffers are aligned to two pointers", aligns, 0},
    {175, "R, x", "two threads, 10000 buffers each on one root", links_from_threads, 2},
};
