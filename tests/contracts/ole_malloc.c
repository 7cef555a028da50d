/* SPDX-License-Identifier: MIT */
/* Cases 1 to 35: the task allocator and its IMalloc. */
#include "ole_world.h"

#include <stdlib.h>
#include <string.h>

#define UNKNOWN_SIZE ((SIZE_T)-1)

static void refuses_context(const contract *self)
{
    IMalloc *m = P0;
    CHECK_EQ(CoGetMalloc((DWORD)self->value, &m), E_INVALIDARG);
    CHECK_PTR(m, NULL);
}

static void gets_task(const contract *self)
{
    (void)self;
    IMalloc *m = P0;
    CHECK_EQ(CoGetMalloc(MEMCTX_TASK, &m), S_OK);
    CHECK(m != NULL && m != P0);
}

static void refuses_no_place(const contract *self)
{
    (void)self;
    CHECK_EQ(CoGetMalloc(0, NULL), E_INVALIDARG);
    CHECK_EQ(CoGetMalloc(MEMCTX_TASK, NULL), E_INVALIDARG);
}

static void allocates(const contract *self)
{
    IMalloc *m = ole_task();
    void *p = IMalloc_Alloc(m, (SIZE_T)self->value);
    REQUIRE(p != NULL);
    memset(p, 0x5a, (size_t)self->value);
    IMalloc_Free(m, p);
}

static void knows_own(const contract *self)
{
    (void)self;
    IMalloc *m = ole_task();
    void *p = IMalloc_Alloc(m, 16);
    REQUIRE(p != NULL);
    CHECK_EQ(IMalloc_DidAlloc(m, p), 1);
    IMalloc_Free(m, p);
}

static void cannot_tell_null(const contract *self)
{
    (void)self;
    CHECK_EQ(IMalloc_DidAlloc(ole_task(), NULL), -1);
}

static void knows_no_stranger(const contract *self)
{
    (void)self;
    IMalloc *m = ole_task();
    CHECK_EQ(IMalloc_DidAlloc(m, (void *)(uintptr_t)1), 0);
    void *p = IMalloc_Alloc(m, 16);
    CHECK_EQ(IMalloc_DidAlloc(m, (void *)(uintptr_t)1), 0);
    IMalloc_Free(m, p);
}

static void knows_no_interior(const contract *self)
{
    IMalloc *m = ole_task();
    char *p = IMalloc_Alloc(m, 64);
    REQUIRE(p != NULL);
    CHECK_EQ(IMalloc_DidAlloc(m, p + self->value), 0);
    CHECK_EQ(IMalloc_DidAlloc(m, p + 16), 0);
    IMalloc_Free(m, p);
}

static void sizes_null(const contract *self)
{
    (void)self;
    CHECK_EQ(IMalloc_GetSize(ole_task(), NULL), UNKNOWN_SIZE);
}

static void sizes_exactly(const contract *self)
{
    IMalloc *m = ole_task();
    void *p = IMalloc_Alloc(m, (SIZE_T)self->value);
    REQUIRE(p != NULL);
    CHECK_EQ(IMalloc_GetSize(m, p), self->value);
    IMalloc_Free(m, p);
    CHECK_EQ(ole_live(), 0);
}

static void frees_then_releases(const contract *self)
{
    (void)self;
    IMalloc *m = ole_task();
    IMalloc_Free(m, IMalloc_Alloc(m, 16));
    IMalloc_Release(m);
    CHECK_EQ(ole_live(), 0);
}

static void tells_empty_blocks_apart(const contract *self)
{
    (void)self;
    IMalloc *m = ole_task();
    void *p = IMalloc_Alloc(m, 0);
    void *q = IMalloc_Alloc(m, 0);
    CHECK(p != NULL && q != NULL && p != q);
    IMalloc_Free(m, p);
    IMalloc_Free(m, q);
}

static void reallocs_null(const contract *self)
{
    IMalloc *m = ole_task();
    void *p = IMalloc_Realloc(m, NULL, (SIZE_T)self->value);
    REQUIRE(p != NULL);
    CHECK_EQ(IMalloc_GetSize(m, p), self->value);
    IMalloc_Free(m, p);
}

static void realloc_to_zero_frees(const contract *self)
{
    (void)self;
    IMalloc *m = ole_task();
    void *p = IMalloc_Alloc(m, 32);
    CHECK_EQ(ole_live(), 1);
    CHECK_PTR(IMalloc_Realloc(m, p, 0), NULL);
    CHECK_EQ(ole_live(), 0);
}

static void fill(unsigned char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        p[i] = (unsigned char)(i * 7 + 3);
    }
}

static int filled(const unsigned char *p, size_t bytes)
{
    size_t i = 0;
    while (i < bytes && p[i] == (unsigned char)(i * 7 + 3)) {
        i++;
    }
    return i == bytes;
}

static void realloc_keeps(size_t from, size_t to)
{
    IMalloc *m = ole_task();
    unsigned char *p = IMalloc_Alloc(m, from);
    REQUIRE(p != NULL);
    fill(p, from);
    p = IMalloc_Realloc(m, p, to);
    REQUIRE(p != NULL);
    CHECK(filled(p, from < to ? from : to));
    CHECK_EQ(IMalloc_GetSize(m, p), to);
    IMalloc_Free(m, p);
}

static void realloc_grows(const contract *self)
{
    (void)self;
    realloc_keeps(32, 64);
    realloc_keeps(64, 100000);
}

static void realloc_shrinks(const contract *self)
{
    (void)self;
    realloc_keeps(64, 16);
    realloc_keeps(100000, 1);
}

static void failed_realloc_keeps(const contract *self)
{
    (void)self;
    IMalloc *m = ole_task();
    unsigned char *p = IMalloc_Alloc(m, 32);
    REQUIRE(p != NULL);
    fill(p, 32);
    CHECK_PTR(IMalloc_Realloc(m, p, SIZE_MAX), NULL);
    CHECK_PTR(IMalloc_Realloc(m, p, SIZE_MAX - 15), NULL);
    CHECK(filled(p, 32));
    CHECK_EQ(IMalloc_GetSize(m, p), 32);
    CHECK_EQ(IMalloc_DidAlloc(m, p), 1);
    IMalloc_Free(m, p);
    CHECK_EQ(ole_live(), 0);
}

static void refuses_too_much(const contract *self)
{
    (void)self;
    IMalloc *m = ole_task();
    for (SIZE_T less = 0; less < 64; less++) {
        CHECK_PTR(IMalloc_Alloc(m, SIZE_MAX - less), NULL);
    }
    CHECK_PTR(CoTaskMemAlloc(SIZE_MAX / 2 + 1), NULL);
}

static void frees_null(const contract *self)
{
    (void)self;
    IMalloc *m = ole_task();
    void *p = IMalloc_Alloc(m, 1);
    IMalloc_Free(m, NULL);
    CoTaskMemFree(NULL);
    CHECK_EQ(ole_live(), 1);
    IMalloc_Free(m, p);
}

static void routes_mix(const contract *self)
{
    (void)self;
    IMalloc *m = ole_task();
    IMalloc_Free(m, CoTaskMemAlloc(24));
    CoTaskMemFree(IMalloc_Alloc(m, 24));
    void *p = CoTaskMemRealloc(IMalloc_Alloc(m, 24), 48);
    CHECK_EQ(IMalloc_GetSize(m, p), 48);
    IMalloc_Free(m, IMalloc_Realloc(m, p, 8));
    CHECK_EQ(ole_live(), 0);
}

static void function_reallocs(const contract *self)
{
    (void)self;
    IMalloc *m = ole_task();
    unsigned char *p = CoTaskMemRealloc(NULL, 32);
    REQUIRE(p != NULL);
    CHECK_EQ(IMalloc_GetSize(m, p), 32);
    fill(p, 32);
    p = CoTaskMemRealloc(p, 64);
    REQUIRE(p != NULL);
    CHECK(filled(p, 32));
    CHECK_EQ(ole_live(), 1);
    CHECK_PTR(CoTaskMemRealloc(p, 0), NULL);
    CHECK_EQ(ole_live(), 0);
    p = CoTaskMemRealloc(NULL, 0);
    CHECK(p != NULL);
    CoTaskMemFree(p);
}

static void answers_interfaces(const contract *self)
{
    (void)self;
    static const IID *const known[] = {&IID_IUnknown, &IID_IMalloc};
    IMalloc *m = ole_task();
    for (size_t i = 0; i < COUNT(known); i++) {
        void *object = P0;
        CHECK_EQ(IMalloc_QueryInterface(m, known[i], &object), S_OK);
        REQUIRE(object != NULL && object != P0);
        IMalloc *again = object;
        IMalloc_Free(again, IMalloc_Alloc(again, 8));
        IMalloc_Release(again);
    }
}

static void refuses_interfaces(const contract *self)
{
    (void)self;
    static const IID other = {0x12345678, 0x9abc, 0xdef0, {1, 2, 3, 4, 5, 6, 7, 8}};
    void *object = P0;
    CHECK_EQ(IMalloc_QueryInterface(ole_task(), &other, &object), E_NOINTERFACE);
    CHECK_PTR(object, NULL);
    object = P0;
    CHECK_EQ(IMalloc_QueryInterface(ole_task(), &IID_IMallocSpy, &object), E_NOINTERFACE);
    CHECK_PTR(object, NULL);
}

static void is_one_object(const contract *self)
{
    (void)self;
    IMalloc *m = ole_task();
    CHECK_PTR(ole_task(), m);
    for (int i = 0; i < 1000; i++) {
        IMalloc_Release(m);
    }
    CHECK_PTR(ole_task(), m);
    IMalloc_Free(m, IMalloc_Alloc(m, 8));
    CHECK_EQ(ole_live(), 0);
}

static void minimizes(const contract *self)
{
    (void)self;
    unsigned char *blocks[100];
    IMalloc *m = ole_task();
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = IMalloc_Alloc(m, i * 37);
        REQUIRE(blocks[i] != NULL);
        fill(blocks[i], i * 37);
    }
    IMalloc_HeapMinimize(m);
    for (size_t i = 0; i < COUNT(blocks); i++) {
        CHECK(filled(blocks[i], i * 37));
        CHECK_EQ(IMalloc_DidAlloc(m, blocks[i]), 1);
        IMalloc_Free(m, blocks[i]);
    }
    CHECK_EQ(ole_live(), 0);
}

static void aligns(const contract *self)
{
    (void)self;
    IMalloc *m = ole_task();
    for (SIZE_T bytes = 1; bytes <= 256; bytes++) {
        void *p = IMalloc_Alloc(m, bytes);
        REQUIRE(p != NULL);
        CHECK_EQ((uintptr_t)p % (2 * sizeof(void *)), 0);
        IMalloc_Free(m, p);
    }
}

typedef struct slot {
    unsigned char *block;
    size_t bytes;
    unsigned char mark;
} slot;

static int marked(const slot *s)
{
    for (size_t i = 0; i < s->bytes; i += s->bytes / 4 + 1) {
        if (s->block[i] != s->mark) {
            return 0;
        }
    }
    return !s->bytes || s->block[s->bytes - 1] == s->mark;
}

static void change(IMalloc *m, slot *s, size_t bytes, uint32_t how)
{
    if (!s->block) {
        s->block = how & 1 ? CoTaskMemAlloc(bytes) : IMalloc_Alloc(m, bytes);
    } else if (how % 4 == 0) {
        CHECK(marked(s));
        s->block = IMalloc_Realloc(m, s->block, bytes + 1);
        bytes++;
    } else {
        CHECK(marked(s));
        IMalloc_Free(m, s->block);
        s->block = NULL;
        return;
    }
    s->bytes = bytes;
    s->mark = (unsigned char)how;
    if (s->block) {
        memset(s->block, s->mark, bytes);
    } else {
        CHECK(s->block != NULL);
    }
}

static void churn(void *context, int index)
{
    slot slots[64];
    IMalloc *m = context;
    uint32_t state = (uint32_t)index + 1;
    memset(slots, 0, sizeof slots);
    for (int i = 0; i < 100000; i++) {
        slot *s = &slots[contracts_random(&state) % COUNT(slots)];
        change(m, s, contracts_random(&state) % 300, contracts_random(&state));
    }
    for (size_t i = 0; i < COUNT(slots); i++) {
        CoTaskMemFree(slots[i].block);
    }
}

static void serves_threads(const contract *self)
{
    contracts_threads((int)self->value, churn, ole_task());
    CHECK_EQ(ole_live(), 0);
}

static void survives_freed(const contract *self)
{
    (void)self;
    IMalloc *m = ole_task();
    void *p = IMalloc_Alloc(m, 48);
    IMalloc_Free(m, p);
    const int answer = IMalloc_DidAlloc(m, p);
    CHECK(answer == 0 || answer == -1);
}

const contract ole_malloc_cases[35] = {
    {1, "W", "CoGetMalloc refuses context 0", refuses_context, 0},
    {2, "W", "CoGetMalloc refuses MEMCTX_SHARED", refuses_context, MEMCTX_SHARED},
    {3, "W", "CoGetMalloc refuses MEMCTX_MACSYSTEM", refuses_context, MEMCTX_MACSYSTEM},
    {4, "W", "CoGetMalloc refuses MEMCTX_UNKNOWN", refuses_context, MEMCTX_UNKNOWN},
    {5, "W", "CoGetMalloc refuses MEMCTX_SAME", refuses_context, MEMCTX_SAME},
    {6, "W", "CoGetMalloc answers MEMCTX_TASK", gets_task, 0},
    {7, "W note, R", "CoGetMalloc refuses to answer nowhere", refuses_no_place, 0},
    {8, "W", "Alloc(16) gives a block", allocates, 16},
    {9, "W", "DidAlloc of a live block is 1", knows_own, 0},
    {10, "W", "DidAlloc(NULL) is -1", cannot_tell_null, 0},
    {11, "W", "DidAlloc of address 1 is 0", knows_no_stranger, 0},
    {12, "W", "DidAlloc of block + 4 is 0", knows_no_interior, 4},
    {13, "W", "GetSize(NULL) is -1", sizes_null, 0},
    {14, "W", "GetSize of 16 bytes is 16", sizes_exactly, 16},
    {15, "W", "Free and then Release", frees_then_releases, 0},
    {16, "D", "GetSize of 27 bytes is 27", sizes_exactly, 27},
    {17, "D, size R", "Alloc(0) gives a block of size 0", sizes_exactly, 0},
    {18, "R", "Alloc(0) twice gives two blocks", tells_empty_blocks_apart, 0},
    {19, "D", "Realloc(NULL, 32) allocates", reallocs_null, 32},
    {20, "D", "Realloc(NULL, 0) allocates", reallocs_null, 0},
    {21, "D", "Realloc(p, 0) frees", realloc_to_zero_frees, 0},
    {22, "D", "a growing Realloc keeps the contents", realloc_grows, 0},
    {23, "D", "a shrinking Realloc keeps what is left", realloc_shrinks, 0},
    {24, "D", "a failing Realloc keeps the block", failed_realloc_keeps, 0},
    {25, "R", "Alloc(SIZE_MAX) fails and wraps nowhere", refuses_too_much, 0},
    {26, "D", "freeing NULL does nothing", frees_null, 0},
    {27, "D", "functions and methods share their blocks", routes_mix, 0},
    {28, "D", "CoTaskMemRealloc does as Realloc", function_reallocs, 0},
    {29, "D", "QueryInterface answers IUnknown and IMalloc", answers_interfaces, 0},
    {30, "R, x", "QueryInterface refuses others and clears", refuses_interfaces, 0},
    {31, "Wi", "one object, which no Release destroys", is_one_object, 0},
    {32, "D", "HeapMinimize touches no live block", minimizes, 0},
    {33, "R", "blocks are aligned to two pointers", aligns, 0},
    {34, "D", "8 threads, 100000 operations each", serves_threads, 8},
    {35, "R", "DidAlloc of a freed block does not fault", survives_freed, 0},
};
