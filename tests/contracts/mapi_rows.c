/* SPDX-License-Identifier: MIT */
/* Cases 176 to 182: sets of rows, what a provider gets, and what is left. */
#include "mapi_world.h"

#include <string.h>

#define ROWS 3

static void frees_no_rows(const contract *self)
{
    (void)self;
    FreeProws(NULL);
    FreePadrlist(NULL);
    void *root = mapi_root(8);
    FreeProws(NULL);
    FreePadrlist(NULL);
    CHECK_EQ(mapi_live(), 1);
    CHECK_EQ(MAPIFreeBuffer(root), S_OK);
}

/* Each row's array is a root with a string linked to it. */
static SRowSet *make_rows(void)
{
    SRowSet *rows = mapi_root((ULONG)CbNewSRowSet(ROWS));
    memset(rows, 0, CbNewSRowSet(ROWS));
    rows->cRows = ROWS;
    for (ULONG i = 0; i < ROWS; i++) {
        SPropValue *values = mapi_root(2 * sizeof *values);
        memset(values, 0, 2 * sizeof *values);
        values[0].ulPropTag = PROP_TAG(PT_STRING8, 0x3001);
        values[0].Value.lpszA = mapi_more(8, values);
        rows->aRow[i].cValues = 2;
        rows->aRow[i].lpProps = values;
    }
    CHECK_EQ(mapi_live(), 1 + 2 * ROWS);
    return rows;
}

static void frees_rows(const contract *self)
{
    (void)self;
    FreeProws(make_rows());
    CHECK_EQ(mapi_live(), 0);
}

static void leaves_a_row_that_was_taken(const contract *self)
{
    (void)self;
    SRowSet *rows = make_rows();
    SPropValue *kept = rows->aRow[1].lpProps;
    rows->aRow[1].lpProps = NULL;
    rows->aRow[1].cValues = 0;
    FreeProws(rows);
    CHECK_EQ(mapi_live(), 2);
    CHECK_EQ(kept[0].ulPropTag, PROP_TAG(PT_STRING8, 0x3001));
    CHECK_EQ(MAPIFreeBuffer(kept), S_OK);
    CHECK_EQ(mapi_live(), 0);
}

static void frees_addresses(const contract *self)
{
    (void)self;
    FreePadrlist((ADRLIST *)make_rows());
    CHECK_EQ(mapi_live(), 0);
}

static void gives_routines(const contract *self)
{
    (void)self;
    LPALLOCATEBUFFER allocate = NULL;
    LPALLOCATEMORE more = NULL;
    LPFREEBUFFER release = NULL;
    void *root = NULL;
    void *linked = NULL;
    CHECK_EQ(mapi_routines(&allocate, &more, &release), S_OK);
    REQUIRE(allocate && more && release);
    CHECK_EQ(allocate(8, &root), S_OK);
    CHECK_EQ(more(8, root, &linked), S_OK);
    CHECK(root && linked);
    CHECK_EQ(release(root), S_OK);
    CHECK_EQ(mapi_live(), 0);
}

static void reallocates(const contract *self)
{
    (void)self;
    unsigned char *p = mapi_root(16);
    void *q = P0;
    void *linked = mapi_more(8, p);
    memset(p, 0x5a, 16);
    memset(linked, 0xa5, 8);
    CHECK_EQ(mapi_reallocate(p, 64, &q), S_OK);
    REQUIRE(q && q != P0);
    for (int i = 0; i < 16; i++) {
        CHECK_EQ(((unsigned char *)q)[i], 0x5a);
    }
    /* The links moved with it, and the old root is gone. */
    CHECK_EQ(mapi_live(), 2);
    CHECK_EQ(((unsigned char *)linked)[7], 0xa5);
    CHECK_EQ(MAPIFreeBuffer(q), S_OK);
    CHECK_EQ(mapi_live(), 0);
}

static void refuses_reserved(const contract *self)
{
    (void)self;
    CHECK_EQ(ScInitMapiUtil(1), MAPI_E_INVALID_PARAMETER);
    CHECK_EQ(ScInitMapiUtil(0), S_OK);
    DeinitMapiUtil();
}

const contract mapi_row_cases[7] = {
    {176, "Wi", "freeing no rows does nothing", frees_no_rows, 0},
    {177, "D", "FreeProws frees each row's array", frees_rows, 0},
    {178, "D", "a row that was taken out stays", leaves_a_row_that_was_taken, 0},
    {179, "D", "FreePadrlist frees what is laid out alike", frees_addresses, 0},
    {180, "D", "a provider gets three routines", gives_routines, 0},
    {181, "D", "MAPIReallocateBuffer keeps the contents", reallocates, 0},
    {182, "Wi", "ScInitMapiUtil refuses what is reserved", refuses_reserved, 0},
};
